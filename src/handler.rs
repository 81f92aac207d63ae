//! What a transport needs of whoever answers.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Answer, Mode};
use crate::event::Event;
use crate::hook::{Hook, Kind};
use crate::reply::{Sink, Token};

/// What answers the events: the engine, or a stand-in.
pub trait Handler: Send + 'static {
    /// The hooks that the broker should call.
    fn hooks(&self) -> Vec<Hook>;
    /// Whether decisions are carried out.
    fn mode(&self) -> Mode;
    /// Every call is answered within it.
    fn deadline(&self) -> Duration;
    /// Takes an event. `None`: the answer comes through the sink. Must not wait.
    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer>;
    /// The answer to a call of this kind where anything went wrong.
    fn error_answer(&self, kind: Kind) -> Answer;
    /// Brings to an end what was begun. May wait for some seconds.
    fn finish(&self);
}

/// Loads the policy of a module's name; what is wrong with it, otherwise. Called on a thread of its own.
pub type Load<H> = Arc<dyn Fn(&str, Sink) -> Result<H, String> + Send + Sync>;
