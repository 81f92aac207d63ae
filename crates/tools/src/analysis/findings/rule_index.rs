//! Which rules can have to do with one another, found without comparing each with all.

use std::collections::{BTreeSet, HashMap};

use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::policy::model::{Condition, TextCondition, TextField, Who};
use exhook_policy_core::topic::{Pattern, Syntax};

/// The rules of a section for one action, by what their patterns begin with and by the names in
/// their conditions. It only leaves out rules that share no topic or no client.
#[derive(Debug, Default)]
pub(super) struct RuleOverlapIndex<'p> {
    rules: Vec<RuleTraits<'p>>,
    by_level: HashMap<&'p str, FirstLevelRules<'p>>,
    /// Rules of which a pattern does not say its first level.
    anywhere: Vec<usize>,
    by_clientid: HashMap<&'p str, Vec<usize>>,
    any_clientid: Vec<usize>,
    by_username: HashMap<&'p str, Vec<usize>>,
    any_username: Vec<usize>,
}

/// Rules with a first level.
#[derive(Debug, Default)]
struct FirstLevelRules<'p> {
    all: Vec<usize>,
    by_second: HashMap<&'p str, Vec<usize>>,
    /// Rules of which a pattern does not say its second level.
    open: Vec<usize>,
}

/// What tells a rule apart.
#[derive(Debug)]
struct RuleTraits<'p> {
    leads: Vec<LeadingLevels<'p>>,
    /// The only clientids and usernames that its clients can have, where it names them.
    clientids: Option<BTreeSet<&'p str>>,
    usernames: Option<BTreeSet<&'p str>>,
}

/// The first levels of a pattern, as far as they are the same for every client and topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LeadingLevels<'p> {
    first: Option<&'p str>,
    second: Option<&'p str>,
}

impl<'p> RuleOverlapIndex<'p> {
    /// The rules of `acl` that say something of the action.
    pub(super) fn of_topics(rules: &'p [TopicRule], action: Action) -> Self {
        RuleOverlapIndex::new(rules.iter().map(|rule| (&rule.who, leads(rule.written(action)))))
    }

    /// Rules about logins.
    pub(super) fn of_logins(whos: impl Iterator<Item = &'p Who>) -> Self {
        RuleOverlapIndex::new(whos.map(|who| (who, vec![LeadingLevels { first: None, second: None }])))
    }

    fn new(rules: impl Iterator<Item = (&'p Who, Vec<LeadingLevels<'p>>)>) -> Self {
        let mut near = RuleOverlapIndex::default();
        for (place, (who, leads)) in rules.enumerate() {
            let clientids = literals(who, TextField::Clientid);
            let usernames = literals(who, TextField::Username);
            if !leads.is_empty() {
                put(&mut near.by_clientid, &mut near.any_clientid, clientids.as_ref(), place);
                put(&mut near.by_username, &mut near.any_username, usernames.as_ref(), place);
                for lead in &leads {
                    near.put_lead(*lead, place);
                }
            }
            near.rules.push(RuleTraits { leads, clientids, usernames });
        }
        near
    }

    fn put_lead(&mut self, lead: LeadingLevels<'p>, place: usize) {
        let Some(first) = lead.first else { return push(&mut self.anywhere, place) };
        let level = self.by_level.entry(first).or_default();
        push(&mut level.all, place);
        push(lead.second.map_or(&mut level.open, |second| level.by_second.entry(second).or_default()), place);
    }

    /// The other rules before the place `end` that may share a client and a topic with this one, in
    /// order. `look` is told how many must be looked at to find them, and may say that they are too
    /// many.
    pub(super) fn of(&self, rule: usize, end: usize, look: impl FnOnce(usize) -> bool) -> Option<Vec<usize>> {
        let Some(own) = self.rules.get(rule).filter(|own| !own.leads.is_empty()) else { return Some(Vec::new()) };
        let mut sides = vec![self.by_topics(own)];
        sides.extend(own.clientids.as_ref().map(|own| of_names(own, &self.by_clientid, &self.any_clientid)));
        sides.extend(own.usernames.as_ref().map(|own| of_names(own, &self.by_username, &self.any_username)));
        let before = |places: &[usize]| places.partition_point(|place| *place < end);
        let counts = sides.iter().map(|side| side.iter().map(|places| before(places)).sum::<usize>());
        let (count, fewest) = counts.zip(&sides).min_by_key(|(count, _)| *count)?;
        if !look(count) {
            return None;
        }
        let candidates = fewest.iter().flat_map(|places| places.get(..before(places)).unwrap_or_default()).copied();
        let meets = |place: &usize| *place != rule && self.rules.get(*place).is_some_and(|other| own.meets(other));
        let mut found: Vec<usize> = candidates.filter(meets).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    fn by_topics(&self, own: &RuleTraits<'p>) -> Vec<&[usize]> {
        let mut slices: Vec<&[usize]> = vec![&self.anywhere];
        for lead in &own.leads {
            let Some(first) = lead.first else {
                return slices.into_iter().chain(self.by_level.values().map(|level| level.all.as_slice())).collect();
            };
            let Some(level) = self.by_level.get(first) else { continue };
            match lead.second {
                None => slices.push(&level.all),
                Some(second) => {
                    slices.push(&level.open);
                    slices.extend(level.by_second.get(second).map(Vec::as_slice));
                }
            }
        }
        slices
    }
}

impl RuleTraits<'_> {
    fn meets(&self, other: &RuleTraits<'_>) -> bool {
        let topics = self.leads.iter().any(|one| other.leads.iter().any(|other| one.meets(*other)));
        topics
            && meet(self.clientids.as_ref(), other.clientids.as_ref())
            && meet(self.usernames.as_ref(), other.usernames.as_ref())
    }
}

