//! The recorded calls, less those that a broker would not have made under another policy.

use std::collections::HashSet;
use std::fmt;
use std::io;

use exhook_policy_core::event::{Action, Client, Event};
use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::port::call::Incoming;

/// One recorded call.
#[derive(Clone)]
pub(super) struct RecordedCall<'r> {
    /// The id that the broker gave it.
    pub(super) id: u8,
    /// The frame, without its length.
    pub(super) frame: &'r [u8],
    /// What it says.
    pub(super) event: Event<'r>,
    /// The number and the name of the situation.
    pub(super) section: (&'r str, &'r str),
}

/// What a call asks, where the answer decides.
#[derive(Clone, Copy)]
pub(super) enum RecordedQuestion<'r> {
    /// A login.
    Login(Client<'r>),
    /// A publish or a subscription.
    Topic(Client<'r>, Action, &'r str),
}

impl<'r> RecordedCall<'r> {
    /// What it asks; `None` of a call that only tells.
    pub(super) fn asked(&self) -> Option<RecordedQuestion<'r>> {
        if let Event::Authenticate { client, .. } = self.event {
            Some(RecordedQuestion::Login(client))
        } else if let Event::CheckAcl { client, action, topic } = self.event {
            Some(RecordedQuestion::Topic(client, action, topic))
        } else {
            None
        }
    }
}

impl fmt::Display for RecordedQuestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordedQuestion::Login(client) if client.username.is_empty() => {
                write!(f, "login {} without a name", short(client.clientid))
            }
            RecordedQuestion::Login(client) => write!(f, "login {} as {}", short(client.clientid), client.username),
            RecordedQuestion::Topic(_, action, topic) => write!(f, "{} {topic}", action.as_str()),
        }
    }
}

/// A clientid that the broker made up is long.
fn short(clientid: &str) -> String {
    match clientid.char_indices().nth(12) {
        Some((end, _)) => format!("{}...", clientid.get(..end).unwrap_or_default()),
        None => clientid.to_owned(),
    }
}

/// The recording, and how far it was played.
pub(super) struct Script<'r> {
    init: &'r [u8],
    steps: Vec<RecordedCall<'r>>,
    next: usize,
    registered: HashSet<Hook>,
    /// Clients whose login was refused.
    out: HashSet<&'r str>,
    /// Subscriptions that were refused: of which client, and to what.
    unsubscribed: HashSet<(&'r str, &'r str)>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the recording is damaged: {what}"))
}

/// The sections as `offset number name`, in order.
fn sections(text: &str) -> Option<Vec<(usize, (&str, &str))>> {
    text.lines()
        .map(|line| {
            let (offset, rest) = line.split_once(' ')?;
            let (number, name) = rest.split_once(' ')?;
            Some((offset.parse().ok()?, (number, name)))
        })
        .collect()
}

