//! The same policy as a port program: frames of Erlang terms.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use eetf::{BigInteger, List, Term};

use super::broker::NODE;
use super::server::Place;
use super::story::{Call, Client};
use crate::support::program;
use crate::support::terms::{self, atom, binary, framed, integer, list, properties, tuple};

/// A running driver, told of everything by one broker.
pub(crate) struct Driver(Child);

impl Driver {
    pub(crate) fn start(place: &Place) -> Self {
        let child = program::driver(&place.path("python3"), &place.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut driver = Driver(child);
        let started = driver.ask("init", vec![]);
        assert!(started.to_string().contains("exhook_policy"), "{started}");
        driver
    }

    /// Calls, and gives what was decided.
    pub(crate) fn call(&mut self, call: &Call) -> Option<bool> {
        let function = format!("on_{}", call.hook().replacen('.', "_", 1));
        let decided = |allowed| tuple([integer(0), atom(allowed)]);
        match self.ask(&function, arguments(call)) {
            answer if answer == decided("true") => Some(true),
            answer if answer == decided("false") => Some(false),
            answer if answer == atom("undefined") => None,
            other => panic!("{call:?}: {other}"),
        }
    }

    fn ask(&mut self, function: &str, mut arguments: Vec<Term>) -> Term {
        if function != "init" {
            arguments.push(atom("state"));
        }
        let call = terms::call(1, "rules", function, arguments);
        self.0.stdin.as_mut().unwrap().write_all(&framed(&call)).unwrap();

        let stdout = self.0.stdout.as_mut().unwrap();
        let mut length = [0; 4];
        stdout.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stdout.read_exact(&mut frame).unwrap();
        let Term::Tuple(mut reply) = Term::decode(&frame[..]).unwrap() else { panic!("no reply") };
        reply.elements.remove(2)
    }

    /// Ends its input, and waits for its end.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The arguments of the callback, as EMQX 4.2 gives them.
pub(crate) fn arguments(call: &Call) -> Vec<Term> {
    let nothing = || List::nil().into();
    let qos = |qos: u8| list([tuple([atom("qos"), integer(qos.into())]), tuple([atom("rh"), integer(0)])]);
    let client = client_of(call.client(), b"");
    match *call {
        Call::Connect(client) => vec![connection_of(&client), nothing()],
        Call::Connack(client, code, assigned) => {
            let property = |id| tuple([atom("Assigned-Client-Identifier"), binary(id)]);
            vec![connection_of(&client), atom(code), list(assigned.map(property))]
        }
        Call::Authenticate(client, password) => vec![client_of(&client, password), atom("false")],
        Call::Publish(_, topic) => vec![client, atom("publish"), binary(topic), atom("true")],
        Call::Subscribe(_, topic) => vec![client, atom("subscribe"), binary(topic), atom("true")],
        Call::Subscribing(_, topic) | Call::Unsubscribing(_, topic) => {
            vec![client, nothing(), list([tuple([binary(topic), qos(1)])])]
        }
        Call::Disconnected(_, reason) | Call::Terminated(_, reason) => vec![client, binary(reason)],
        Call::Subscribed(_, _, topic, granted) => vec![client, binary(topic), qos(granted)],
        Call::Unsubscribed(_, _, topic) => vec![client, binary(topic)],
        Call::Connected(_) | Call::Created(_) | Call::Resumed(_) | Call::Discarded(_) | Call::TakenOver(_) => {
            vec![client]
        }
        Call::Published(client, topic, payload) => vec![properties([
            ("node", atom(NODE)),
            ("qos", integer(1)),
            ("from", binary(client.clientid)),
            ("topic", binary(topic)),
            ("payload", binary(payload)),
            ("timestamp", BigInteger::from(1_795_000_000_000_i64).into()),
        ])],
    }
}

fn client_of(client: &Client, password: &[u8]) -> Term {
    properties([
        ("node", atom(NODE)),
        ("clientid", binary(client.clientid)),
        ("username", client.username.map_or_else(|| atom("undefined"), binary)),
        ("password", binary(password)),
        ("peerhost", binary("10.1.2.3")),
        ("sockport", integer(1883)),
        ("protocol", atom("mqtt")),
        ("mountpoint", atom("undefined")),
        ("is_superuser", atom("false")),
        ("anonymous", atom("true")),
    ])
}

fn connection_of(client: &Client) -> Term {
    properties([
        ("node", atom(NODE)),
        ("clientid", binary(client.clientid)),
        ("username", client.username.map_or_else(|| atom("undefined"), binary)),
        ("peerhost", binary("10.1.2.3")),
        ("sockport", integer(1883)),
        ("proto_name", binary("MQTT")),
        ("proto_ver", integer(client.proto_ver.into())),
        ("keepalive", integer(60)),
    ])
}
