//! What a transport needs of whoever answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer_sink::{Sink, Token};
use crate::broker_id::BrokerId;
use crate::decision::{Answer, Mode, Weight};
use crate::event::{BrokerLoaded, Event, Origin};
use crate::hook::{Hook, HookSet, Kind};

/// A broker, and what its version makes of hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallingBroker {
    /// Which broker.
    pub broker: BrokerId,
    /// The version of EMQX, if the broker said it.
    pub version: Option<String>,
    /// The hooks of which the broker takes "no opinion" for a refusal.
    pub refused_if_ignored: HookSet,
    /// What makes the broker ask for its hooks again: a command, or where to click.
    pub mend: String,
}

/// The hooks that a broker registered when it loaded the plugin or the provider, and calls since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredHooks {
    /// Which broker.
    pub caller: CallingBroker,
    /// The hooks.
    pub hooks: HookSet,
}

/// Whether a broker that was told its hooks calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It has stopped, or is out of reach.
    Away,
    /// It unloaded the provider, and will call no more before it loads it again.
    Unloaded,
}

/// What answers a transport's calls: the engine, or a stand-in of a test.
pub trait Handler: Decider + CallObserver + BrokerRegistry + Send + 'static {}

impl<T: Decider + CallObserver + BrokerRegistry + Send + 'static> Handler for T {}

/// Decides what is answered.
pub trait Decider {
    /// The hooks that the broker should call.
    fn hooks(&self) -> Vec<Hook>;
    /// Whether decisions are carried out.
    fn mode(&self) -> Mode;
    /// Every call is answered within it.
    fn deadline(&self) -> Duration;
    /// Whether the answer to a call of this hook may come through the sink.
    fn may_wait(&self, _: Hook) -> bool {
        true
    }
    /// Whether the order in which logins come changes how they are answered.
    fn orders_logins(&self) -> bool {
        false
    }
    /// How long handling the event can take.
    fn weight(&self, _: &Event<'_>) -> Weight {
        Weight::Light
    }
    /// Takes an event. `None`: the answer comes through the sink. Must not wait.
    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer>;
    /// Whether a policy is in force. Without one everything is denied.
    fn serves(&self) -> bool {
        true
    }
    /// Whether what is in force is the copy of an earlier policy, of which the log has heard.
    fn is_last_good(&self) -> bool {
        false
    }
    /// The answer to a call of this kind where anything went wrong.
    fn error_answer(&self, kind: Kind) -> Answer;
    /// Brings to an end what was begun. May wait for some seconds.
    fn finish(&self);
}

/// Counts the calls that a transport answered.
pub trait CallObserver {
    /// Takes note that so many calls of a hook were answered so, each after this time.
    fn answered(&self, _: Hook, _: Answer, _: Duration, _: u64) {}
}

/// Knows the brokers: which hooks each registered, and whether it is there.
pub trait BrokerRegistry {
    /// Takes note of the hooks that a broker registered.
    fn hooks_registered(&self, _: RegisteredHooks) {}
    /// Takes note that a broker calls, at its first call after it had no connection. It registered
    /// its hooks before: with this process, with an earlier one, or with another server.
    fn broker_calls(&self, _: CallingBroker) {}
    /// Takes note of what became of a broker.
    fn whereabouts(&self, _: &BrokerId, _: Whereabouts) {}
    /// Takes note of when a broker was started. It may be said at any time, any number of times, or
    /// never.
    fn broker_loaded(&self, broker: &BrokerLoaded<'_>);
    /// Takes note that a broker has stopped, or is out of reach.
    fn broker_away(&self, _: Origin<'_>) {}
    /// Whether all brokers that it is for tell the names in a client's certificate. Where it is not
    /// known, they may not.
    fn brokers_tell_certificates(&self) -> bool {
        false
    }
}

/// Loads the policy of a module's name; what is wrong with it, otherwise. Called on a thread of its own.
pub type Load<H> = Arc<dyn Fn(&str, Sink) -> Result<H, Refused> + Send + Sync>;

/// Whether a policy that did not load is worth another try: what it was read from has changed, and
/// has been left alone since. It is asked some times a second, on a thread that may wait for the
/// disk, and never twice at once.
pub type IsChanged = Arc<dyn Fn() -> bool + Send + Sync>;

/// A policy that does not load.
#[derive(Clone)]
pub struct Refused {
    /// What is wrong with it.
    pub reason: String,
    /// The mode that was in force last, where that is known.
    pub was: Option<Mode>,
    /// Tells when to try again; `None` if only a call can be the reason to.
    pub is_changed: Option<IsChanged>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { reason, was, is_changed: _ } = self;
        f.debug_struct("Refused").field("reason", reason).field("was", was).finish_non_exhaustive()
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Refused { reason, was: None, is_changed: None }
    }
}
