//! The driver under a real Erlang VM: `tests/erlang/` is the broker's end of the port, these tests
//! start it, and look afterwards at its report, at the driver's log and at the database.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by a panic"
)]

mod decisions;
mod faults;
mod history;
mod hostile;
mod limits;
mod recorded;
mod secrets;
mod vm;
