//! Topics as sets: what a pattern matches, what a subscription can receive, and whether one lies
//! within, or touches, the other.

use crate::event::Action;
use crate::text::{Identity, TextError};

/// A topic pattern of the policy: an MQTT filter, a glob or a regex, placeholders not yet filled in.
#[derive(Debug, Clone)]
pub struct Pattern {}

impl Pattern {
    /// Reads an MQTT topic filter.
    pub fn filter(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// Reads a glob with `/` as the separator.
    pub fn glob(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// Reads a regex that must match the whole topic.
    pub fn regex(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        todo!()
    }

    /// Whether `${clientid}` stands in it.
    pub fn has_clientid(&self) -> bool {
        todo!()
    }
}

/// What a client asks for, checked and split once: a topic name or the set that a filter receives.
#[derive(Debug)]
pub struct Request<'t> {
    text: &'t str,
}

impl<'t> Request<'t> {
    /// Takes one prefix (`$share/<group>/`, ...) off and checks the rest. `None` where it is no valid
    /// topic name (publish) or topic filter (subscribe).
    pub fn parse(_action: Action, _topic: &'t str) -> Option<Self> {
        todo!()
    }
}

/// The patterns of one rule for one action.
#[derive(Debug, Default)]
pub struct Patterns {}

impl Patterns {
    /// Compiles them.
    pub fn new(_patterns: Vec<Pattern>) -> Self {
        todo!()
    }

    /// Whether the rule is about this action at all.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// For rules that allow: whether every topic of the request is covered by the patterns together.
    /// False where that cannot be settled within the bound of work.
    pub fn cover(&self, _request: &Request<'_>, _identity: Identity<'_>) -> bool {
        todo!()
    }

    /// For rules that deny: whether any topic of the request is covered by one of the patterns.
    /// True where that cannot be settled within the bound of work.
    pub fn touch(&self, _request: &Request<'_>, _identity: Identity<'_>) -> bool {
        todo!()
    }
}
