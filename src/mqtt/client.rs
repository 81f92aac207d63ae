//! One connection: a login, and one question at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::packet::{self, Ack, IncomingPacket, MAX_TEXT, OutgoingPacket};
use super::{MqttError, MqttRefusal, MqttVersion};

/// The name to log in with. An empty username or password is not sent.
#[derive(Clone, Copy)]
pub struct MqttLogin<'a> {
    /// The clientid, of up to 65,535 bytes.
    pub clientid: &'a str,
    /// The username, of up to 65,535 bytes.
    pub username: &'a str,
    /// The password, of up to 65,535 bytes.
    pub password: &'a str,
}

/// What the broker said to a login.
pub enum LoginResult {
    /// The client is in.
    In(Box<MqttConnection>),
    /// It is not.
    Refused(MqttRefusal),
}

/// What the broker said to a subscription or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttReply {
    /// It did what it was asked for; of a message in 3.1.1, that it has come.
    Done,
    /// It did not. With [`MqttRefusal::Closed`], and after a DISCONNECT, the connection is gone.
    Refused(MqttRefusal),
}

/// A client that is logged in, with a clean session.
pub struct MqttConnection {
    stream: TcpStream,
    version: MqttVersion,
    /// How long the broker may take to answer.
    patience: Duration,
    received: BytesMut,
    last_pkid: u16,
    open: bool,
    watched: Option<ExpectedMessage>,
}

/// The one message that is looked out for.
struct ExpectedMessage {
    topic: String,
    payload: Vec<u8>,
    arrived: bool,
}

/// The addresses behind `HOST:PORT`.
///
/// # Errors
/// Where it is none, or the name has no address.
pub fn resolve(broker: &str) -> Result<Vec<SocketAddr>, MqttError> {
    match broker.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(MqttError::new(format!("{broker} is no address of a broker, HOST:PORT: {error}"))),
    }
}

impl MqttConnection {
    /// Logs in, with a clean session, at the first of the addresses that takes a connection. Every wait for the broker
    /// ends after `patience`.
    ///
    /// # Errors
    /// Where no address takes a connection, and where the broker is silent or sends what is no CONNACK.
    pub fn login(
        addresses: &[SocketAddr],
        version: MqttVersion,
        login: MqttLogin<'_>,
        patience: Duration,
    ) -> Result<LoginResult, MqttError> {
        let stream = dial(addresses, patience)?;
        let mut connection = MqttConnection {
            stream,
            version,
            patience,
            received: BytesMut::new(),
            last_pkid: 0,
            open: true,
            watched: None,
        };
        let MqttLogin { clientid, username, password } = login;
        check_texts([clientid, username, password])?;
        connection.send(OutgoingPacket::Connect { clientid, username, password })?;
        match connection.receive(Instant::now() + patience, Ack::Connect)? {
            Some(IncomingPacket::Ack(Ack::Connect, _, None)) => Ok(LoginResult::In(Box::new(connection))),
            Some(IncomingPacket::Ack(Ack::Connect, _, Some(refusal)) | IncomingPacket::Disconnect(refusal)) => {
                Ok(LoginResult::Refused(refusal))
            }
            None => Ok(LoginResult::Refused(MqttRefusal::Closed)),
            Some(IncomingPacket::Ack(..) | IncomingPacket::Publish(_)) => {
                Err(MqttError::new("the broker answered the CONNECT with another packet than a CONNACK"))
            }
        }
    }

    /// Whether the broker has not closed the connection.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Subscribes to one topic filter, with quality of service 0.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn subscribe(&mut self, filter: &str) -> Result<MqttReply, MqttError> {
        check_texts([filter])?;
        let pkid = self.next_pkid();
        self.ask(OutgoingPacket::Subscribe(pkid, filter), Ack::Subscribe, pkid)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn unsubscribe(&mut self, filter: &str) -> Result<MqttReply, MqttError> {
        check_texts([filter])?;
        let pkid = self.next_pkid();
        self.ask(OutgoingPacket::Unsubscribe(pkid, filter), Ack::Unsubscribe, pkid)
    }

