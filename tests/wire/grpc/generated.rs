//! The code that is made from `crates/runtime/src/grpc/exhook.proto` is that which is made from it.

use crate::support::golden::is_updating;
use std::fs;
use std::path::Path;

#[test]
fn the_code_of_the_messages_is_made_from_their_definition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/runtime/src/grpc");
    let out = tempfile::tempdir().unwrap();
    let definition = protox::compile(["exhook.proto"], [&folder]).unwrap();
    prost_build::Config::new()
        .bytes(["Message.payload"])
        .skip_debug(["Client", "Message"])
        .out_dir(out.path())
        .compile_fds(definition)
        .unwrap();
    let made = fs::read_to_string(out.path().join("exhook.rs")).unwrap();
    let path = folder.join("proto.rs");
    if is_updating() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(made == kept, "crates/runtime/src/grpc/proto.rs is not up to date: {COMMAND}");
}

const COMMAND: &str = "UPDATE_GOLDEN=1 cargo test --test wire generated";
