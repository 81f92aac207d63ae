//! Sample clients against all clients of a small world, and cases.

mod random;

use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use exhook_policy_core::decision::Decision;
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::policy::who::Holds;
use exhook_policy_core::policy::{Policy, parse};

const WORK: usize = 20_000_000;

fn policy(text: &str) -> Policy {
    match parse(&format!("version: 1\n{text}"), "rules.yaml", Path::new("/etc")) {
        Ok(loaded) => Policy::compile(loaded.model),
        Err(report) => panic!("{text}: {report:?}"),
    }
}

/// The samples of the first login rule, told apart by all of them, as they are shown.
#[track_caller]
fn check(text: &str, complete: bool, expected: &[&str]) {
    let policy = policy(text);
    let whos: Vec<&Who> = policy.auth_rules().iter().map(|rule| &rule.who).collect();
    let found = AnalysisContext::new(&[&policy], 0).samples_about(whos[0], &whos[1..], &[], &mut Budget::new(WORK));
    for sample in &found.samples {
        assert_eq!(whos[0].holds(&sample.client(), sample.lists(0)), Holds::Yes, "{sample}");
    }
    let shown: Vec<String> = found.samples.iter().map(ToString::to_string).collect();
    assert_eq!((found.complete, shown.iter().map(String::as_str).collect::<Vec<_>>()), (complete, expected.to_vec()));
}

#[test]
fn everyone_is_one_client() {
    check("auth: { rules: [ { allow: everyone } ] }", true, &["any client"]);
}

#[test]
fn a_username_that_topics_tell_by_the_clientid_stands_for_no_other() {
    let policy = policy(
        r#"acl: { rules: [
            { allow: everyone, topics: ["x/a${clientid}", "x/${clientid}"] },
            { allow: { clientid: a }, topics: ["x/${username}"] },
        ] }"#,
    );
    let whos: Vec<&Who> = policy.acl_rules().iter().map(|rule| &rule.who).collect();
    let found = AnalysisContext::new(&[&policy], 0).samples(&Who::Everyone, &whos, &mut Budget::new(WORK));
    let usernames = found.samples.iter().map(Sample::client).filter(|client| client.clientid == "a");
    let usernames: Vec<&str> = usernames.map(|client| client.username).collect();
    assert!(found.complete);
    for username in ["a", "aa", "user"] {
        assert!(usernames.contains(&username), "{usernames:?}");
    }
}
