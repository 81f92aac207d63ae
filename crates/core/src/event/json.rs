//! Events as JSON, one a line: what `capture` writes and `replay` reads.
//!
//! ```text
//! {"at":1700000000000,"hook":"client.check_acl","client":{"clientid":"c","username":"u","peerhost":"10.0.0.7",
//!  "sockport":1883,"protocol":"mqtt","mountpoint":"","node":"n","is_superuser":false,"anonymous":false},
//!  "action":"publish","topic":"t","decision":{"verdict":"allow","rule":"own-topics"}}
//! ```
//!
//! Only `hook` and the clientid are needed. A key that means nothing, or nothing to this hook, is an error. There
//! is no password: `"password"` is `"given"` or `"none"`. There is no payload: of a message there is the size.

mod given;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use self::given::Given;
use super::owned::{OwnedAttempt, OwnedClient, OwnedEvent, OwnedExtra, OwnedMessage, Plain};
use super::{Action, Attempt, Client, Event, Extra, Message, Peerhost};
use crate::decision::{Decision, DenialReason, Found, Verdict};
use crate::hook::{Hook, Kind};

/// The longest line that is read, in bytes. Every text of an event has at most 64 KiB, and a byte of it takes at most
/// six in JSON.
pub const LONGEST: usize = 4 << 20;

/// A message about a line is cut to so many characters: it may name a key, which the line chose.
const LONGEST_MESSAGE: usize = 300;

/// What one line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// An event.
    Told(Box<Told>),
    /// Here so many lines are missing, because the disk did not keep up.
    Dropped(u64),
}

/// An event, and what else its line says.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// When it came, Unix milliseconds.
    pub at: Option<i64>,
    /// The event.
    pub event: OwnedEvent,
    /// What was decided when it was captured.
    pub decision: Option<Decided>,
}

/// A [`Decision`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The verdict, before the policy's mode is applied.
    pub verdict: Verdict,
    /// The id of the rule.
    pub rule: Box<str>,
    /// Of a login: what the password sources that were asked said of it, by their names in the policy.
    pub passwords: BTreeMap<Box<str>, Found>,
    /// Why it was denied; `None` where it was not, or where that is not known.
    pub reason: Option<DenialReason>,
    /// The beginning of the hash of the policy that decided; `None` where that is not known.
    pub policy: Option<Box<str>>,
}

/// A decision, for [`write_decided`].
#[derive(Debug, Clone, Copy)]
pub struct DecisionLine<'a> {
    /// The decision.
    pub decision: Decision<'a>,
    /// As [`Decided::reason`].
    pub reason: Option<DenialReason>,
    /// As [`Decided::policy`].
    pub policy: Option<&'a str>,
}

/// Why a line is no event. It never repeats what stands under `password`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    fn new(message: &str) -> Self {
        let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        JsonError(message.chars().take(LONGEST_MESSAGE).map(plain).collect())
    }
}

/// Reads the event of one line, without its line end.
///
/// # Errors
/// The line is too long, no JSON, or no event.
pub fn read(line: &str) -> Result<OwnedEvent, JsonError> {
    match read_line(line)? {
        Line::Told(told) => Ok(told.event),
        Line::Dropped(_) => Err(JsonError::new("it counts dropped lines, and is no event")),
    }
}

/// Reads everything that one line says, without its line end.
///
/// # Errors
/// The line is too long, no JSON, or neither an event nor a count of dropped lines.
pub fn read_line(line: &str) -> Result<Line, JsonError> {
    if line.len() > LONGEST {
        return Err(JsonError::new(&format!("it has {} bytes, and {LONGEST} are the most", line.len())));
    }
    let object: Object<'_> = serde_json::from_str(line).map_err(|error| {
        // Every line is the first to its reader.
        let message = error.to_string();
        JsonError::new(&message.replace(" at line 1 column ", " at column "))
    })?;
    object.line()
}

/// One event as one line, without a line end. `at` is Unix milliseconds.
pub fn write(event: &Event<'_>, at: i64) -> String {
    Object { at: Some(at), ..Object::of(event) }.to_text()
}

/// One question as one line, with what was decided, and what the password sources said that were asked.
pub fn write_decided<'a>(
    event: &Event<'a>,
    at: i64,
    decided: DecisionLine<'a>,
    passwords: impl Iterator<Item = (&'a str, Found)>,
) -> String {
    let DecisionLine { decision, reason, policy } = decided;
    let passwords: BTreeMap<_, _> = passwords.map(|(source, found)| (source.into(), found)).collect();
    let decision = DecisionObject {
        verdict: Some(decision.verdict),
        rule: Some(decision.rule.into()),
        passwords: Some(passwords).filter(|passwords| !passwords.is_empty()),
        reason,
        policy: policy.map(Cow::Borrowed),
    };
    Object { at: Some(at), decision: Some(decision), ..Object::of(event) }.to_text()
}

