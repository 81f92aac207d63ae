//! What a broker tells and asks: one [`Event`] a hook call, in the broker's words and in no transport's.
//!
//! An event borrows from the transport's buffer. Every text is UTF-8, because MQTT requires it of
//! every string but the password; a transport that meets other bytes answers the call itself, with
//! the denying or the neutral answer, and no event is made.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::hook::Hook;

pub mod json;
pub mod owned;
pub mod short;

/// One call of a hook.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// A CONNECT packet arrived; nothing is decided yet.
    Connect(Attempt<'a>),
    /// The CONNACK is about to be sent.
    Connack {
        /// The connection attempt as [`Event::Connect`] gave it.
        attempt: Attempt<'a>,
        /// The broker's name of the CONNACK code: `success`, `not_authorized`, ...
        code: &'a str,
        /// The clientid that the broker chose for a client that sent none.
        assigned: Option<&'a str>,
    },
    /// The client is connected.
    Connected(Client<'a>),
    /// The connection ended. A connection that was taken over never gets this event.
    Disconnected {
        /// The client whose connection ended.
        client: Client<'a>,
        /// The broker's word for it: `normal`, `tcp_closed`, `keepalive_timeout`, ...
        reason: &'a str,
    },
    /// May this client log in?
    Authenticate {
        /// Who asks.
        client: Client<'a>,
        /// What the client gave as its password; empty where it gave none.
        password: Password<'a>,
    },
    /// May this client publish to, or subscribe to, this topic?
    CheckAcl {
        /// Who asks.
        client: Client<'a>,
        /// Publish or subscribe.
        action: Action,
        /// The topic name (publish) or filter (subscribe), without the mountpoint.
        topic: &'a str,
    },
    /// A SUBSCRIBE packet, before its filters are checked one by one.
    Subscribe(Client<'a>),
    /// An UNSUBSCRIBE packet.
    Unsubscribe(Client<'a>),
    /// A new session was created for the client.
    SessionCreated(Client<'a>),
    /// The client resumed its persistent session.
    SessionResumed(Client<'a>),
    /// An older session of this clientid was thrown away.
    SessionDiscarded(Client<'a>),
    /// An older session of this clientid was taken over by a new connection.
    SessionTakenOver(Client<'a>),
    /// A subscription was added to the client's session, or its options changed.
    SessionSubscribed {
        /// Whose session.
        client: Client<'a>,
        /// The filter, without `$share/<group>/` or `$queue/`.
        topic: &'a str,
        /// The granted quality of service.
        qos: u8,
    },
    /// A subscription was removed from the client's session.
    SessionUnsubscribed {
        /// Whose session.
        client: Client<'a>,
        /// The filter.
        topic: &'a str,
    },
    /// The client's session ended, and its subscriptions with it.
    SessionTerminated {
        /// Whose session.
        client: Client<'a>,
        /// The broker's word for it.
        reason: &'a str,
    },
    /// A message was published.
    MessagePublish(Message<'a>),
}

/// A client as the broker describes it in most hooks. It does not tell two connections of one
/// clientid apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Client<'a> {
    /// The MQTT client identifier.
    pub clientid: &'a str,
    /// The user name; empty where the client gave none.
    pub username: &'a str,
    /// Where the client connects from.
    pub peerhost: Peerhost<'a>,
    /// The listener's port.
    pub sockport: u16,
    /// `mqtt`, `mqtt-sn`, `coap`, ...
    pub protocol: &'a str,
    /// The prefix that the broker puts before the client's topics; empty where there is none.
    pub mountpoint: &'a str,
    /// The broker node.
    pub node: &'a str,
    /// Superusers bypass every ACL: the broker does not ask.
    pub is_superuser: bool,
    /// Whether the broker let the client in without a decision of its own.
    pub anonymous: bool,
    /// What some brokers tell besides.
    pub extra: Extra<'a>,
}

/// What only some brokers tell of a client. A field is `None` where the broker does not tell it, and empty where it says
/// that the client has none: a rule must be able to keep the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extra<'a> {
    /// The name of the broker's cluster.
    pub cluster: Option<&'a str>,
    /// The port that the client connects from.
    pub peerport: Option<u16>,
    /// The common name of the client's TLS certificate.
    pub cn: Option<&'a str>,
    /// The subject of the client's TLS certificate.
    pub dn: Option<&'a str>,
    /// When it asks, Unix milliseconds. No broker tells it: whoever takes the call does, where a policy wants to know.
    pub at: Option<i64>,
}

impl Client<'_> {
    /// How many bytes its texts have.
    pub fn bytes(&self) -> usize {
        let Extra { cluster, cn, dn, peerport: _, at: _ } = self.extra;
        let told = [cluster, cn, dn].map(Option::unwrap_or_default);
        let peerhost = match self.peerhost {
            Peerhost::Addr(_) => "",
            Peerhost::Other(text) => text,
        };
        let texts = [self.clientid, self.username, peerhost, self.protocol, self.mountpoint, self.node];
        texts.into_iter().chain(told).map(str::len).sum()
    }
}

/// How many places something of so many bytes takes where what waits is bounded in bytes as well as
/// in number: one, and one more for every KiB.
pub fn places(bytes: usize) -> usize {
    const BYTES_A_PLACE: usize = 1024;
    1 + bytes / BYTES_A_PLACE
}

impl Extra<'_> {
    /// Of a broker that tells none of it.
    pub const NONE: Extra<'static> = Extra { cluster: None, peerport: None, cn: None, dn: None, at: None };
}

/// A connection attempt, as the broker describes it before and after the login.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt<'a> {
    /// The clientid of the CONNECT packet, which may be empty.
    pub clientid: &'a str,
    /// The user name; empty where the client gave none.
    pub username: &'a str,
    /// Where the client connects from.
    pub peerhost: Peerhost<'a>,
    /// The listener's port.
    pub sockport: u16,
    /// `MQTT` or `MQIsdp`.
    pub proto_name: &'a str,
    /// 3, 4 or 5.
    pub proto_ver: u8,
    /// Seconds; 0 where the client turned it off.
    pub keepalive: u16,
    /// The broker node.
    pub node: &'a str,
    /// What some brokers tell besides.
    pub extra: Extra<'a>,
}

/// A published message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// The clientid of the publisher.
    pub from: &'a str,
    /// Where it was published.
    pub topic: &'a str,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The bytes of the message.
    pub payload: Payload<'a>,
    /// When the broker got it, Unix milliseconds.
    pub timestamp: i64,
    /// The broker node.
    pub node: &'a str,
    /// The name of the broker's cluster, where the broker tells it.
    pub cluster: Option<&'a str>,
}

/// One broker: clientids are unique within its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    /// The name of its cluster, where the broker tells it.
    pub cluster: Option<&'a str>,
    /// Its node name.
    pub node: &'a str,
}

impl Origin<'_> {
    /// Bytes of both names together. A broker's names have 255 characters each at most; longer ones are made up.
    pub const LONGEST: usize = 1_024;

    /// Bytes of both names together.
    pub fn length(&self) -> usize {
        self.cluster.map_or(0, str::len) + self.node.len()
    }

    /// Whether no broker has such names. They must not be kept.
    pub fn is_too_long(&self) -> bool {
        self.length() > Self::LONGEST
    }
}

