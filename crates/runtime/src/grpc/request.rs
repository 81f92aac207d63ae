//! Messages to events.
//!
//! What a port and a gRPC broker say differently is made alike here, so that a policy and the history read the same on both:
//! reasons come without `{shutdown,..}`, what a broker calls `undefined` is empty, and a subscription is told without its
//! share.

use std::fmt;

use prost::Message as _;

use super::dialect::{self, Dialect, Method};
use super::proto;
use exhook_policy_core::event::owned::OwnedEvent;
use exhook_policy_core::event::{
    Action, Attempt, Client, Event, Extra, Message, Password, Payload, Peerhost, plain_reason,
};
use exhook_policy_core::hook::Hook;

/// Why a message is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadableRequest(&'static str);

impl fmt::Display for UnreadableRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A message that tells of a hook.
pub(super) trait HookRequest: prost::Message + Default + 'static {
    /// How many bytes it has at most.
    const LARGEST: usize = 4 << 20;

    /// Which broker calls, where it says so with the call.
    fn meta(&self) -> Option<&proto::Meta>;

    /// The node, wherever the message has it.
    fn node(&self) -> Option<&str>;

    /// The event. `dialect` is the broker's.
    fn event(&self, hook: Hook, dialect: Dialect) -> Result<Event<'_>, UnreadableRequest>;

    /// What goes back with the answer: a message that was published.
    fn into_message(self) -> Option<proto::Message> {
        None
    }
}

/// The message that each hook comes with: it stands for `$message` in what is done.
macro_rules! by_message {
    ($hook:expr, $message:ident => $does:expr) => {
        by_message!(@ $hook, $message => $does;
            ClientConnect => Connect,
            ClientConnack => Connack,
            ClientConnected | SessionCreated | SessionResumed | SessionDiscarded | SessionTakenOver => Plain,
            ClientDisconnected | SessionTerminated => Ended,
            ClientAuthenticate => Authenticate,
            ClientCheckAcl => Authorize,
            ClientSubscribe | ClientUnsubscribe => Filters,
            SessionSubscribed => Subscribed,
            SessionUnsubscribed => Unsubscribed,
            MessagePublish => Published)
    };
    (@ $hook:expr, $message:ident => $does:expr; $($($variant:ident)|+ => $of:ident),+) => {
        match $hook {
            $($(exhook_policy_core::hook::Hook::$variant)|+ => {
                type $message = $crate::grpc::proto::$of;
                $does
            })+
        }
    };
}
#[cfg(feature = "grpc")]
pub(super) use by_message;

/// The parts that most messages have.
macro_rules! request {
    ($message:ident, $node_of:ident, |$self:ident, $hook:pat_param, $dialect:ident| $event:expr) => {
        impl HookRequest for proto::$message {
            fn meta(&self) -> Option<&proto::Meta> {
                self.meta.as_ref()
            }

            fn node(&self) -> Option<&str> {
                let own = self.$node_of.as_ref().map(|part| part.node.as_str());
                own.filter(|node| !node.is_empty()).or_else(|| self.meta.as_ref().map(|meta| meta.node.as_str()))
            }

            fn event(&$self, $hook: Hook, $dialect: Dialect) -> Result<Event<'_>, UnreadableRequest> {
                $event
            }
        }
    };
}

/// A message came for a hook that it is not of, which [`by_message`] never lets happen.
const OTHER: UnreadableRequest = UnreadableRequest("the message is another hook's");

request!(Connect, conninfo, |self, _, _dialect| Ok(Event::Connect(attempt(self.conninfo.as_ref(), self)?)));
request!(Connack, conninfo, |self, _, _dialect| {
    let assigned = self.props.iter().find(|property| property.name == "Assigned-Client-Identifier");
    Ok(Event::Connack {
        attempt: attempt(self.conninfo.as_ref(), self)?,
        code: &self.result_code,
        assigned: assigned.map(|property| property.value.as_str()),
    })
});
request!(Plain, clientinfo, |self, hook, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    Ok(match hook {
        Hook::ClientConnected => Event::Connected(client),
        Hook::SessionCreated => Event::SessionCreated(client),
        Hook::SessionResumed => Event::SessionResumed(client),
        Hook::SessionDiscarded => Event::SessionDiscarded(client),
        Hook::SessionTakenOver => Event::SessionTakenOver(client),
        Hook::ClientConnect
        | Hook::ClientConnack
        | Hook::ClientDisconnected
        | Hook::ClientAuthenticate
        | Hook::ClientCheckAcl
        | Hook::ClientSubscribe
        | Hook::ClientUnsubscribe
        | Hook::SessionSubscribed
        | Hook::SessionUnsubscribed
        | Hook::SessionTerminated
        | Hook::MessagePublish => return Err(OTHER),
    })
});
request!(Filters, clientinfo, |self, hook, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    Ok(if hook == Hook::ClientSubscribe { Event::Subscribe(client) } else { Event::Unsubscribe(client) })
});
request!(Ended, clientinfo, |self, hook, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    let reason = plain_reason(&self.reason);
    Ok(if hook == Hook::ClientDisconnected {
        Event::Disconnected { client, reason }
    } else {
        Event::SessionTerminated { client, reason }
    })
});
request!(Authenticate, clientinfo, |self, _, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    let password = self.clientinfo.as_ref().map(|client| client.password.as_slice()).unwrap_or_default();
    Ok(Event::Authenticate { client, password: Password::new(password) })
});
request!(Authorize, clientinfo, |self, _, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    let action = match self.r#type {
        0 => Action::Publish,
        1 => Action::Subscribe,
        _ => return Err(UnreadableRequest("it is asked for neither publish nor subscribe")),
    };
    Ok(Event::CheckAcl { client, action, topic: &self.topic })
});
request!(Subscribed, clientinfo, |self, _, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    let qos = self.subopts.as_ref().map_or(0, |options| options.qos);
    let qos = qos.try_into().map_err(|_| UnreadableRequest("the quality of service is out of range"))?;
    Ok(Event::SessionSubscribed { client, topic: without_share(&self.topic), qos })
});
request!(Unsubscribed, clientinfo, |self, _, dialect| {
    let client = client(self.clientinfo.as_ref(), self, dialect)?;
    Ok(Event::SessionUnsubscribed { client, topic: without_share(&self.topic) })
});

