//! Which rules of two policies are alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::changes::QuestionKind;
use crate::analysis::context::AnalysisContext;
use crate::analysis::lists::ListOrigin;
use crate::analysis::questions::is_same;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::{
    AuthRule, Condition, HostCondition, ListId, PasswordId, PortCondition, TextCondition, Who,
};
use exhook_policy_core::policy::{Policy, TopicRule};
use exhook_policy_core::topic::Budget;

/// What rules say, as texts that are equal where they say the same in both policies. Names do not
/// count, but what they stand for does.
pub(super) struct RuleMeanings<'p> {
    context: &'p AnalysisContext,
    policies: [&'p Policy; 2],
}

impl<'p> RuleMeanings<'p> {
    pub(super) fn new(context: &'p AnalysisContext, policies: [&'p Policy; 2]) -> Self {
        RuleMeanings { context, policies }
    }

    /// What the rules of a policy say of a kind of question, with their places. Those that say
    /// nothing of it are left out.
    pub(super) fn of(&self, policy: usize, question: QuestionKind) -> BTreeMap<usize, String> {
        let Some(own) = self.policies.get(policy) else { return BTreeMap::new() };
        match question.action() {
            None => own.auth_rules().iter().map(|rule| self.auth_rule(policy, rule)).enumerate().collect(),
            Some(action) => {
                let rules = own.acl_rules().iter().enumerate();
                let about = rules.filter(|(_, rule)| !rule.patterns(action).is_empty());
                about.map(|(place, rule)| (place, self.acl_rule(policy, action, rule))).collect()
            }
        }
    }

    fn auth_rule(&self, policy: usize, rule: &AuthRule) -> String {
        let password = rule.password.map(|id| self.password(policy, id));
        format!("{:?} {password:?} {}", rule.verdict, self.who(policy, &rule.who))
    }

    fn acl_rule(&self, policy: usize, action: Action, rule: &TopicRule) -> String {
        format!("{:?} {} {}", rule.verdict, patterns(action, rule), self.who(policy, &rule.who))
    }

    /// A password source: its number in the first policy that has it.
    fn password(&self, policy: usize, id: PasswordId) -> (usize, usize) {
        let [old, _] = self.policies;
        let own = self.policies.get(policy).and_then(|policy| policy.passwords().get(id.0));
        let known = old
            .passwords()
            .iter()
            .position(|def| own.is_some_and(|own| own.name == def.name && is_same(&own.source, &def.source)));
        known.map_or((policy, id.0), |place| (0, place))
    }

    fn who(&self, policy: usize, who: &Who) -> String {
        match who {
            Who::Everyone => "everyone".to_owned(),
            Who::Named(named) => self.who(policy, &named.who),
            Who::Any(each) => any(each.iter().map(|who| self.who(policy, who))),
            Who::All(conditions) => {
                let each: BTreeSet<String> = conditions.iter().map(|one| self.condition(policy, one)).collect();
                format!("all{each:?}")
            }
            Who::During(when, who) => format!("during {when:?} {}", self.who(policy, who)),
        }
    }

    fn condition(&self, policy: usize, condition: &Condition) -> String {
        match condition {
            Condition::Text(field, condition) => format!("{} {}", field.name(), self.text(policy, condition)),
            Condition::Host(field, condition) => format!("{} {}", field.name(), self.host(policy, condition)),
            Condition::Port(field, condition) => format!("{} {}", field.name(), port(condition)),
            Condition::Flag(field, is) => format!("{} {is}", field.name()),
        }
    }

    fn text(&self, policy: usize, condition: &TextCondition) -> String {
        match condition {
            TextCondition::Equals(template) => format!("{:?}", template.to_string()),
            TextCondition::Matches(matcher) => format!("{} {:?}", matcher.operator(), matcher.source()),
            TextCondition::In(list) => self.list(policy, *list),
            TextCondition::Not(inner) => format!("not({})", self.text(policy, inner)),
            TextCondition::Any(each) => any(each.iter().map(|one| self.text(policy, one))),
        }
    }

    fn host(&self, policy: usize, condition: &HostCondition) -> String {
        match condition {
            HostCondition::Address(address) => address.to_string(),
            HostCondition::Network(network) => network.to_string(),
            HostCondition::Matches(matcher) => format!("{} {:?}", matcher.operator(), matcher.source()),
            HostCondition::In(list) => self.list(policy, *list),
            HostCondition::Not(inner) => format!("not({})", self.host(policy, inner)),
            HostCondition::Any(each) => any(each.iter().map(|one| self.host(policy, one))),
        }
    }

    fn list(&self, policy: usize, list: ListId) -> String {
        match self.context.lists.origin(policy, list) {
            Some(ListOrigin::External(number)) => format!("in {number}"),
            Some(ListOrigin::Inline) | None => {
                let entries = self.context.lists.entries(policy, list).unwrap_or_default();
                format!("in {:?}", entries.iter().collect::<BTreeSet<_>>())
            }
        }
    }
}

