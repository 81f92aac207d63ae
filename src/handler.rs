//! What a transport needs of whoever answers.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Answer, Mode};
use crate::event::{BrokerLoaded, Event, Origin};
use crate::hook::{Hook, HookSet, Kind};
use crate::reply::{Sink, Token};

/// What a broker was told to call when it loaded the plugin or the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which broker, in words.
    pub broker: String,
    /// The hooks.
    pub hooks: HookSet,
    /// Those that it must not call while the policy is in audit mode.
    pub not_in_audit: HookSet,
    /// What has it ask for the hooks again: a command, or where to click.
    pub mend: String,
}

/// Whether a broker that was told its hooks calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It calls again, without having asked for its hooks again.
    Back,
    /// It has stopped, or is out of reach.
    Away,
    /// It unloaded the provider, and will call no more before it loads it again.
    Unloaded,
}

/// What answers the events: the engine, or a stand-in.
pub trait Handler: Send + 'static {
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
    /// Takes note that so many calls of a hook were answered so, each after this time.
    fn answered(&self, _: Hook, _: Answer, _: Duration, _: u64) {}
    /// Takes note of what a broker was told.
    fn told(&self, _: Told) {}
    /// Takes note of what became of a broker that was told, by the words of [`Told::broker`].
    fn whereabouts(&self, _broker: &str, _: Whereabouts) {}
    /// Whether all brokers that it is for tell the names in a client's certificate. Where it is not known, they may not.
    fn brokers_tell_certificates(&self) -> bool {
        false
    }
    /// Takes note of when a broker was started. It may be said at any time, any number of times, or never.
    fn broker_loaded(&self, broker: &BrokerLoaded<'_>);
    /// Takes note that a broker has stopped, or is out of reach.
    fn broker_away(&self, _: Origin<'_>) {}
    /// The answer to a call of this kind where anything went wrong.
    fn error_answer(&self, kind: Kind) -> Answer;
    /// Brings to an end what was begun. May wait for some seconds.
    fn finish(&self);
}

/// Loads the policy of a module's name; what is wrong with it, otherwise. Called on a thread of its own.
pub type Load<H> = Arc<dyn Fn(&str, Sink) -> Result<H, Refused> + Send + Sync>;

/// A policy that does not load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it.
    pub reason: String,
    /// The mode that was in force last, where that is known.
    pub was: Option<Mode>,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Refused { reason, was: None }
    }
}
