//! A password that a client sent is nowhere to be found afterwards.

use std::fs;

use super::recorded;
use super::vm::Played;
use crate::support::files::files_below;

#[test]
fn no_recorded_password_is_in_any_output_log_or_database() {
    let secrets: [&[u8]; 3] = [b"s3cret", &[255, 0, 1, b'b', b'i', b'n'], &[b'p'; 40]];
    let place = recorded::place();
    for version in ["4.1.5", "4.2.14"] {
        let Played { console, report } = recorded::play(&place, "recording", version);
        // The console shows every event, so that there was something to leave out.
        assert!(find(&console, b"cid-08"), "{}", String::from_utf8_lossy(&console));
        for secret in secrets {
            assert!(!find(&console, secret), "{}", String::from_utf8_lossy(&console));
            assert!(!find(&report.concat(), secret));
        }
    }
    let files = files_below(&place.path("policy"));
    assert!(files.iter().any(|file| file.ends_with("data/history.db")));
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for secret in secrets {
            assert!(!find(&bytes, secret), "{} holds {}", file.display(), secret.escape_ascii());
        }
    }
}

fn find(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