    /// Publishes a message with quality of service 1, not retained.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<MqttReply, MqttError> {
        check_texts([topic])?;
        let pkid = self.next_pkid();
        self.ask(OutgoingPacket::Publish(pkid, topic, payload), Ack::Publish, pkid)
    }

    /// From now on looks out for this message, among what the client's subscriptions bring.
    pub fn watch(&mut self, topic: &str, payload: &[u8]) {
        self.watched = Some(ExpectedMessage { topic: topic.to_owned(), payload: payload.to_owned(), arrived: false });
    }

    /// Whether the message that is looked out for has come, or comes within this time. That it has not is said only
    /// once the broker has shown that it still talks to this client.
    ///
    /// # Errors
    /// Where the broker has closed the connection, is silent, or sends what is no packet.
    pub fn arrived(&mut self, within: Duration) -> Result<bool, MqttError> {
        let until = Instant::now() + within;
        while self.open && !self.has_arrived() && Instant::now() < until {
            if self.take()?.is_none() && self.fill(until)? == ReadResult::Closed {
                self.open = false;
            }
        }
        // What the broker sent before its answer to a PINGREQ has been seen then.
        if self.open && !self.has_arrived() {
            self.ask(OutgoingPacket::Ping, Ack::Ping, 0)?;
        }
        match (self.has_arrived(), self.open) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(MqttError::new("the broker closed the connection of the observer")),
        }
    }

    /// Says goodbye, so that the broker keeps nothing of this client.
    pub fn disconnect(mut self) {
        // The connection is closed either way.
        let _ = self.send(OutgoingPacket::Disconnect);
    }

    fn has_arrived(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.arrived)
    }

    fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// Sends a packet and reads until its answer. A connection that the broker closes is an answer too.
    fn ask(&mut self, packet: OutgoingPacket<'_>, wanted: Ack, number: u16) -> Result<MqttReply, MqttError> {
        self.send(packet)?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.receive(deadline, wanted)? {
                None => return Ok(MqttReply::Refused(MqttRefusal::Closed)),
                Some(IncomingPacket::Disconnect(refusal)) => return Ok(MqttReply::Refused(refusal)),
                Some(IncomingPacket::Ack(of, pkid, refusal)) if of == wanted && pkid == number => {
                    return Ok(refusal.map_or(MqttReply::Done, MqttReply::Refused));
                }
                // Messages, and answers that are not waited for.
                Some(IncomingPacket::Ack(..) | IncomingPacket::Publish(_)) => {}
            }
        }
    }

    fn send(&mut self, packet: OutgoingPacket<'_>) -> Result<(), MqttError> {
        let mut bytes = BytesMut::new();
        packet::write(self.version, packet, &mut bytes)?;
        match self.stream.write_all(&bytes) {
            Ok(()) => Ok(()),
            // What the broker said before it closed the connection is still to be read.
            Err(error) if is_closed(&error) => Ok(()),
            Err(error) => Err(MqttError::new(format!("the broker takes nothing: {error}"))),
        }
    }

    /// The next packet; `None` where the broker closed the connection.
    fn receive(&mut self, deadline: Instant, wanted: Ack) -> Result<Option<IncomingPacket>, MqttError> {
        while Instant::now() < deadline {
            if let Some(packet) = self.take()? {
                return Ok(Some(packet));
            }
            if self.fill(deadline)? == ReadResult::Closed {
                self.open = false;
                return Ok(None);
            }
        }
        Err(MqttError::new(format!("the broker sent no {} within {:?}", wanted.name(), self.patience)))
    }

    /// Takes a packet that has been read, and compares it with the one that is looked out for.
    fn take(&mut self) -> Result<Option<IncomingPacket>, MqttError> {
        let packet = packet::read(self.version, &mut self.received)?;
        self.open &= !matches!(packet, Some(IncomingPacket::Disconnect(_)));
        if let (Some(IncomingPacket::Publish(message)), Some(watched)) = (&packet, &mut self.watched) {
            // A message that the broker had kept is no proof that this one came through.
            watched.arrived |=
                !message.retained && message.topic == watched.topic && message.payload == watched.payload;
        }
        Ok(packet)
    }

    /// Waits for bytes of the broker.
    fn fill(&mut self, deadline: Instant) -> Result<ReadResult, MqttError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(ReadResult::Late);
        }
        let failed = |error: io::Error| MqttError::new(format!("nothing can be read from the broker: {error}"));
        self.stream.set_read_timeout(Some(left)).map_err(failed)?;
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(ReadResult::Closed),
            Ok(read) => {
                self.received.extend_from_slice(bytes.get(..read).unwrap_or_default());
                Ok(ReadResult::Some)
            }
            Err(error) if is_closed(&error) => Ok(ReadResult::Closed),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(ReadResult::Late)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(ReadResult::Some),
            Err(error) => Err(failed(error)),
        }
    }
}

/// What came of waiting for bytes.
#[derive(Debug, PartialEq, Eq)]
enum ReadResult {
    Some,
    Closed,
    Late,
}

fn dial(addresses: &[SocketAddr], patience: Duration) -> Result<TcpStream, MqttError> {
    let mut tried = Vec::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, patience) {
            Ok(stream) => {
                let set = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(patience)));
                return set.map(|()| stream).map_err(|error| MqttError::new(format!("{address}: {error}")));
            }
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    Err(MqttError::new(format!("no connection to the broker: {}", tried.join("; "))))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
    )
}

fn check_texts<const N: usize>(texts: [&str; N]) -> Result<(), MqttError> {
    if texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(MqttError::new(format!("a text is longer than the {MAX_TEXT} bytes that MQTT carries")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
