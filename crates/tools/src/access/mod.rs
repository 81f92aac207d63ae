//! Who can do something, and what a client can do, answered from the rules.
//!
//! No list is read: whether a list holds a client is left open, and lists are named. What is said of
//! topics is asked of the patterns that decide.
//!
//! - `known_client`: a client of which some fields are known, and what is left to ask of a condition.
//! - `identities`: the clientids and usernames for which a rule's topics reach a request.
//! - [`WhoCan`]: who can log in, publish to a topic or subscribe to a filter.
//! - [`WhatCan`]: what a client can do.

mod identities;
mod known_client;
mod what_can;
mod who_can;

pub use identities::{RequiredIdentities, RequiredIdentity};
pub use known_client::{KnownClient, PartialMatch};
pub use what_can::{FilledPattern, PossibleLoginRule, PossibleTopicRule, WhatCan};
pub use who_can::{AccessQuestion, AllowedClients, ClientCase, ExceptedClients, WhoCan};

#[cfg(test)]
mod tests;
