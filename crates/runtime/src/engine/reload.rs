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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::{Shared, report};
use crate::clock::now_ms;
use crate::files::stamp::Stamp;
use crate::history::Serves;
use crate::metrics::export::Exporter;
use crate::source;
use crate::state::status::{self, Fault, InForce, Mistold, Reloads, Running, Status};
use crate::state::{Folder, brokers, hash_of, last_good};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::hook::Hook;
use exhook_policy_core::policy::model::IfInvalid;
use exhook_policy_core::policy::{self, Policy};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long it must have been left alone.
const QUIET: Duration = Duration::from_secs(1);
/// How long a new policy waits for its lists. The old one is in force so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to look at who can read and write the files that a policy is made of.
const FILES: Duration = Duration::from_millis(500);
/// How often the status is written where nothing happens.
const WRITE: Duration = Duration::from_secs(5);
/// How long the end waits for this thread, which a disk may hold up.
const LAST: Duration = Duration::from_secs(1);

/// The text of a policy file.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: String,
}

/// Reads a policy file.
///
/// # Errors
/// What is wrong, in words for the log.
pub(super) fn read(path: &Path) -> Result<Text, String> {
    // To open a FIFO would take for ever.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(format!("{}: this is no regular file", path.display()));
    }
    match crate::files::policies::read(path) {
        Ok(bytes) => Ok(Text { hash: hash_of(&bytes), bytes }),
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

/// Begins and ends the watching.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Run>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Run {
    stopping: bool,
    ended: bool,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, Run> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, and tells whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), pause, |run| !run.stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// Ends the watching, and waits for the end if that comes soon.
    pub(super) fn stop(&self) {
        let mut run = self.state();
        run.stopping = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(run, LAST, |run| !run.ended));
    }

    pub(super) fn ended(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }
}

/// What was found at the start.
pub(super) struct Beginning {
    /// The file as it was before it was read; nothing where it could not be.
    pub(super) stamp: Option<Stamp>,
    /// Its text, if that is in force.
    pub(super) text: Option<Text>,
    /// The policy in force is the copy.
    pub(super) is_last_good: bool,
    /// Why the file is not in force.
    pub(super) fault: Option<Fault>,
}

/// Starts to watch. Without a thread the policy stays as it is, which is said.
pub(super) fn watch(shared: &Arc<Shared>, beginning: Beginning) {
    let watched = Arc::clone(shared);
    let started = thread::Builder::new().name("reload".to_owned()).spawn(move || {
        let bell = Arc::clone(&watched.bell);
        Watch::new(watched, beginning).run();
        bell.ended();
    });
    if let Err(error) = started {
        shared.bell.ended();
        shared.around.log.line(format_args!("the policy is not watched, no thread can be started: {error}"));
    }
}

/// Says once, where `exhook-policy status` reads it, that there is nothing to watch: no policy could be loaded.
pub(super) fn leave_word(shared: &Arc<Shared>, fault: &Fault) {
    shared.bell.ended();
    let beginning = Beginning { stamp: None, text: None, is_last_good: false, fault: Some(fault.clone()) };
    let watch = Watch::new(Arc::clone(shared), beginning);
    // The log has it too.
    let _ = status::write(&watch.folder, &watch.status(None));
}

/// How it stands with the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// The policy is in force since then, Unix milliseconds.
    pub(super) since: i64,
    pub(super) is_last_good: bool,
    pub(super) fault: Option<Fault>,
    pub(super) brokers: Vec<Mistold>,
    pub(super) reloads: Reloads,
    /// How long it took to make the policy ready that came last.
    pub(super) ready_in: Duration,
}

struct Watch {
    shared: Arc<Shared>,
    folder: Folder,
    me: Running,
    /// The file that was dealt with.
    known: Option<Stamp>,
    /// Its text since the start, which may have been written to just then: the copy of a half-written one would be none.
    unkept: Option<(Text, Instant)>,
    /// Another than that, and since when.
    waiting: Option<(Option<Stamp>, Instant)>,
    now: Standing,
    exporter: Option<Exporter>,
    /// Policies that are in force no longer, and of which a call may still be under way.
    retired: Vec<Arc<Core>>,
    written: Option<(Instant, Standing)>,
    said_unwritten: bool,
    /// The record of the brokers' hooks could not be written then.
    unrecorded: Option<Instant>,
}

