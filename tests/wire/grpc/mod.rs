//! `exhook-policy serve` before brokers of every version, as they speak by definitions of their own.

mod away;
mod both;
pub(crate) mod broker;
mod damaged;
mod decisions;
pub(crate) mod dialect;
mod faults;
mod floods;
mod generated;
mod limits;
mod pieces;
pub(crate) mod port;
mod raw;
mod recorded;
mod recorded_bytes;
mod registered;
mod reload;
mod secrets;
pub(crate) mod server;
pub(crate) mod story;
mod system;
mod tls;
mod wire;