/// The patterns of a rule, as a text that is equal where they are.
pub(super) fn patterns(action: Action, rule: &TopicRule) -> String {
    let written = rule.written(action).iter();
    let each: BTreeSet<String> =
        written.map(|pattern| format!("{:?} {}", pattern.syntax(), pattern.source())).collect();
    format!("{each:?}")
}

fn any(each: impl Iterator<Item = String>) -> String {
    format!("any{:?}", each.collect::<BTreeSet<_>>())
}

fn port(condition: &PortCondition) -> String {
    match condition {
        PortCondition::Is(port) => port.to_string(),
        PortCondition::Not(inner) => format!("not({})", port(inner)),
        PortCondition::Any(each) => any(each.iter().map(port)),
    }
}

/// Which rules of each side are not among those that both have in the same order. All of them where
/// finding that out is too much work.
pub(super) fn changed(old: &[&str], new: &[&str], budget: &mut Budget) -> [Vec<bool>; 2] {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut number = |text| {
        let next = numbers.len();
        *numbers.entry(text).or_insert(next)
    };
    let old: Vec<usize> = old.iter().map(|text| number(text)).collect();
    let new: Vec<usize> = new.iter().map(|text| number(text)).collect();
    let alike = |pair: &(&usize, &usize)| pair.0 == pair.1;
    let before = old.iter().zip(&new).take_while(alike).count();
    let rest = |side: &[usize]| side.get(before..).unwrap_or_default().to_vec();
    let (old_rest, new_rest) = (rest(&old), rest(&new));
    let behind = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(alike).count();
    let middle = |side: Vec<usize>| side.get(..side.len() - behind).unwrap_or_default().to_vec();
    let (old_middle, new_middle) = (middle(old_rest), middle(new_rest));
    let [old_changed, new_changed] = longest_common(&old_middle, &new_middle, budget);
    let whole = |middle: Vec<bool>| {
        let alike = |count| std::iter::repeat_n(false, count);
        alike(before).chain(middle).chain(alike(behind)).collect()
    };
    [whole(old_changed), whole(new_changed)]
}

/// What is not in the longest common subsequence.
fn longest_common(old: &[usize], new: &[usize], budget: &mut Budget) -> [Vec<bool>; 2] {
    let (mut old_changed, mut new_changed) = (vec![true; old.len()], vec![true; new.len()]);
    let width = new.len() + 1;
    if !budget.spend(old.len().saturating_mul(width)) {
        return [old_changed, new_changed];
    }
    // How many of the rules from here on are common.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    let at = |common: &[u32], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let value = if one == other {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(slot) = common.get_mut(i * width + j) {
                *slot = value;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (old.get(i), new.get(j)) {
        if one == other {
            if let (Some(old), Some(new)) = (old_changed.get_mut(i), new_changed.get_mut(j)) {
                (*old, *new) = (false, false);
            }
            (i, j) = (i + 1, j + 1);
        } else if at(&common, i + 1, j) >= at(&common, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    [old_changed, new_changed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &'static str, new: &'static str, expected: [&str; 2]) {
        let side = |text: &'static str| text.split("").filter(|c| !c.is_empty()).collect::<Vec<_>>();
        let changed = changed(&side(old), &side(new), &mut Budget::new(1_000));
        let shown = |text: &str, changed: &[bool]| -> String {
            text.chars().zip(changed).filter(|(_, changed)| **changed).map(|(c, _)| c).collect()
        };
        assert_eq!([shown(old, &changed[0]), shown(new, &changed[1])], expected, "{old} {new}");
        assert_eq!(changed.map(|side| side.len()), [old.len(), new.len()]);
    }

    #[test]
    fn rules_in_the_same_order_are_kept() {
        check("", "", ["", ""]);
        check("abc", "abc", ["", ""]);
        check("abc", "abxc", ["", "x"]);
        check("abcd", "acbd", ["b", "b"]);
        check("abc", "xyz", ["abc", "xyz"]);
        check("aab", "ab", ["a", ""]);
        check("axbycz", "abc", ["xyz", ""]);
    }

    #[test]
    fn all_rules_are_changed_where_telling_is_too_much_work() {
        let changed = changed(&["a", "b", "c"], &["a", "c", "d"], &mut Budget::new(3));
        assert_eq!(changed, [[false, true, true], [false, true, true]]);
    }
}