impl HookRequest for proto::Published {
    /// As much as MQTT allows, and what stands around it.
    const LARGEST: usize = 272 << 20;

    fn meta(&self) -> Option<&proto::Meta> {
        self.meta.as_ref()
    }

    fn node(&self) -> Option<&str> {
        self.message.as_ref().map(|message| message.node.as_str())
    }

    fn event(&self, _: Hook, _: Dialect) -> Result<Event<'_>, UnreadableRequest> {
        let message = self.message.as_ref().ok_or(UnreadableRequest("the message is missing"))?;
        Ok(Event::MessagePublish(Message {
            from: &message.from,
            topic: &message.topic,
            qos: message.qos.try_into().map_err(|_| UnreadableRequest("the quality of service is out of range"))?,
            payload: Payload::new(&message.payload),
            timestamp: message.timestamp.try_into().map_err(|_| UnreadableRequest("the time is out of range"))?,
            node: &message.node,
            cluster: cluster(self.meta()),
        }))
    }

    fn into_message(self) -> Option<proto::Message> {
        self.message
    }
}

fn client<'a>(
    client: Option<&'a proto::Client>,
    request: &'a impl HookRequest,
    dialect: Dialect,
) -> Result<Client<'a>, UnreadableRequest> {
    let client = client.ok_or(UnreadableRequest("the clientinfo is missing"))?;
    // What a broker that does not tell certificates leaves empty is not known.
    let named = |name: &'a String| (!name.is_empty() || dialect.tells_certificates()).then_some(name.as_str());
    Ok(Client {
        clientid: &client.clientid,
        username: &client.username,
        peerhost: Peerhost::parse(&client.peerhost),
        sockport: port(client.sockport)?,
        protocol: defined(&client.protocol),
        mountpoint: defined(&client.mountpoint),
        node: request.node().unwrap_or_default(),
        is_superuser: client.is_superuser,
        anonymous: client.anonymous,
        extra: Extra {
            cluster: cluster(request.meta()),
            peerport: peerport(client.peerport)?,
            cn: named(&client.cn),
            dn: named(&client.dn),
            at: None,
        },
    })
}

fn attempt<'a>(
    attempt: Option<&'a proto::Attempt>,
    request: &'a impl HookRequest,
) -> Result<Attempt<'a>, UnreadableRequest> {
    let attempt = attempt.ok_or(UnreadableRequest("the conninfo is missing"))?;
    Ok(Attempt {
        clientid: &attempt.clientid,
        username: &attempt.username,
        peerhost: Peerhost::parse(&attempt.peerhost),
        sockport: port(attempt.sockport)?,
        proto_name: defined(&attempt.proto_name),
        // Gateways of other protocols than MQTT give other things here, and these are 0.
        proto_ver: attempt.proto_ver.parse().unwrap_or(0),
        keepalive: attempt.keepalive.try_into().unwrap_or(u16::MAX),
        node: request.node().unwrap_or_default(),
        extra: Extra { cluster: cluster(request.meta()), peerport: peerport(attempt.peerport)?, ..Extra::NONE },
    })
}

fn cluster(meta: Option<&proto::Meta>) -> Option<&str> {
    meta.map(|meta| meta.cluster_name.as_str()).filter(|name| !name.is_empty())
}

fn port(port: u32) -> Result<u16, UnreadableRequest> {
    port.try_into().map_err(|_| UnreadableRequest("the sockport is no port"))
}

/// Brokers that do not tell it leave it 0, which is no port.
fn peerport(port: u32) -> Result<Option<u16>, UnreadableRequest> {
    let port = port.try_into().map_err(|_| UnreadableRequest("the peerport is no port"))?;
    Ok(Some(port).filter(|port| *port != 0))
}

/// What a broker makes of an Erlang `undefined`.
fn defined(text: &str) -> &str {
    if text == "undefined" { "" } else { text }
}

/// The filter of a subscription, which EMQX 5.4 and later give with the share that it was asked with.
fn without_share(topic: &str) -> &str {
    let of_group = || topic.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map(|(_, filter)| filter);
    topic.strip_prefix("$queue/").or_else(of_group).unwrap_or(topic)
}

/// Reads a request apart from any connection: the path that it came to, and its message. A broker of v1 that does not say
/// its version with the request is taken for one that did not say it before either.
///
/// # Errors
/// Why it is no event: the path is no hook's, or the message cannot be read.
pub fn event(path: &str, message: &[u8]) -> Result<OwnedEvent, String> {
    let (package, name) = dialect::parse(path).ok_or("the path is no hook provider's")?;
    let Method::Hook(hook) = Method::of(name) else { return Err("the path is no hook's".to_owned()) };
    by_message!(hook, Message => {
        let message = Message::decode(message).map_err(|error| error.to_string())?;
        let dialect = Dialect::of(package, message.meta().map(|meta| meta.version.as_str()));
        let event = message.event(hook, dialect).map_err(|unreadable| unreadable.to_string())?;
        Ok(OwnedEvent::from(&event))
    })
}