impl<'r> Script<'r> {
    /// Reads the recording, and where its situations begin.
    pub(super) fn new(recording: &'r [u8], text: &'r str) -> io::Result<Self> {
        let sections = sections(text).ok_or_else(|| bad("sections"))?;
        let mut init = None;
        let mut steps = Vec::new();
        let mut rest = recording;
        while let Some((length, behind)) = rest.split_first_chunk() {
            let offset = recording.len() - rest.len();
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| bad("length"))?;
            let (frame, behind) = behind.split_at_checked(length).ok_or_else(|| bad("end"))?;
            rest = behind;
            let Ok(Incoming::Call(call)) = Incoming::read(frame) else { return Err(bad("frame")) };
            let Some(hook) = call.hook() else {
                init = init.or(Some(frame));
                continue;
            };
            let event = call.event(hook).map_err(|_| bad("call"))?;
            let Some(&id) = call.id.last() else { return Err(bad("id")) };
            let section = sections.iter().rev().find(|(start, _)| *start <= offset);
            let section = section.ok_or_else(|| bad("section"))?.1;
            steps.push(RecordedCall { id, frame, event, section });
        }
        let registered = Hook::ALL.iter().copied().collect();
        let init = init.ok_or_else(|| bad("no init"))?;
        Ok(Script { init, steps, next: 0, registered, out: HashSet::new(), unsubscribed: HashSet::new() })
    }

    /// The frame of `init`.
    pub(super) fn init(&self) -> &'r [u8] {
        self.init
    }

    /// From now on, only calls of these hooks are made.
    pub(super) fn only(&mut self, hooks: &[Hook]) {
        self.registered = hooks.iter().copied().collect();
    }

    /// The next call that the broker would make.
    pub(super) fn next(&mut self) -> Option<RecordedCall<'r>> {
        loop {
            let step = self.steps.get(self.next)?.clone();
            self.next += 1;
            if self.happens(&step.event) {
                return Some(step);
            }
        }
    }

    /// Whether the broker would have got so far, with what was refused until now.
    fn happens(&mut self, event: &Event<'r>) -> bool {
        // Every connection begins with the first of these, registered or not.
        if matches!(event, Event::Connect(_) | Event::Authenticate { .. }) {
            self.out.remove(event.clientid());
        }
        if let Event::SessionSubscribed { client, topic, .. } | Event::SessionUnsubscribed { client, topic } = event
            && self.unsubscribed.contains(&(client.clientid, topic))
        {
            return false;
        }
        !self.out.contains(event.clientid()) && self.registered.contains(&event.hook())
    }

    /// The driver refused this.
    pub(super) fn refused(&mut self, asked: RecordedQuestion<'r>) {
        match asked {
            RecordedQuestion::Login(client) => {
                self.out.insert(client.clientid);
            }
            RecordedQuestion::Topic(client, _, topic) => {
                self.unsubscribed.insert((client.clientid, topic));
            }
        }
    }

    /// The first login in each of these situations: the call that asks, and the one that says that the client
    /// is connected.
    pub(super) fn logins(&self, numbers: &[&str]) -> Vec<RecordedCall<'r>> {
        let mut found = Vec::new();
        for number in numbers {
            let steps = || self.steps.iter().filter(|step| step.section.0 == *number);
            found.extend(steps().find(|step| matches!(step.event, Event::Authenticate { .. })).cloned());
            found.extend(steps().find(|step| matches!(step.event, Event::Connected(_))).cloned());
        }
        found
    }

    /// How many calls of hooks were recorded.
    pub(super) fn recorded(&self) -> usize {
        self.steps.len()
    }

    /// How many hooks were recorded.
    pub(super) fn hooks(&self) -> usize {
        self.steps.iter().map(|step| step.event.hook()).collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RECORDING, SECTIONS};
    use super::*;

    /// Plays to the end, with every question answered by `allow`; the calls that happen, each as a word.
    fn played(hooks: &[Hook], allow: impl Fn(RecordedQuestion<'_>) -> bool) -> Vec<String> {
        let mut script = Script::new(RECORDING, SECTIONS).unwrap();
        script.only(hooks);
        let mut calls = Vec::new();
        while let Some(step) = script.next() {
            calls.push(format!("{} {} {}", step.section.0, step.event.hook().name(), step.event.clientid()));
            if let Some(asked) = step.asked()
                && !allow(asked)
            {
                script.refused(asked);
            }
        }
        calls
    }

    #[test]
    fn the_whole_recording_happens_where_nothing_is_refused() {
        let script = Script::new(RECORDING, SECTIONS).unwrap();
        assert_eq!(played(Hook::ALL, |_| true).len(), script.recorded());
        assert!(script.recorded() > 200 && script.hooks() == 15, "{} {}", script.recorded(), script.hooks());
    }

    #[test]
    fn only_registered_hooks_are_called() {
        let calls = played(&[Hook::ClientConnected], |_| true);
        assert!(calls.len() > 20 && calls.iter().all(|call| call.contains(" client_connected ")), "{calls:?}");
    }

    #[test]
    fn who_was_refused_asks_no_more_until_the_next_login() {
        let calls =
            played(Hook::ALL, |asked| !matches!(asked, RecordedQuestion::Login(client) if client.clientid == "cid-16"));
        let of_client: Vec<&String> = calls.iter().filter(|call| call.ends_with(" cid-16")).collect();
        let expected: Vec<String> = ["16", "16b", "17", "17b"]
            .iter()
            .flat_map(|n| ["client_connect", "client_authenticate"].map(|hook| format!("{n} {hook} cid-16")))
            .collect();
        assert_eq!(of_client, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_was_refused_is_not_subscribed() {
        let refuse =
            |asked: RecordedQuestion<'_>| !matches!(asked, RecordedQuestion::Topic(_, Action::Subscribe, "t/q0"));
        let (all, without) = (played(Hook::ALL, |_| true), played(Hook::ALL, refuse));
        // Subscribed three times, as the broker remembers decisions, and unsubscribed once.
        assert_eq!(all.len() - without.len(), 4);
    }

    #[test]
    fn a_login_is_two_calls() {
        let script = Script::new(RECORDING, SECTIONS).unwrap();
        let calls: Vec<_> = script.logins(&["08", "16"]).iter().map(|step| step.event.hook().name()).collect();
        assert_eq!(calls, ["client_authenticate", "client_connected", "client_authenticate", "client_connected"]);
    }
}
