//! All that is written to the database, and the database itself: its file, its schema, and what an event, a refusal or a
//! ban does to its rows. Only [`super::writer`] calls it, and the commands that lift bans and settle what is unsure.
//!
//! - [`store`]: the file and its WAL.
//! - [`migrations`]: the schema, brought up to date.
//! - [`apply`]: what an event does to the rows; here are the rules of take-overs.
//! - [`registry`]: under which broker's row an event is written, and whether it is written here.
//! - [`brokers`]: which broker process and which drivers are alive, and what they missed.
//! - [`servers`]: the same where brokers call a server.
//! - [`denials`]: refusals, a row for each kind of them and minute.
//! - [`bans`]: who is kept out for a while, shared with all that use the file.
//! - [`unsure`]: what is unsure, found and settled.
//! - [`long_names`]: those that an older version wrote whole.
//! - [`retention`]: old rows go.

pub(super) mod apply;
pub(super) mod bans;
mod brokers;
pub(super) mod denials;
pub(super) mod long_names;
mod migrations;
#[cfg(test)]
mod model;
pub(super) mod registry;
pub(super) mod retention;
mod servers;
pub(super) mod store;
pub(super) mod unsure;
