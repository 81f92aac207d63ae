//! `exhook-policy serve` before brokers of every version, as they speak by definitions of their own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by a panic"
)]

mod away;
mod both;
mod broker;
mod damaged;
mod decisions;
mod dialect;
mod faults;
mod floods;
mod generated;
mod limits;
mod pieces;
mod port;
mod raw;
mod registered;
mod reload;
mod secrets;
mod server;
mod story;
mod system;
mod tls;
mod wire;