impl Watch {
    fn new(shared: Arc<Shared>, beginning: Beginning) -> Self {
        let Beginning { stamp, text, is_last_good, fault } = beginning;
        let recorder = &shared.around.recorder;
        let me = Running {
            role: match recorder.serves {
                Serves::Parent { .. } => "driver",
                Serves::Callers => "server",
            }
            .to_owned(),
            pid: recorder.process.pid,
            started: recorder.process.started,
            boot: status::boot(recorder),
            since: now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sqlite: rusqlite::version().to_owned(),
        };
        Watch {
            folder: shared.folder.clone(),
            me,
            known: stamp,
            unkept: text.map(|text| (text, Instant::now())),
            waiting: None,
            now: Standing { since: now_ms(), is_last_good, fault, ..Standing::default() },
            exporter: None,
            retired: Vec::new(),
            written: None,
            said_unwritten: false,
            unrecorded: None,
            shared,
        }
    }

    fn run(&mut self) {
        status::tidy(&self.folder, &self.me.boot, now_ms());
        if let (Some(core), false) = (self.shared.core.load_full(), self.now.is_last_good) {
            self.keep_mode(core.policy.mode());
        }
        loop {
            self.report();
            self.record_brokers(false);
            self.export();
            if !self.shared.bell.pause(LOOK) {
                break;
            }
            self.look(Instant::now());
            if self.shared.bell.is_stopping() {
                break;
            }
            // What is left of a policy may take its time to end, and nobody else has that.
            self.retired.retain(|core| Arc::strong_count(core) > 1);
        }
        self.record_brokers(true);
        // Gone before it is said that this has ended: the process may be over at once then.
        self.exporter = None;
        status::remove(&self.folder, &self.me);
    }

    fn look(&mut self, now: Instant) {
        let stamp = Stamp::at(&self.shared.around.file);
        if stamp == self.known {
            self.waiting = None;
            if let Some((text, _)) = self.unkept.take_if(|(_, since)| now.saturating_duration_since(*since) >= QUIET)
                && let Some(core) = self.shared.core.load_full()
            {
                self.keep(&text, &core.policy);
            }
            return;
        }
        self.unkept = None;
        match self.waiting {
            Some((waiting, since)) if waiting == stamp => {
                if now.saturating_duration_since(since) >= QUIET {
                    self.waiting = None;
                    self.take(stamp);
                }
            }
            Some(_) | None => self.waiting = Some((stamp, now)),
        }
    }

    /// The file is another than before.
    fn take(&mut self, stamp: Option<Stamp>) {
        let file = self.shared.around.file.clone();
        let text = match read(&file) {
            Ok(text) => text,
            // It is tried again.
            Err(problem) => return self.refuse(None, problem),
        };
        if Stamp::at(&file) != stamp {
            // It was written to meanwhile, and is looked at again.
            return;
        }
        self.known = stamp;
        let in_force = self.shared.core.load_full();
        if in_force.as_ref().is_some_and(|core| core.hash == text.hash) {
            if self.now.fault.take().is_some() | mem::take(&mut self.now.is_last_good) {
                self.shared.around.log.line(format_args!("the policy {} is in force as it stands", file.display()));
            }
            return;
        }
        if self.now.fault.as_ref().is_some_and(|fault| fault.hash.as_ref() == Some(&text.hash)) {
            return;
        }
        let begun = Instant::now();
        match compile(&file, &text.bytes) {
            Ok((policy, warnings)) => {
                self.put_in_force(policy, &text, &warnings, in_force);
                self.now.ready_in = begun.elapsed();
            }
            Err(problem) => self.refuse(Some(text.hash), problem),
        }
    }

    fn put_in_force(&mut self, policy: Policy, text: &Text, warnings: &str, before: Option<Arc<Core>>) {
        let Shared { around, core, bell, .. } = &*self.shared;
        if bell.is_stopping() {
            return;
        }
        around.log.text(warnings);
        let hash = text.hash.clone();
        let begun = catch_unwind(AssertUnwindSafe(|| Core::start(policy, hash, around, before.as_deref(), PATIENCE)));
        let Ok(new) = begun else {
            return self.refuse(None, "this program failed while it put the policy in force".to_owned());
        };
        if bell.is_stopping() {
            return;
        }
        // Before it decides: whatever happens then, no older one takes its place.
        self.keep_mode(new.policy.mode());
        self.keep(text, &new.policy);
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
        core.store(Some(new));
        self.retired.extend(before);
        self.now.since = now_ms();
        self.now.fault = None;
        self.now.is_last_good = false;
        self.now.reloads.good += 1;
    }

    /// What is in force stays so.
    fn refuse(&mut self, hash: Option<String>, problem: String) {
        let Shared { around, core, .. } = &*self.shared;
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
        self.now.fault = Some(Fault { hash, at: now_ms(), text: problem });
        self.now.reloads.bad += 1;
    }

