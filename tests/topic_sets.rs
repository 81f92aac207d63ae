//! Topic sets against brute force: every topic over a small alphabet, and a matcher of its own.
//!
//! Filters among themselves must be decided exactly. With globs and regexes among them an answer may err
//! towards refusal, never the other way.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use exhook_policy::event::Action;
use exhook_policy::text::{Identity, Matcher};
use exhook_policy::topic::{Pattern, Patterns, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Words of the topics that are enumerated; `q` stands in no pattern.
const WORDS: [&str; 6] = ["a", "b", "q", "", "$SYS", "aa"];
/// Shorter topics hold these words too.
const MORE_WORDS: [&str; 9] = ["a", "b", "q", "", "$SYS", "aa", "é", "ab", "a$"];

/// A text with placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bit {
    Text(&'static str),
    Clientid,
    Username,
}

impl Bit {
    fn source(self) -> &'static str {
        match self {
            Bit::Text(text) => text,
            Bit::Clientid => "${clientid}",
            Bit::Username => "${username}",
        }
    }

    fn value(self, who: &Who) -> &str {
        match self {
            Bit::Text(text) => text,
            Bit::Clientid => &who.clientid,
            Bit::Username => &who.username,
        }
    }
}

/// A level of a filter.
#[derive(Debug, Clone)]
enum Level {
    Plus,
    Hash,
    Word(Vec<Bit>),
}

/// What a glob or a regex means.
#[derive(Debug, Clone)]
enum Expr {
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
enum Pat {
    Filter(Vec<Level>),
    /// The text, what it means, and what it begins with.
    Glob(String, Expr, Bit),
    Regex(String, Expr, Bit),
}

#[derive(Debug, Clone)]
struct Who {
    clientid: String,
    username: String,
}

impl Who {
    fn identity(&self) -> Identity<'_> {
        Identity { clientid: &self.clientid, username: &self.username }
    }
}

