//! What a transport needs of whoever answers.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Answer, Mode};
use crate::event::{BrokerLoaded, Event, Origin};
use crate::hook::{Hook, Kind};
use crate::reply::{Sink, Token};

/// The deadline of calls that nobody decides.
const NOTHING_TO_WAIT_FOR: Duration = Duration::from_secs(1);

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

/// Nothing is in force, because the policy does not load: what asks is asked for, and denied.
impl<H: Handler> Handler for Option<H> {
    fn hooks(&self) -> Vec<Hook> {
        let asking = || Hook::ALL.iter().copied().filter(|hook| hook.kind() == Kind::Asks).collect();
        self.as_ref().map_or_else(asking, H::hooks)
    }

    fn mode(&self) -> Mode {
        self.as_ref().map_or(Mode::Enforce, H::mode)
    }

    fn deadline(&self) -> Duration {
        self.as_ref().map_or(NOTHING_TO_WAIT_FOR, H::deadline)
    }

    fn may_wait(&self, hook: Hook) -> bool {
        self.as_ref().is_some_and(|handler| handler.may_wait(hook))
    }

    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        match self {
            Some(handler) => handler.handle(event, token),
            None => Some(self.error_answer(event.hook().kind())),
        }
    }

    fn brokers_tell_certificates(&self) -> bool {
        self.as_ref().is_some_and(H::brokers_tell_certificates)
    }

    fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        if let Some(handler) = self {
            handler.broker_loaded(broker);
        }
    }

    fn broker_away(&self, origin: Origin<'_>) {
        if let Some(handler) = self {
            handler.broker_away(origin);
        }
    }

    fn error_answer(&self, kind: Kind) -> Answer {
        match (self, kind) {
            (Some(handler), kind) => handler.error_answer(kind),
            (None, Kind::Asks) => Answer::Deny,
            (None, Kind::Tells) => Answer::NoOpinion,
        }
    }

    fn finish(&self) {
        self.iter().for_each(H::finish);
    }
}

/// Loads the policy of a module's name; what is wrong with it, otherwise. Called on a thread of its own.
pub type Load<H> = Arc<dyn Fn(&str, Sink) -> Result<H, String> + Send + Sync>;
