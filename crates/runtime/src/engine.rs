//! Puts the parts together: an event comes in, the policy decides, the history remembers, an answer goes
//! out.
//!
//! The engine knows no transport. Whatever is ready at once is returned; the rest (logins that wait for a
//! hash, events that wait for their commit) comes through the [`Sink`].
//!
//! - [`core`]: one policy at work. It is replaced as a whole when the policy file changes.
//! - [`login`]: a login that waits for its password to be checked.
//! - [`limits`]: logins that are refused whatever the rules say.
//! - [`reason`]: why a question was denied.
//! - [`lobby`]: logins whose answers may have to wait for one another.
//! - [`background`]: the thread beside the calls, which does the next two.
//! - [`reload`]: watches the policy file, and puts what it says in force.
//! - [`housekeeping`]: the status file, the exporter, the record of brokers, policies of before.
//! - [`report`]: how it is, as metrics.
//! - [`registered_hooks`]: which hooks the brokers registered.
//! - [`counts`], [`outlet`]: what was decided; late answers.

mod background;
mod core;
mod counts;
mod housekeeping;
mod limits;
mod lobby;
mod login;
mod outlet;
mod reason;
mod registered_hooks;
mod reload;
mod report;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use self::background::Bell;
use self::core::{Core, Surroundings};
use self::housekeeping::EngineStanding;
use self::outlet::Outlet;
use self::registered_hooks::HookRegistry;
use self::reload::{PolicyAtStart, PolicyStanding, PolicyText};
use crate::clock::now_ms;
use crate::files::stamp::Stamp;
use crate::log::Log;
use crate::metrics::Meter;
use crate::process::{Recorder, Serves};
use crate::state::status::PolicyFault;
use crate::state::trusted::Unusable;
use crate::state::{Folder, brokers, last_good};
use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::{Answer, Mode, Verdict, Weight};
use exhook_policy_core::emqx::Fact;
use exhook_policy_core::event::{BrokerLoaded, Event, Origin};
use exhook_policy_core::handler::{BrokerRegistry, CallObserver, CallingBroker, Decider, RegisteredHooks, Whereabouts};
use exhook_policy_core::hook::{Hook, Kind};
use exhook_policy_core::policy::Policy;

/// How long the start waits for lists before it goes on without those that are not there yet.
const FIRST_LOAD: Duration = Duration::from_millis(1500);
/// The deadline of calls that nobody decides.
const NOTHING_TO_WAIT_FOR: Duration = Duration::from_secs(1);
/// A copy of a policy of more bytes was not made by this program.
const LARGEST_COPY: u64 = 64 << 20;

/// The policy of a file at work, whatever becomes of the file. Dropped, it stops to watch it.
pub struct Engine {
    shared: Arc<EngineShared>,
}

/// What the thread that watches the file has too.
struct EngineShared {
    around: Surroundings,
    folder: Folder,
    /// The policy in force; without one everything is denied.
    core: ArcSwapOption<Core>,
    brokers: HookRegistry,
    bell: Arc<Bell>,
    standing: Mutex<EngineStanding>,
    meter: Meter,
}

/// What an engine is for.
#[derive(Clone)]
pub struct Setup {
    /// The policy file.
    pub file: PathBuf,
    /// Where the program keeps what it knows of itself, see [`Folder::of`].
    pub state: Folder,
    /// Whose events it is about to be told of.
    pub recorder: Recorder,
    /// Where late answers go.
    pub sink: Sink,
    /// Where it says what happens.
    pub log: Log,
}

impl Setup {
    /// With the state in its usual folder.
    pub fn new(file: &Path, recorder: Recorder, sink: Sink, log: Log) -> Self {
        Setup { file: file.to_owned(), state: Folder::of(file, None), recorder, sink, log }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setup({} {:?})", self.file.display(), self.recorder)
    }
}

