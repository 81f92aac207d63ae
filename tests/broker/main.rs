//! The driver under a real Erlang VM: `tests/erlang/` is the broker's end of the port, these tests
//! start it, and look afterwards at its report, at the driver's log and at the database.

mod decisions;
mod faults;
mod history;
mod hostile;
mod recorded;
mod secrets;
mod vm;
