//! Topics that stand for all others, against every topic over a small alphabet.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const STEPS: usize = 3_000_000;

/// What each set answers.
type Answers = Vec<(bool, bool)>;

fn answers(sets: &[Patterns], identity: Identity<'_>, action: Action, topic: &str) -> Answers {
    let request = || Request::parse(action, topic).unwrap();
    sets.iter().map(|set| (set.cover(&request(), identity), set.touch(&request(), identity))).collect()
}

fn found(sets: &[Patterns], identity: Identity<'_>, action: Action, steps: usize) -> Representatives {
    representatives(action, &sets.iter().collect::<Vec<_>>(), identity, &mut Budget::new(steps))
}

/// Every topic name, or filter, of up to so many levels.
fn topics(action: Action, words: &[&str], depth: usize) -> Vec<String> {
    let mut words = words.to_vec();
    if action == Action::Subscribe {
        words.push("+");
    }
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    for _ in 0..depth {
        all.extend(longest.iter().cloned());
        longest = longest.iter().flat_map(|topic| words.iter().map(move |word| format!("{topic}/{word}"))).collect();
    }
    if action == Action::Subscribe {
        let hashes: Vec<String> = all.iter().map(|topic| format!("{topic}/#")).collect();
        all.extend(hashes);
        all.push("#".to_owned());
    }
    all.retain(|topic| Request::parse(action, topic).is_some_and(|request| request.text() == topic));
    all
}

/// Every topic has a representative; and where that is claimed, none stands for another.
fn stand_for(sets: &[Patterns], identity: Identity<'_>, action: Action, all: &[String]) -> Result<bool, TestCaseError> {
    let Representatives { topics, complete } = found(sets, identity, action, STEPS);
    let known: Vec<Answers> = topics.iter().map(|topic| answers(sets, identity, action, topic)).collect();
    let distinct: HashSet<&Answers> = known.iter().collect();
    prop_assert_eq!(distinct.len(), topics.len(), "{:?}", topics);
    for topic in all {
        let wanted = answers(sets, identity, action, topic);
        prop_assert!(!complete || distinct.contains(&wanted), "{} of {:?}: {:?}", topic, action, topics);
    }
    Ok(complete)
}

fn filter_text() -> impl Strategy<Value = String> {
    let word = select(vec!["a", "b", "$x", "", "+", "+", "${clientid}", "a${username}", "${username}"]);
    (vec(word, 0..4), any::<bool>()).prop_filter_map("no filter", |(mut words, hash)| {
        if hash {
            words.push("#");
        }
        let text = words.join("/");
        Pattern::filter(&text).ok().map(|_| text)
    })
}

fn rich_text() -> impl Strategy<Value = String> {
    let level = select(vec!["*", "**", "a*", "?", "[ab]", "a", "b", "{a,b}", "$x", "[!a]", "${clientid}"]);
    let glob = vec(level, 1..4).prop_map(|levels| format!("g:{}", levels.join("/")));
    let regex = select(vec![
        ".*",
        ".+",
        "a/.*",
        "[^/]+",
        "(a|b)/.*",
        ".*b",
        "a(/b)*",
        "\\$x/.*",
        "\\$.*",
        "[^a].*",
        "[ab]",
        "a?",
        "(.*/)?${username}",
        ".",
        "[^/]*/[^/]*",
        "(a|\\$x)",
        "a.a|b",
    ]);
    prop_oneof![glob, regex.prop_map(|regex| format!("r:{regex}"))]
}

fn value() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "c", "", "a/b", "$x", "+", "ab"])
}

fn sets_of(pattern: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Vec<String>>> {
    vec(vec(pattern, 1..4), 1..4)
}

fn compiled(texts: &[Vec<String>]) -> Vec<Patterns> {
    texts.iter().map(|texts| patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>())).collect()
}

const WORDS: [&str; 6] = ["a", "b", "", "$x", "q", "$q"];
const MORE_WORDS: [&str; 9] = ["a", "b", "", "$x", "q", "ab", "aa", "ba", "$"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn they_stand_for_all_topics_of_filters(texts in sets_of(filter_text()), clientid in value(), username in value()) {
        let sets = compiled(&texts);
        let identity = Identity { clientid, username };
        for (action, depth) in [(Action::Publish, 4), (Action::Subscribe, 3)] {
            prop_assert!(stand_for(&sets, identity, action, &topics(action, &WORDS, depth))?, "{:?}", action);
        }
    }

    #[test]
    fn they_stand_for_all_topics_of_globs_and_regexes(
        texts in sets_of(prop_oneof![filter_text(), rich_text()]),
        clientid in value(),
        username in value(),
    ) {
        let sets = compiled(&texts);
        let identity = Identity { clientid, username };
        for action in [Action::Publish, Action::Subscribe] {
            let mut all = topics(action, &WORDS, 2);
            all.extend(topics(action, &MORE_WORDS, 2));
            all.extend(topics(action, &["a", "b", "q"], 3));
            prop_assert!(stand_for(&sets, identity, action, &all)?, "{:?}", action);
        }
    }

    /// Patterns that can be told apart by their text share no topic.
    #[test]
    fn sets_apart_share_no_topic(
        texts in vec(vec(prop_oneof![filter_text(), rich_text()], 1..3), 2),
        clientid in value(),
        username in value(),
    ) {
        let sets = compiled(&texts);
        let identity = Identity { clientid, username };
        for topic in topics(Action::Publish, &MORE_WORDS, 3) {
            let request = Request::parse(Action::Publish, &topic).unwrap();
            let shared = sets.iter().all(|set| set.touch(&request, identity));
            prop_assert!(!shared || may_overlap(&sets[0], &sets[1]), "{}", topic);
        }
    }
}

