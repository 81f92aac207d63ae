//! What is wrong with a process, by its status.
//!
//! A status says how a process was when it wrote it. Only of one that runs is that how it is now: a
//! process that is gone answers no call, and its broker decides by its own settings.

use exhook_policy_core::decision::Mode;
use exhook_policy_runtime::clock::in_utc;
use exhook_policy_runtime::state::status::{Found, Status};

/// A status that is older is of a process that hangs, or cannot write: milliseconds.
const STALE: i64 = 30_000;

/// What is known of the process that wrote a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessState {
    /// It runs.
    Runs,
    /// It is there, and has written nothing for so many seconds.
    Hangs(i64),
    /// It has ended.
    Gone,
    /// It cannot be seen from here, and has written nothing for so many seconds.
    Silent(i64),
    /// It cannot be seen from here, and what it wrote last is so many seconds ahead of this clock.
    Ahead(i64),
}

impl ProcessState {
    fn of(found: &Found, now: i64) -> Self {
        let Found { status, is_alive } = found;
        let age = now.saturating_sub(status.written_at);
        // A driver without a policy writes its status when it tries to load one, and not again.
        let writes_once = is_driver(status) && status.policy.is_none();
        match is_alive {
            Some(false) => ProcessState::Gone,
            Some(true) if age > STALE && !writes_once => ProcessState::Hangs(age / 1000),
            None if age > STALE => ProcessState::Silent(age / 1000),
            None if age < -STALE => ProcessState::Ahead(age.saturating_neg() / 1000),
            Some(true) | None => ProcessState::Runs,
        }
    }

    /// Whether it runs, as far as that can be told.
    pub(super) fn is_running(self) -> bool {
        match self {
            ProcessState::Runs | ProcessState::Hangs(_) => true,
            ProcessState::Gone | ProcessState::Silent(_) | ProcessState::Ahead(_) => false,
        }
    }

    /// Whether its status says how it is now.
    pub(super) fn is_current(self) -> bool {
        match self {
            ProcessState::Runs => true,
            ProcessState::Hangs(_) | ProcessState::Gone | ProcessState::Silent(_) | ProcessState::Ahead(_) => false,
        }
    }

    /// How it is called beside its process id.
    pub(super) fn word(self) -> &'static str {
        match self {
            ProcessState::Runs => "",
            ProcessState::Hangs(_) => " (does not write its status)",
            ProcessState::Gone => " (gone)",
            ProcessState::Silent(_) | ProcessState::Ahead(_) => " (not known to run)",
        }
    }

    /// What is wrong with the process itself.
    fn problem(self, status: &Status) -> Option<String> {
        let role = &status.process.role;
        // What decides while nothing of this policy answers.
        let without = if is_driver(status) {
            "the broker decides by its own settings, until it starts a driver again"
        } else {
            "brokers decide by their own settings, until the server is started again"
        };
        match self {
            ProcessState::Runs => None,
            ProcessState::Hangs(seconds) => Some(format!(
                "the {role} is there, but has not written its status for {seconds} s: it hangs, or cannot write"
            )),
            ProcessState::Gone if status.policy.is_none() => {
                Some(format!("the {role} is gone, and had no policy in force: {without}"))
            }
            ProcessState::Gone => Some(format!("the {role} is gone, and did not end in order: {without}")),
            ProcessState::Silent(seconds) => Some(format!(
                "nothing was heard of the {role} for {seconds} s, and it cannot be seen from here: if it is gone, {without}"
            )),
            ProcessState::Ahead(seconds) => Some(format!(
                "the {role} cannot be seen from here, and its status is of a time {seconds} s ahead of this clock: if it \
                 is gone, {without}"
            )),
        }
    }
}

/// A status, and what is wrong.
pub(super) struct Judged<'a> {
    pub(super) status: &'a Status,
    pub(super) state: ProcessState,
    pub(super) wrong: Vec<String>,
}

impl<'a> Judged<'a> {
    /// `hash` is that of the file as it stands, `now` Unix milliseconds.
    pub(super) fn of(found: &'a Found, hash: Option<&str>, now: i64) -> Self {
        let status = &found.status;
        let state = ProcessState::of(found, now);
        let mut wrong: Vec<String> = state.problem(status).into_iter().collect();
        let is_current = state.is_current();
        match &status.policy {
            None if is_current => wrong.push(no_policy(status).to_owned()),
            // Where it is gone, the line before has said so.
            None if state == ProcessState::Gone => {}
            None => wrong.push("it had no policy in force when it wrote its status".to_owned()),
            Some(policy) if policy.is_last_good => {
                let verb = if is_current { "is" } else { "was" };
                wrong.push(format!("the copy of the last good policy {verb} in force"));
            }
            Some(policy) if hash.is_some_and(|hash| hash != policy.hash) && is_current && status.fault.is_none() => {
                wrong.push("the file was changed, and is not in force yet".to_owned());
            }
            Some(_) => {}
        }
        if let Some(fault) = &status.fault {
            let what = if is_current { "as it stands is" } else { "as it then stood was" };
            wrong.push(format!("the file {what} not in force, since {}:\n{}", in_utc(fault.at), indented(&fault.text)));
        }
        let in_audit = status.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Audit.as_str());
        let before = if is_current { "" } else { "when it wrote its status: " };
        for broker in &status.brokers {
            wrong.extend(broker.problems(in_audit).into_iter().map(|(_, problem)| format!("{before}{problem}")));
        }
        Judged { status, state, wrong }
    }
}

/// What a process without a policy answers. A driver goes by what the last one before it told the
/// broker.
fn no_policy(status: &Status) -> &'static str {
    if is_driver(status) {
        "no policy is in force: every login and topic is denied, or left to the broker if the last policy was in audit mode"
    } else {
        "no policy is in force: every login and topic is denied"
    }
}

fn is_driver(status: &Status) -> bool {
    status.process.role == "driver"
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
