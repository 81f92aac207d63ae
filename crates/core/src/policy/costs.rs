//! What a question can cost, told before it is asked.

use super::decide::TopicRule;
use super::model::{AuthRule, LimitDefs, TextField};
use crate::decision::Weight;
use crate::event::{Action, Client, Event};
use crate::text::Work;
use crate::text::machine::Cost;

/// A question with a long text that can take more steps than this is not light: half a millisecond. What is told of usual
/// ones is far more than they take, so they may come to the bound of a question.
const LIGHT: usize = 50_000;
/// Usual clients have no longer names and topics.
const USUAL: usize = 256;

/// What the patterns of a policy can cost together, in steps for each character.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Costs {
    /// Conditions on clients that log in.
    logins: Cost,
    /// Conditions on clients in rules about topics.
    clients: Cost,
    publish: Cost,
    subscribe: Cost,
    /// Topic filters with wildcards are compared with all of a pattern.
    wildcards: Cost,
}

impl Costs {
    pub(super) fn of(auth: &[AuthRule], limits: &LimitDefs, acl: &[TopicRule]) -> Self {
        let exempt = [&limits.lockout, &limits.flapping].into_iter().flatten().filter_map(|def| def.exempt.as_ref());
        let patterns = |action| acl.iter().map(move |rule| rule.patterns(action));
        Costs {
            logins: auth.iter().map(|rule| &rule.who).chain(exempt).map(super::model::Who::cost_of_patterns).sum(),
            clients: acl.iter().map(|rule| rule.who.cost_of_patterns()).sum(),
            publish: patterns(Action::Publish).map(crate::topic::Patterns::cost_of_names).sum(),
            subscribe: patterns(Action::Subscribe).map(crate::topic::Patterns::cost_of_names).sum(),
            wildcards: patterns(Action::Subscribe).map(crate::topic::Patterns::cost_of_filters).sum(),
        }
    }

    pub(super) fn weight(&self, event: &Event<'_>) -> Weight {
        let (most, length) = match event {
            Event::Authenticate { client, .. } => {
                let length = longest(client);
                (self.logins.of(length), length)
            }
            Event::CheckAcl { client, action, topic } => {
                let topics = match action {
                    Action::Publish => self.publish,
                    Action::Subscribe if topic.contains(['+', '#']) => self.wildcards,
                    Action::Subscribe => self.subscribe,
                };
                let (of_topic, of_client) = (length(topic), longest(client));
                (topics.of(of_topic).saturating_add(self.clients.of(of_client)), of_topic.max(of_client))
            }
            Event::Connect(_)
            | Event::Connack { .. }
            | Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::Subscribe(_)
            | Event::Unsubscribe(_)
            | Event::SessionCreated(_)
            | Event::SessionResumed(_)
            | Event::SessionDiscarded(_)
            | Event::SessionTakenOver(_)
            | Event::SessionSubscribed { .. }
            | Event::SessionUnsubscribed { .. }
            | Event::SessionTerminated { .. }
            | Event::MessagePublish(_) => (0, 0),
        };
        match (length <= USUAL, most) {
            (true, ..=Work::QUESTION) | (false, ..=LIGHT) => Weight::Light,
            (true, _) => Weight::Usual,
            (false, _) => Weight::Long,
        }
    }
}

/// The length of the longest text that a condition may be on.
fn longest(client: &Client<'_>) -> usize {
    TextField::ALL.iter().filter_map(|field| field.of(client)).map(length).max().unwrap_or(0)
}

/// The length of a text as it counts for its cost: what is not ASCII takes longer to look up.
fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.len().saturating_mul(5) }
}
