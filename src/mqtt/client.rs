//! One connection: a login, and one question at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::packet::{self, Ack, Incoming, MAX_TEXT, Outgoing};
use super::{Error, Refusal, Version};

/// Whom to log in as. An empty username or password is not sent.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The clientid, of up to 65,535 bytes.
    pub clientid: &'a str,
    /// The username, of up to 65,535 bytes.
    pub username: &'a str,
    /// The password, of up to 65,535 bytes.
    pub password: &'a str,
}

/// What the broker said to a login.
pub enum Connected {
    /// The client is in.
    In(Box<Connection>),
    /// It is not.
    Refused(Refusal),
}

/// What the broker said to a subscription or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It did what it was asked for; of a message in 3.1.1, that it has come.
    Done,
    /// It did not. With [`Refusal::Closed`], and after a DISCONNECT, the connection is gone.
    Refused(Refusal),
}

/// A client that is logged in, with a clean session.
pub struct Connection {
    stream: TcpStream,
    version: Version,
    /// How long the broker may take to answer.
    patience: Duration,
    received: BytesMut,
    last_pkid: u16,
    open: bool,
    watched: Option<Watched>,
}

/// The one message that is looked out for.
struct Watched {
    topic: String,
    payload: Vec<u8>,
    arrived: bool,
}

/// The addresses behind `HOST:PORT`.
///
/// # Errors
/// Where it is none, or the name has no address.
pub fn resolve(broker: &str) -> Result<Vec<SocketAddr>, Error> {
    match broker.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(Error::new(format!("{broker} is no address of a broker, HOST:PORT: {error}"))),
    }
}

impl Connection {
    /// Logs in, with a clean session, at the first of the addresses that takes a connection. Every wait for the broker
    /// ends after `patience`.
    ///
    /// # Errors
    /// Where no address takes a connection, and where the broker is silent or sends what is no CONNACK.
    pub fn login(
        addresses: &[SocketAddr],
        version: Version,
        login: Login<'_>,
        patience: Duration,
    ) -> Result<Connected, Error> {
        let stream = dial(addresses, patience)?;
        let mut connection = Connection {
            stream,
            version,
            patience,
            received: BytesMut::new(),
            last_pkid: 0,
            open: true,
            watched: None,
        };
        let Login { clientid, username, password } = login;
        check_texts([clientid, username, password])?;
        connection.send(Outgoing::Connect { clientid, username, password })?;
        match connection.receive(Instant::now() + patience, Ack::Connect)? {
            Some(Incoming::Ack(Ack::Connect, _, None)) => Ok(Connected::In(Box::new(connection))),
            Some(Incoming::Ack(Ack::Connect, _, Some(refusal)) | Incoming::Disconnect(refusal)) => {
                Ok(Connected::Refused(refusal))
            }
            None => Ok(Connected::Refused(Refusal::Closed)),
            Some(Incoming::Ack(..) | Incoming::Publish(_)) => {
                Err(Error::new("the broker answered the CONNECT with another packet than a CONNACK"))
            }
        }
    }

    /// Where the connection comes from, as this end knows it.
    ///
    /// # Errors
    /// Where the socket does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Whether the broker has not closed the connection.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Subscribes to one topic filter, with quality of service 0.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn subscribe(&mut self, filter: &str) -> Result<Reply, Error> {
        check_texts([filter])?;
        let pkid = self.next_pkid();
        self.ask(Outgoing::Subscribe(pkid, filter), Ack::Subscribe, pkid)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn unsubscribe(&mut self, filter: &str) -> Result<Reply, Error> {
        check_texts([filter])?;
        let pkid = self.next_pkid();
        self.ask(Outgoing::Unsubscribe(pkid, filter), Ack::Unsubscribe, pkid)
    }

