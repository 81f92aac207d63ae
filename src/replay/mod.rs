//! Recorded events, put to a policy again.
//!
//! [`Events`] reads them, JSON lines or the raw bytes of a port; [`ReplaySide::decide`] has what a policy says of one; a
//! [`ReplaySummary`] counts what it said, and what it said when they were captured. [`Comparison`] puts the same events to two
//! policies. Nothing here reads a list or a password: a [`ReplaySide`] brings what they are taken for.

mod summary;

use std::fmt;
use std::io::{self, BufRead};

use exhook_policy_core::decision::{Decision, Found, Verdict};
use exhook_policy_core::event::json::Told;
use exhook_policy_core::event::owned::{OwnedClient, OwnedEvent};
use exhook_policy_core::event::{Client, Extra};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::PasswordId;

pub use exhook_policy_runtime::recording::{Entry, EventPlace, Events, ReplayItem};
pub use summary::{ReplaySummary, RuleDecisionCount};

/// How many things of one kind are kept to be shown; more are counted.
const KEPT: usize = 1000;

/// A policy, with what its sources are taken for.
#[derive(Clone, Copy)]
pub struct ReplaySide<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its lists.
    pub lists: &'a Lists,
    /// What a password source says of a login with this username, and with a password or none. It is asked where the
    /// recording does not tell.
    pub found: &'a dyn Fn(PasswordId, &str, bool) -> Found,
}

impl fmt::Debug for ReplaySide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What a policy says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayOutcome<'p> {
    /// The decision.
    pub decision: Decision<'p>,
    /// It hangs on a password of which the recording does not tell.
    pub assumed: bool,
}

impl<'a> ReplaySide<'a> {
    /// What the policy says of an event; `None` where the event is no question.
    pub fn decide(&self, told: &Told) -> Option<ReplayOutcome<'a>> {
        match &told.event {
            OwnedEvent::Authenticate { client, password_given } => {
                let recorded = told.decision.as_ref().map(|decided| &decided.passwords);
                let mut assumed = false;
                let found = |source: PasswordId| {
                    let name = self.policy.passwords().get(source.0).map(|def| def.name.as_str());
                    if let Some(found) = name.and_then(|name| recorded?.get(name)) {
                        return *found;
                    }
                    assumed = true;
                    (self.found)(source, &client.username, *password_given)
                };
                let decision = self.policy.login(&as_then(client, told), self.lists, found);
                Some(ReplayOutcome { decision, assumed })
            }
            OwnedEvent::CheckAcl { client, action, topic } => {
                let decision = self.policy.check_acl(&as_then(client, told), *action, topic, self.lists);
                Some(ReplayOutcome { decision, assumed: false })
            }
            OwnedEvent::Connect(_)
            | OwnedEvent::Connack { .. }
            | OwnedEvent::Plain(..)
            | OwnedEvent::Disconnected { .. }
            | OwnedEvent::SessionSubscribed { .. }
            | OwnedEvent::SessionUnsubscribed { .. }
            | OwnedEvent::SessionTerminated { .. }
            | OwnedEvent::MessagePublish(_) => None,
        }
    }
}

/// A client that asks when it asked.
fn as_then<'c>(client: &'c OwnedClient, told: &Told) -> Client<'c> {
    let client = client.as_client();
    Client { extra: Extra { at: told.at, ..client.extra }, ..client }
}

/// A decision that outlives its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedDecision {
    /// The verdict.
    pub verdict: Verdict,
    /// The id of the rule.
    pub rule: Box<str>,
}

impl From<Decision<'_>> for OwnedDecision {
    fn from(decision: Decision<'_>) -> Self {
        OwnedDecision { verdict: decision.verdict, rule: decision.rule.into() }
    }
}

impl fmt::Display for OwnedDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by `{}`", self.verdict.as_str(), self.rule)
    }
}

/// A question that is answered otherwise than before.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayChange {
    /// Where it stands.
    pub place: EventPlace,
    /// The question.
    pub event: OwnedEvent,
    /// The answer before.
    pub old: OwnedDecision,
    /// The answer now.
    pub new: OwnedDecision,
}

/// The first of many things, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstOfMany<T> {
    /// Up to 1,000 of them.
    pub first: Vec<T>,
    /// All of them.
    pub count: u64,
}

impl<T> Default for FirstOfMany<T> {
    fn default() -> Self {
        FirstOfMany { first: Vec::new(), count: 0 }
    }
}

impl<T> FirstOfMany<T> {
    fn push(&mut self, thing: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(thing());
        }
    }
}

/// The same events, put to two policies.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The questions among the events.
    pub questions: u64,
    /// Logins of which one of the two hangs on a password of which the recording does not tell.
    pub assumed: u64,
    /// What could not be read, and why.
    pub unreadable: FirstOfMany<(EventPlace, String)>,
    /// Lines that are missing in the recording by its own word.
    pub dropped: u64,
}

impl Comparison {
    /// Puts the events of a file to both policies. `each` gets every question with both decisions.
    ///
    /// # Errors
    /// Those of reading. What was counted until then stays.
    pub fn add<'p>(
        &mut self,
        file: &str,
        input: impl BufRead,
        sides: [ReplaySide<'p>; 2],
        mut each: impl FnMut(EventPlace, OwnedEvent, [Decision<'p>; 2]),
    ) -> io::Result<()> {
        let [old, new] = sides;
        for item in Events::new(file, input)? {
            let ReplayItem { place, entry } = item?;
            match entry {
                Entry::Told(told) => {
                    let (Some(before), Some(after)) = (old.decide(&told), new.decide(&told)) else { continue };
                    self.questions += 1;
                    self.assumed += u64::from(before.assumed || after.assumed);
                    each(place, told.event, [before.decision, after.decision]);
                }
                Entry::Dropped(count) => self.dropped += count,
                Entry::Unreadable(why) => self.unreadable.push(|| (place, why)),
                Entry::Other => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