    /// Keeps the text of a policy, where it asks for that. What was kept of another one goes in any case.
    fn keep(&self, text: &Text, policy: &Policy) {
        let file = &self.shared.around.file;
        let kept = match policy.if_invalid() {
            IfInvalid::Deny => last_good::forget(&self.folder, file),
            IfInvalid::LastGood => last_good::keep(&self.folder, file, &text.bytes)
                .or_else(|error| last_good::forget(&self.folder, file).and(Err(error))),
        };
        self.complain(kept, "the copy of the last good policy");
    }

    fn keep_mode(&self, mode: Mode) {
        let kept = last_good::keep_mode(&self.folder, &self.shared.around.file, mode);
        // It is for drivers, and at their start a missing one changes nothing.
        if matches!(self.shared.around.recorder.serves, Serves::Parent { .. }) && !self.said_unwritten {
            self.complain(kept, "the word on the mode in force");
        }
    }

    fn complain(&self, kept: io::Result<()>, what: &str) {
        if let Err(error) = kept {
            let folder = self.folder.path().display();
            self.shared.around.log.line(format_args!("{what} in {folder} is not what it should be: {error}"));
        }
    }

    /// Says how things are, in the file that `exhook-policy status` reads, and of brokers that were told otherwise.
    fn report(&mut self) {
        let Shared { around, core, brokers, standing, .. } = &*self.shared;
        let core = core.load_full();
        self.now.brokers = core.as_ref().map_or_else(Vec::new, |core| {
            brokers.compare(core.policy.hooks().into_iter().collect(), core.policy.mode(), &around.log)
        });
        standing.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.now);
        if self.written.as_ref().is_some_and(|(at, last)| at.elapsed() < WRITE && *last == self.now) {
            return;
        }
        let written = status::write(&self.folder, &self.status(core.as_deref()));
        self.written = Some((Instant::now(), self.now.clone()));
        match written {
            Ok(()) => self.said_unwritten = false,
            Err(error) if !mem::replace(&mut self.said_unwritten, true) => around.log.line(format_args!(
                "`exhook-policy status` will know nothing of this process, {} cannot be written: {error}; {} names another folder",
                self.folder.path().display(),
                crate::state::VARIABLE
            )),
            Err(_) => {}
        }
    }

    /// Writes down which hooks the brokers registered, for the next start. `at_end`: also where
    /// that was done a short while ago.
    fn record_brokers(&mut self, at_end: bool) {
        let Shared { around, brokers, .. } = &*self.shared;
        let is_later = at_end || self.unrecorded.is_none_or(|failed| failed.elapsed() >= WRITE);
        match around.recorder.serves {
            Serves::Callers if brokers.is_changed(now_ms(), at_end) && is_later => {}
            Serves::Callers | Serves::Parent { .. } => return,
        }
        // Another server of this policy may have written it too.
        brokers.merge(brokers::recall(&self.folder, &around.file).unwrap_or_default());
        match brokers::keep(&self.folder, &around.file, &brokers.to_write(now_ms())) {
            Ok(()) => self.unrecorded = None,
            Err(error) => {
                brokers.unwritten();
                if self.unrecorded.replace(Instant::now()).is_none() {
                    around.log.line(format_args!(
                        "the record of the brokers' hooks cannot be written in {}: {error}. After the next start of this \
                         server it is not known which hooks they registered",
                        self.folder.path().display()
                    ));
                }
            }
        }
    }

    fn status(&self, core: Option<&Core>) -> Status {
        let Standing { since, is_last_good, fault, brokers, reloads, .. } = &self.now;
        let file = &self.shared.around.file;
        Status {
            written_at: now_ms(),
            process: self.me.clone(),
            file: std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            policy: core.map(|core| InForce {
                hash: core.hash.clone(),
                since: *since,
                mode: core.policy.mode().as_str().to_owned(),
                is_last_good: *is_last_good,
            }),
            fault: fault.clone(),
            brokers: brokers.clone(),
            rules: core.map(|core| core.counts.read()).unwrap_or_default(),
            silent_rules: core.map(|core| core.counts.silent()).unwrap_or_default(),
            queues: core.map(Core::queues).unwrap_or_default(),
            left_out: core.map(Core::left_out).unwrap_or_default(),
            reloads: *reloads,
        }
    }

    /// Gives metrics away where the policy says.
    fn export(&mut self) {
        let core = self.shared.core.load_full();
        let wanted = core.as_ref().and_then(|core| core.policy.metrics());
        if self.exporter.as_ref().map(Exporter::def) == wanted {
            return;
        }
        // The old one lets go of its place first, and is waited for.
        self.exporter = None;
        self.exporter = wanted.map(|def| {
            let (shared, me) = (Arc::clone(&self.shared), self.me.clone());
            Exporter::start(def, Arc::new(move || report::page(&shared, &me)), &self.shared.around.log)
        });
    }
}

/// The beginning of a hash, by which people know it.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
