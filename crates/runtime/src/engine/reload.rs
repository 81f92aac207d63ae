//! Watching the policy file, and putting what it says in force.
//!
//! The file is looked at twice a second, by what `stat` says of it with links followed. So it does not matter how it comes to
//! change: written in place, renamed over, or through a link that leads elsewhere, and on which file system. It is read once it
//! has been left alone for a second, since half a policy may be a valid one. Everything is done on a thread of its own, aside;
//! what is in force stays so until the new policy stands ready with its lists.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EngineShared;
use super::core::Core;
use crate::clock::now_ms;
use crate::files::stamp::Stamp;
use crate::process::Serves;
use crate::source;
use crate::state::status::{PolicyFault, Reloads};
use crate::state::{Folder, hash_of, last_good, texts};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::hook::Hook;
use exhook_policy_core::policy::model::IfInvalid;
use exhook_policy_core::policy::{self, Policy};

/// How long it must have been left alone.
const QUIET: Duration = Duration::from_secs(1);
/// How long a new policy waits for its lists. The old one is in force so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to look at who can read and write the files that a policy is made of.
const FILES: Duration = Duration::from_millis(500);

/// The text of a policy file.
pub(super) struct PolicyText {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: String,
}

/// Reads a policy file.
///
/// # Errors
/// What is wrong, in words for the log.
pub(super) fn read(path: &Path) -> Result<PolicyText, String> {
    // To open a FIFO would take for ever.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(format!("{}: this is no regular file", path.display()));
    }
    match crate::files::policies::read(path) {
        Ok(bytes) => Ok(PolicyText { hash: hash_of(&bytes), bytes }),
        Err(error) => Err(policy::unreadable(&path.display().to_string(), &error).to_string()),
    }
}

/// Makes a policy of a text that is, or was, in the file `path`. Its warnings are in the report that comes with it.
///
/// # Errors
/// The diagnostics as `check` prints them.
pub(super) fn compile(path: &Path, text: &[u8]) -> Result<(Policy, String), String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let made = || {
        let mut loaded =
            policy::parse_bytes(text, &path.display().to_string(), folder).map_err(|report| report.to_string())?;
        let unseen = match source::open_to_everyone_within(Some(path), &loaded.model, FILES) {
            Ok(found) => {
                loaded.report_sources(found);
                String::new()
            }
            Err(why) => format!("nobody knows who can read and write the files of the policy: {why}\n"),
        };
        let warnings = if loaded.warnings.is_empty() { unseen } else { loaded.warnings.to_string() + &unseen };
        Ok((Policy::compile(loaded.model), warnings))
    };
    catch_unwind(AssertUnwindSafe(made))
        .unwrap_or_else(|_| Err("this program failed while it read the policy".to_owned()))
}

/// What was found at the start.
pub(super) struct PolicyAtStart {
    /// The file as it was before it was read; nothing where it could not be.
    pub(super) stamp: Option<Stamp>,
    /// Its text, if that is in force.
    pub(super) text: Option<PolicyText>,
    /// The policy in force is the copy.
    pub(super) is_last_good: bool,
    /// Why the file is not in force.
    pub(super) fault: Option<PolicyFault>,
}

/// How it stands with the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PolicyStanding {
    /// The policy is in force since then, Unix milliseconds.
    pub(super) since: i64,
    pub(super) is_last_good: bool,
    pub(super) fault: Option<PolicyFault>,
    pub(super) reloads: Reloads,
    /// How long it took to make the policy ready that came last.
    pub(super) ready_in: Duration,
}

/// The policy file, and what of it is in force.
pub(super) struct PolicyReload {
    shared: Arc<EngineShared>,
    folder: Folder,
    /// The file that was dealt with.
    known: Option<Stamp>,
    /// Its text since the start, which may have been written to just then: the copy of a half-written one would be none.
    unkept: Option<(PolicyText, Instant)>,
    /// Another than that, and since when.
    waiting: Option<(Option<Stamp>, Instant)>,
    now: PolicyStanding,
    /// The log says already that the state folder cannot be written.
    is_unwritten: bool,
}

