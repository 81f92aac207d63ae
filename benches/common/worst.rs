//! Policies and questions that show where deciding stops being independent of the policy's size.

use std::fmt::Write;

use crate::frames::Client;
use crate::subjects::{Asked, Question};

/// One of them.
pub struct Worst {
    pub case: &'static str,
    /// How many patterns, or words, there are.
    pub size: usize,
    pub policy: String,
    pub questions: Vec<Asked>,
}

/// All of them, each in growing sizes.
pub fn all() -> Vec<Worst> {
    let mut all = Vec::new();
    all.extend([4, 8, 12].map(branches));
    for of in [regexes, globs] {
        all.extend([10, 100, 1_000, 5_000].map(of));
    }
    all.extend([10, 100, 1_000, 5_000, 20_000].map(globs_of_clients));
    for of in [words_passed, words_deciding] {
        all.extend([10, 1_000, 10_000].map(of));
    }
    all
}

/// Every filter of so many levels that are `a` or `+` each, and a topic that follows all of them to the end and fits none.
fn branches(levels: u32) -> Worst {
    let filter = |n: u32| {
        let level = |at| if n >> at & 1 == 0 { "a" } else { "+" };
        let levels: Vec<_> = (0..levels).map(level).collect();
        format!("allow: everyone, topics: [\"{}/end\"]", levels.join("/"))
    };
    Worst {
        case: "`+` or a word at every level",
        size: 1 << levels,
        policy: policy((0..1 << levels).map(filter)),
        questions: asked(Question::Publish, |_| "a/".repeat(levels as usize) + "start"),
    }
}

/// Regexes of which none tells by its beginning what it cannot match.
fn regexes(count: usize) -> Worst {
    let regex = |n| format!("allow: everyone, topics: [{{ regex: \"[a-z0-9]+/line-{n}/(state|alarm)\" }}]");
    Worst {
        case: "regexes without a literal beginning",
        size: count,
        policy: policy((0..count).map(regex)),
        questions: asked(Question::Publish, |n| format!("hall{n}/line-{}/state", (n * 97 + count) % (2 * count))),
    }
}

/// As [`regexes`], of globs.
fn globs(count: usize) -> Worst {
    let glob = |n| format!("allow: everyone, topics: [{{ glob: \"*/line-{n}/*-log/**\" }}]");
    Worst {
        case: "globs without a literal beginning",
        size: count,
        policy: policy((0..count).map(glob)),
        questions: asked(Question::Publish, |n| {
            format!("hall{n}/line-{}/boiler-log/2026", (n * 97 + count) % (2 * count))
        }),
    }
}

/// As [`globs`], of such as are another one for each client.
fn globs_of_clients(count: usize) -> Worst {
    let glob = |n| format!("allow: everyone, topics: [{{ glob: \"*/line-{n}/${{clientid}}/**\" }}]");
    Worst {
        case: "such globs with a placeholder",
        size: count,
        policy: policy((0..count).map(glob)),
        questions: asked(Question::Publish, |n| {
            format!("hall{n}/line-{}/{}/state", (n * 97 + count) % (2 * count), Client::number(n).clientid)
        }),
    }
}

/// A level of so many words, and a subscription to all of them at once: behind each there could be something to refuse.
fn words_passed(count: usize) -> Worst {
    words("`+` asked, no word decides", count, "alarm")
}

/// As [`words_passed`], where each word is refused, so that the first one decides.
fn words_deciding(count: usize) -> Worst {
    words("`+` asked, the first word decides", count, "state")
}

fn words(case: &'static str, count: usize, refused: &str) -> Worst {
    let denies = (0..count).map(|n| format!("deny: everyone, topics: [\"site/{n}/{refused}\"]"));
    Worst {
        case,
        size: count,
        policy: policy(denies.chain(["allow: everyone, topics: [\"site/+/state\"]".to_owned()])),
        questions: asked(Question::Wildcard, |_| "site/+/state".to_owned()),
    }
}

/// A policy of these rules.
fn policy(rules: impl Iterator<Item = String>) -> String {
    let mut text = String::from("version: 1\nlog: []\nacl:\n  rules:\n");
    for (n, rule) in rules.enumerate() {
        writeln!(text, "    - {{ id: r{n}, {rule} }}").expect("memory");
    }
    text
}

fn asked(question: Question, topic: impl Fn(usize) -> String) -> Vec<Asked> {
    (0..100).map(|n| Asked { client: Client::number(n), topic: topic(n), question }).collect()
}
