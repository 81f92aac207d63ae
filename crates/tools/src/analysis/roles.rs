//! What placeholders make of a value in topics.
//!
//! Two values have the same role where exchanging them changes no more of the topics of all patterns than the word that
//! stands for them. Ordinary values all have the same; one that stands as a word in some pattern has its own.

mod shape;

use std::collections::HashSet;

use super::views::{Same, Simple, Tie, same};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::TopicRule;
use exhook_policy_core::text::{Identity, Placeholder};
use exhook_policy_core::topic::{Cover, Pattern, Patterns, Request, Syntax, Touch};
use shape::{Level, Shape};

/// How many pairs of patterns are compared.
const MOST_PAIRS: usize = 400_000;
/// How many values with a `/` are made of the words of patterns.
const MOST_SPREAD: usize = 256;
/// The word for what stands in no pattern.
const FRESH: &str = "someone";

/// The topic patterns of some rules, by what placeholders do in them.
#[derive(Debug)]
pub(super) struct Rules {
    clientid: Role,
    username: Role,
    /// The clientid and the username are told apart.
    both: bool,
    pub(super) ties: Vec<Tie>,
    /// Nothing else of a value matters.
    pub(super) complete: bool,
}

/// What a placeholder does in patterns.
#[derive(Debug, Default)]
struct Role {
    used: bool,
    /// In rules that deny or ignore, where odd values stand for themselves.
    literal: bool,
    /// At the beginning of a pattern.
    first: bool,
    /// Values that stand as words in some pattern, and others that globs and regexes may tell apart.
    known: Vec<String>,
    /// The number of levels of the longest pattern.
    levels: usize,
}

impl Role {
    /// The number of a known value.
    fn place_of(&self, value: &str) -> Option<u32> {
        let at = self.known.binary_search_by(|known| known.as_str().cmp(value)).ok()?;
        Some(u32::MAX - u32::try_from(at).ok()?)
    }
}

/// A pattern with what is known of it.
struct Entry<'r> {
    action: Action,
    verdict: Verdict,
    pattern: &'r Pattern,
    shape: Shape<'r>,
}

