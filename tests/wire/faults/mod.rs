//! The program while something around it fails: the process, the disk, the database, the pipes, what hangs.
//!
//! Each fault is a real one: a full file system, a lock of another process, a signal. Where the machine does not let one be
//! made (to mount takes root), the test says so on stderr and goes on with what is left. `EXHOOK_POLICY_SOAK=N` makes all of it
//! N times larger; `tests/soak` repeats that.

use super::grpc::{broker, dialect, port, server, story};

mod clock;
mod database;
mod deadlines;
mod disk;
mod frames;
mod host;
mod kill;
mod load;
mod mended;
mod pipes;
mod policies;
mod produce;
mod resync;
mod status;