impl Engine {
    /// Loads and compiles the policy, starts what it needs, and watches its file from then on.
    ///
    /// # Errors
    /// The diagnostics as `check` prints them, where the policy's text is at fault and there is no copy to go by. Sources that
    /// cannot be read are no error: they are logged and tried again.
    pub fn load(setup: Setup) -> Result<Engine, String> {
        let (engine, at_start) = Engine::begin(setup);
        match at_start.fault {
            Some(fault) if engine.shared.core.load().is_none() => {
                background::leave_word(&engine.shared, &fault);
                Err(fault.text)
            }
            _ => {
                background::start(&engine.shared, at_start);
                Ok(engine)
            }
        }
    }

    /// As [`load`](Self::load). Without a policy everything is denied until the file has one. What is wrong with it is logged.
    pub fn load_or_deny(setup: Setup) -> Engine {
        let (engine, at_start) = Engine::begin(setup);
        let Surroundings { file, log, .. } = &engine.shared.around;
        match (&*engine.shared.core.load(), &at_start.fault) {
            (Some(_), _) if at_start.is_last_good => {}
            (Some(core), _) => {
                let mode = core.policy.mode().as_str();
                log.line(format_args!("the policy {} is in force, mode {mode}", file.display()));
            }
            (None, fault) => {
                log.text(fault.as_ref().map_or("", |fault| &fault.text));
                log.line(format_args!(
                    "the policy {} is not in force: every login and topic is denied until it is mended",
                    file.display()
                ));
            }
        }
        background::start(&engine.shared, at_start);
        engine
    }

    fn begin(setup: Setup) -> (Engine, PolicyAtStart) {
        let Setup { file, state, recorder, sink, log } = setup;
        let limits = Arc::default();
        let around =
            Surroundings { file, recorder, outlet: Arc::new(Outlet::new(sink)), limits, lobby: Arc::default(), log };
        let stamp = Stamp::at(&around.file);
        let fault_of = |hash, text| PolicyFault { hash, at: now_ms(), text };
        let (known, loaded) = match reload::read(&around.file) {
            Ok(text) => match reload::compile(&around.file, &text.bytes) {
                Ok(compiled) => (stamp, Ok((compiled, text))),
                Err(problem) => (stamp, Err(fault_of(Some(text.hash), problem))),
            },
            // It is looked at again.
            Err(problem) => (None, Err(fault_of(None, problem))),
        };
        let (ready, text, fault) = match loaded {
            Ok((compiled, text)) => (Some((compiled, text.hash.clone())), Some(text), None),
            Err(fault) => (recall(&around, &state, &fault), None, Some(fault)),
        };
        let is_last_good = fault.is_some() && ready.is_some();
        let core = ready.map(|((policy, warnings), hash)| {
            around.log.text(&warnings);
            let patience = FIRST_LOAD.min(policy.deadline() / 2);
            Core::start(policy, hash, &around, None, patience)
        });
        let brokers = registered(&around, &state);
        let shared = EngineShared {
            around,
            folder: state,
            core: ArcSwapOption::from(core),
            brokers,
            bell: Arc::default(),
            standing: Mutex::new(EngineStanding {
                policy: PolicyStanding { is_last_good, ..PolicyStanding::default() },
                brokers: Vec::new(),
            }),
            meter: Meter::default(),
        };
        (Engine { shared: Arc::new(shared) }, PolicyAtStart { stamp: known, text, is_last_good, fault })
    }

    /// The policy in force; `otherwise` where there is none.
    fn ask<T>(&self, otherwise: T, ask: impl FnOnce(&Arc<Core>) -> T) -> T {
        match &*self.shared.core.load() {
            Some(core) => ask(core),
            None => otherwise,
        }
    }
}

/// The copy of the last good policy, where one was kept that can be trusted.
fn recall(around: &Surroundings, folder: &Folder, fault: &PolicyFault) -> Option<((Policy, String), String)> {
    let Surroundings { file, log, .. } = around;
    let bytes = match last_good::recall(folder, file, LARGEST_COPY) {
        Ok(bytes) => bytes,
        Err(Unusable::None) => return None,
        Err(unusable) => {
            log.line(format_args!("the last good policy in {} is not used: {unusable}", folder.path().display()));
            return None;
        }
    };
    let text = PolicyText { hash: crate::state::hash_of(&bytes), bytes };
    let Ok(compiled) = reload::compile(file, &text.bytes) else {
        log.line(format_args!("the last good policy in {} does not load any more", folder.path().display()));
        return None;
    };
    log.text(&fault.text);
    log.line(format_args!(
        "the policy {} is NOT in force as it stands: the copy of the last good one is, {}, from {}",
        file.display(),
        reload::short(&text.hash),
        folder.path().display()
    ));
    Some((compiled, text.hash))
}

