//! Which brokers a policy is for, and what they tell of a client.

use std::collections::HashSet;
use std::ptr;

use super::model::{ClientField, Condition, Who};
use super::{Policy, PolicyRules};
use crate::emqx::{Fact, Has, Version};
use crate::event::Extra;

/// The brokers that a policy is for; none where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brokers(Vec<Version>);

impl Brokers {
    /// Of these versions.
    pub fn new(versions: Vec<Version>) -> Self {
        Brokers(versions)
    }

    /// The versions, in the order of the policy.
    pub fn versions(&self) -> &[Version] {
        &self.0
    }

    /// Whether every one of them surely does this; also where the policy names none.
    pub fn all_have(&self, fact: Fact) -> bool {
        self.0.iter().all(|version| version.has(fact) == Has::Yes)
    }

    /// What only some brokers tell, of a client of which nothing of it is said: it has no certificate, and is in a
    /// cluster of the usual name. What one of these brokers does not tell is not told.
    pub fn usual_extra(&self) -> Extra<'static> {
        Extra::usual(|fact| self.all_have(fact))
    }
}

/// Which of what only some brokers tell is asked about, and whether the time is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    fields: HashSet<ClientField>,
    at: bool,
}

impl Asked {
    /// By any rule of these policies.
    pub fn by<P: AsRef<PolicyRules>>(policies: &[P]) -> Self {
        let mut asked = Asked::default();
        let mut seen = HashSet::new();
        for policy in policies.iter().map(AsRef::as_ref) {
            policy.auth_rules().iter().for_each(|rule| asked.add(&rule.who, &mut seen));
            policy.acl_rules().iter().for_each(|rule| asked.add(&rule.who, &mut seen));
        }
        asked
    }

    fn add(&mut self, who: &Who, seen: &mut HashSet<usize>) {
        match who {
            Who::Everyone => {}
            Who::Named(named) => {
                if seen.insert(ptr::from_ref(&named.who).addr()) {
                    self.add(&named.who, seen);
                }
            }
            Who::Any(each) => each.iter().for_each(|who| self.add(who, seen)),
            Who::All(conditions) => self.fields.extend(conditions.iter().map(Condition::field)),
            Who::During(_, who) => {
                self.at = true;
                self.add(who, seen);
            }
        }
    }

    /// Whether the time is asked about.
    pub fn time(&self) -> bool {
        self.at
    }

    /// What is asked about, and nothing else.
    pub fn of<'a>(&self, extra: Extra<'a>) -> Extra<'a> {
        let Extra { at, .. } = extra;
        Extra { at: at.filter(|_| self.at), ..extra.only(|field| self.fields.contains(&field)) }
    }
}

impl Policy {
    /// What only some brokers tell, of a client of which nothing of it is said, as far as the policy asks about it.
    pub fn usual_extra(&self) -> Extra<'static> {
        Asked::by(&[self]).of(self.brokers().usual_extra())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(versions: &[&str], expected: Extra<'_>) {
        let versions = versions.iter().map(|version| version.parse().unwrap()).collect();
        let Extra { cluster, peerport, cn, dn, .. } = Brokers::new(versions).usual_extra();
        assert_eq!(Extra { cluster, peerport, cn, dn, ..Extra::NONE }, expected);
    }

    #[test]
    fn a_client_of_which_nothing_is_said_has_what_all_brokers_tell() {
        let cert = Extra { cn: Some(""), dn: Some(""), ..Extra::NONE };
        let cluster = Extra { cluster: Some("emqxcl"), ..cert };
        let all = Extra { peerport: Some(49_152), ..cluster };
        check(&[], all);
        check(&["5.4", "6.2"], all);
        check(&["5.4", "5.3"], cluster);
        check(&["4.3"], cert);
        check(&["4.3.14"], cluster);
        check(&["6.1", "4.2"], Extra::NONE);
    }
}
