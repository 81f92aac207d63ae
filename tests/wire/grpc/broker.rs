//! A broker of some version: it calls, and takes answers as that version does.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value};
use serde_json::{Value as Json, json};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::dialect::{Dialect, check_known, message, text};
use super::story::{Call, Client};

pub(crate) const NODE: &str = "emqx@10.0.0.1";

/// A connected broker.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) dialect: &'static Dialect,
    pub(crate) channel: Channel,
}

/// What a broker makes of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Taken {
    /// It told, and is told nothing.
    Nothing,
    /// Its own result stands.
    Ignored,
    /// It says in its log that it does not understand, and its own result stands.
    Unknown,
    /// This is the result for now, and the next plugin is asked too.
    SoFar(Answer),
    /// This is the result, and nobody else is asked.
    Final(Answer),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Allow(bool),
    Message(DynamicMessage),
}

pub(crate) const ALLOWED: Taken = Taken::Final(Answer::Allow(true));
pub(crate) const DENIED: Taken = Taken::Final(Answer::Allow(false));

impl Broker {
    /// A broker that connects by its first call.
    pub(crate) fn at(dialect: &'static Dialect, address: SocketAddr) -> Self {
        Broker { dialect, channel: Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy() }
    }

    /// Loads the provider: the hooks that it wants, each with its topics.
    pub(crate) async fn load(&self) -> Result<Vec<(String, usize)>, Status> {
        self.load_as(NODE).await
    }

    /// As another node of the cluster.
    pub(crate) async fn load_as(&self, node: &str) -> Result<Vec<(String, usize)>, Status> {
        let uptime = if self.dialect.knows("client.authorize") { json!(93_784_000) } else { json!(UPTIME) };
        let broker = json!({
            "version": self.dialect.version, "sysdescr": "EMQX", "uptime": uptime, "datetime": "2026-11-27 10:00:00",
        });
        let method = self.dialect.method("provider.loaded");
        let answer = self.send(&method, &json!({ "broker": broker, "meta": self.meta(node) })).await?;
        let hooks = answer.get_field_by_name("hooks").unwrap();
        let hooks = hooks.as_list().unwrap().iter().map(|hook| hook.as_message().unwrap());
        let topics = |hook: &DynamicMessage| hook.get_field_by_name("topics").unwrap().as_list().unwrap().len();
        Ok(hooks.map(|hook| (text(hook, "name"), topics(hook))).collect())
    }

    /// Calls, and takes the answer.
    pub(crate) async fn call(&self, call: Call) -> Taken {
        self.try_call(call).await.unwrap_or_else(|error| panic!("{} {call:?}: {error}", self.dialect.name))
    }

    /// Calls, and takes the answer, if there is one.
    pub(crate) async fn try_call(&self, call: Call) -> Result<Taken, Status> {
        let method = self.method(&call);
        let request = self.request(&call);
        self.send(&method, &request).await.map(|answer| take(&answer))
    }

    /// The method that this broker calls.
    pub(crate) fn method(&self, call: &Call) -> MethodDescriptor {
        let renamed = [("client.check_acl", "client.authorize"), ("session.takeovered", "session.takenover")];
        let newer = renamed.iter().find(|(older, newer)| *older == call.hook() && self.dialect.knows(newer));
        self.dialect.method(newer.map_or(call.hook(), |(_, newer)| newer))
    }

    /// The bytes of a call's message.
    pub(crate) fn bytes(&self, call: &Call) -> Bytes {
        message(&self.method(call).input(), &self.request(call)).encode_to_vec().into()
    }

