//! Comparisons of two policies: cases, hostile policies, and random ones against brute force.

mod random;

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use exhook_policy_core::policy::parse;

const STEPS: usize = 10_000_000;

fn policy(text: &str) -> Policy {
    match parse(&format!("version: 1\n{text}"), "rules.yaml", Path::new("/etc")) {
        Ok(loaded) => Policy::compile(loaded.model),
        Err(report) => panic!("{text}\n{}", report.render(false)),
    }
}

/// The changes, each on one line with the rules and the witness.
fn shown(found: &PolicyDiff) -> Vec<String> {
    let rule = |answer: &PolicyAnswer| format!("{} by {}", answer.verdict.as_str(), answer.rule.id);
    let line = |change: &PolicyChange| {
        let PolicyChange { difference: Difference { direction, question: _, old, new }, witness } = change;
        format!("{}: {} -> {}: {witness}", direction.as_str(), rule(old), rule(new))
    };
    found.changes.iter().map(line).collect()
}

#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    let found = diff(&policy(old), &policy(new), 0, &mut Budget::new(STEPS));
    assert_eq!(shown(&found), expected, "{old}\n->\n{new}");
    assert_eq!(found.unknown, []);
}

/// 2026-12-01T09:00Z, a Tuesday.
const NOW: i64 = 1_796_115_600_000;

#[test]
fn a_change_is_told_with_a_time_at_which_it_is_one() {
    #[track_caller]
    fn check(old: &str, new: &str, expected: &[&str]) {
        let rule = |when: &str| policy(&format!("acl: {{ rules: [{{ id: a, allow: everyone, publish: x{when} }}] }}"));
        let found = diff(&rule(old), &rule(new), NOW, &mut Budget::new(STEPS));
        assert_eq!(shown(&found), expected, "{old} -> {new}");
        assert_eq!(found.unknown, []);
    }
    let week = ", when: { days: mon-fri, zone: Europe/Berlin }";
    check(
        week,
        "",
        &[
            "widened: deny by default -> allow by a: any client, at 2026-12-05 00:00 (sat, Europe/Berlin): publish \"x\"",
        ],
    );
    check(
        "",
        week,
        &[
            "narrowed: allow by a -> deny by default: any client, at 2026-12-05 00:00 (sat, Europe/Berlin): publish \"x\"",
        ],
    );
    check(week, week, &[]);
    check(week, ", when: { days: [mon-wed, thu-fri], zone: Europe/Berlin }", &[]);
    // What differs in another zone only now and then: Berlin and Kaliningrad, an hour apart in
    // winter.
    check(
        week,
        ", when: { days: mon-fri, zone: Europe/Kaliningrad }",
        &[
            "widened: deny by default -> allow by a: any client, at 2026-12-07 00:00 (mon, Europe/Kaliningrad): publish \"x\"",
            "narrowed: allow by a -> deny by default: any client, at 2026-12-04 23:00 (fri, Europe/Berlin): publish \"x\"",
        ],
    );
    // What is over is no change, and what comes is one.
    check(", when: { until: 2026-11-30 }", ", when: { until: 2026-12-01T09:00Z }", &[]);
    check(
        ", when: { until: 2026-11-30 }",
        ", when: { until: 2026-12-01T09:01Z }",
        &["widened: deny by default -> allow by a: any client, at 2026-12-01 09:00 (tue, UTC): publish \"x\""],
    );
    check(
        ", when: { from: 2226-01-01 }",
        ", when: { from: 2226-01-02 }",
        &["narrowed: allow by a -> deny by default: any client, at 2226-01-01 00:00 (sun, UTC): publish \"x\""],
    );
}

#[test]
fn no_time_is_told_where_none_matters() {
    let of = |mode: &str| {
        policy(&format!(
            "mode: {mode}\nacl: {{ rules: [{{ id: a, allow: {{ clientid: c }}, publish: x, when: {{ hours: \"08:00-10:00\" }} }}] }}"
        ))
    };
    let found = diff(&of("audit"), &of("enforce"), NOW, &mut Budget::new(STEPS));
    let invalid: Vec<String> = shown(&found).into_iter().filter(|one| one.contains("invalid-topic")).collect();
    let expected = [
        "narrowed: ignore by invalid-topic -> deny by invalid-topic: any client: publish \"+\"",
        "narrowed: ignore by invalid-topic -> deny by invalid-topic: any client: subscribe \"#/x\"",
    ];
    assert_eq!(invalid, expected);
}