/// The line that says that so many are missing.
pub fn write_dropped(count: u64, at: i64) -> String {
    Object { at: Some(at), dropped: Some(count), ..Object::default() }.to_text()
}

/// A JSON object all of whose keys may be left out.
macro_rules! object {
    ($name:ident<$life:lifetime> { $($field:ident: $type:ty,)* }) => {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name<$life> {
            $(#[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
            $field: Option<$type>,)*
        }
    };
}

/// A value that is there; `null` is none.
fn some<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

object! {
    Object<'a> {
        at: i64,
        hook: Hook,
        client: ClientObject<'a>,
        password: Given,
        action: Action,
        topic: Cow<'a, str>,
        qos: u8,
        code: Cow<'a, str>,
        assigned: Cow<'a, str>,
        reason: Cow<'a, str>,
        message: MessageObject<'a>,
        decision: DecisionObject<'a>,
        dropped: u64,
    }
}

object! {
    ClientObject<'a> {
        clientid: Cow<'a, str>,
        username: Cow<'a, str>,
        peerhost: Cow<'a, str>,
        sockport: u16,
        protocol: Cow<'a, str>,
        mountpoint: Cow<'a, str>,
        proto_name: Cow<'a, str>,
        proto_ver: u8,
        keepalive: u16,
        node: Cow<'a, str>,
        is_superuser: bool,
        anonymous: bool,
        cluster: Cow<'a, str>,
        peerport: u16,
        cn: Cow<'a, str>,
        dn: Cow<'a, str>,
    }
}

object! {
    MessageObject<'a> {
        from: Cow<'a, str>,
        topic: Cow<'a, str>,
        qos: u8,
        size: u64,
        timestamp: i64,
        node: Cow<'a, str>,
        cluster: Cow<'a, str>,
    }
}

object! {
    DecisionObject<'a> {
        verdict: Verdict,
        rule: Cow<'a, str>,
        passwords: BTreeMap<Cow<'a, str>, Found>,
        reason: DenialReason,
        policy: Cow<'a, str>,
    }
}

/// Writes a type as one of its words, and reads it back.
macro_rules! words {
    ($($type:ty, $what:literal, $word:path, $all:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($word(*self))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'_, str>::deserialize(deserializer)?;
                let found = $all.iter().copied().find(|word| $word(*word) == text);
                found.ok_or_else(|| D::Error::custom(format_args!("{text:?} is no {}", $what)))
            }
        }
    )*};
}

words! {
    Hook, "hook", Hook::point, Hook::ALL;
    Action, "action (publish, subscribe)", Action::as_str, [Action::Publish, Action::Subscribe];
    Found, "word of a password source (right, wrong, unknown, unreadable)", Found::as_str, Found::ALL;
    DenialReason, "reason of a denial", DenialReason::as_str, DenialReason::ALL;
    Verdict, "verdict (allow, deny, ignore)", Verdict::as_str, [Verdict::Allow, Verdict::Deny, Verdict::Ignore];
}

impl<'a> Object<'a> {
    fn of(event: &Event<'a>) -> Self {
        let object = Object { hook: Some(event.hook()), ..Object::default() };
        match *event {
            Event::Connect(attempt) => Object { client: Some(ClientObject::of_attempt(&attempt)), ..object },
            Event::Connack { attempt, code, assigned } => Object {
                client: Some(ClientObject::of_attempt(&attempt)),
                code: Some(code.into()),
                assigned: assigned.map(Cow::Borrowed),
                ..object
            },
            Event::Authenticate { client, password } => {
                let password = if password.is_given() { Given::Given } else { Given::None };
                Object { client: Some(ClientObject::of(&client)), password: Some(password), ..object }
            }
            Event::CheckAcl { client, action, topic } => Object {
                client: Some(ClientObject::of(&client)),
                action: Some(action),
                topic: Some(topic.into()),
                ..object
            },
            Event::Connected(client)
            | Event::Subscribe(client)
            | Event::Unsubscribe(client)
            | Event::SessionCreated(client)
            | Event::SessionResumed(client)
            | Event::SessionDiscarded(client)
            | Event::SessionTakenOver(client) => Object { client: Some(ClientObject::of(&client)), ..object },
            Event::Disconnected { client, reason } | Event::SessionTerminated { client, reason } => {
                Object { client: Some(ClientObject::of(&client)), reason: Some(reason.into()), ..object }
            }
            Event::SessionSubscribed { client, topic, qos } => {
                Object { client: Some(ClientObject::of(&client)), topic: Some(topic.into()), qos: Some(qos), ..object }
            }
            Event::SessionUnsubscribed { client, topic } => {
                Object { client: Some(ClientObject::of(&client)), topic: Some(topic.into()), ..object }
            }
            Event::MessagePublish(message) => Object { message: Some(MessageObject::of(&message)), ..object },
        }
    }

