//! Classes of clientids and usernames that the topics of all patterns treat alike.
//!
//! Two values are of the same class where exchanging them changes no more of the topics of all
//! patterns than the word that stands for them. Ordinary values are all of one class; one that
//! stands as a word in some pattern has its own.

mod pattern_levels;

use std::collections::HashSet;

use super::placeholders::{PlaceholderRelation, SinglePlaceholder, TemplateEquality, compare_templates};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::text::{Identity, Placeholder};
use exhook_policy_core::topic::{Cover, Pattern, Patterns, Request, Syntax, Touch};
use pattern_levels::{PatternLevel, PatternLevels};

/// How many pairs of patterns are compared.
const MOST_PAIRS: usize = 400_000;
/// How many values with a `/` are made of the words of patterns.
const MOST_SPREAD: usize = 256;
/// The word for what stands in no pattern.
const FRESH: &str = "someone";

/// The topic patterns of some rules, by what placeholders do in them.
#[derive(Debug)]
pub(super) struct TopicClasses {
    clientid: PlaceholderUse,
    username: PlaceholderUse,
    /// The clientid and the username are told apart.
    both: bool,
    pub(super) relations: Vec<PlaceholderRelation>,
    /// Nothing else of a value matters.
    pub(super) complete: bool,
}

/// What a placeholder does in patterns.
#[derive(Debug, Default)]
struct PlaceholderUse {
    used: bool,
    /// In rules that deny or ignore, where odd values stand for themselves.
    literal: bool,
    /// At the beginning of a pattern.
    first: bool,
    /// Values that stand as words in some pattern, and others that globs and regexes may tell
    /// apart.
    special_values: Vec<String>,
    /// The number of levels of the longest pattern.
    levels: usize,
}

impl PlaceholderUse {
    /// The number of a known value.
    fn place_of(&self, value: &str) -> Option<u32> {
        let at = self.special_values.binary_search_by(|special_values| special_values.as_str().cmp(value)).ok()?;
        Some(u32::MAX - u32::try_from(at).ok()?)
    }
}

/// A pattern with what is known of it.
struct PatternEntry<'r> {
    action: Action,
    verdict: Verdict,
    pattern: &'r Pattern,
    levels: PatternLevels<'r>,
}

