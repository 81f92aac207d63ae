//! The library and the command line, without a network and without other programs' servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what the other test programs need")]
mod support;

mod ask;
mod check;
mod convert;
mod demo;
mod docs;
mod doctor;
mod engine;
mod files;
mod history;
mod history_recordings;
mod history_tables;
mod hostile_policies;
mod install;
mod limits;
mod live;
mod names;
mod password;
mod policies;
mod schema_check;
mod shipped;
mod suites;
mod tidy;
mod tools;
mod topic_sets;
