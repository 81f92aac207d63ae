//! The packets of both versions, as far as a client needs them.

use bytes::BytesMut;
use mqttbytes::{Error as Malformed, QoS, v4, v5};

use super::{MqttError, MqttRefusal, MqttVersion};

/// The largest packet that is read from the broker, in bytes. EMQX carries messages of up to 1 MiB unless it is told
/// otherwise.
pub(super) const MAX_PACKET: usize = 2 * 1024 * 1024;
/// The longest text in a packet, in bytes.
pub(super) const MAX_TEXT: usize = u16::MAX as usize;

/// A packet of the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IncomingPacket {
    /// The answer to the packet of this number, 0 for a CONNACK and a PINGRESP. A PUBACK of 3.1.1 never refuses.
    Ack(Ack, u16, Option<MqttRefusal>),
    Publish(MqttMessage),
    Disconnect(MqttRefusal),
}

/// What an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Ping,
}

impl Ack {
    /// The name of the packet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ack::Connect => "CONNACK",
            Ack::Subscribe => "SUBACK",
            Ack::Unsubscribe => "UNSUBACK",
            Ack::Publish => "PUBACK",
            Ack::Ping => "PINGRESP",
        }
    }
}

/// A message that the broker delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttMessage {
    /// The topic name.
    pub topic: String,
    /// The bytes that it carries.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from before.
    pub retained: bool,
}

