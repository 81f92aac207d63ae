//! Any bytes as a policy: each is loaded or told what is wrong with it, and what loads decides.

#![no_main]

use std::path::Path;

use exhook_policy::event::{Action, Client, Extra, Peerhost};
use exhook_policy::policy::lists::Lists;
use exhook_policy::policy::{self, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match policy::parse_bytes(bytes, "rules.yaml", Path::new("/nowhere")) {
        Ok(loaded) => {
            let _ = loaded.warnings.to_string();
            let policy = Policy::compile(loaded.model);
            let _ = policy.hooks();
            let _ = policy.authenticate(&CLIENT, &Lists::default());
            for (action, topic) in [(Action::Publish, "a/b"), (Action::Subscribe, "a/#"), (Action::Subscribe, "+/+")] {
                let _ = policy.check_acl(&CLIENT, action, topic, &Lists::default());
            }
        }
        Err(report) => assert!(!report.to_string().is_empty()),
    }
});

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
