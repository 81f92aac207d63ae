//! What topic patterns mean, slowly and by themselves: every topic over a small alphabet, and a matcher of its own. The
//! tests of topic sets and the fuzzer are held against it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use exhook_policy_core::event::Action;
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::{Pattern, Patterns, Request};

/// Words of the topics that are enumerated; `q` stands in no pattern.
pub(crate) const WORDS: [&str; 6] = ["a", "b", "q", "", "$SYS", "aa"];
/// Shorter topics hold these words too.
pub(crate) const MORE_WORDS: [&str; 9] = ["a", "b", "q", "", "$SYS", "aa", "é", "ab", "a$"];

/// A text with placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bit {
    Text(&'static str),
    Clientid,
    Username,
}

impl Bit {
    pub(crate) fn source(self) -> &'static str {
        match self {
            Bit::Text(text) => text,
            Bit::Clientid => "${clientid}",
            Bit::Username => "${username}",
        }
    }

    pub(crate) fn value(self, who: &Who) -> &str {
        match self {
            Bit::Text(text) => text,
            Bit::Clientid => &who.clientid,
            Bit::Username => &who.username,
        }
    }
}

/// A level of a filter.
#[derive(Debug, Clone)]
pub(crate) enum Level {
    Plus,
    Hash,
    Word(Vec<Bit>),
}

/// What a glob or a regex means.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Char(char),
    /// Every character.
    Any,
    /// One of these characters, or none of them.
    Set(bool, Vec<char>),
    Value(Bit),
    Seq(Vec<Expr>),
    Either(Vec<Expr>),
    Star(Box<Expr>),
    Maybe(Box<Expr>),
}

#[derive(Debug, Clone)]
pub(crate) enum Pat {
    Filter(Vec<Level>),
    /// The text, what it means, and what it begins with.
    Glob(String, Expr, Bit),
    Regex(String, Expr, Bit),
}

#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) clientid: String,
    pub(crate) username: String,
}

impl Who {
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity { clientid: &self.clientid, username: &self.username }
    }
}

/// Where the expression can end, begun at this character.
pub(crate) fn ends(expr: &Expr, topic: &[char], from: usize, who: &Who) -> BTreeSet<usize> {
    match expr {
        Expr::Char(c) => (topic.get(from) == Some(c)).then_some(from + 1).into_iter().collect(),
        Expr::Any => (from < topic.len()).then_some(from + 1).into_iter().collect(),
        Expr::Set(negated, set) => {
            let fits = topic.get(from).is_some_and(|c| set.contains(c) != *negated);
            fits.then_some(from + 1).into_iter().collect()
        }
        Expr::Value(bit) => {
            let value: Vec<char> = bit.value(who).chars().collect();
            topic[from..].starts_with(&value).then_some(from + value.len()).into_iter().collect()
        }
        Expr::Seq(parts) => parts.iter().fold(BTreeSet::from([from]), |at, part| {
            at.into_iter().flat_map(|from| ends(part, topic, from, who)).collect()
        }),
        Expr::Either(parts) => parts.iter().flat_map(|part| ends(part, topic, from, who)).collect(),
        Expr::Maybe(part) => ends(part, topic, from, who).into_iter().chain([from]).collect(),
        Expr::Star(part) => {
            let mut all = BTreeSet::from([from]);
            let mut new = vec![from];
            while let Some(at) = new.pop() {
                new.extend(ends(part, topic, at, who).into_iter().filter(|end| all.insert(*end)));
            }
            all
        }
    }
}

pub(crate) fn value_is_unsafe(value: &str) -> bool {
    value.is_empty() || value.contains(['+', '#', '/', '\0'])
}

impl Pat {
    pub(crate) fn compile(&self) -> Pattern {
        match self {
            Pat::Filter(_) => Pattern::filter(&self.source()),
            Pat::Glob(text, ..) => Pattern::glob(text),
            Pat::Regex(text, ..) => Pattern::regex(text),
        }
        .unwrap_or_else(|error| panic!("{}: {}", self.source(), error.message))
    }

    pub(crate) fn source(&self) -> String {
        match self {
            Pat::Filter(levels) => {
                let words = levels.iter().map(|level| match level {
                    Level::Plus => "+".to_owned(),
                    Level::Hash => "#".to_owned(),
                    Level::Word(bits) => bits.iter().map(|bit| bit.source()).collect(),
                });
                words.collect::<Vec<String>>().join("/")
            }
            Pat::Glob(text, ..) | Pat::Regex(text, ..) => text.clone(),
        }
    }

