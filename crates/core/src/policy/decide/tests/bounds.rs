//! Questions whose texts were chosen to take long.

use std::path::Path;
use std::time::Instant;

use super::*;
use crate::policy;
use crate::policy::codes::Code;

fn load(text: &str) -> Policy {
    Policy::compile(policy::parse(&format!("version: 1\n{text}"), "rules.yaml", Path::new("")).unwrap().model)
}

fn publish(policy: &Policy, topic: &str) -> Decision<'static> {
    let decision = policy.check_acl(&client("c", "u"), Action::Publish, topic, &Lists::none());
    Decision { verdict: decision.verdict, rule: if decision == Decision::ERROR { "error" } else { "rule" } }
}

/// Twenty rules, each of which alone is more than a question may cost.
fn twenty(verdict: &str, default: &str) -> Policy {
    let rules: Vec<String> = (900..920)
        .map(|n| format!("    - {{ {verdict}: everyone, topics: [{{ regex: \".*a.{{{n}}}b\" }}] }}\n"))
        .collect();
    load(&format!("acl:\n  default: {default}\n  rules:\n{}", rules.concat()))
}

#[test]
fn a_topic_that_costs_too_much_is_denied() {
    let long = "a".repeat(65_000);
    for (policy, wanted) in [(twenty("allow", "deny"), Verdict::Deny), (twenty("deny", "allow"), Verdict::Deny)] {
        let start = Instant::now();
        assert_eq!(publish(&policy, &long).verdict, wanted);
        // Without optimisation on a busy machine; the steps are what is bounded.
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}

#[test]
fn a_topic_of_usual_length_is_decided_as_written() {
    let (allow, deny) = (twenty("allow", "deny"), twenty("deny", "allow"));
    for (topic, matches) in [("a/b/c".to_owned(), false), (format!("a{}b", "x".repeat(910)), true)] {
        assert_eq!(publish(&allow, &topic).verdict == Verdict::Allow, matches);
        assert_eq!(publish(&deny, &topic).verdict == Verdict::Deny, matches);
    }
}

#[test]
fn ten_thousand_usual_patterns_stay_within_the_bound() {
    let patterns: Vec<String> = (0..10_000)
        .map(|n| match n % 4 {
            0 => format!("      - {{ glob: \"**/dev-{n}/*\" }}\n"),
            1 => format!("      - {{ regex: \".*/dev-{n}/[a-z]+\" }}\n"),
            2 => format!("      - {{ regex: \"[^/]+/dev{n}-.*\" }}\n"),
            _ => format!("      - {{ glob: \"*/{n}-?/**\" }}\n"),
        })
        .collect();
    let policy = load(&format!("acl:\n  rules:\n    - allow: everyone\n      publish:\n{}", patterns.concat()));
    let topic = format!("plant/{}/dev-9996/x", "level/".repeat(48));
    assert!(topic.len() > 300);
    assert_eq!(publish(&policy, &topic).verdict, Verdict::Allow);
}

#[test]
fn a_name_that_costs_too_much_is_denied() {
    let long = "a".repeat(65_535);
    for field in ["clientid", "username"] {
        let text = format!(
            "auth:\n  default: allow\n  rules:\n    - {{ allow: {{ {field}: {{ not: {{ regex: \".*a.{{900}}b\" }} }} }} }}\n"
        );
        let warnings = policy::parse(&format!("version: 1\n{text}"), "rules.yaml", Path::new("")).unwrap().warnings;
        assert!(warnings.diagnostics().iter().any(|one| one.code() == Code::CostlyPattern));
        let policy = load(&text);
        let login = |name: &str| match policy.authenticate(&client(name, name), &Lists::none()) {
            Login::Decided(decision) => (decision.verdict, decision == Decision::ERROR),
            Login::Password { .. } => panic!("no rule asks for a password"),
        };
        assert_eq!(login(&long), (Verdict::Deny, true));
        assert_eq!(login("dev-1"), (Verdict::Allow, false));
    }
}

#[test]
fn a_question_weighs_by_its_length_and_its_patterns() {
    let (costly, plain) = (twenty("allow", "deny"), load("acl: { rules: [{ allow: everyone, topics: [\"a/#\"] }] }\n"));
    let asks = |policy: &Policy, topic: &str| {
        policy.weight(&Event::CheckAcl { client: client("c", "u"), action: Action::Publish, topic })
    };
    let topics = [65_000, 200, 5].map(|length| "a".repeat(length));
    assert_eq!(topics.map(|topic| asks(&costly, &topic)), [Weight::Long, Weight::Usual, Weight::Light]);
    assert_eq!(asks(&plain, &"a".repeat(65_000)), Weight::Light);
    let usual = load("acl: { rules: [{ allow: everyone, topics: [{ glob: \"**/x\" }, { regex: \".*y\" }] }] }\n");
    assert_eq!([asks(&usual, "a/b/c"), asks(&usual, &"a".repeat(65_000))], [Weight::Light; 2]);
}