impl PolicyReload {
    /// Goes on from what was found at the start.
    pub(super) fn begin(shared: &Arc<EngineShared>, at_start: PolicyAtStart) -> Self {
        let PolicyAtStart { stamp, text, is_last_good, fault } = at_start;
        let mut reload = PolicyReload {
            shared: Arc::clone(shared),
            folder: shared.folder.clone(),
            known: stamp,
            unkept: None,
            waiting: None,
            now: PolicyStanding { since: now_ms(), is_last_good, fault, ..PolicyStanding::default() },
            is_unwritten: false,
        };
        if let (Some(core), false) = (shared.core.load_full(), is_last_good) {
            reload.keep_mode(core.policy.mode());
        }
        if let Some(text) = &text {
            reload.keep_for_explanations(text);
        }
        reload.unkept = text.map(|text| (text, Instant::now()));
        reload
    }

    pub(super) fn standing(&self) -> &PolicyStanding {
        &self.now
    }

    /// Looks at the file, and puts what it says in force. Gives back the policy that is in force no
    /// longer. `is_unwritten`: the log says already that the state folder cannot be written.
    pub(super) fn look(&mut self, now: Instant, is_unwritten: bool) -> Option<Arc<Core>> {
        self.is_unwritten = is_unwritten;
        let stamp = Stamp::at(&self.shared.around.file);
        if stamp == self.known {
            self.waiting = None;
            if let Some((text, _)) = self.unkept.take_if(|(_, since)| now.saturating_duration_since(*since) >= QUIET)
                && let Some(core) = self.shared.core.load_full()
            {
                self.keep(&text, &core.policy);
            }
            return None;
        }
        self.unkept = None;
        match self.waiting {
            Some((waiting, since)) if waiting == stamp => {
                if now.saturating_duration_since(since) >= QUIET {
                    self.waiting = None;
                    return self.take(stamp);
                }
            }
            Some(_) | None => self.waiting = Some((stamp, now)),
        }
        None
    }

    /// The file is another than before.
    fn take(&mut self, stamp: Option<Stamp>) -> Option<Arc<Core>> {
        let file = self.shared.around.file.clone();
        let text = match read(&file) {
            Ok(text) => text,
            // It is tried again.
            Err(problem) => {
                self.refuse(None, problem);
                return None;
            }
        };
        if Stamp::at(&file) != stamp {
            // It was written to meanwhile, and is looked at again.
            return None;
        }
        self.known = stamp;
        let in_force = self.shared.core.load_full();
        if in_force.as_ref().is_some_and(|core| core.hash == text.hash) {
            if self.now.fault.take().is_some() | mem::take(&mut self.now.is_last_good) {
                self.shared.around.log.line(format_args!("the policy {} is in force as it stands", file.display()));
            }
            return None;
        }
        if self.now.fault.as_ref().is_some_and(|fault| fault.hash.as_ref() == Some(&text.hash)) {
            return None;
        }
        let begun = Instant::now();
        match compile(&file, &text.bytes) {
            Ok((policy, warnings)) => {
                let retired = self.put_in_force(policy, &text, &warnings, in_force);
                self.now.ready_in = begun.elapsed();
                retired
            }
            Err(problem) => {
                self.refuse(Some(text.hash), problem);
                None
            }
        }
    }