    pub(crate) fn may_stand(&self, who: &Who, allow: bool) -> bool {
        let source = self.source();
        let bits = [Bit::Clientid, Bit::Username].into_iter().filter(|bit| source.contains(bit.source()));
        let mut values = bits.map(|bit| (source.starts_with(bit.source()), bit.value(who)));
        !allow || !values.any(|(first, value)| value_is_unsafe(value) || (first && value.starts_with('$')))
    }

    /// Whether a rule of this effect takes the topic for one of the pattern's.
    pub(crate) fn matches(&self, topic: &str, who: &Who, allow: bool) -> bool {
        if !self.may_stand(who, allow) {
            return false;
        }
        match self {
            Pat::Filter(levels) => {
                let root = matches!(levels.first(), Some(Level::Plus | Level::Hash));
                let words: Vec<&str> = topic.split('/').collect();
                !(root && topic.starts_with('$')) && filter_matches(levels, &words, who)
            }
            Pat::Glob(_, expr, first) | Pat::Regex(_, expr, first) => {
                let reaches = match first {
                    Bit::Text(text) => text.starts_with('$'),
                    Bit::Clientid | Bit::Username => !allow && first.value(who).starts_with('$'),
                };
                let chars: Vec<char> = topic.chars().collect();
                (reaches || !topic.starts_with('$')) && ends(expr, &chars, 0, who).contains(&chars.len())
            }
        }
    }

    /// Topics that only the client's values make interesting.
    pub(crate) fn witnesses(&self, who: &Who) -> Vec<String> {
        let Pat::Filter(levels) = self else { return Vec::new() };
        let mut topics = vec![String::new()];
        for (at, level) in levels.iter().enumerate() {
            let words: Vec<String> = match level {
                Level::Plus => WORDS.map(str::to_owned).into(),
                Level::Hash => continue,
                Level::Word(bits) => vec![bits.iter().map(|bit| bit.value(who)).collect()],
            };
            let slash = if at == 0 { "" } else { "/" };
            let longer = topics.iter().flat_map(|topic| words.iter().map(move |word| format!("{topic}{slash}{word}")));
            topics = longer.collect();
        }
        if matches!(levels.last(), Some(Level::Hash)) {
            // The level under the last may be empty.
            let tails: Vec<String> = topics_of(&WORDS, 2).into_iter().chain([String::new()]).collect();
            let longer = |topic: &String| tails.iter().map(|tail| format!("{topic}/{tail}")).collect::<Vec<_>>();
            let longer: Vec<String> = topics.iter().flat_map(longer).collect();
            topics.extend(longer);
        }
        topics.retain(|topic| !topic.is_empty() && !topic.contains(['+', '#', '\0']));
        topics
    }
}

/// Level by level; a value may hold a `/` and then spans levels.
pub(crate) fn filter_matches(levels: &[Level], words: &[&str], who: &Who) -> bool {
    match (levels.split_first(), words.split_first()) {
        (None, _) => words.is_empty(),
        (Some((Level::Hash, _)), _) => true,
        (Some(_), None) => false,
        (Some((Level::Plus, rest)), Some((_, words))) => filter_matches(rest, words, who),
        (Some((Level::Word(bits), rest)), Some(_)) => {
            let own: String = bits.iter().map(|bit| bit.value(who)).collect();
            let own: Vec<&str> = own.split('/').collect();
            words.starts_with(&own) && filter_matches(rest, &words[own.len()..], who)
        }
    }
}

/// Whether a subscription to the filter receives the topic.
pub(crate) fn receives(filter: &str, topic: &str) -> bool {
    let levels = filter.split('/').map(|word| match word {
        "+" => Level::Plus,
        "#" => Level::Hash,
        _ => Level::Word(Vec::new()),
    });
    let levels: Vec<Level> = levels.collect();
    let words: Vec<&str> = topic.split('/').collect();
    let own: Vec<&str> = filter.split('/').collect();
    if topic.starts_with('$') && !matches!(levels.first(), Some(Level::Word(_))) {
        return false;
    }
    for (at, level) in levels.iter().enumerate() {
        let fits = match level {
            Level::Hash => return true,
            Level::Plus => at < words.len(),
            Level::Word(_) => words.get(at) == own.get(at),
        };
        if !fits {
            return false;
        }
    }
    words.len() == levels.len()
}

pub(crate) fn topics_of(words: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    for _ in 0..depth {
        all.extend(longest.iter().cloned());
        longest = longest.iter().flat_map(|topic| words.iter().map(move |word| format!("{topic}/{word}"))).collect();
    }
    all.retain(|topic| !topic.is_empty());
    all
}