/// A broker said when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLoaded<'a> {
    /// Which broker.
    pub origin: Origin<'a>,
    /// When it was started, Unix milliseconds, exact to a second or so.
    pub booted_at: i64,
}

/// Publish or subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The topic is a topic name.
    Publish,
    /// The topic is a topic filter.
    Subscribe,
}

impl Action {
    /// `publish` or `subscribe`, as the broker and the policy spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
        }
    }
}

/// The address that a client connects from. An IPv4 address mapped into IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peerhost<'a> {
    /// An IP address.
    Addr(IpAddr),
    /// Whatever else the broker said.
    Other(&'a str),
}

impl<'a> Peerhost<'a> {
    /// Reads the broker's text.
    pub fn parse(text: &'a str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => Peerhost::Addr(canonical(v6)),
            Ok(v4) => Peerhost::Addr(v4),
            Err(_) => Peerhost::Other(text),
        }
    }
}

fn canonical(v6: Ipv6Addr) -> IpAddr {
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

impl fmt::Display for Peerhost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peerhost::Addr(addr) => addr.fmt(f),
            Peerhost::Other(text) => f.write_str(&short::short(text)),
        }
    }
}

/// What a message carries. Its `Debug` shows nothing of it but the size.
#[derive(Clone, Copy, PartialEq)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    size: u64,
}

