//! The transport of EMQX 4.3 and later: the broker calls methods of a gRPC service, `emqx.exhook.v1`, `v2` or
//! `v3.HookProvider`.
//!
//! - [`proto`]: the messages, of all versions at once; made from `exhook.proto`, which says how they differ.
//! - `dialect`: what the brokers' versions make of names and of answers.
//! - `request`: messages to events, also apart from any connection ([`event`]); `answer`: answers to messages.
//! - `peers`: what a broker said of itself when it loaded this provider, for those that say it no other time.
//! - `calls`: the calls that wait for an answer.
//! - `codec`: how a message is carried.
//! - `service`: one call: read, ask, wait no longer than the deadline, answer; `in_time`: how long that is.
//! - `listen`: connections, TLS; `links`: whose they are; `places`: how many there are, and who gets them.
//! - `drive`: HTTP/2 on each connection, and logins in the order in which they came.
//! - `held`: what calls under way keep, and how much of it a connection may have; `lines`: what is logged of this.
//! - [`server`]: all of it running, from the first connection to the end.
//!
//! **Whatever happens, a call is answered, and never with a gRPC error**: some brokers wait on one until their own
//! time-out, and all take it for permission unless they are told otherwise.

#[cfg(feature = "grpc")]
mod answer;
#[cfg(feature = "grpc")]
mod calls;
#[cfg(feature = "grpc")]
mod codec;
#[cfg_attr(not(feature = "grpc"), expect(dead_code, reason = "the server uses more of it"))]
mod dialect;
#[cfg(feature = "grpc")]
mod drive;
#[cfg(feature = "grpc")]
mod held;
#[cfg(feature = "grpc")]
mod in_time;
#[cfg(feature = "grpc")]
mod lines;
#[cfg(feature = "grpc")]
mod links;
#[cfg(feature = "grpc")]
mod listen;
#[cfg(feature = "grpc")]
mod peers;
#[cfg(feature = "grpc")]
mod places;
#[expect(missing_docs, clippy::pedantic, reason = "made by a program")]
#[rustfmt::skip]
pub mod proto;
#[cfg_attr(not(feature = "grpc"), expect(dead_code, reason = "the server uses more of it"))]
mod request;
#[cfg(feature = "grpc")]
pub mod server;
#[cfg(feature = "grpc")]
mod service;
#[cfg(feature = "grpc")]
#[cfg(test)]
mod service_tests;

#[cfg(feature = "grpc")]
pub use listen::{Renewed, Tls};
pub use request::event;

use std::fmt;

use zeroize::Zeroize;

/// Without the password.
impl fmt::Debug for proto::Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?}, {:?})", self.clientid, self.username)
    }
}

/// Without the bytes of the message.
impl fmt::Debug for proto::Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} bytes)", self.topic, self.payload.len())
    }
}

impl Drop for proto::Client {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}
