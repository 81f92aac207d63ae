//! Topic sets against brute force.
//!
//! Filters among themselves must be decided exactly. With globs and regexes among them an answer may err
//! towards refusal, never the other way.

#[path = "../topic_sets/oracle.rs"]
mod oracle;

use exhook_policy_core::event::Action;
use exhook_policy_core::text::Matcher;
use exhook_policy_core::topic::{Pattern, Patterns, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use oracle::{
    Bit, Expr, Level, MORE_WORDS, Part, Pat, Rule, WORDS, Who, compile, decided, expected, glob_of, received, receives,
    regex_of, rule_matches, show, text, topics_of, within,
};

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

fn value_part() -> impl Strategy<Value = Part> {
    select(vec![Bit::Clientid, Bit::Username]).prop_map(|bit| (bit.source().to_owned(), Expr::Value(bit)))
}

fn char_part() -> impl Strategy<Value = Part> {
    select(vec!['a', 'b', 'é']).prop_map(|c| (c.to_string(), Expr::Char(c)))
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

/// Levels of globs; `None` is `**`.
fn glob_pattern() -> impl Strategy<Value = Pat> {
    let part = prop_oneof![6 => vec(glob_part(), 1..3), 1 => select(vec!["$SYS", "\\$SYS"]).prop_map(|source| vec![(source.to_owned(), text("$SYS"))])];
    let level = prop_oneof![4 => part.prop_map(Some), 1 => Just(None)];
    vec(level, 1..4).prop_map(|levels| glob_of(&levels))
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
    vec(regex_part(), 1..4).prop_map(regex_of)
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