/// What the client sends.
#[derive(Clone, Copy)]
pub(super) enum OutgoingPacket<'a> {
    Connect {
        clientid: &'a str,
        username: &'a str,
        password: &'a str,
    },
    Subscribe(u16, &'a str),
    Unsubscribe(u16, &'a str),
    /// With quality of service 1.
    Publish(u16, &'a str, &'a [u8]),
    Ping,
    Disconnect,
}

/// Takes one packet off the front of the buffer; `None` where it is not there as a whole yet.
pub(super) fn read(version: MqttVersion, buffer: &mut BytesMut) -> Result<Option<IncomingPacket>, MqttError> {
    if let Some(&first) = buffer.first() {
        check_first(version, first)?;
    }
    let header = match mqttbytes::check(buffer.iter(), MAX_PACKET) {
        Ok(header) => header,
        Err(Malformed::InsufficientBytes(_)) => return Ok(None),
        Err(Malformed::PayloadSizeLimitExceeded(size)) => {
            return Err(MqttError::new(format!(
                "the broker sent a packet of {size} bytes; up to {MAX_PACKET} are read"
            )));
        }
        Err(error) => return Err(malformed(error)),
    };
    let mut packet = buffer.split_to(header.frame_length());
    let kind = packet.first().map_or(0, |byte| byte >> 4);
    match (kind, version) {
        // A broker that speaks no MQTT 5 says so in a CONNACK of 3.1.1, which is four bytes long.
        (CONNACK, MqttVersion::V5) if packet.len() == 4 => read_v4(&mut packet),
        // The reader of mqttbytes knows no DISCONNECT without its reason and without its properties.
        (DISCONNECT, MqttVersion::V5) if packet.len() < 4 => {
            Ok(disconnected(packet.get(2).copied().unwrap_or_default()))
        }
        (_, MqttVersion::V3) => read_v4(&mut packet),
        (_, MqttVersion::V5) => read_v5(&mut packet),
    }
    .map(Some)
}

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

/// The first byte alone tells most of what is no MQTT from what is.
fn check_first(version: MqttVersion, first: u8) -> Result<(), MqttError> {
    match (first >> 4, first & 0x0f, version) {
        (PUBLISH, _, _)
        | (CONNACK | PUBACK | SUBACK | UNSUBACK | PINGRESP, 0, _)
        | (DISCONNECT, 0, MqttVersion::V5) => Ok(()),
        _ => Err(MqttError::new(format!(
            "the broker sent what is no packet of a broker (it begins with byte {first:#04x})"
        ))),
    }
}

fn malformed(error: Malformed) -> MqttError {
    MqttError::new(format!("the broker sent what is no MQTT packet ({error:?})"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the types that a broker does not send are refused before")]
fn read_v4(packet: &mut BytesMut) -> Result<IncomingPacket, MqttError> {
    use v4::{ConnectReturnCode as Code, Packet};
    Ok(match v4::read(packet, MAX_PACKET).map_err(malformed)? {
        Packet::ConnAck(ack) => {
            let refusal = match ack.code {
                Code::Success => None,
                code @ (Code::BadUserNamePassword | Code::NotAuthorized) => {
                    Some(MqttRefusal::NotAuthorized(code as u8))
                }
                code @ (Code::RefusedProtocolVersion | Code::BadClientId | Code::ServiceUnavailable) => {
                    Some(MqttRefusal::Other(code as u8))
                }
            };
            IncomingPacket::Ack(Ack::Connect, 0, refusal)
        }
        Packet::SubAck(ack) => {
            let refused = ack.return_codes.contains(&v4::SubscribeReasonCode::Failure);
            IncomingPacket::Ack(Ack::Subscribe, ack.pkid, refused.then_some(MqttRefusal::NotAuthorized(0x80)))
        }
        Packet::PubAck(ack) => IncomingPacket::Ack(Ack::Publish, ack.pkid, None),
        Packet::UnsubAck(ack) => IncomingPacket::Ack(Ack::Unsubscribe, ack.pkid, None),
        Packet::Publish(message) => IncomingPacket::Publish(MqttMessage {
            topic: message.topic,
            payload: message.payload.to_vec(),
            retained: message.retain,
        }),
        Packet::PingResp => IncomingPacket::Ack(Ack::Ping, 0, None),
        _ => return Err(malformed(Malformed::IncorrectPacketFormat)),
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the types that a broker does not send are refused before")]
fn read_v5(packet: &mut BytesMut) -> Result<IncomingPacket, MqttError> {
    use v5::Packet;
    Ok(match v5::read(packet, MAX_PACKET).map_err(malformed)? {
        Packet::ConnAck(ack) => IncomingPacket::Ack(Ack::Connect, 0, refusal(ack.code as u8)),
        Packet::SubAck(ack) => {
            let code = ack.return_codes.first().map_or(0, |code| *code as u8);
            IncomingPacket::Ack(Ack::Subscribe, ack.pkid, refusal(code))
        }
        Packet::PubAck(ack) => IncomingPacket::Ack(Ack::Publish, ack.pkid, refusal(ack.reason as u8)),
        Packet::UnsubAck(ack) => IncomingPacket::Ack(Ack::Unsubscribe, ack.pkid, None),
        Packet::Publish(message) => IncomingPacket::Publish(MqttMessage {
            topic: message.topic,
            payload: message.payload.to_vec(),
            retained: message.retain,
        }),
        Packet::PingResp => IncomingPacket::Ack(Ack::Ping, 0, None),
        Packet::Disconnect(packet) => disconnected(packet.reason_code as u8),
        _ => return Err(malformed(Malformed::IncorrectPacketFormat)),
    })
}

/// The reason codes of MQTT 5 under 0x80 are good news.
fn refusal(code: u8) -> Option<MqttRefusal> {
    match code {
        0..0x80 => None,
        0x86 | 0x87 => Some(MqttRefusal::NotAuthorized(code)),
        _ => Some(MqttRefusal::Other(code)),
    }
}

fn disconnected(code: u8) -> IncomingPacket {
    IncomingPacket::Disconnect(refusal(code).unwrap_or(MqttRefusal::Closed))
}

/// Appends a packet. Texts must not be longer than [`MAX_TEXT`].
pub(super) fn write(version: MqttVersion, packet: OutgoingPacket<'_>, buffer: &mut BytesMut) -> Result<(), MqttError> {
    let written = match version {
        MqttVersion::V3 => write_v4(packet, buffer),
        MqttVersion::V5 => write_v5(packet, buffer),
    };
    written.map(drop).map_err(|error| MqttError::new(format!("the packet cannot be written ({error:?})")))
}

/// Seconds without a packet after which the broker closes the connection. Nothing here waits that long.
const KEEP_ALIVE: u16 = 120;

fn write_v4(packet: OutgoingPacket<'_>, buffer: &mut BytesMut) -> Result<usize, Malformed> {
    match packet {
        OutgoingPacket::Connect { clientid, username, password } => {
            let mut connect = v4::Connect::new(clientid);
            connect.keep_alive = KEEP_ALIVE;
            connect.set_login(username, password);
            connect.write(buffer)
        }
        OutgoingPacket::Subscribe(pkid, filter) => {
            let mut subscribe = v4::Subscribe::new(filter, QoS::AtMostOnce);
            subscribe.pkid = pkid;
            subscribe.write(buffer)
        }
        OutgoingPacket::Unsubscribe(pkid, filter) => {
            let mut unsubscribe = v4::Unsubscribe::new(filter);
            unsubscribe.pkid = pkid;
            unsubscribe.write(buffer)
        }
        OutgoingPacket::Publish(pkid, topic, payload) => {
            let mut publish = v4::Publish::new(topic, QoS::AtLeastOnce, payload);
            publish.pkid = pkid;
            publish.write(buffer)
        }
        OutgoingPacket::Ping => v4::PingReq.write(buffer),
        OutgoingPacket::Disconnect => v4::Disconnect.write(buffer),
    }
}

fn write_v5(packet: OutgoingPacket<'_>, buffer: &mut BytesMut) -> Result<usize, Malformed> {
    match packet {
        OutgoingPacket::Connect { clientid, username, password } => {
            let mut connect = v5::Connect::new(clientid);
            connect.keep_alive = KEEP_ALIVE;
            connect.set_login(username, password);
            connect.write(buffer)
        }
        OutgoingPacket::Subscribe(pkid, filter) => {
            let mut subscribe = v5::Subscribe::new(filter, QoS::AtMostOnce);
            subscribe.pkid = pkid;
            subscribe.write(buffer)
        }
        OutgoingPacket::Unsubscribe(pkid, filter) => {
            let mut unsubscribe = v5::Unsubscribe::new(filter);
            unsubscribe.pkid = pkid;
            unsubscribe.write(buffer)
        }
        OutgoingPacket::Publish(pkid, topic, payload) => {
            let mut publish = v5::Publish::new(topic, QoS::AtLeastOnce, payload);
            publish.pkid = pkid;
            publish.write(buffer)
        }
        OutgoingPacket::Ping => v5::PingReq.write(buffer),
        OutgoingPacket::Disconnect => v5::Disconnect::new().write(buffer),
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
