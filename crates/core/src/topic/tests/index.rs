//! What an index leaves out surely does not match: held to asking every set.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::topic::index::{Builder, Frontier, Index};

const LEVELS: [&str; 11] =
    ["a", "b", "ab", "", "+", "+", "$a", "${clientid}", "${username}", "a${clientid}", "${username}b${clientid}"];
const RICH: [&str; 14] = [
    "g:a/*",
    "g:a/**",
    "g:**",
    "g:a*/b",
    "g:a/${clientid}/*",
    "g:{a,b}/a",
    "g:a/b",
    "g:$a/*",
    "g:*/${username}",
    "r:a/b[ab]?(/.*)?",
    "r:[ab]/.*",
    "r:a(b|/a)*",
    "r:\\$a/.*",
    "r:${clientid}/.+",
];
const VALUES: [&str; 9] = ["", "a", "b", "ab", "a/b", "b/", "$a", "+", "x"];

fn pattern() -> impl Strategy<Value = String> {
    let filter = (prop::collection::vec(select(&LEVELS[..]), 1..4), prop::bool::weighted(0.3));
    let filter = filter.prop_filter_map("the empty filter is none", |(mut levels, hash)| {
        if hash {
            levels.push("#");
        }
        Some(levels.join("/")).filter(|filter| !filter.is_empty())
    });
    prop_oneof![8 => filter, 1 => Just("#".to_owned()), 2 => select(&RICH[..]).prop_map(str::to_owned)]
}

fn asked() -> impl Strategy<Value = String> {
    let level = select(vec!["a", "b", "ab", "", "x", "$a", "+", "+"]);
    (prop::collection::vec(level, 0..4), prop::bool::weighted(0.4)).prop_filter_map(
        "the empty topic is none",
        |(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            Some(levels.join("/")).filter(|topic| !topic.is_empty())
        },
    )
}

fn set(texts: &[String]) -> Patterns {
    patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn touched<'i, 'r>(index: &'i Index, request: &'r Request<'r>, identity: Identity<'r>) -> Frontier<'i, 'r> {
    let mut found = Frontier::new(request, identity);
    index.touch(&mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_matches_is_found(
        sets in prop::collection::vec(prop::collection::vec(pattern(), 0..4), 0..25),
        topics in prop::collection::vec(asked(), 1..6),
        clientid in select(&VALUES[..]), username in select(&VALUES[..]), thin in prop::bool::ANY,
    ) {
        let identity = Identity { clientid, username };
        let sets: Vec<Patterns> = sets.iter().map(|texts| set(texts)).collect();
        let mut builder = Builder::default();
        (0..).zip(&sets).for_each(|(number, set)| builder.add(number, set));
        let index = if thin { builder.thinned() } else { builder }.finish();
        for topic in &topics {
            let Some(request) = Request::parse(Action::Subscribe, topic) else { continue };
            let mut covering = Frontier::new(&request, identity);
            index.cover(&mut covering);
            let covering: Vec<u32> = covering.collect();
            let touching: Vec<u32> = touched(&index, &request, identity).collect();
            for found in [&covering, &touching] {
                prop_assert!(found.is_sorted_by(|one, next| one < next), "{:?}", found);
            }
            for (number, set) in (0..).zip(&sets) {
                let again = Request::parse(Action::Subscribe, topic).unwrap();
                let (covers, touches) = (set.cover(&again, identity), set.touch(&again, identity));
                prop_assert!(!covers || covering.contains(&number), "{} covers {}", number, topic);
                prop_assert!(!touches || touching.contains(&number), "{} touches {}", number, topic);
                // Of a topic name, whatever may match it is found in one way.
                prop_assert!(!touches || request.is_wildcard() || covering.contains(&number), "{}: {}", number, topic);
            }
        }
    }

    #[test]
    fn many_patterns_are_asked_as_few_are(
        texts in prop::collection::vec(pattern(), 13..40),
        topics in prop::collection::vec(asked(), 1..6),
        clientid in select(&VALUES[..]), username in select(&VALUES[..]),
    ) {
        let identity = Identity { clientid, username };
        let (many, plain) = (set(&texts), set(&texts).without_index());
        for topic in &topics {
            let request = || Request::parse(Action::Subscribe, topic);
            let (Some(one), Some(other)) = (request(), request()) else { continue };
            prop_assert_eq!(many.cover(&one, identity), plain.cover(&other, identity), "{:?} cover {}", texts, topic);
            prop_assert_eq!(many.touch(&one, identity), plain.touch(&other, identity), "{:?} touch {}", texts, topic);
        }
    }
}

#[test]
fn what_comes_first_is_found_first() {
    let mut builder = Builder::default();
    for number in 0..1_000_u32 {
        builder.add(number, &patterns(&[&format!("site/{}/secret", number ^ 0x155), "other/+"]));
    }
    let index = builder.finish();
    let request = Request::parse(Action::Subscribe, "site/#").unwrap();
    assert_eq!(touched(&index, &request, DEVICE).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    let request = Request::parse(Action::Subscribe, "site/+/secret").unwrap();
    assert_eq!(touched(&index, &request, DEVICE).take(3).collect::<Vec<_>>(), [0, 1, 2]);
    let request = Request::parse(Action::Subscribe, "site/7/#").unwrap();
    assert_eq!(touched(&index, &request, DEVICE).collect::<Vec<_>>(), [7 ^ 0x155]);
    let request = Request::parse(Action::Subscribe, "site/+/open").unwrap();
    assert_eq!(touched(&index, &request, DEVICE).count(), 0);
}

/// Forty placeholders in a row, and a value that spans levels: the ways through them are a million of millions.
#[test]
fn a_value_that_spans_levels_costs_little() {
    let mut builder = Builder::default();
    for number in 0..9_u32 {
        builder.add(number, &patterns(&[&format!("{}x{number}", "${clientid}/".repeat(40))]));
    }
    let index = builder.finish();
    for (clientid, levels) in [("a/a", 60), ("+", 40), ("a/a", 40)] {
        let identity = Identity { clientid, username: "" };
        let filter = format!("{}+", "+/".repeat(levels));
        let request = Request::parse(Action::Subscribe, &filter).unwrap();
        // It ends, which it would not if each way were gone.
        assert!(touched(&index, &request, identity).count() <= 9);
    }
}

/// Every mix of `+` and a word at twelve levels matches, and each node has a number of its own.
#[test]
fn many_lists_are_merged_in_order() {
    let mut builder = Builder::default();
    for number in 0..4_096_u32 {
        let level = |at: u32| if number >> at & 1 == 0 { "+" } else { "a" };
        builder.add(number, &patterns(&[&(0..12).map(level).collect::<Vec<_>>().join("/")]));
    }
    let index = builder.finish();
    let topic = ["a"; 12].join("/");
    let request = Request::parse(Action::Publish, &topic).unwrap();
    let mut found = Frontier::new(&request, DEVICE);
    index.cover(&mut found);
    assert_eq!(found.collect::<Vec<_>>(), (0..4_096).collect::<Vec<_>>());
}
