//! Any bytes as a policy: each is loaded or told what is wrong with it, and what loads decides. Rules in audit mode change nothing of
//! that, at whatever time.

#![no_main]

use std::path::Path;

use exhook_policy_core::decision::Mode;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::{self, Found, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match policy::parse_bytes(bytes, "rules.yaml", Path::new("/nowhere")) {
        Ok(loaded) => {
            let _ = loaded.warnings.to_string();
            let mut enforced = loaded.model.clone();
            enforced.auth.iter_mut().for_each(|auth| auth.rules.retain(|rule| rule.mode == Mode::Enforce));
            enforced.acl.iter_mut().for_each(|acl| acl.rules.retain(|rule| rule.mode == Mode::Enforce));
            let (policy, enforced) = (Policy::compile(loaded.model), Policy::compile(enforced));
            assert!(enforced.trial().is_none());
            let _ = policy.hooks();
            for at in TIMES {
                ask(&policy, &enforced, &Client { extra: Extra { at, ..Extra::NONE }, ..CLIENT });
            }
        }
        Err(report) => assert!(!report.to_string().is_empty()),
    }
});

/// Without a time, in the night to a Thursday and on a Tuesday at nine, both UTC.
const TIMES: [Option<i64>; 3] = [None, Some(0), Some(1_796_115_600_000)];

/// Asks the policy, the same without its rules in audit mode, and its trial.
fn ask(policy: &Policy, enforced: &Policy, client: &Client<'_>) {
    let lists = Lists::default();
    assert_eq!(policy.authenticate(client, &lists), enforced.authenticate(client, &lists));
    for found in [Found::Right, Found::Wrong, Found::Unknown, Found::Unreadable] {
        let decision = policy.login(client, &lists, |_| found);
        assert_eq!(decision, enforced.login(client, &lists, |_| found));
        if let Some(trial) = policy.trial() {
            let tried = trial.login(client, &lists, |_| found);
            // Without rules in audit mode in the section it is the same.
            assert!(policy.tried_logins().next().is_some() || tried == decision);
        }
    }
    for (action, topic) in [(Action::Publish, "a/b"), (Action::Subscribe, "a/#"), (Action::Subscribe, "+/+")] {
        let decision = policy.check_acl(client, action, topic, &lists);
        assert_eq!(decision, enforced.check_acl(client, action, topic, &lists));
        if let Some(trial) = policy.trial() {
            let tried = trial.check_acl(client, action, topic, &lists);
            assert!(policy.tried_topics().next().is_some() || tried == decision);
        }
    }
}

const CLIENT: Client<'static> = Client {
    clientid: "a",
    username: "b",
    peerhost: Peerhost::Other(""),
    sockport: 1883,
    protocol: "mqtt",
    mountpoint: "",
    node: "emqx@127.0.0.1",
    is_superuser: false,
    anonymous: true,
    extra: Extra::NONE,
};
