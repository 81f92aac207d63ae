//! Any bytes as the message of each gRPC method: each is an event or told why not, and what is an event can be
//! captured and read again.

#![no_main]

use exhook_policy_core::event::json;
use exhook_policy_runtime::grpc;
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 16] = [
    "OnClientConnect",
    "OnClientConnack",
    "OnClientConnected",
    "OnClientDisconnected",
    "OnClientAuthenticate",
    "OnClientCheckAcl",
    "OnClientSubscribe",
    "OnClientUnsubscribe",
    "OnSessionCreated",
    "OnSessionResumed",
    "OnSessionDiscarded",
    "OnSessionTakenover",
    "OnSessionSubscribed",
    "OnSessionUnsubscribed",
    "OnSessionTerminated",
    "OnMessagePublish",
];

fuzz_target!(|bytes: &[u8]| {
    for package in ["v1", "v3"] {
        for method in METHODS {
            match grpc::event(&format!("/emqx.exhook.{package}.HookProvider/{method}"), bytes) {
                Ok(event) => {
                    let line = json::write(&event.as_event(), 0);
                    assert_eq!(json::read(&line).as_ref(), Ok(&event), "{line}");
                }
                Err(problem) => assert!(!problem.is_empty()),
            }
        }
    }
});