    fn to_text(&self) -> String {
        // Maps with texts as keys, texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn line(mut self) -> Result<Line, JsonError> {
        let at = self.at.take();
        if let Some(count) = self.dropped.take() {
            return done(&self, "a line with `dropped`").map(|()| Line::Dropped(count));
        }
        let hook = needed(self.hook.take(), "hook")?;
        let event = self.event(hook)?;
        let decision = match hook.kind() {
            Kind::Asks => self.decision.take().map(DecisionObject::decided).transpose()?,
            Kind::Tells => None,
        };
        done(&self, hook.point())?;
        Ok(Line::Told(Box::new(Told { at, event, decision })))
    }

    fn event(&mut self, hook: Hook) -> Result<OwnedEvent, JsonError> {
        let plain = |object: &mut Self, which| object.client().map(|client| OwnedEvent::Plain(which, client));
        match hook {
            Hook::ClientConnect => self.attempt().map(OwnedEvent::Connect),
            Hook::ClientConnack => Ok(OwnedEvent::Connack {
                attempt: self.attempt()?,
                code: text(self.code.take(), ""),
                assigned: self.assigned.take().map(|clientid| text(Some(clientid), "")),
            }),
            Hook::ClientConnected => plain(self, Plain::Connected),
            Hook::ClientDisconnected => {
                Ok(OwnedEvent::Disconnected { client: self.client()?, reason: text(self.reason.take(), "") })
            }
            Hook::ClientAuthenticate => Ok(OwnedEvent::Authenticate {
                client: self.client()?,
                password_given: self.password.take().unwrap_or(Given::Given) == Given::Given,
            }),
            Hook::ClientCheckAcl => Ok(OwnedEvent::CheckAcl {
                client: self.client()?,
                action: needed(self.action.take(), "action")?,
                topic: self.topic()?,
            }),
            Hook::ClientSubscribe => plain(self, Plain::Subscribe),
            Hook::ClientUnsubscribe => plain(self, Plain::Unsubscribe),
            Hook::SessionCreated => plain(self, Plain::SessionCreated),
            Hook::SessionResumed => plain(self, Plain::SessionResumed),
            Hook::SessionDiscarded => plain(self, Plain::SessionDiscarded),
            Hook::SessionTakenOver => plain(self, Plain::SessionTakenOver),
            Hook::SessionSubscribed => Ok(OwnedEvent::SessionSubscribed {
                client: self.client()?,
                topic: self.topic()?,
                qos: self.qos.take().unwrap_or_default(),
            }),
            Hook::SessionUnsubscribed => {
                Ok(OwnedEvent::SessionUnsubscribed { client: self.client()?, topic: self.topic()? })
            }
            Hook::SessionTerminated => {
                Ok(OwnedEvent::SessionTerminated { client: self.client()?, reason: text(self.reason.take(), "") })
            }
            Hook::MessagePublish => needed(self.message.take(), "message")?.message().map(OwnedEvent::MessagePublish),
        }
    }

    fn client(&mut self) -> Result<OwnedClient, JsonError> {
        needed(self.client.take(), "client")?.client()
    }

    fn attempt(&mut self) -> Result<OwnedAttempt, JsonError> {
        needed(self.client.take(), "client")?.attempt()
    }

    fn topic(&mut self) -> Result<Box<str>, JsonError> {
        needed(self.topic.take(), "topic").map(|topic| text(Some(topic), ""))
    }
}

impl<'a> ClientObject<'a> {
    fn of(client: &Client<'a>) -> Self {
        ClientObject {
            clientid: Some(client.clientid.into()),
            username: Some(client.username.into()),
            peerhost: Some(host(client.peerhost)),
            sockport: Some(client.sockport),
            protocol: Some(client.protocol.into()),
            mountpoint: Some(client.mountpoint.into()),
            node: Some(client.node.into()),
            is_superuser: Some(client.is_superuser),
            anonymous: Some(client.anonymous),
            ..ClientObject::of_extra(&client.extra)
        }
    }

    fn of_attempt(attempt: &Attempt<'a>) -> Self {
        ClientObject {
            clientid: Some(attempt.clientid.into()),
            username: Some(attempt.username.into()),
            peerhost: Some(host(attempt.peerhost)),
            sockport: Some(attempt.sockport),
            proto_name: Some(attempt.proto_name.into()),
            proto_ver: Some(attempt.proto_ver),
            keepalive: Some(attempt.keepalive),
            node: Some(attempt.node.into()),
            ..ClientObject::of_extra(&attempt.extra)
        }
    }