    async fn send(&self, method: &MethodDescriptor, request: &Json) -> Result<DynamicMessage, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = self.dialect.path(method.name()).parse().unwrap();
        let request = Request::new(message(&method.input(), request));
        let answer = grpc.unary(request, path, By(method.output())).await?.into_inner();
        check_known(&answer);
        Ok(answer)
    }

    /// The fields of a call's message, of all versions at once where no more than their names differ.
    fn request(&self, call: &Call) -> Json {
        let client = call.client();
        let (mut clientinfo, conninfo) = (client_fields(client), connection_fields(client));
        let has_share = self.dialect.has("SubOpts", "share");
        let topic_of = |group: Option<&str>, filter: &str| match group {
            Some(group) if !has_share => format!("$share/{group}/{filter}"),
            Some(_) | None => filter.to_owned(),
        };
        let subopts = |group: Option<&str>, qos: u8| json!({ "qos": qos, "share": group.unwrap_or_default(), "rh": 0, "rap": 0, "nl": 0 });
        let filter = |filter: &str| json!({ "name": filter, "qos": 1, "subopts": subopts(None, 1) });
        // How a connection that was taken over ends got another word, as the hook did.
        let word = |reason: &str| match reason {
            "takeovered" if self.dialect.knows("session.takenover") => "takenover".to_owned(),
            _ => reason.to_owned(),
        };
        let mut fields = match *call {
            Call::Connect(_) => json!({ "props": [property("Session-Expiry-Interval", "0")] }),
            Call::Connack(_, code, assigned) => {
                let assigned = assigned.map(|clientid| property("Assigned-Client-Identifier", clientid));
                let props: Vec<_> = assigned.into_iter().chain([property("Maximum-QoS", "1")]).collect();
                json!({ "result_code": code, "props": props })
            }
            Call::Authenticate(_, password) => {
                clientinfo["password"] = json!(String::from_utf8(password.to_vec()).unwrap());
                json!({ "result": false })
            }
            Call::Publish(_, topic) => json!({ "type": "PUBLISH", "topic": topic, "result": true }),
            Call::Subscribe(_, topic) => json!({ "type": "SUBSCRIBE", "topic": topic, "result": true }),
            // Up to 5.3 nothing is left of the filters here.
            Call::Unsubscribing(_, _) if has_share => json!({ "props": [], "topic_filters": [] }),
            Call::Subscribing(_, topic) | Call::Unsubscribing(_, topic) => {
                json!({ "props": [], "topic_filters": [filter(topic)] })
            }
            Call::Subscribed(_, group, topic, qos) => {
                json!({ "topic": topic_of(group, topic), "subopts": subopts(group, qos) })
            }
            Call::Unsubscribed(_, group, topic) => json!({ "topic": topic_of(group, topic) }),
            Call::Disconnected(_, reason) | Call::Terminated(_, reason) => json!({ "reason": word(reason) }),
            Call::Published(client, topic, payload) => json!({ "message": published(&client, topic, payload) }),
            Call::Connected(_) | Call::Created(_) | Call::Resumed(_) | Call::Discarded(_) | Call::TakenOver(_) => {
                json!({})
            }
        };
        fields["clientinfo"] = clientinfo;
        fields["conninfo"] = conninfo;
        fields["meta"] = self.meta(NODE);
        fields["user_props"] = json!([property("colour", "blue")]);
        fields
            .as_object_mut()
            .unwrap()
            .entry("props")
            .or_insert_with(|| json!([property("Payload-Format-Indicator", "0")]));
        fields
    }

    fn meta(&self, node: &str) -> Json {
        json!({ "node": node, "version": self.dialect.version, "sysdescr": "EMQX", "cluster_name": "emqxcl" })
    }
}

/// A day, two hours, three minutes and four seconds, in the words of EMQX 4.
const UPTIME: &str = "1 days, 2 hours, 3 minutes, 4 seconds";

fn property(name: &str, value: &str) -> Json {
    json!({ "name": name, "value": value })
}

fn client_fields(client: &Client) -> Json {
    json!({
        "node": NODE, "clientid": client.clientid, "username": client.username.unwrap_or_default(), "password": "",
        "peerhost": "10.1.2.3", "sockport": 1883, "protocol": "mqtt", "mountpoint": "", "is_superuser": false,
        "anonymous": true, "cn": client.cn, "dn": "", "peerport": 50_123,
    })
}

fn connection_fields(client: &Client) -> Json {
    json!({
        "node": NODE, "clientid": client.clientid, "username": client.username.unwrap_or_default(),
        "peerhost": "10.1.2.3", "sockport": 1883, "proto_name": "MQTT", "proto_ver": client.proto_ver.to_string(),
        "keepalive": 60, "peerport": 50_123,
    })
}

fn published(client: &Client, topic: &str, payload: &str) -> Json {
    json!({
        "node": NODE, "id": "0005A4E2B3C7D8F9", "qos": 1, "from": client.clientid, "topic": topic, "payload": payload,
        "timestamp": 1_795_000_000_000_u64,
        "headers": { "username": client.username.unwrap_or_default(), "protocol": "mqtt", "peerhost": "10.1.2.3" },
    })
}

/// How brokers of all versions read an answer, by the names of its numbers.
fn take(answer: &DynamicMessage) -> Taken {
    let Some(kind) = answer.get_field_by_name("type") else { return Taken::Nothing };
    let kind = match answer_type(answer, &kind) {
        Some(name) if name == "IGNORE" => return Taken::Ignored,
        Some(name) if name == "CONTINUE" => Taken::SoFar,
        Some(name) if name == "STOP_AND_RETURN" => Taken::Final,
        other => panic!("{other:?} is no type"),
    };
    let given = |field| answer.has_field_by_name(field).then(|| answer.get_field_by_name(field).unwrap().into_owned());
    match (given("bool_result"), given("message")) {
        (Some(Value::Bool(allowed)), _) => kind(Answer::Allow(allowed)),
        (_, Some(Value::Message(message))) => kind(Answer::Message(message)),
        _ => Taken::Unknown,
    }
}

fn answer_type(answer: &DynamicMessage, number: &Value) -> Option<String> {
    let field = answer.descriptor().get_field_by_name("type").unwrap();
    let Kind::Enum(of) = field.kind() else { panic!("{field:?}") };
    of.get_value(number.as_enum_number().unwrap()).map(|value| value.name().to_owned())
}

/// Messages by their definitions.
struct By(MessageDescriptor);

impl Codec for By {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Plain;
    type Decoder = By;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> By {
        By(self.0.clone())
    }
}

struct Plain;

impl Encoder for Plain {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for By {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