/// Both ways.
#[track_caller]
fn check_same(one: &str, other: &str) {
    check(one, other, &[]);
    check(other, one, &[]);
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    let text = "clients: { devices: { clientid: { in: fleet }, username: \"${clientid}\" } }\n\
        lists: { fleet: { file: fleet.txt } }\n\
        passwords: { devices: { file: devices.passwd } }\n\
        auth: { rules: [ { id: fleet, allow: devices, password: devices } ] }\n\
        acl: { rules: [ { id: own, allow: devices, topics: [\"dev/${clientid}/#\", { glob: \"**/x\" }] } ] }";
    check_same(text, text);
    // Names, and the order in which alternatives are written, are not what a rule says.
    check_same(text, &text.replace("devices: { c", "things: { c").replace("allow: devices", "allow: things"));
    check_same(
        "auth: { rules: [ { allow: { clientid: [a, b] } } ] }",
        "auth: { rules: [ { id: x, allow: { clientid: [b, a, a] } } ] }",
    );
}

#[test]
fn what_rules_say_together_counts_and_not_how() {
    check_same(
        "acl: { rules: [ { allow: everyone, topics: [\"a/#\", b] } ] }",
        "acl: { rules: [ { allow: everyone, topics: [\"a/#\"] }, { allow: everyone, topics: [b] } ] }",
    );
    check_same(
        "acl: { rules: [ { deny: everyone, topics: [a] }, { allow: everyone, topics: [\"+\"] } ] }",
        "acl: { rules: [ { deny: everyone, topics: [{ regex: a }] }, { allow: everyone, topics: [\"+\"] } ] }",
    );
}

#[test]
fn a_rule_that_is_added_opens() {
    check(
        "acl: { rules: [ { id: a, allow: { username: op }, topics: [\"a/#\"] } ] }",
        "acl: { rules: [ { id: a, allow: { username: op }, topics: [\"a/#\"] }, { id: b, allow: { username: op }, publish: [\"b/+\"] } ] }",
        &["widened: deny by default -> allow by b: username \"op\": publish \"b/x\""],
    );
}

#[test]
fn a_rule_that_is_gone_closes() {
    check(
        "auth: { rules: [ { id: a, allow: { clientid: [v, w] } } ] }",
        "auth: { rules: [ { id: a, allow: { clientid: [v] } } ] }",
        &["narrowed: allow by a -> deny by default: clientid \"w\": login"],
    );
}

#[test]
fn a_rule_without_its_password_opens() {
    let old =
        "passwords: { p: { file: p.passwd } }\nauth: { rules: [ { id: a, allow: { username: op }, password: p } ] }";
    check(
        old,
        &old.replace(", password: p", ""),
        &[
            "widened: deny by default -> allow by a: username \"op\": login, unknown to `p`",
            "widened: deny by a -> allow by a: username \"op\": login, with a wrong password of `p`",
        ],
    );
}

#[test]
fn entries_of_inline_lists_are_what_rules_say() {
    let old = "lists: { gone: [v, w7, x1] }\nauth: { default: allow, rules: [ { id: gone, deny: { clientid: { in: gone } } } ] }";
    check(old, &old.replace("w7, ", ""), &["widened: deny by gone -> allow by default: clientid \"w7\": login"]);
    check(old, &old.replace("x1", "x1, z"), &["narrowed: allow by default -> deny by gone: clientid \"z\": login"]);
}

#[test]
fn a_list_that_is_read_from_elsewhere_may_hold_anything() {
    let old =
        "lists: { fleet: { file: a.txt } }\nauth: { rules: [ { id: fleet, allow: { clientid: { in: fleet } } } ] }";
    let found = diff(&policy(old), &policy(&old.replace("a.txt", "b.txt")), 0, &mut Budget::new(STEPS));
    let directions: Vec<ChangeDirection> = found.changes.iter().map(|change| change.difference.direction).collect();
    assert_eq!(directions, [ChangeDirection::Widened, ChangeDirection::Narrowed]);
    assert_eq!(found.notes, ["lists: `fleet` is read from elsewhere, and may hold anything"]);
}

