//! Policies and questions that show where deciding stops being independent of the policy's size.

use std::fmt::Write;

use crate::frames::Client;
use crate::subjects::{Asked, Question};

/// One of them.
pub struct Worst {
    pub name: String,
    pub policy: String,
    pub questions: Vec<Asked>,
}

/// All of them, each in growing sizes.
pub fn all() -> Vec<Worst> {
    let mut all = Vec::new();
    all.extend([4, 8, 12].map(branches));
    all.extend([10, 100, 1_000, 5_000].map(regexes));
    all.extend([10, 100, 1_000, 5_000].map(globs));
    all.extend([10, 1_000, 10_000].map(words));
    all
}

/// Every filter of so many levels that are `a` or `+` each, and a topic that follows all of them to the end and fits none.
fn branches(levels: u32) -> Worst {
    let filter = |n: u32| {
        let level = |at| if n >> at & 1 == 0 { "a" } else { "+" };
        let levels: Vec<_> = (0..levels).map(level).collect();
        format!("topics: [\"{}/end\"]", levels.join("/"))
    };
    Worst {
        name: format!("{} filters, every mix of a and + over {levels} levels", 1_u32 << levels),
        policy: policy((0..1 << levels).map(filter)),
        questions: asked(Question::Publish, |_| "a/".repeat(levels as usize) + "start"),
    }
}

/// Regexes of which none tells by its beginning what it cannot match.
fn regexes(count: usize) -> Worst {
    Worst {
        name: format!("{count} regexes without a literal beginning"),
        policy: policy((0..count).map(|n| format!("topics: [{{ regex: \"[a-z0-9]+/line-{n}/(state|alarm)\" }}]"))),
        questions: asked(Question::Publish, |n| format!("hall{n}/line-{}/state", (n * 97 + count) % (2 * count))),
    }
}

/// As [`regexes`], of globs.
fn globs(count: usize) -> Worst {
    Worst {
        name: format!("{count} globs without a literal beginning"),
        policy: policy((0..count).map(|n| format!("topics: [{{ glob: \"*/line-{n}/*-log/**\" }}]"))),
        questions: asked(Question::Publish, |n| {
            format!("hall{n}/line-{}/boiler-log/2026", (n * 97 + count) % (2 * count))
        }),
    }
}

/// A level of so many words, and a subscription to all of them at once: each has to be looked at before it is refused.
fn words(count: usize) -> Worst {
    Worst {
        name: format!("+ asked where {count} words stand"),
        policy: policy((0..count).map(|n| format!("topics: [\"site/{n}/state\"]"))),
        questions: asked(Question::Wildcard, |_| "site/+/state".to_owned()),
    }
}

fn policy(topics: impl Iterator<Item = String>) -> String {
    let mut text = String::from("version: 1\nlog: []\nacl:\n  rules:\n");
    for (n, topics) in topics.enumerate() {
        writeln!(text, "    - {{ id: r{n}, allow: everyone, {topics} }}").expect("memory");
    }
    text
}

fn asked(question: Question, topic: impl Fn(usize) -> String) -> Vec<Asked> {
    (0..100).map(|n| Asked { client: Client::number(n), topic: topic(n), question }).collect()
}