impl Rules {
    pub(super) fn of<'r>(rules: impl IntoIterator<Item = &'r TopicRule>) -> Self {
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        for rule in rules {
            for action in [Action::Publish, Action::Subscribe] {
                for pattern in rule.written(action) {
                    let allows = rule.verdict == Verdict::Allow;
                    if seen.insert((action, allows, pattern.syntax(), pattern.source())) {
                        entries.push(Entry { action, verdict: rule.verdict, pattern, shape: Shape::of(pattern) });
                    }
                }
            }
        }
        let mut all = Rules {
            clientid: Role::default(),
            username: Role::default(),
            both: false,
            ties: Vec::new(),
            complete: true,
        };
        for placeholder in Placeholder::ALL {
            let with: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.pattern.has(placeholder)).collect();
            all.look(placeholder, &with, &entries);
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

    fn role(&self, placeholder: Placeholder) -> &Role {
        match placeholder {
            Placeholder::Clientid => &self.clientid,
            Placeholder::Username => &self.username,
        }
    }

    fn role_mut(&mut self, placeholder: Placeholder) -> &mut Role {
        match placeholder {
            Placeholder::Clientid => &mut self.clientid,
            Placeholder::Username => &mut self.username,
        }
    }

    fn look(&mut self, placeholder: Placeholder, with: &[&Entry<'_>], all: &[Entry<'_>]) {
        let levels = all.iter().map(|entry| entry.shape.levels.len()).max().unwrap_or(0);
        let role = self.role_mut(placeholder);
        role.used = !with.is_empty();
        role.literal = with.iter().any(|entry| entry.verdict != Verdict::Allow);
        role.first = with.iter().any(|entry| entry.shape.begins_with(placeholder));
        role.levels = levels;
        let mut pairs = MOST_PAIRS;
        for entry in with {
            let Some(left) = pairs.checked_sub(all.len()) else {
                self.complete = false;
                break;
            };
            pairs = left;
            let places: Vec<usize> = entry.shape.places_of(placeholder).collect();
            for at in &places {
                self.compare(placeholder, entry, *at, all);
            }
            let others = all.iter().filter(|other| other.action == entry.action && !same_pattern(entry, other));
            if entry.shape.is_hidden(placeholder) && others.into_iter().any(|other| entry.shape.meets(&other.shape)) {
                self.complete = false;
            }
        }
        let moved: HashSet<usize> = with
            .iter()
            .filter(|entry| entry.verdict != Verdict::Allow)
            .flat_map(|e| e.shape.places_of(placeholder))
            .collect();
        if moved.len() > 1 {
            self.complete = false;
        }
        let role = self.role_mut(placeholder);
        role.known.sort_unstable();
        role.known.dedup();
    }

    /// Looks at what stands in other patterns where this one has the placeholder.
    fn compare(&mut self, placeholder: Placeholder, entry: &Entry<'_>, at: usize, all: &[Entry<'_>]) {
        let Some(Level::Value(own)) = entry.shape.levels.get(at) else { return };
        let mut spread: Vec<Vec<&str>> = Vec::new();
        for other in all.iter().filter(|other| other.action == entry.action) {
            let met = entry.shape.met(at, &other.shape);
            for level in met.levels {
                match level {
                    Level::Word(word) => {
                        let value = word.strip_prefix(own.before).and_then(|word| word.strip_suffix(own.behind));
                        self.role_mut(placeholder).known.extend(value.map(str::to_owned));
                    }
                    Level::Value(others) => match same(*own, *others) {
                        Same::Always | Same::Never => {}
                        Same::Tied(tie) => {
                            if !self.ties.contains(&tie) {
                                self.ties.push(tie);
                            }
                        }
                        Same::Sometimes => self.complete = false,
                    },
                    Level::Any => {}
                    Level::Hidden | Level::Rest => {
                        if !same_pattern(entry, other) {
                            self.complete = false;
                            let values = told_apart(entry, at, other.pattern);
                            self.role_mut(placeholder).known.extend(values);
                        }
                    }
                }
            }
            if entry.verdict != Verdict::Allow {
                for (behind, level) in other.shape.levels.iter().skip(at).enumerate().filter(|_| met.possible) {
                    if spread.len() <= behind {
                        spread.resize(behind + 1, vec![FRESH]);
                    }
                    match (level, spread.get_mut(behind)) {
                        (Level::Word(word), Some(words)) if !words.contains(&&**word) => words.push(word),
                        (Level::Hidden, _) => self.complete = false,
                        (Level::Word(_) | Level::Value(_) | Level::Any | Level::Rest, _) => {}
                    }
                }
            }
        }
        if entry.verdict != Verdict::Allow {
            self.spread(placeholder, *own, &spread);
        }
    }

    /// Values of several levels, made of the words that stand there in other patterns.
    fn spread(&mut self, placeholder: Placeholder, own: Simple<'_>, words: &[Vec<&str>]) {
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
        self.role_mut(placeholder).known.extend(found);
    }

    /// Values of which the role is one of its own, or may be.
    pub(super) fn known(&self, placeholder: Placeholder) -> &[String] {
        &self.role(placeholder).known
    }

    /// Whether the placeholder stands in a pattern.
    pub(super) fn uses(&self, placeholder: Placeholder) -> bool {
        self.role(placeholder).used
    }

    /// Whether values with a `/` in them reach topics by their words.
    pub(super) fn spreads(&self, placeholder: Placeholder) -> bool {
        self.role(placeholder).literal
    }

    /// Whether it matters that the clientid and the username are the same.
    pub(super) fn uses_both(&self) -> bool {
        self.both
    }

    /// Values with a role of their own that stand in no pattern.
    pub(super) fn odd(&self, placeholder: Placeholder) -> Vec<String> {
        let role = self.role(placeholder);
        if !role.used {
            return Vec::new();
        }
        let mut odd = vec![format!("{FRESH}/else"), "+".to_owned()];
        if role.first {
            odd.push(format!("${FRESH}"));
            odd.push(format!("${FRESH}/else"));
        }
        odd
    }

    /// The role of a value, as a number; equal for values that topics treat alike.
    pub(super) fn of_value(&self, placeholder: Placeholder, value: &str) -> u32 {
        let role = self.role(placeholder);
        if !role.used {
            return 0;
        }
        let wild = value.contains(['+', '#', '\0']);
        let slashes = value.matches('/').count();
        let dollar = role.first && value.starts_with('$');
        if !role.literal {
            let reaches = value.is_empty() || wild || slashes > 0 || dollar;
            return if reaches { 1 } else { role.place_of(value).unwrap_or(2) };
        }
        if value.is_empty() {
            3
        } else if wild {
            4 + u32::from(dollar)
        } else {
            let most = role.levels + 1;
            let other = 6 + 2 * u32::try_from(slashes.min(most)).unwrap_or(u32::MAX / 4) + u32::from(dollar);
            role.place_of(value).unwrap_or(other)
        }
    }
}

fn same_pattern(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    one.pattern.syntax() == other.pattern.syntax() && one.pattern.source() == other.pattern.source()
}

/// Values of the placeholder at a level of a filter that a glob or a regex matches there, and that it does not.
fn told_apart(entry: &Entry<'_>, at: usize, other: &Pattern) -> Vec<String> {
    let Some(Level::Value(own)) = entry.shape.levels.get(at) else { return Vec::new() };
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