impl<'a> Payload<'a> {
    /// Wraps the message's bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Payload { bytes, size: bytes.len() as u64 }
    }

    /// A payload of so many bytes, which were not kept.
    pub fn left_out(size: u64) -> Self {
        Payload { bytes: &[], size }
    }

    /// The bytes; none where they were left out.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes the message had.
    pub fn size(self) -> u64 {
        self.size
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.size)
    }
}

/// The password of a login. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq)]
pub struct Password<'a> {
    bytes: &'a [u8],
    given: bool,
}

impl<'a> Password<'a> {
    /// Wraps the client's bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Password { bytes, given: !bytes.is_empty() }
    }

    /// Of a login of which is known only whether the client gave a password. It verifies as an empty one does.
    pub fn left_out(given: bool) -> Self {
        Password { bytes: &[], given }
    }

    /// The bytes, for whoever verifies them; none where they were left out.
    pub fn expose(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the client gave one that is not empty.
    pub fn is_given(self) -> bool {
        self.given
    }
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Client<'_> {
    /// The broker that the client is connected to.
    pub fn origin(&self) -> Origin<'_> {
        Origin { cluster: self.extra.cluster, node: self.node }
    }
}

impl Event<'_> {
    /// The hook that this is a call of.
    pub fn hook(&self) -> Hook {
        match self {
            Event::Connect(_) => Hook::ClientConnect,
            Event::Connack { .. } => Hook::ClientConnack,
            Event::Connected(_) => Hook::ClientConnected,
            Event::Disconnected { .. } => Hook::ClientDisconnected,
            Event::Authenticate { .. } => Hook::ClientAuthenticate,
            Event::CheckAcl { .. } => Hook::ClientCheckAcl,
            Event::Subscribe(_) => Hook::ClientSubscribe,
            Event::Unsubscribe(_) => Hook::ClientUnsubscribe,
            Event::SessionCreated(_) => Hook::SessionCreated,
            Event::SessionResumed(_) => Hook::SessionResumed,
            Event::SessionDiscarded(_) => Hook::SessionDiscarded,
            Event::SessionTakenOver(_) => Hook::SessionTakenOver,
            Event::SessionSubscribed { .. } => Hook::SessionSubscribed,
            Event::SessionUnsubscribed { .. } => Hook::SessionUnsubscribed,
            Event::SessionTerminated { .. } => Hook::SessionTerminated,
            Event::MessagePublish(_) => Hook::MessagePublish,
        }
    }

    /// The broker that the event comes from.
    pub fn origin(&self) -> Origin<'_> {
        match self {
            Event::Connect(attempt) | Event::Connack { attempt, .. } => {
                Origin { cluster: attempt.extra.cluster, node: attempt.node }
            }
            Event::Connected(client)
            | Event::Disconnected { client, .. }
            | Event::Authenticate { client, .. }
            | Event::CheckAcl { client, .. }
            | Event::Subscribe(client)
            | Event::Unsubscribe(client)
            | Event::SessionCreated(client)
            | Event::SessionResumed(client)
            | Event::SessionDiscarded(client)
            | Event::SessionTakenOver(client)
            | Event::SessionSubscribed { client, .. }
            | Event::SessionUnsubscribed { client, .. }
            | Event::SessionTerminated { client, .. } => client.origin(),
            Event::MessagePublish(message) => Origin { cluster: message.cluster, node: message.node },
        }
    }

    /// The clientid that the event is about.
    pub fn clientid(&self) -> &str {
        match self {
            Event::Connect(attempt) | Event::Connack { attempt, .. } => attempt.clientid,
            Event::Connected(client)
            | Event::Disconnected { client, .. }
            | Event::Authenticate { client, .. }
            | Event::CheckAcl { client, .. }
            | Event::Subscribe(client)
            | Event::Unsubscribe(client)
            | Event::SessionCreated(client)
            | Event::SessionResumed(client)
            | Event::SessionDiscarded(client)
            | Event::SessionTakenOver(client)
            | Event::SessionSubscribed { client, .. }
            | Event::SessionUnsubscribed { client, .. }
            | Event::SessionTerminated { client, .. } => client.clientid,
            Event::MessagePublish(message) => message.from,
        }
    }
}

