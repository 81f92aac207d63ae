//! A small MQTT client, which tries a policy on a live broker: MQTT 3.1.1 and 5 over TCP, blocking, one packet in
//! flight, and every wait with an end. TLS is not spoken.
//!
//! The packets are read and written by mqttbytes. What the broker sends is bounded in size, and only the types of
//! packets that a broker may send are read at all.

mod client;
mod packet;

use std::fmt;

pub use client::{LoginResult, MqttConnection, MqttLogin, MqttReply, resolve};
pub use packet::MqttMessage;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MqttVersion {
    /// MQTT 3.1.1, protocol level 4. Its PUBACK does not say whether a message was taken.
    V3,
    /// MQTT 5, protocol level 5.
    V5,
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MqttVersion::V3 => "MQTT 3.1.1",
            MqttVersion::V5 => "MQTT 5",
        })
    }
}

/// Why the broker did not do what it was asked for: the code of a CONNACK, SUBACK, PUBACK or DISCONNECT, whose
/// meaning depends on the version and the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttRefusal {
    /// No client of this name may, or not with this password. A SUBACK of 3.1.1 has only one code for all failures.
    NotAuthorized(u8),
    /// Something else, which says nothing about who may do what.
    Other(u8),
    /// The connection was closed without a word.
    Closed,
}

impl fmt::Display for MqttRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MqttRefusal::NotAuthorized(code) | MqttRefusal::Other(code) => match meaning(*code) {
                Some(meaning) => write!(f, "{meaning} (code {code:#04x})"),
                None => write!(f, "code {code:#04x}"),
            },
            MqttRefusal::Closed => f.write_str("the broker closed the connection"),
        }
    }
}

/// What a code says. Those under 0x80 are of a CONNACK of 3.1.1, the rest of MQTT 5.
fn meaning(code: u8) -> Option<&'static str> {
    Some(match code {
        0x01 | 0x84 => "the broker does not speak this version of MQTT",
        0x02 | 0x85 => "the clientid is not accepted",
        0x03 | 0x88 => "the broker is not available",
        0x04 | 0x86 => "bad username or password",
        0x05 | 0x87 => "not authorized",
        0x80 => "failure",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "the broker does not do this",
        0x89 => "the broker is busy",
        0x8a => "banned",
        0x8b => "the broker shuts down",
        0x8e => "another connection took this clientid over",
        0x8f => "the topic filter is not accepted",
        0x90 => "the topic name is not accepted",
        0x95 => "the packet is too large",
        0x97 => "quota exceeded",
        0x99 => "the payload is not accepted",
        0x9b => "this QoS is not accepted",
        0x9e => "shared subscriptions are not accepted",
        0x9f => "too many connections at once",
        0xa2 => "wildcard subscriptions are not accepted",
        _ => return None,
    })
}

/// The broker could not be reached, was silent, or sent what is no MQTT.
#[derive(Debug)]
pub struct MqttError(String);

impl MqttError {
    fn new(message: impl Into<String>) -> Self {
        MqttError(message.into())
    }
}

impl fmt::Display for MqttError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MqttError {}