    fn of_extra(extra: &Extra<'a>) -> Self {
        ClientObject {
            cluster: extra.cluster.map(Cow::Borrowed),
            peerport: extra.peerport,
            cn: extra.cn.map(Cow::Borrowed),
            dn: extra.dn.map(Cow::Borrowed),
            ..ClientObject::default()
        }
    }

    fn extra(&mut self) -> OwnedExtra {
        let text = |text: &mut Option<Cow<'_, str>>| text.take().map(|text| text.into_owned().into_boxed_str());
        OwnedExtra {
            cluster: text(&mut self.cluster),
            peerport: self.peerport.take(),
            cn: text(&mut self.cn),
            dn: text(&mut self.dn),
            at: None,
        }
    }

    fn client(mut self) -> Result<OwnedClient, JsonError> {
        let default = OwnedClient::named(&needed(self.clientid.take(), "client.clientid")?);
        let client = OwnedClient {
            username: text(self.username.take(), &default.username),
            peerhost: Peerhost::parse(&self.peerhost.take().unwrap_or_default()).into(),
            sockport: self.sockport.take().unwrap_or(default.sockport),
            protocol: text(self.protocol.take(), &default.protocol),
            mountpoint: text(self.mountpoint.take(), &default.mountpoint),
            node: text(self.node.take(), &default.node),
            is_superuser: self.is_superuser.take().unwrap_or(default.is_superuser),
            anonymous: self.anonymous.take().unwrap_or(default.anonymous),
            extra: self.extra(),
            clientid: default.clientid,
        };
        done(&self, "the client of this hook").map(|()| client)
    }

    fn attempt(mut self) -> Result<OwnedAttempt, JsonError> {
        let default = OwnedClient::named(&needed(self.clientid.take(), "client.clientid")?);
        let attempt = OwnedAttempt {
            username: text(self.username.take(), &default.username),
            peerhost: Peerhost::parse(&self.peerhost.take().unwrap_or_default()).into(),
            sockport: self.sockport.take().unwrap_or(default.sockport),
            proto_name: text(self.proto_name.take(), "MQTT"),
            proto_ver: self.proto_ver.take().unwrap_or(4),
            keepalive: self.keepalive.take().unwrap_or(60),
            node: text(self.node.take(), &default.node),
            extra: self.extra(),
            clientid: default.clientid,
        };
        done(&self, "the client of this hook").map(|()| attempt)
    }
}

impl<'a> MessageObject<'a> {
    fn of(message: &Message<'a>) -> Self {
        MessageObject {
            from: Some(message.from.into()),
            topic: Some(message.topic.into()),
            qos: Some(message.qos),
            size: Some(message.payload.size()),
            timestamp: Some(message.timestamp),
            node: Some(message.node.into()),
            cluster: message.cluster.map(Cow::Borrowed),
        }
    }

    fn message(self) -> Result<OwnedMessage, JsonError> {
        Ok(OwnedMessage {
            from: text(Some(needed(self.from, "message.from")?), ""),
            topic: text(Some(needed(self.topic, "message.topic")?), ""),
            qos: self.qos.unwrap_or_default(),
            size: self.size.unwrap_or_default(),
            timestamp: self.timestamp.unwrap_or_default(),
            node: text(self.node, ""),
            cluster: self.cluster.map(|cluster| text(Some(cluster), "")),
        })
    }
}

impl DecisionObject<'_> {
    fn decided(self) -> Result<Decided, JsonError> {
        Ok(Decided {
            verdict: needed(self.verdict, "decision.verdict")?,
            rule: text(Some(needed(self.rule, "decision.rule")?), ""),
            passwords: self
                .passwords
                .into_iter()
                .flatten()
                .map(|(source, found)| (text(Some(source), ""), found))
                .collect(),
            reason: self.reason,
            policy: self.policy.map(|policy| text(Some(policy), "")),
        })
    }
}

fn needed<T>(value: Option<T>, key: &str) -> Result<T, JsonError> {
    value.ok_or_else(|| JsonError::new(&format!("`{key}` is missing")))
}

fn text(value: Option<Cow<'_, str>>, default: &str) -> Box<str> {
    value.map_or_else(|| default.into(), |text| text.into_owned().into_boxed_str())
}

fn host(peerhost: Peerhost<'_>) -> Cow<'_, str> {
    match peerhost {
        Peerhost::Addr(addr) => addr.to_string().into(),
        Peerhost::Other(text) => text.into(),
    }
}

/// Checks that every key was taken: one that is left means nothing in this place.
fn done(left: &impl Serialize, place: &str) -> Result<(), JsonError> {
    let left = serde_json::to_value(left).ok();
    match left.as_ref().and_then(|left| left.as_object()?.keys().next()) {
        Some(key) => Err(JsonError::new(&format!("`{key}` means nothing in {place}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
