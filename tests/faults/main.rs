//! The program while something around it fails: the process, the disk, the database, the pipes, what hangs.
//!
//! Each fault is a real one: a full file system, a lock of another process, a signal. Where the machine does not let one be
//! made (to mount takes root), the test says so on stderr and goes on with what is left. `EXHOOK_POLICY_SOAK=N` makes all of it
//! N times larger; `tests/soak` repeats that.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test fails by a panic"
)]

#[path = "../grpc/broker.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod broker;
#[path = "../grpc/dialect.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod dialect;
#[path = "../grpc/port.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod port;
#[path = "../grpc/server.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod server;
#[path = "../grpc/story.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod story;

mod clock;
mod database;
mod deadlines;
mod disk;
mod frames;
mod host;
mod kill;
mod load;
mod pipes;
mod policies;
mod produce;
mod resync;
mod scale;
