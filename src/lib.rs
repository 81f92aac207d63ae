//! Login and topic rules for the EMQX broker in one YAML file, with connection history in SQLite.
//!
//! The program runs as a port program of the broker, or as a gRPC server that brokers call. Data flows one way, and the modules are listed
//! in that order:
//!
//! ```text
//!   broker ── bytes ──▶ port ── Event ──▶ engine ── Decision ──▶ Answer ──▶ port ── bytes ──▶ broker
//!                                          │   ▲
//!                             policy ──────┘   └────── password (hashes, on worker threads)
//!                             source (lists)           history  (SQLite, on its own thread)
//! ```
//!
//! - [`launch`]: by which name the program was called: the broker's `python3` or `java`, or a person's
//!   `exhook-policy`.
//! - [`port`]: the transport of EMQX 4.1 and 4.2: frames of Erlang terms on a pair of pipes. It alone knows
//!   them; it turns a call into an [`event::Event`] and a [`decision::Answer`] into a reply.
//! - `grpc`: the transport of EMQX 4.3 and later: methods of a gRPC service, which the broker calls. It alone knows its
//!   messages, and stands beside [`port`].
//! - [`emqx`]: the versions of the broker, and how each asks.
//! - [`hook`], [`event`]: the broker's hooks, one row each, and what a call of each says; [`event::json`] writes it
//!   as a line and reads it back.
//! - [`handler`]: what a transport needs of whoever answers.
//! - [`engine`]: puts the parts together: asks the policy, waits for passwords and commits, logs.
//! - [`policy`]: one YAML file. Raw file → validated [`policy::model::Model`] → compiled
//!   [`policy::Policy`], which decides.
//! - [`text`], [`topic`]: what the policy's patterns mean: texts with placeholders, globs, regexes, and
//!   topics as sets.
//! - [`analysis`]: finitely many questions to a policy that stand for all questions.
//! - [`decision`], [`reply`]: what was decided, what is answered, and how a late answer finds its call.
//! - [`source`]: reads the files and databases that the policy's lists name, and keeps them fresh.
//! - [`password`]: looks up and verifies password hashes.
//! - [`limits`]: who is kept out for a while, because too many logins came or failed.
//! - [`history`]: online status, connection history and denials in SQLite.
//! - [`reverse`]: who can do something, and what a client can do, answered from the rules.
//! - [`state`]: how a process is, in a file; the last policy that was good; which hooks brokers registered.
//! - [`metrics`]: counters and times, for Prometheus.
//! - [`capture`]: what comes and what is decided, written as JSON lines by a thread of its own.
//! - [`replay`]: recorded events, JSON lines or frames, put to a policy again.
//! - [`mqtt`], [`live`]: a small MQTT client, and the tests of a policy tried on a live broker with it.
//! - [`doctor`]: reads a broker's settings for what fails open.
//! - [`log`], [`clock`]: lines on the broker's console; the time of day.
//! - [`stamp`], [`put`]: whether a file has changed; a file put in the place of another.
//! - [`input`]: files that are read, never more of them than a bound.
//! - [`convert`]: rules of other brokers as a policy to start from.
//! - [`suite`]: tests of a policy, and what stands in for its sources.
//! - [`cli`]: the commands, thin leaves over all of this.
//!
//! What holds everywhere:
//!
//! - **Deciding is pure.** [`policy::Policy`] reads no file, no clock and no environment, and it cannot
//!   fail: where it cannot tell, the decision is [`decision::Decision::ERROR`], which denies.
//! - **The reading thread never waits**: not for the disk, not for a hash, not for the console and not for the broker to take
//!   replies. A broker whose driver does not read freezes all its clients.
//! - **Every call is answered exactly once**, within the policy's deadline; the broker takes silence and
//!   errors for permission.
//! - **Nothing but frames reaches the broker's pipe.** The descriptor is moved away at start.
//! - **No password** is in a log, a `Debug`, an error or a database: [`event::Password`] cannot be
//!   printed.
//! - **Nothing of a transport** is in [`event`] or [`decision`].

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod convert;
pub mod decision;
pub mod doctor;
pub mod emqx;
pub mod engine;
pub mod event;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod handler;
pub mod history;
pub mod hook;
pub mod input;
pub mod launch;
pub mod limits;
pub mod live;
pub mod log;
pub mod metrics;
pub mod mqtt;
pub mod password;
pub mod policy;
pub mod port;
pub mod put;
pub mod replay;
pub mod reply;
pub mod reverse;
pub mod source;
pub mod stamp;
pub mod state;
pub mod suite;
pub mod text;
pub mod topic;
