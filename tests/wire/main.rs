//! Bytes on a wire: the program as a broker calls it, by frames over pipes and by gRPC, with faults
//! and without; a policy that is changed while it runs, and the metrics that it tells.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by a panic"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what the other test programs need")]
mod support;

mod captures;
mod metrics;
mod port;
mod port_recordings;
mod reload;

#[cfg(feature = "grpc")]
mod faults;
#[cfg(feature = "grpc")]
mod grpc;