impl TopicClasses {
    pub(super) fn of<'r>(rules: impl IntoIterator<Item = &'r TopicRule>) -> Self {
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        for rule in rules {
            for action in [Action::Publish, Action::Subscribe] {
                for pattern in rule.written(action) {
                    let allows = rule.verdict == Verdict::Allow;
                    if seen.insert((action, allows, pattern.syntax(), pattern.source())) {
                        entries.push(PatternEntry {
                            action,
                            verdict: rule.verdict,
                            pattern,
                            levels: PatternLevels::of(pattern),
                        });
                    }
                }
            }
        }
        let mut all = TopicClasses {
            clientid: PlaceholderUse::default(),
            username: PlaceholderUse::default(),
            both: false,
            relations: Vec::new(),
            complete: true,
        };
        for placeholder in Placeholder::ALL {
            let with: Vec<&PatternEntry<'_>> = entries.iter().filter(|entry| entry.pattern.has(placeholder)).collect();
            all.compare_with_all(placeholder, &with, &entries);
        }
        all.both = all.clientid.used && all.username.used;
        // What stands for a word that is in no pattern must be one.
        if entries.iter().any(|entry| entry.pattern.source().contains(FRESH)) {
            all.complete = false;
        }
        // Values with a `/` in them may have some of their words in common.
        if all.clientid.literal && all.username.literal {
            all.complete = false;
        }
        all
    }

    fn usage(&self, placeholder: Placeholder) -> &PlaceholderUse {
        match placeholder {
            Placeholder::Clientid => &self.clientid,
            Placeholder::Username => &self.username,
        }
    }

    fn usage_mut(&mut self, placeholder: Placeholder) -> &mut PlaceholderUse {
        match placeholder {
            Placeholder::Clientid => &mut self.clientid,
            Placeholder::Username => &mut self.username,
        }
    }

    fn compare_with_all(&mut self, placeholder: Placeholder, with: &[&PatternEntry<'_>], all: &[PatternEntry<'_>]) {
        let levels = all.iter().map(|entry| entry.levels.levels.len()).max().unwrap_or(0);
        let usage = self.usage_mut(placeholder);
        usage.used = !with.is_empty();
        usage.literal = with.iter().any(|entry| entry.verdict != Verdict::Allow);
        usage.first = with.iter().any(|entry| entry.levels.begins_with(placeholder));
        usage.levels = levels;
        let mut pairs = MOST_PAIRS;
        for entry in with {
            let Some(left) = pairs.checked_sub(all.len()) else {
                self.complete = false;
                break;
            };
            pairs = left;
            let places: Vec<usize> = entry.levels.places_of(placeholder).collect();
            for at in &places {
                self.compare(placeholder, entry, *at, all);
            }
            let others = all.iter().filter(|other| other.action == entry.action && !same_pattern(entry, other));
            if entry.levels.is_hidden(placeholder)
                && others.into_iter().any(|other| entry.levels.may_share_topic(&other.levels))
            {
                self.complete = false;
            }
        }
        let moved: HashSet<usize> = with
            .iter()
            .filter(|entry| entry.verdict != Verdict::Allow)
            .flat_map(|e| e.levels.places_of(placeholder))
            .collect();
        if moved.len() > 1 {
            self.complete = false;
        }
        let usage = self.usage_mut(placeholder);
        usage.special_values.sort_unstable();
        usage.special_values.dedup();
    }

    /// Looks at what stands in other patterns where this one has the placeholder.
    fn compare(&mut self, placeholder: Placeholder, entry: &PatternEntry<'_>, at: usize, all: &[PatternEntry<'_>]) {
        let Some(PatternLevel::Value(own)) = entry.levels.levels.get(at) else { return };
        let mut several_levels: Vec<Vec<&str>> = Vec::new();
        for other in all.iter().filter(|other| other.action == entry.action) {
            let matching = entry.levels.matching_levels(at, &other.levels);
            for level in matching.levels {
                match level {
                    PatternLevel::Word(word) => {
                        let value = word.strip_prefix(own.before).and_then(|word| word.strip_suffix(own.behind));
                        self.usage_mut(placeholder).special_values.extend(value.map(str::to_owned));
                    }
                    PatternLevel::Value(others) => match compare_templates(*own, *others) {
                        TemplateEquality::Always | TemplateEquality::Never => {}
                        TemplateEquality::Related(relation) => {
                            if !self.relations.contains(&relation) {
                                self.relations.push(relation);
                            }
                        }
                        TemplateEquality::Sometimes => self.complete = false,
                    },
                    PatternLevel::Any => {}
                    PatternLevel::PartOfGlob | PatternLevel::Rest => {
                        if !same_pattern(entry, other) {
                            self.complete = false;
                            let values = distinguished_values(entry, at, other.pattern);
                            self.usage_mut(placeholder).special_values.extend(values);
                        }
                    }
                }
            }
            if entry.verdict != Verdict::Allow {
                for (behind, level) in other.levels.levels.iter().skip(at).enumerate().filter(|_| matching.possible) {
                    if several_levels.len() <= behind {
                        several_levels.resize(behind + 1, vec![FRESH]);
                    }
                    match (level, several_levels.get_mut(behind)) {
                        (PatternLevel::Word(word), Some(words)) if !words.contains(&&**word) => words.push(word),
                        (PatternLevel::PartOfGlob, _) => self.complete = false,
                        (
                            PatternLevel::Word(_) | PatternLevel::Value(_) | PatternLevel::Any | PatternLevel::Rest,
                            _,
                        ) => {}
                    }
                }
            }
        }
        if entry.verdict != Verdict::Allow {
            self.several_levels(placeholder, *own, &several_levels);
        }
    }

    /// Values of several levels, made of the words that stand there in other patterns.
    fn several_levels(&mut self, placeholder: Placeholder, own: SinglePlaceholder<'_>, words: &[Vec<&str>]) {
        let mut values: Vec<String> = vec![String::new()];
        let mut found = Vec::new();
        let beyond = [FRESH];
        for (depth, words) in words.iter().map(Vec::as_slice).chain([&beyond[..], &beyond[..]]).enumerate() {
            let longer = values.iter().flat_map(|value| {
                words.iter().map(move |word| if depth == 0 { (*word).to_owned() } else { format!("{value}/{word}") })
            });
            values = longer.collect();
            if found.len() + values.len() > MOST_SPREAD {
                self.complete = false;
                break;
            }
            let whole = |value: &String| {
                let fresh_first = value.starts_with(FRESH) || own.before.is_empty();
                let value = value.strip_prefix(own.before).or(fresh_first.then_some(value.as_str()))?;
                let fresh_last = value.ends_with(FRESH) || own.behind.is_empty();
                value.strip_suffix(own.behind).or(fresh_last.then_some(value)).map(str::to_owned)
            };
            if depth > 0 {
                found.extend(values.iter().filter_map(whole));
            }
        }
        self.usage_mut(placeholder).special_values.extend(found);
    }

    /// Values that have a class of their own, or may have one.
    pub(super) fn special_values(&self, placeholder: Placeholder) -> &[String] {
        &self.usage(placeholder).special_values
    }

    /// Whether the placeholder stands in a pattern.
    pub(super) fn uses(&self, placeholder: Placeholder) -> bool {
        self.usage(placeholder).used
    }

    /// Whether values with a `/` in them reach topics by their words.
    pub(super) fn takes_several_levels(&self, placeholder: Placeholder) -> bool {
        self.usage(placeholder).literal
    }

    /// Whether it matters that the clientid and the username are the same.
    pub(super) fn uses_both(&self) -> bool {
        self.both
    }

    /// Values with a class of their own that stand in no pattern.
    pub(super) fn unusual_values(&self, placeholder: Placeholder) -> Vec<String> {
        let usage = self.usage(placeholder);
        if !usage.used {
            return Vec::new();
        }
        let mut unusual_values = vec![format!("{FRESH}/else"), "+".to_owned()];
        if usage.first {
            unusual_values.push(format!("${FRESH}"));
            unusual_values.push(format!("${FRESH}/else"));
        }
        unusual_values
    }

    /// The class of a value, as a number; equal for values that topics treat alike.
    pub(super) fn class_of(&self, placeholder: Placeholder, value: &str) -> u32 {
        let usage = self.usage(placeholder);
        if !usage.used {
            return 0;
        }
        let wild = value.contains(['+', '#', '\0']);
        let slashes = value.matches('/').count();
        let dollar = usage.first && value.starts_with('$');
        if !usage.literal {
            let reaches = value.is_empty() || wild || slashes > 0 || dollar;
            return if reaches { 1 } else { usage.place_of(value).unwrap_or(2) };
        }
        if value.is_empty() {
            3
        } else if wild {
            4 + u32::from(dollar)
        } else {
            let most = usage.levels + 1;
            let other = 6 + 2 * u32::try_from(slashes.min(most)).unwrap_or(u32::MAX / 4) + u32::from(dollar);
            usage.place_of(value).unwrap_or(other)
        }
    }
}

