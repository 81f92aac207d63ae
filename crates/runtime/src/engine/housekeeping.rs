//! What the engine keeps up beside the calls: the status file, the record of the brokers' hooks, the
//! exporter of metrics, and policies that are in force no longer until their last call has ended.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::core::Core;
use super::reload::PolicyStanding;
use super::{EngineShared, report};
use crate::clock::now_ms;
use crate::metrics::export::Exporter;
use crate::process::Serves;
use crate::state::status::{self, HookMismatch, InForce, RunningProcess, Status};
use crate::state::{Folder, brokers};

/// How often the status is written where nothing happens.
const WRITE: Duration = Duration::from_secs(5);

/// How it stands with the policy and the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EngineStanding {
    pub(super) policy: PolicyStanding,
    pub(super) brokers: Vec<HookMismatch>,
}

pub(super) struct Housekeeping {
    shared: Arc<EngineShared>,
    folder: Folder,
    me: RunningProcess,
    exporter: Option<Exporter>,
    /// Policies that are in force no longer, and of which a call may still be under way.
    retired: Vec<Arc<Core>>,
    written: Option<(Instant, EngineStanding)>,
    said_unwritten: bool,
    /// The record of the brokers' hooks could not be written then.
    unrecorded: Option<Instant>,
}

impl Housekeeping {
    /// Takes the files of processes away that are gone.
    pub(super) fn begin(shared: &Arc<EngineShared>) -> Self {
        let housekeeping = Housekeeping::of(shared);
        status::tidy(&housekeeping.folder, &housekeeping.me.boot, now_ms());
        housekeeping
    }

    pub(super) fn of(shared: &Arc<EngineShared>) -> Self {
        let recorder = &shared.around.recorder;
        let me = RunningProcess {
            role: recorder.serves.word().to_owned(),
            pid: recorder.process.pid,
            started: recorder.process.started,
            boot: status::boot(recorder),
            since: now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sqlite: rusqlite::version().to_owned(),
        };
        Housekeeping {
            shared: Arc::clone(shared),
            folder: shared.folder.clone(),
            me,
            exporter: None,
            retired: Vec::new(),
            written: None,
            said_unwritten: false,
            unrecorded: None,
        }
    }

    /// What is done twice a second.
    pub(super) fn round(&mut self, policy: &PolicyStanding) {
        self.report(policy);
        self.record_brokers(false);
        self.export();
    }

    /// The status could not be written last time, which the log says.
    pub(super) fn is_unwritten(&self) -> bool {
        self.said_unwritten
    }

    /// Keeps a policy that is in force no longer until its last call has ended.
    pub(super) fn retire(&mut self, core: Option<Arc<Core>>) {
        self.retired.extend(core);
    }

    /// Ends the policies that no call needs any more. What is left of one may take its time to end,
    /// and no other thread has that.
    pub(super) fn reap(&mut self) {
        self.retired.retain(|core| Arc::strong_count(core) > 1);
    }

    pub(super) fn end(&mut self) {
        self.record_brokers(true);
        // Gone before it is said that this has ended: the process may be over at once then.
        self.exporter = None;
        status::remove(&self.folder, &self.me);
    }

    /// Writes the status of a process that has no policy and comes to its end.
    pub(super) fn leave_word(&self, now: &EngineStanding) {
        // The log has it too.
        let _ = status::write(&self.folder, &self.status(now, None));
    }

    /// Says how things are, in the file that `exhook-policy status` reads, and which
    /// brokers do not call the hooks that the policy wants.
    fn report(&mut self, policy: &PolicyStanding) {
        let EngineShared { around, core, brokers, standing, .. } = &*self.shared;
        let core = core.load_full();
        let brokers = core.as_ref().map_or_else(Vec::new, |core| {
            brokers.compare(core.policy.hooks().into_iter().collect(), core.policy.mode(), &around.log)
        });
        let now = EngineStanding { policy: policy.clone(), brokers };
        standing.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
        if self.written.as_ref().is_some_and(|(at, last)| at.elapsed() < WRITE && *last == now) {
            return;
        }
        let written = status::write(&self.folder, &self.status(&now, core.as_deref()));
        self.written = Some((Instant::now(), now));
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
        let EngineShared { around, brokers, .. } = &*self.shared;
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

    fn status(&self, now: &EngineStanding, core: Option<&Core>) -> Status {
        let EngineStanding { policy, brokers } = now;
        let PolicyStanding { since, is_last_good, fault, reloads, .. } = policy;
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

#[cfg(test)]
mod tests;