/// What brokers registered before this process started. To a driver its broker says that itself.
fn registered(around: &Surroundings, folder: &Folder) -> HookRegistry {
    let Surroundings { file, recorder, log, .. } = around;
    match recorder.serves {
        Serves::Parent { .. } => return HookRegistry::default(),
        Serves::Callers => {}
    }
    match brokers::recall(folder, file) {
        Ok(records) => HookRegistry::recalled(records),
        Err(Unusable::None) => HookRegistry::default(),
        Err(unusable) => {
            log.line(format_args!(
                "the record of the brokers' hooks in {} is not used: {unusable}. It is not known which hooks a broker \
                 registered until the broker loads the provider again",
                folder.path().display()
            ));
            HookRegistry::lost()
        }
    }
}

/// The answer to a call of this kind where anything went wrong.
pub fn error_answer(mode: Mode, kind: Kind) -> Answer {
    match kind {
        Kind::Asks => mode.answer(Verdict::Deny),
        Kind::Tells => Answer::NoOpinion,
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.shared.around.file.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.bell.stop();
    }
}

impl Decider for Engine {
    fn hooks(&self) -> Vec<Hook> {
        let asking = || Hook::ALL.iter().copied().filter(|hook| hook.kind() == Kind::Asks).collect();
        self.ask(None, |core| Some(core.policy.hooks())).unwrap_or_else(asking)
    }

    fn mode(&self) -> Mode {
        self.ask(Mode::Enforce, |core| core.policy.mode())
    }

    fn deadline(&self) -> Duration {
        self.ask(NOTHING_TO_WAIT_FOR, |core| core.policy.deadline())
    }

    fn serves(&self) -> bool {
        self.ask(false, |_| true)
    }

    fn is_last_good(&self) -> bool {
        self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).policy.is_last_good
    }

    fn may_wait(&self, hook: Hook) -> bool {
        self.ask(false, |core| core.may_wait(hook))
    }

    fn orders_logins(&self) -> bool {
        self.ask(false, |core| !core.policy.limits().is_empty())
    }

    fn weight(&self, event: &Event<'_>) -> Weight {
        self.ask(Weight::Light, |core| core.policy.weight(event))
    }

    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        let denied = Some(error_answer(Mode::Enforce, event.hook().kind()));
        self.ask(denied, |core| core.handle(event, token))
    }

    fn error_answer(&self, kind: Kind) -> Answer {
        error_answer(self.mode(), kind)
    }

    fn finish(&self) {
        self.shared.bell.stop();
        if let Some(core) = self.shared.core.load_full() {
            core.finish();
        }
    }
}

impl CallObserver for Engine {
    fn answered(&self, hook: Hook, answer: Answer, took: Duration, count: u64) {
        self.shared.meter.answered(hook, answer, took, count);
    }
}

impl BrokerRegistry for Engine {
    fn hooks_registered(&self, registered: RegisteredHooks) {
        self.shared.brokers.put(registered, now_ms());
    }

    fn broker_calls(&self, caller: CallingBroker) {
        self.shared.brokers.calls(caller, now_ms());
    }

    fn whereabouts(&self, broker: &BrokerId, whereabouts: Whereabouts) {
        self.shared.brokers.mark(broker, whereabouts, now_ms());
    }

    fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        self.ask((), |core| core.history.iter().for_each(|history| history.broker_loaded(broker)));
    }

    fn broker_away(&self, origin: Origin<'_>) {
        self.ask((), |core| core.history.iter().for_each(|history| history.broker_away(origin)));
    }

    fn brokers_tell_certificates(&self) -> bool {
        self.ask(false, |core| {
            let brokers = core.policy.brokers();
            !brokers.versions().is_empty() && brokers.all_have(Fact::TellsCertificate)
        })
    }
}
