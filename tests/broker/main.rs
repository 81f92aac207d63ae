//! The program with others: under a real Erlang VM, and before mosquitto.
//!
//! `tests/erlang/` is the broker's end of the port. These tests start it, and look afterwards at
//! its report, at the driver's log and at the database.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what the other test programs need")]
mod support;

mod decisions;
mod faults;
mod history;
mod hostile;
mod limits;
mod mosquitto;
mod recorded;
mod secrets;
mod vm;