/// The broker's word for why something ended, without what some brokers put around it: `{shutdown,normal}` is `normal`.
/// EMQX 5's `takenover` is `takeovered`, as it was before.
pub fn plain_reason(text: &str) -> &str {
    let mut reason = text;
    while let Some(inner) = reason.strip_prefix("{shutdown,").and_then(|rest| rest.strip_suffix('}')) {
        reason = inner.trim();
    }
    if reason == "takenover" { "takeovered" } else { reason }
}

/// A text that a client chose, as a line for a log shows it: in quotes, escaped, and no more than its
/// beginning where it is long, since what clients send may be 64 KiB, and ten times that in escapes.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(text) = self;
        let beginning = short::beginning(text, short::LONGEST);
        write!(f, "{beginning:?}")?;
        if beginning.len() < text.len() { write!(f, "...({} bytes)", text.len()) } else { Ok(()) }
    }
}

/// One line for a log: the hook, then what the call says in `name=value` form, never a password and
/// never a payload.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hook().name())?;
        match self {
            Event::Connect(attempt) => attempt.fmt(f),
            Event::Connack { attempt, code, assigned } => {
                write!(f, "{attempt} code={}", short::short(code))?;
                assigned.map_or(Ok(()), |clientid| write!(f, " assigned={}", Shown(clientid)))
            }
            Event::Disconnected { client, reason } | Event::SessionTerminated { client, reason } => {
                write!(f, "{client} reason={}", Shown(reason))
            }
            Event::CheckAcl { client, action, topic } => {
                write!(f, "{client} action={} topic={}", action.as_str(), Shown(topic))
            }
            Event::SessionSubscribed { client, topic, qos } => write!(f, "{client} topic={} qos={qos}", Shown(topic)),
            Event::SessionUnsubscribed { client, topic } => write!(f, "{client} topic={}", Shown(topic)),
            Event::MessagePublish(message) => {
                let Message { from, topic, qos, payload, .. } = message;
                write!(f, "clientid={} topic={} qos={qos} bytes={}", Shown(from), Shown(topic), payload.size())
            }
            Event::Connected(client)
            | Event::Authenticate { client, password: _ }
            | Event::Subscribe(client)
            | Event::Unsubscribe(client)
            | Event::SessionCreated(client)
            | Event::SessionResumed(client)
            | Event::SessionDiscarded(client)
            | Event::SessionTakenOver(client) => client.fmt(f),
        }
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node={}", Shown(self.node))?;
        self.cluster.map_or(Ok(()), |cluster| write!(f, " cluster={}", Shown(cluster)))
    }
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (clientid, username) = (Shown(self.clientid), Shown(self.username));
        write!(f, "clientid={clientid} username={username} peerhost={}", self.peerhost)
    }
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "clientid={} username={} peerhost={} proto_ver={}",
            Shown(self.clientid),
            Shown(self.username),
            self.peerhost,
            self.proto_ver
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_shown(text: &str, expected: &str) {
        assert_eq!(Shown(text).to_string(), expected);
    }

    #[test]
    fn long_texts_are_shown_by_their_beginning() {
        check_shown("", r#""""#);
        check_shown("a\"\n", r#""a\"\n""#);
        let longest = "x".repeat(512);
        check_shown(&longest, &format!("\"{longest}\""));
        check_shown(&"x".repeat(513), &format!("\"{longest}\"...(513 bytes)"));
        // No character is cut in two.
        check_shown(&"\u{20ac}".repeat(1000), &format!("\"{}\"...(3000 bytes)", "\u{20ac}".repeat(170)));
    }
}