#[track_caller]
fn check(texts: &[&[&str]], action: Action, expected: &[&str]) {
    let sets: Vec<Patterns> = texts.iter().map(|texts| patterns(texts)).collect();
    let Representatives { topics, complete } = found(&sets, DEVICE, action, STEPS);
    assert!(complete, "{texts:?}");
    assert_eq!(topics, expected, "{texts:?}");
}

#[test]
fn the_shortest_topics_are_kept() {
    use Action::{Publish, Subscribe};
    check(&[], Publish, &["x"]);
    check(&[&["a/#"]], Publish, &["x", "a"]);
    check(&[&["a/+"], &["a/x"]], Publish, &["y", "a/y", "a/x"]);
    check(&[&["a/${clientid}/+"]], Publish, &["x", "a/dev/x"]);
    check(&[&["a/+"]], Subscribe, &["#", "x", "a/x"]);
    check(&[&["g:a/*.key"], &["a/#"]], Publish, &["x", "a", "a/.key"]);
    check(&[&["g:a/*.key"]], Subscribe, &["#", "+", "a/.key"]);
}

#[track_caller]
fn check_apart(one: &str, other: &str, overlap: bool) {
    assert_eq!(may_overlap(&patterns(&[one]), &patterns(&[other])), overlap, "{one} {other}");
    assert_eq!(may_overlap(&patterns(&[other]), &patterns(&[one])), overlap, "{other} {one}");
}

#[test]
fn patterns_about_other_topics_are_apart() {
    check_apart("a/+", "a/b", true);
    check_apart("a/+", "b/+", false);
    check_apart("a/+", "a/b/c", false);
    check_apart("a/#", "a", true);
    check_apart("#", "$SYS/a", false);
    check_apart("${clientid}", "a/b", true);
    check_apart("a/b", "g:a/b/**", false);
    check_apart("a/#", "g:a/b/**", true);
    check_apart("#", "g:$SYS/**", false);
    check_apart("$SYS/+", "r:.*", false);
    check_apart("g:a/*", "r:b/.*", false);
    check_apart("r:a|b", "r:b|c", true);
}

/// The budget ends the work, and that is said.
#[track_caller]
fn check_bounded(texts: &[Vec<String>], action: Action) {
    let sets = compiled(texts);
    let begun = Instant::now();
    let Representatives { topics, complete } = found(&sets, DEVICE, action, STEPS);
    assert!(!complete && !topics.is_empty(), "{} topics", topics.len());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn the_work_is_bounded() {
    let each = |count: usize, text: &dyn Fn(usize) -> String| (0..count).map(|n| vec![text(n)]).collect::<Vec<_>>();
    let words = ["ab", "cd", "ef", "gh", "ij"];
    for action in [Action::Publish, Action::Subscribe] {
        check_bounded(&each(20, &|n| format!("{}a/#", "+/".repeat(n))), action);
        check_bounded(&each(3_000, &|n| format!("g:*{n}*/**/{}*", words[n % 5])), action);
        check_bounded(&each(40, &|n| format!("r:.*{}.{{{n}}}", words[n % 5])), action);
        let many = (0..3_000).map(|n| format!("g:**/*{n}*")).collect();
        check_bounded(&[many], action);
    }
    check_bounded(&each(2, &|n| format!("{}{n}", "+/".repeat(32_000))), Action::Subscribe);
}

/// Filters that are alike share what they expect of the rest of a topic, and sets about other topics are not asked.
#[test]
fn filters_alike_cost_little() {
    let mut texts: Vec<Vec<String>> =
        (0..40).map(|n| vec![format!("dev/d{n}/up/#"), format!("dev/d{n}/+/x")]).collect();
    texts.push(vec!["g:ops/**/*.key".to_owned()]);
    let sets = compiled(&texts);
    for (action, count) in [(Action::Publish, 42), (Action::Subscribe, 125)] {
        let Representatives { topics, complete } = found(&sets, DEVICE, action, STEPS);
        assert!(complete, "{action:?}");
        assert_eq!(topics.len(), count, "{action:?}");
    }
}
