//! What runs a policy beside a broker. Data flows one way, and the modules are listed in that order:
//!
//! ```text
//!   broker ── bytes ──▶ port ── Event ──▶ engine ── Decision ──▶ Answer ──▶ port ── bytes ──▶ broker
//!                                          │   ▲
//!                             policy ──────┘   └────── password (hashes, on worker threads)
//!                             source (lists)           history  (SQLite, on its own thread)
//! ```
//!
//! - [`log`], [`clock`], [`files`]: lines on the broker's console; the time of day; files that are read within a bound,
//!   put in the place of others, and seen to change.
//! - [`process`]: this process and the broker's, each told from a later one of the same id.
//! - [`port`]: the transport of EMQX 4.1 and 4.2: frames of Erlang terms on a pair of pipes. It alone knows them; it
//!   turns a call into an event and an answer into a reply.
//! - `grpc`: the transport of EMQX 4.3 and later: methods of a gRPC service, which the broker calls. It alone knows
//!   its messages, and stands beside [`port`].
//! - [`recording`]: recorded events of a file, in the JSON form or as the bytes of a port.
//! - [`source`]: reads the files and databases that the policy's lists name, and keeps them fresh.
//! - [`password`]: looks up and verifies password hashes.
//! - [`limits`]: who is kept out for a while, because too many logins came or failed.
//! - [`history`]: online status, connection history and denials in SQLite.
//! - [`capture`]: what comes and what is decided, written as JSON lines by a thread of its own.
//! - [`metrics`]: counters and times, for Prometheus.
//! - [`state`]: how a process is, in a file; the last policy that was good; which hooks brokers registered.
//! - [`engine`]: puts the parts together: asks the policy, waits for passwords and commits, logs.
//!
//! What holds everywhere:
//!
//! - **The reading thread never waits**: not for the disk, not for a hash, not for the console and not for the broker
//!   to take replies. A broker whose driver does not read freezes all its clients.
//! - **Every call is answered exactly once**, within the policy's deadline; the broker takes silence and errors for
//!   permission.
//! - **Nothing but frames reaches the broker's pipe.** The descriptor is moved away at start.
//! - **No password** is in a log, a `Debug`, an error or a database.

pub mod capture;
pub mod clock;
pub mod engine;
pub mod files;
#[cfg(feature = "grpc-messages")]
pub mod grpc;
pub mod history;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod password;
pub mod port;
pub mod process;
pub mod recording;
pub mod source;
pub mod state;