    /// Gives back what was in force before.
    fn put_in_force(
        &mut self,
        policy: Policy,
        text: &PolicyText,
        warnings: &str,
        before: Option<Arc<Core>>,
    ) -> Option<Arc<Core>> {
        let EngineShared { around, bell, .. } = &*self.shared;
        if bell.is_stopping() {
            return None;
        }
        around.log.text(warnings);
        let hash = text.hash.clone();
        let begun = catch_unwind(AssertUnwindSafe(|| Core::start(policy, hash, around, before.as_deref(), PATIENCE)));
        let Ok(new) = begun else {
            self.refuse(None, "this program failed while it put the policy in force".to_owned());
            return None;
        };
        if bell.is_stopping() {
            return None;
        }
        let kept = (self.keep_mode(new.policy.mode()), self.keep(text, &new.policy));
        self.decide_by(&new, kept);
        self.keep_for_explanations(text);
        // Who reads this line may count on the policy.
        around.log.line(format_args!(
            "the policy {} is in force anew, mode {}, {}",
            around.file.display(),
            new.policy.mode().as_str(),
            short(&new.hash)
        ));
        for (hook, section, what) in
            [(Hook::ClientAuthenticate, "auth", "logins"), (Hook::ClientCheckAcl, "acl", "topics")]
        {
            let decides = |core: &Core| core.policy.hooks().contains(&hook);
            if before.as_deref().is_some_and(decides) && !decides(&new) {
                around.log.line(format_args!(
                    "the policy has no `{section}` any more, and leaves {what} to the brokers' own settings"
                ));
            }
        }
        self.now.since = now_ms();
        self.now.fault = None;
        self.now.is_last_good = false;
        self.now.reloads.good += 1;
        before
    }

    /// From here on the policy decides. Its mode and its text are kept by then: whatever happens to this process, no older
    /// one takes its place.
    fn decide_by(&self, new: &Arc<Core>, _kept: (ModeKept, TextKept)) {
        self.shared.core.store(Some(Arc::clone(new)));
    }

    /// What is in force stays so.
    fn refuse(&mut self, hash: Option<String>, problem: String) {
        let EngineShared { around, core, .. } = &*self.shared;
        if self.now.fault.as_ref().is_some_and(|fault| fault.text == problem) {
            return;
        }
        around.log.text(&problem);
        let file = around.file.display();
        match &*core.load() {
            Some(core) => around.log.line(format_args!(
                "the policy {file} is NOT in force as it stands now: what was in force before stays so, {}",
                short(&core.hash)
            )),
            None => around.log.line(format_args!("the policy {file} is not in force, and everything is denied")),
        }
        self.now.fault = Some(PolicyFault { hash, at: now_ms(), text: problem });
        self.now.reloads.bad += 1;
    }

    /// Keeps the text of a policy, where it asks for that. What was kept of another one goes in any case.
    fn keep(&self, text: &PolicyText, policy: &Policy) -> TextKept {
        let file = &self.shared.around.file;
        let kept = match policy.if_invalid() {
            IfInvalid::Deny => last_good::forget(&self.folder, file),
            IfInvalid::LastGood => last_good::keep(&self.folder, file, &text.bytes)
                .or_else(|error| last_good::forget(&self.folder, file).and(Err(error))),
        };
        self.complain(kept, "the copy of the last good policy");
        TextKept(())
    }

    /// Keeps the text beside those before it. No decision waits for it, and none is made by it.
    fn keep_for_explanations(&self, text: &PolicyText) {
        match texts::keep(&self.folder, &text.hash, &text.bytes) {
            Err(error) if !self.is_unwritten => self.shared.around.log.line(format_args!(
                "the text of the policy, {}, is not kept in {}: {error}; what it decides cannot be explained by it later",
                short(&text.hash),
                self.folder.path().display()
            )),
            Ok(()) | Err(_) => {}
        }
    }

    fn keep_mode(&self, mode: Mode) -> ModeKept {
        let kept = last_good::keep_mode(&self.folder, &self.shared.around.file, mode);
        // It is for drivers, and at their start a missing one changes nothing.
        if matches!(self.shared.around.recorder.serves, Serves::Parent { .. }) && !self.is_unwritten {
            self.complain(kept, "the word on the mode in force");
        }
        ModeKept(())
    }

    fn complain(&self, kept: io::Result<()>, what: &str) {
        if let Err(error) = kept {
            let folder = self.folder.path().display();
            self.shared.around.log.line(format_args!("{what} in {folder} is not what it should be: {error}"));
        }
    }
}

/// The word on the mode was written, as far as it can be.
struct ModeKept(());

/// The policy's text was kept or forgotten, as far as it can be.
struct TextKept(());

/// The beginning of a hash, by which people know it.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests;