#[test]
fn a_section_that_is_gone_leaves_all_to_the_broker() {
    check(
        "acl: { rules: [ { id: a, allow: everyone, publish: [\"a/#\"] } ] }",
        "auth: { default: ignore }",
        &[
            "widened: deny by default -> ignore by default: any client: publish \"x\"",
            "widened: deny by invalid-topic -> ignore by default: any client: publish \"+\"",
            "widened: deny by default -> ignore by default: any client: subscribe \"#\"",
            "widened: deny by invalid-topic -> ignore by default: any client: subscribe \"#/x\"",
            "narrowed: allow by a -> ignore by default: any client: publish \"a\"",
        ],
    );
}

#[test]
fn audit_opens_what_was_denied() {
    let text = "auth: { rules: [ { id: a, allow: { clientid: v } } ] }";
    let audit = format!("mode: audit\n{text}");
    check(
        text,
        &audit,
        &[
            "widened: deny by default -> ignore by default: no clientid: login",
            "narrowed: allow by a -> ignore by a: clientid \"v\": login",
        ],
    );
    // Two that only watch differ in what they record.
    check(&audit, &audit.replace("allow:", "ignore:"), &["narrowed: allow by a -> ignore by a: clientid \"v\": login"]);
}

#[test]
fn a_wildcard_that_is_cut_is_found() {
    check(
        "acl: { rules: [ { id: cut, deny: everyone, topics: [\"a/b/#\"] }, { id: all, allow: everyone, topics: [\"a/#\"] } ] }",
        "acl: { rules: [ { id: cut, deny: everyone, topics: [\"a/b/+\"] }, { id: all, allow: everyone, topics: [\"a/#\"] } ] }",
        &[
            "widened: deny by cut -> allow by all: any client: publish \"a/b\"",
            "widened: deny by cut -> allow by all: any client: subscribe \"a/b\"",
        ],
    );
}

/// Compares two policies within a bound of time, and says how many changes there are and whether
/// that is all.
#[track_caller]
fn bounded(old: &str, new: &str) -> (usize, bool) {
    let (old, new) = (policy(old), policy(new));
    let begun = Instant::now();
    let found = diff(&old, &new, 0, &mut Budget::new(STEPS));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    (found.changes.len(), found.unknown.is_empty())
}

#[test]
fn the_work_is_bounded() {
    let rules = |count: usize, rule: &dyn Fn(usize) -> String| -> String {
        let rules: Vec<String> = (0..count).map(|n| format!("  - {{ {} }}\n", rule(n))).collect();
        format!("acl:\n  rules:\n{}", rules.concat())
    };
    let globs = |effect: &'static str| {
        rules(2_000, &move |n| format!("{effect}: everyone, topics: [{{ glob: \"*{n}*/**/*{}*\" }}]", n % 7))
    };
    let (changes, complete) = bounded(&globs("allow"), &globs("deny"));
    assert!(changes > 0 && !complete);
    let whos = rules(200, &|n| format!("allow: {{ clientid: {{ glob: \"*{n}*\" }} }}, topics: [\"a/{n}/#\"]"));
    let (_, complete) = bounded(&whos, &whos.replace("a/7/#", "a/+/#"));
    assert!(!complete);
}

/// Most of a large policy has nothing to do with a change of one rule.
#[test]
fn a_small_change_of_a_large_policy_is_settled() {
    let rules: Vec<String> = (0..1_000)
        .map(|n| {
            format!("  - {{ id: r{n}, allow: {{ clientid: c{n} }}, topics: [\"a/{n}/#\", {{ glob: \"g/{n}/*\" }}] }}\n")
        })
        .collect();
    let text = format!("acl:\n  rules:\n{}", rules.concat());
    let new = text.replace("a/7/#", "a/7/+").replace("g/9/*", "g/9/**");
    assert_eq!(bounded(&text, &new), (4, true));
}