fn same_pattern(one: &PatternEntry<'_>, other: &PatternEntry<'_>) -> bool {
    one.pattern.syntax() == other.pattern.syntax() && one.pattern.source() == other.pattern.source()
}

/// Values of the placeholder at a level of a filter that a glob or a regex matches there, and that
/// it does not.
fn distinguished_values(entry: &PatternEntry<'_>, at: usize, other: &Pattern) -> Vec<String> {
    let Some(PatternLevel::Value(own)) = entry.levels.levels.get(at) else { return Vec::new() };
    if entry.pattern.syntax() != Syntax::Filter {
        return Vec::new();
    }
    let level = |level: &str| if level.contains("${") { "+".to_owned() } else { level.to_owned() };
    let asked = entry.pattern.source().split('/').map(level).collect::<Vec<_>>().join("/");
    let patterns = Patterns::new(vec![other.clone()]);
    let identity = Identity { clientid: FRESH, username: FRESH };
    let request = || Request::parse(Action::Subscribe, &asked);
    let matched = request().and_then(|request| match patterns.touched(&request, identity) {
        Touch::Topic(topic) => Some(topic),
        Touch::Nothing | Touch::Unsettled => None,
    });
    let missed = request().and_then(|request| match patterns.covered(&request, identity) {
        Cover::Without(topic) => Some(topic),
        Cover::Full | Cover::Unsettled => None,
    });
    let value = |topic: String| {
        let word = topic.split('/').nth(at)?;
        word.strip_prefix(own.before)?.strip_suffix(own.behind).map(str::to_owned)
    };
    matched.into_iter().chain(missed).filter_map(value).collect()
}