/// Every topic over the alphabet that the filter receives.
pub(crate) fn received(filter: &str, patterns: &[Pat], who: &Who) -> Vec<String> {
    static ALL: LazyLock<Vec<String>> =
        LazyLock::new(|| topics_of(&WORDS, 4).into_iter().chain(topics_of(&MORE_WORDS, 2)).collect());
    let own = patterns.iter().flat_map(|pattern| pattern.witnesses(who));
    let topics =
        ALL.iter().filter(|topic| receives(filter, topic)).cloned().chain(own.filter(|topic| receives(filter, topic)));
    topics.collect::<BTreeSet<String>>().into_iter().collect()
}

/// A rule: whether it allows, and its patterns.
pub(crate) type Rule = (bool, Vec<Pat>);

pub(crate) fn rule_matches(patterns: &[Pat], topic: &str, who: &Who, allow: bool) -> bool {
    patterns.iter().any(|pattern| pattern.matches(topic, who, allow))
}

pub(crate) fn expected(rules: &[Rule], topics: &[String], who: &Who) -> bool {
    for (allow, patterns) in rules {
        let mut hits = topics.iter().map(|topic| rule_matches(patterns, topic, who, *allow));
        if *allow && hits.clone().all(|hit| hit) {
            return true;
        }
        if !*allow && hits.any(|hit| hit) {
            return false;
        }
    }
    false
}

pub(crate) fn decided(rules: &[(bool, Patterns)], action: Action, topic: &str, who: &Who) -> bool {
    let request = Request::parse(action, topic).unwrap();
    let decides = |(allow, patterns): &&(bool, Patterns)| {
        if *allow { patterns.cover(&request, who.identity()) } else { patterns.touch(&request, who.identity()) }
    };
    rules.iter().find(decides).is_some_and(|(allow, _)| *allow)
}

pub(crate) fn compile(rules: &[Rule]) -> Vec<(bool, Patterns)> {
    let patterns = |pats: &Vec<Pat>| Patterns::new(pats.iter().map(Pat::compile).collect());
    rules.iter().map(|(allow, pats)| (*allow, patterns(pats))).collect()
}

/// A part of a glob within a level, or of a regex: its text and its meaning.
pub(crate) type Part = (String, Expr);

pub(crate) fn within() -> Expr {
    Expr::Set(true, vec!['/'])
}

pub(crate) fn text(text: &str) -> Expr {
    Expr::Seq(text.chars().map(Expr::Char).collect())
}

pub(crate) fn anything() -> Expr {
    Expr::Star(Box::new(Expr::Any))
}

pub(crate) fn first_of(text: &str) -> Bit {
    if text.starts_with("${clientid}") {
        Bit::Clientid
    } else if text.starts_with("${username}") {
        Bit::Username
    } else if text.starts_with('$') || text.starts_with("\\$") {
        Bit::Text("$")
    } else {
        Bit::Text("")
    }
}

/// A glob of these levels; `None` is `**`.
pub(crate) fn glob_of(levels: &[Option<Vec<Part>>]) -> Pat {
    let mut source = String::new();
    let mut meaning = Vec::new();
    let last = levels.len() - 1;
    // Whether the `/` before this level is part of the `**/` before it.
    let mut joined = true;
    for (at, level) in levels.iter().enumerate() {
        if at > 0 {
            source.push('/');
            if !joined {
                meaning.push(Expr::Char('/'));
            }
        }
        joined = level.is_none();
        match level {
            None => {
                source.push_str("**");
                meaning.push(if at == last {
                    anything()
                } else {
                    Expr::Maybe(Box::new(Expr::Seq(vec![anything(), Expr::Char('/')])))
                });
            }
            Some(parts) => {
                for (text, part) in parts {
                    // Two stars together would be read as another thing.
                    if !(source.ends_with('*') && text == "*") {
                        source.push_str(text);
                        meaning.push(part.clone());
                    }
                }
            }
        }
    }
    let first = first_of(&source);
    Pat::Glob(source, Expr::Seq(meaning), first)
}

/// A regex of these parts, one behind the other.
pub(crate) fn regex_of(parts: Vec<Part>) -> Pat {
    let (texts, meanings): (Vec<String>, Vec<Expr>) = parts.into_iter().unzip();
    let source = texts.concat();
    let first = first_of(&source);
    Pat::Regex(source, Expr::Seq(meanings), first)
}

pub(crate) fn show(rules: &[Rule]) -> String {
    let mut shown = String::new();
    for (allow, patterns) in rules {
        let texts: Vec<String> = patterns.iter().map(Pat::source).collect();
        write!(shown, "{} {texts:?}; ", if *allow { "allow" } else { "deny" }).unwrap();
    }
    shown
}