impl LeadingLevels<'_> {
    fn meets(self, other: LeadingLevels<'_>) -> bool {
        let same = |one: Option<&str>, other: Option<&str>| one.zip(other).is_none_or(|(one, other)| one == other);
        same(self.first, other.first) && same(self.second, other.second)
    }
}

fn meet(one: Option<&BTreeSet<&str>>, other: Option<&BTreeSet<&str>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) if one.len() > other.len() => other.iter().any(|name| one.contains(name)),
        (Some(one), Some(other)) => one.iter().any(|name| other.contains(name)),
        (None, _) | (_, None) => true,
    }
}

fn put<'p>(
    by_name: &mut HashMap<&'p str, Vec<usize>>,
    any: &mut Vec<usize>,
    names: Option<&BTreeSet<&'p str>>,
    place: usize,
) {
    match names {
        Some(names) => names.iter().for_each(|name| push(by_name.entry(name).or_default(), place)),
        None => push(any, place),
    }
}

fn push(places: &mut Vec<usize>, place: usize) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}

fn of_names<'n, 'p>(
    own: &BTreeSet<&'p str>,
    by_name: &'n HashMap<&'p str, Vec<usize>>,
    any: &'n [usize],
) -> Vec<&'n [usize]> {
    own.iter().filter_map(|name| by_name.get(name).map(Vec::as_slice)).chain([any]).collect()
}

/// The only values of the field that clients of this kind can have, where they are written out.
pub(super) fn literals(who: &Who, field: TextField) -> Option<BTreeSet<&str>> {
    match who {
        Who::Everyone => None,
        Who::Named(named) => literals(&named.who, field),
        Who::Any(kinds) => union(kinds.iter().map(|kind| literals(kind, field))),
        Who::During(_, who) => literals(who, field),
        Who::All(conditions) => conditions.iter().find_map(|condition| match condition {
            Condition::Text(of, condition) if *of == field => values(condition),
            Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
        }),
    }
}

fn values(condition: &TextCondition) -> Option<BTreeSet<&str>> {
    match condition {
        TextCondition::Equals(template) => Some(BTreeSet::from([template.as_literal()?])),
        TextCondition::Any(each) => union(each.iter().map(values)),
        TextCondition::Matches(_) | TextCondition::In(_) | TextCondition::Not(_) => None,
    }
}

fn union<'p>(each: impl Iterator<Item = Option<BTreeSet<&'p str>>>) -> Option<BTreeSet<&'p str>> {
    let mut all = BTreeSet::new();
    for one in each {
        all.extend(one?);
    }
    Some(all)
}

fn leads(patterns: &[Pattern]) -> Vec<LeadingLevels<'_>> {
    let mut leads: Vec<LeadingLevels<'_>> = patterns.iter().map(LeadingLevels::of).collect();
    leads.sort_unstable();
    leads.dedup();
    leads
}

impl<'p> LeadingLevels<'p> {
    fn of(pattern: &'p Pattern) -> Self {
        // What may be another character than itself, and what may repeat or leave out the one
        // before it.
        let special: &[char] = match pattern.syntax() {
            Syntax::Filter => &['+', '#', '$'],
            Syntax::Glob => &['*', '?', '[', ']', '{', '}', '!', '\\', '$', ','],
            Syntax::Regex => return LeadingLevels { first: None, second: None },
        };
        let mut levels = pattern.source().split('/');
        let plain = |level: Option<&'p str>| level.filter(|level| !level.contains(special));
        let first = plain(levels.next());
        // A trailing `#` and a `**` also stand for nothing, so that the level before them may be
        // the last.
        let second = first.and(plain(levels.next()));
        LeadingLevels { first, second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: Result<Pattern, exhook_policy_core::text::TextError>, first: Option<&str>, second: Option<&str>) {
        assert_eq!(LeadingLevels::of(&pattern.unwrap()), LeadingLevels { first, second });
    }

    #[test]
    fn a_pattern_begins_with_what_is_the_same_in_all_its_topics() {
        check(Pattern::filter("a/b/c"), Some("a"), Some("b"));
        check(Pattern::filter("a"), Some("a"), None);
        check(Pattern::filter("a/#"), Some("a"), None);
        check(Pattern::filter("a/+/b"), Some("a"), None);
        check(Pattern::filter("+/a"), None, None);
        check(Pattern::filter("#"), None, None);
        check(Pattern::filter("/a"), Some(""), Some("a"));
        check(Pattern::filter("$SYS/a"), None, None);
        check(Pattern::filter("a/${clientid}"), Some("a"), None);
        check(Pattern::filter("${clientid}/a"), None, None);
        check(Pattern::glob("a/**/b"), Some("a"), None);
        check(Pattern::glob("{a,b}/c"), None, None);
        check(Pattern::glob("a/b*"), Some("a"), None);
        check(Pattern::glob("\\$SYS/a"), None, None);
        check(Pattern::regex("a/b"), None, None);
    }
}
