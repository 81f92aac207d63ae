//! Policies of any size, with the questions to ask them. The same number always gives the same policy.

use std::fmt::Write;

/// The networks of a list: distinct ones, of IPv4 and IPv6 both.
pub fn networks(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| match n % 4 {
        0 => format!("2001:db8:{:x}:{:x}::/64", n >> 16, n & 0xffff),
        _ => format!("{}.{}.{}.0/24", 11 + (n >> 16) % 100, (n >> 8) & 0xff, n & 0xff),
    })
}

/// The names of a list, seventeen bytes each.
pub fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("device-{n:010}"))
}

/// A policy of so many rules about topics: of a hundred, 70 have plain filters, 20 a placeholder, 6 a glob and 4 a
/// regex; one in ten refuses. Site `n` belongs to rule `n`.
pub fn of_rules(count: usize) -> String {
    let mut text = String::from("version: 1\nauth:\n  rules:\n    - { id: all, allow: everyone }\nacl:\n  rules:\n");
    for n in 0..count {
        let verdict = if n % 10 == 9 { "deny" } else { "allow" };
        let topics = match kind(n) {
            0..6 => format!("topics: [{{ glob: \"site/{n}/*-log/**/*.txt\" }}]"),
            6..10 => format!("topics: [{{ regex: \"site/{n}/alarm-[0-9]+\" }}]"),
            10..30 => {
                format!("publish: [\"site/{n}/${{clientid}}/up/#\"], subscribe: [\"site/{n}/${{clientid}}/down/#\"]")
            }
            k if k % 3 == 0 => format!("topics: [\"site/{n}/+/state\"]"),
            k if k % 3 == 1 => {
                format!("publish: [\"site/{n}/up/#\"], subscribe: [\"site/{n}/down/#\", \"site/{n}/all\"]")
            }
            _ => format!("topics: [\"site/{n}/room/light\", \"site/{n}/room/door\"]"),
        };
        writeln!(text, "    - {{ id: r{n}, {verdict}: everyone, {topics} }}").expect("memory");
    }
    text
}

/// Which of a hundred kinds rule `n` is of. Small policies have some of each, in the same shares as large ones.
fn kind(n: usize) -> usize {
    n * 37 % 100
}

/// Topic names that clients of the policy publish to, allowed and refused ones, whose rules lie all over it.
pub fn publishes(count: usize, clientid: &str) -> Vec<String> {
    sites(count)
        .map(|n| match kind(n) {
            0..6 => format!("site/{n}/boiler-log/2026/11/a.txt"),
            6..10 => format!("site/{n}/alarm-17"),
            10..30 => format!("site/{n}/{clientid}/up/temperature"),
            k if k % 3 == 0 => format!("site/{n}/kitchen/state"),
            k if k % 3 == 1 => format!("site/{n}/up/temperature"),
            _ => format!("site/{n}/room/light"),
        })
        .collect()
}

/// Filters with wildcards that clients of the policy subscribe to.
pub fn wildcards(count: usize, clientid: &str) -> Vec<String> {
    sites(count)
        .map(|n| match kind(n) {
            0..10 => format!("site/{n}/boiler-log/+/a.txt"),
            10..30 => format!("site/{n}/{clientid}/down/#"),
            k if k % 3 == 0 => format!("site/{n}/+/state"),
            k if k % 3 == 1 => format!("site/{n}/down/+/#"),
            _ => format!("site/{n}/room/+"),
        })
        .collect()
}

/// A hundred places among so many, spread evenly and over all kinds of rule.
fn sites(count: usize) -> impl Iterator<Item = usize> {
    (0..100).map(move |n| if count <= 100 { n % count } else { (n * (count / 100) + n) % count })
}