    /// Publishes a message with quality of service 1, not retained.
    ///
    /// # Errors
    /// Where the broker is silent, or sends what is no packet.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<Reply, Error> {
        check_texts([topic])?;
        let pkid = self.next_pkid();
        self.ask(Outgoing::Publish(pkid, topic, payload), Ack::Publish, pkid)
    }

    /// From now on looks out for this message, among what the client's subscriptions bring.
    pub fn watch(&mut self, topic: &str, payload: &[u8]) {
        self.watched = Some(Watched { topic: topic.to_owned(), payload: payload.to_owned(), arrived: false });
    }

    /// Whether the message that is looked out for has come, or comes within this time. That it has not is said only
    /// once the broker has shown that it still talks to this client.
    ///
    /// # Errors
    /// Where the broker has closed the connection, is silent, or sends what is no packet.
    pub fn arrived(&mut self, within: Duration) -> Result<bool, Error> {
        let until = Instant::now() + within;
        while self.open && !self.has_arrived() && Instant::now() < until {
            if self.take()?.is_none() && self.fill(until)? == Filled::Closed {
                self.open = false;
            }
        }
        // What the broker sent before its answer to a PINGREQ has been seen then.
        if self.open && !self.has_arrived() {
            self.ask(Outgoing::Ping, Ack::Ping, 0)?;
        }
        match (self.has_arrived(), self.open) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(Error::new("the broker closed the connection of the observer")),
        }
    }

    /// Says goodbye, so that the broker keeps nothing of this client.
    pub fn disconnect(mut self) {
        // The connection is closed either way.
        let _ = self.send(Outgoing::Disconnect);
    }

    fn has_arrived(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.arrived)
    }

    fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// Sends a packet and reads until its answer. A connection that the broker closes is an answer too.
    fn ask(&mut self, packet: Outgoing<'_>, wanted: Ack, number: u16) -> Result<Reply, Error> {
        self.send(packet)?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.receive(deadline, wanted)? {
                None => return Ok(Reply::Refused(Refusal::Closed)),
                Some(Incoming::Disconnect(refusal)) => return Ok(Reply::Refused(refusal)),
                Some(Incoming::Ack(of, pkid, refusal)) if of == wanted && pkid == number => {
                    return Ok(refusal.map_or(Reply::Done, Reply::Refused));
                }
                // Messages, and answers that nobody waits for.
                Some(Incoming::Ack(..) | Incoming::Publish(_)) => {}
            }
        }
    }

    fn send(&mut self, packet: Outgoing<'_>) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        packet::write(self.version, packet, &mut bytes)?;
        match self.stream.write_all(&bytes) {
            Ok(()) => Ok(()),
            // What the broker said before it closed the connection is still to be read.
            Err(error) if is_closed(&error) => Ok(()),
            Err(error) => Err(Error::new(format!("the broker takes nothing: {error}"))),
        }
    }

    /// The next packet; `None` where the broker closed the connection.
    fn receive(&mut self, deadline: Instant, wanted: Ack) -> Result<Option<Incoming>, Error> {
        while Instant::now() < deadline {
            if let Some(packet) = self.take()? {
                return Ok(Some(packet));
            }
            if self.fill(deadline)? == Filled::Closed {
                self.open = false;
                return Ok(None);
            }
        }
        Err(Error::new(format!("the broker sent no {} within {:?}", wanted.name(), self.patience)))
    }

    /// Takes a packet that has been read, and compares it with the one that is looked out for.
    fn take(&mut self) -> Result<Option<Incoming>, Error> {
        let packet = packet::read(self.version, &mut self.received)?;
        self.open &= !matches!(packet, Some(Incoming::Disconnect(_)));
        if let (Some(Incoming::Publish(message)), Some(watched)) = (&packet, &mut self.watched) {
            // A message that the broker had kept is no proof that this one came through.
            watched.arrived |=
                !message.retained && message.topic == watched.topic && message.payload == watched.payload;
        }
        Ok(packet)
    }

    /// Waits for bytes of the broker.
    fn fill(&mut self, deadline: Instant) -> Result<Filled, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Filled::Late);
        }
        let failed = |error: io::Error| Error::new(format!("nothing can be read from the broker: {error}"));
        self.stream.set_read_timeout(Some(left)).map_err(failed)?;
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(Filled::Closed),
            Ok(read) => {
                self.received.extend_from_slice(bytes.get(..read).unwrap_or_default());
                Ok(Filled::Some)
            }
            Err(error) if is_closed(&error) => Ok(Filled::Closed),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(Filled::Late)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Filled::Some),
            Err(error) => Err(failed(error)),
        }
    }
}

/// What came of waiting for bytes.
#[derive(Debug, PartialEq, Eq)]
enum Filled {
    Some,
    Closed,
    Late,
}

fn dial(addresses: &[SocketAddr], patience: Duration) -> Result<TcpStream, Error> {
    let mut tried = Vec::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, patience) {
            Ok(stream) => {
                let set = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(patience)));
                return set.map(|()| stream).map_err(|error| Error::new(format!("{address}: {error}")));
            }
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    Err(Error::new(format!("no connection to the broker: {}", tried.join("; "))))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
    )
}

fn check_texts<const N: usize>(texts: [&str; N]) -> Result<(), Error> {
    if texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(Error::new(format!("a text is longer than the {MAX_TEXT} bytes that MQTT carries")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
