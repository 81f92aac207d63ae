//! What happens to clients, in no transport's words.

/// A client, as far as the calls tell of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Empty until the broker chose one.
    pub(crate) clientid: &'static str,
    /// `None` is what the broker calls `undefined`.
    pub(crate) username: Option<&'static str>,
    pub(crate) proto_ver: u8,
    /// The common name of its certificate.
    pub(crate) cn: &'static str,
}

/// A client whose username is its clientid.
pub(crate) const fn client(clientid: &'static str) -> Client {
    Client { clientid, username: Some(clientid), proto_ver: 4, cn: "" }
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Connect(Client),
    /// The code, and the clientid that the broker chose.
    Connack(Client, &'static str, Option<&'static str>),
    Authenticate(Client, &'static [u8]),
    Connected(Client),
    /// The reason, as EMQX 4 knows it.
    Disconnected(Client, &'static str),
    Publish(Client, &'static str),
    Subscribe(Client, &'static str),
    /// The packets, before their filters are looked at.
    Subscribing(Client, &'static str),
    Unsubscribing(Client, &'static str),
    Created(Client),
    Resumed(Client),
    Discarded(Client),
    TakenOver(Client),
    /// The group of the share, the filter, and the quality of service.
    Subscribed(Client, Option<&'static str>, &'static str, u8),
    Unsubscribed(Client, Option<&'static str>, &'static str),
    Terminated(Client, &'static str),
    /// The topic and the payload.
    Published(Client, &'static str, &'static str),
}

impl Call {
    /// The hook as EMQX 4 calls it.
    pub(crate) fn hook(&self) -> &'static str {
        match self {
            Call::Connect(_) => "client.connect",
            Call::Connack(..) => "client.connack",
            Call::Authenticate(..) => "client.authenticate",
            Call::Connected(_) => "client.connected",
            Call::Disconnected(..) => "client.disconnected",
            Call::Publish(..) | Call::Subscribe(..) => "client.check_acl",
            Call::Subscribing(..) => "client.subscribe",
            Call::Unsubscribing(..) => "client.unsubscribe",
            Call::Created(_) => "session.created",
            Call::Resumed(_) => "session.resumed",
            Call::Discarded(_) => "session.discarded",
            Call::TakenOver(_) => "session.takeovered",
            Call::Subscribed(..) => "session.subscribed",
            Call::Unsubscribed(..) => "session.unsubscribed",
            Call::Terminated(..) => "session.terminated",
            Call::Published(..) => "message.publish",
        }
    }

    pub(crate) fn client(&self) -> &Client {
        match self {
            Call::Connect(client)
            | Call::Connack(client, ..)
            | Call::Authenticate(client, _)
            | Call::Connected(client)
            | Call::Disconnected(client, _)
            | Call::Publish(client, _)
            | Call::Subscribe(client, _)
            | Call::Subscribing(client, _)
            | Call::Unsubscribing(client, _)
            | Call::Created(client)
            | Call::Resumed(client)
            | Call::Discarded(client)
            | Call::TakenOver(client)
            | Call::Subscribed(client, ..)
            | Call::Unsubscribed(client, ..)
            | Call::Terminated(client, _)
            | Call::Published(client, ..) => client,
        }
    }
}