/// Where the expression can end, begun at this character.
fn ends(expr: &Expr, topic: &[char], from: usize, who: &Who) -> BTreeSet<usize> {
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

fn value_is_unsafe(value: &str) -> bool {
    value.is_empty() || value.contains(['+', '#', '/', '\0'])
}

impl Pat {
    fn compile(&self) -> Pattern {
        match self {
            Pat::Filter(_) => Pattern::filter(&self.source()),
            Pat::Glob(text, ..) => Pattern::glob(text),
            Pat::Regex(text, ..) => Pattern::regex(text),
        }
        .unwrap_or_else(|error| panic!("{}: {}", self.source(), error.message))
    }

    fn source(&self) -> String {
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

    fn may_stand(&self, who: &Who, allow: bool) -> bool {
        let source = self.source();
        let bits = [Bit::Clientid, Bit::Username].into_iter().filter(|bit| source.contains(bit.source()));
        let mut values = bits.map(|bit| (source.starts_with(bit.source()), bit.value(who)));
        !allow || !values.any(|(first, value)| value_is_unsafe(value) || (first && value.starts_with('$')))
    }

    /// Whether a rule of this effect takes the topic for one of the pattern's.
    fn matches(&self, topic: &str, who: &Who, allow: bool) -> bool {
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
    fn witnesses(&self, who: &Who) -> Vec<String> {
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
fn filter_matches(levels: &[Level], words: &[&str], who: &Who) -> bool {
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
fn receives(filter: &str, topic: &str) -> bool {
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

fn topics_of(words: &[&str], depth: usize) -> Vec<String> {
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
fn received(filter: &str, patterns: &[Pat], who: &Who) -> Vec<String> {
    let mut topics: BTreeSet<String> = topics_of(&WORDS, 4).into_iter().collect();
    topics.extend(topics_of(&MORE_WORDS, 2));
    topics.extend(patterns.iter().flat_map(|pattern| pattern.witnesses(who)));
    topics.into_iter().filter(|topic| receives(filter, topic)).collect()
}

/// A rule: whether it allows, and its patterns.
type Rule = (bool, Vec<Pat>);

fn rule_matches(patterns: &[Pat], topic: &str, who: &Who, allow: bool) -> bool {
    patterns.iter().any(|pattern| pattern.matches(topic, who, allow))
}

fn expected(rules: &[Rule], topics: &[String], who: &Who) -> bool {
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

fn decided(rules: &[(bool, Patterns)], action: Action, topic: &str, who: &Who) -> bool {
    let request = Request::parse(action, topic).unwrap();
    let decides = |(allow, patterns): &&(bool, Patterns)| {
        if *allow { patterns.cover(&request, who.identity()) } else { patterns.touch(&request, who.identity()) }
    };
    rules.iter().find(decides).is_some_and(|(allow, _)| *allow)
}

fn compile(rules: &[Rule]) -> Vec<(bool, Patterns)> {
    let patterns = |pats: &Vec<Pat>| Patterns::new(pats.iter().map(Pat::compile).collect());
    rules.iter().map(|(allow, pats)| (*allow, patterns(pats))).collect()
}

fn who() -> impl Strategy<Value = Who> {
    let value = || select(vec!["a", "b", "c", "#", "+", "a/b", "a+", "$SYS", "$", "", "aa", "é", "/", "*", "a\0"]);
    (value(), value())
        .prop_map(|(clientid, username)| Who { clientid: clientid.to_owned(), username: username.to_owned() })
}

fn bits() -> impl Strategy<Value = Vec<Bit>> {
    prop_oneof![
        6 => select(vec!["a", "b", "", "$SYS", "aa"]).prop_map(|word| vec![Bit::Text(word)]),
        3 => Just(vec![Bit::Clientid]),
        1 => Just(vec![Bit::Text("a"), Bit::Clientid]),
        1 => Just(vec![Bit::Username, Bit::Clientid]),
        1 => Just(vec![Bit::Username, Bit::Text("a")]),
    ]
}

fn filter_pattern() -> impl Strategy<Value = Pat> {
    let level = prop_oneof![2 => Just(Level::Plus), 5 => bits().prop_map(Level::Word)];
    (vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, hash)| {
        if hash {
            levels.push(Level::Hash);
        }
        if levels.len() == 4 {
            levels.remove(0);
        }
        if let [Level::Word(bits)] = levels.as_slice()
            && bits == &[Bit::Text("")]
        {
            levels = vec![Level::Plus];
        }
        Pat::Filter(levels)
    })
}

/// A part of a glob within a level, or of a regex: its text and its meaning.
type Part = (String, Expr);

fn value_part() -> impl Strategy<Value = Part> {
    select(vec![Bit::Clientid, Bit::Username]).prop_map(|bit| (bit.source().to_owned(), Expr::Value(bit)))
}

fn char_part() -> impl Strategy<Value = Part> {
    select(vec!['a', 'b', 'é']).prop_map(|c| (c.to_string(), Expr::Char(c)))
}

fn within() -> Expr {
    Expr::Set(true, vec!['/'])
}

fn glob_part() -> impl Strategy<Value = Part> {
    let simple = || {
        prop_oneof![
            4 => char_part(),
            2 => Just(("*".to_owned(), Expr::Star(Box::new(within())))),
            1 => Just(("?".to_owned(), within())),
            1 => Just(("[ab]".to_owned(), Expr::Set(false, vec!['a', 'b']))),
            1 => Just(("[!a]".to_owned(), Expr::Set(true, vec!['a', '/']))),
            1 => Just(("[^a-b]".to_owned(), Expr::Set(true, vec!['a', 'b', '/']))),
            2 => value_part(),
            1 => Just(("[$]".to_owned(), Expr::Char('$'))),
        ]
    };
    let branch = prop_oneof![simple(), Just(("a/b".to_owned(), text("a/b")))];
    let either = vec(branch, 1..3).prop_map(|branches| {
        let (texts, meanings): (Vec<String>, Vec<Expr>) = branches.into_iter().unzip();
        (format!("{{{}}}", texts.join(",")), Expr::Either(meanings))
    });
    prop_oneof![5 => simple(), 1 => either]
}

fn text(text: &str) -> Expr {
    Expr::Seq(text.chars().map(Expr::Char).collect())
}

fn anything() -> Expr {
    Expr::Star(Box::new(Expr::Any))
}

fn first_of(text: &str) -> Bit {
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

/// Levels of globs; `None` is `**`.
fn glob_pattern() -> impl Strategy<Value = Pat> {
    let part = prop_oneof![6 => vec(glob_part(), 1..3), 1 => select(vec!["$SYS", "\\$SYS"]).prop_map(|source| vec![(source.to_owned(), text("$SYS"))])];
    let level = prop_oneof![4 => part.prop_map(Some), 1 => Just(None)];
    vec(level, 1..4).prop_map(|levels| {
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
    })
}

fn regex_part() -> impl Strategy<Value = Part> {
    let leaf = prop_oneof![
        4 => char_part(),
        3 => Just(("/".to_owned(), Expr::Char('/'))),
        2 => Just((".".to_owned(), Expr::Any)),
        1 => Just(("[ab]".to_owned(), Expr::Set(false, vec!['a', 'b']))),
        1 => Just(("[^/]".to_owned(), within())),
        2 => value_part(),
        1 => Just(("\\$SYS".to_owned(), text("$SYS"))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|parts| {
                let (texts, meanings): (Vec<String>, Vec<Expr>) = parts.into_iter().unzip();
                (texts.concat(), Expr::Seq(meanings))
            }),
            vec(inner.clone(), 1..4).prop_map(|parts| {
                let (texts, meanings): (Vec<String>, Vec<Expr>) = parts.into_iter().unzip();
                (format!("({})", texts.join("|")), Expr::Either(meanings))
            }),
            inner.clone().prop_map(|(text, part)| (format!("({text})*"), Expr::Star(Box::new(part)))),
            inner.prop_map(|(text, part)| (format!("(?:{text})?"), Expr::Maybe(Box::new(part)))),
        ]
    })
}

fn regex_pattern() -> impl Strategy<Value = Pat> {
    vec(regex_part(), 1..4).prop_map(|parts| {
        let (texts, meanings): (Vec<String>, Vec<Expr>) = parts.into_iter().unzip();
        let source = texts.concat();
        let first = first_of(&source);
        Pat::Regex(source, Expr::Seq(meanings), first)
    })
}

fn any_pattern() -> impl Strategy<Value = Pat> {
    prop_oneof![2 => filter_pattern(), 2 => glob_pattern(), 2 => regex_pattern()]
}

fn asked() -> impl Strategy<Value = String> {
    let word = prop_oneof![2 => Just("+"), 3 => select(vec!["a", "b", "", "$SYS", "aa"])];
    (vec(word, 0..4), any::<bool>()).prop_map(|(mut words, hash)| {
        if hash || words.is_empty() || words == [""] {
            words.push("#");
        }
        words.join("/")
    })
}

fn rules(pattern: impl Strategy<Value = Pat>) -> impl Strategy<Value = Vec<Rule>> {
    vec((any::<bool>(), vec(pattern, 1..4)), 1..4)
}

fn show(rules: &[Rule]) -> String {
    let mut shown = String::new();
    for (allow, patterns) in rules {
        let texts: Vec<String> = patterns.iter().map(Pat::source).collect();
        write!(shown, "{} {texts:?}; ", if *allow { "allow" } else { "deny" }).unwrap();
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// What one topic matches is exact, whatever the patterns.
    #[test]
    fn topics_are_decided_exactly(rules in rules(any_pattern()), who in who()) {
        let compiled = compile(&rules);
        let patterns: Vec<Pat> = rules.iter().flat_map(|(_, patterns)| patterns.clone()).collect();
        let topics = topics_of(&WORDS, 3).into_iter().chain(topics_of(&MORE_WORDS, 2));
        for topic in topics.chain(patterns.iter().flat_map(|pattern| pattern.witnesses(&who))).step_by(7) {
            let want = expected(&rules, std::slice::from_ref(&topic), &who);
            for action in [Action::Publish, Action::Subscribe] {
                prop_assert_eq!(decided(&compiled, action, &topic, &who), want, "{} on {:?}", show(&rules), topic);
            }
        }
    }

    /// Among filters the sets are exact.
    #[test]
    fn filters_are_decided_exactly(rules in rules(filter_pattern()), who in who(), filters in vec(asked(), 1..6)) {
        let compiled = compile(&rules);
        let patterns: Vec<Pat> = rules.iter().flat_map(|(_, patterns)| patterns.clone()).collect();
        for filter in filters {
            let topics = received(&filter, &patterns, &who);
            prop_assert!(!topics.is_empty(), "{} receives nothing", filter);
            for (rule, (_, compiled)) in rules.iter().zip(&compiled) {
                let request = Request::parse(Action::Subscribe, &filter).unwrap();
                let who = &who;
                let hits = |allow| topics.iter().map(move |topic| rule_matches(&rule.1, topic, who, allow));
                let shown = show(std::slice::from_ref(rule));
                prop_assert_eq!(compiled.cover(&request, who.identity()), hits(true).all(|hit| hit), "{} cover {:?}", shown, filter);
                prop_assert_eq!(compiled.touch(&request, who.identity()), hits(false).any(|hit| hit), "{} touch {:?}", shown, filter);
            }
            let want = expected(&rules, &topics, &who);
            prop_assert_eq!(decided(&compiled, Action::Subscribe, &filter, &who), want, "{} on {:?}", show(&rules), filter);
        }
    }

    /// With globs and regexes, what is allowed is safe.
    #[test]
    fn allowed_subscriptions_are_safe(rules in rules(any_pattern()), who in who(), filters in vec(asked(), 1..4)) {
        let compiled = compile(&rules);
        let patterns: Vec<Pat> = rules.iter().flat_map(|(_, patterns)| patterns.clone()).collect();
        for filter in filters {
            let topics = received(&filter, &patterns, &who);
            let request = Request::parse(Action::Subscribe, &filter).unwrap();
            for (rule, (_, compiled)) in rules.iter().zip(&compiled) {
                let shown = show(std::slice::from_ref(rule));
                let (covered, touched) = (compiled.cover(&request, who.identity()), compiled.touch(&request, who.identity()));
                for topic in &topics {
                    prop_assert!(!covered || rule_matches(&rule.1, topic, &who, true), "{} cover {:?} but for {:?}", shown, filter, topic);
                    prop_assert!(touched || !rule_matches(&rule.1, topic, &who, false), "{} touch {:?} at {:?}", shown, filter, topic);
                }
            }
            if decided(&compiled, Action::Subscribe, &filter, &who) {
                for topic in &topics {
                    prop_assert!(decided(&compiled, Action::Subscribe, topic, &who), "{} on {:?} at {:?}", show(&rules), filter, topic);
                }
            }
        }
    }

    /// Small sets of globs and regexes are settled, so that nothing is refused that the enumeration allows.
    #[test]
    fn globs_of_whole_levels_are_decided_exactly(
        levels in vec(select(vec!["*", "**", "a", "b"]), 1..4),
        words in vec(select(vec!["+", "a", "b"]), 0..3),
        hash in any::<bool>(),
    ) {
        let mut words = words;
        if hash || words.is_empty() {
            words.push("#");
        }
        let filter = words.join("/");
        let glob = levels.join("/");
        let who = Who { clientid: "a".to_owned(), username: "b".to_owned() };
        let topics: Vec<String> = topics_of(&["a", "b", "q", ""], 5).into_iter().filter(|topic| receives(&filter, topic)).collect();
        let patterns = Patterns::new(vec![Pattern::glob(&glob).unwrap()]);
        let matches = |topic: &String| patterns.cover(&Request::parse(Action::Publish, topic).unwrap(), who.identity());
        let request = Request::parse(Action::Subscribe, &filter).unwrap();
        prop_assert_eq!(patterns.cover(&request, who.identity()), topics.iter().all(matches), "{} cover {}", glob, filter);
        prop_assert_eq!(patterns.touch(&request, who.identity()), topics.iter().any(matches), "{} touch {}", glob, filter);
    }

    /// Whatever is read as a glob is one of globset's, with the same meaning where that is ASCII.
    #[test]
    fn globs_are_globsets(glob in "[ab/*?{},!^\\[\\]\\\\-]{1,10}", texts in vec("[ab/,-]{0,6}", 1..30)) {
        let who = Who { clientid: String::new(), username: String::new() };
        let oracle = globset::GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
        let Ok(pattern) = Pattern::glob(&glob) else { return Ok(()) };
        let oracle = oracle.unwrap().compile_matcher();
        let patterns = Patterns::new(vec![pattern]);
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let ours = patterns.cover(&Request::parse(Action::Publish, text).unwrap(), who.identity());
            let theirs = oracle.is_match(text);
            // There a class matches `/`, and `**/` alone everything.
            let differs = glob.contains('[') || glob == "**/";
            prop_assert!(ours == theirs || (differs && theirs), "{:?} on {:?}: {}, globset {}", glob, text, ours, theirs);
        }
    }

    /// Over a whole value nothing separates levels.
    #[test]
    fn identity_globs_are_globsets(glob in "[ab*?{},!^\\[\\]-]{0,8}", texts in vec("[ab/,\n-]{0,5}", 1..30)) {
        let oracle = globset::Glob::new(&glob);
        let Ok(matcher) = Matcher::glob(&glob) else { return Ok(()) };
        let oracle = oracle.unwrap().compile_matcher();
        for text in &texts {
            prop_assert_eq!(matcher.is_match(text), oracle.is_match(text), "{:?} on {:?}", glob, text);
        }
    }
}
