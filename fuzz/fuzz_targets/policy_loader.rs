//! Any bytes as a policy: each is loaded or told what is wrong with it, and what loads decides.

#![no_main]

use std::path::Path;

use exhook_policy::policy::{self, Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match policy::parse_bytes(bytes, "rules.yaml", Path::new("/nowhere")) {
        Ok(loaded) => {
            let _ = loaded.warnings.to_string();
            let policy = Policy::compile(loaded.model);
            let _ = policy.hooks();
        }
        Err(report) => assert!(!report.to_string().is_empty()),
    }
});
