//! What the broker will see of a client that logs in from here, and what it can therefore show.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::mqtt::MqttVersion;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::emqx::Fact;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Action, Peerhost};
use exhook_policy_core::policy::model::{ClientField, FieldValue, HostField, PortField, TextField};
use exhook_policy_core::policy::when::Zone;
use exhook_policy_core::suite::{Case, Question, Secret, Suite};
use exhook_policy_core::topic::{PREFIXES, Request};
use exhook_policy_runtime::clock::now_ms;

/// The suite, and where its clients come from.
pub(super) struct Expectations<'s> {
    pub(super) suite: &'s Suite,
    pub(super) addresses: Vec<SocketAddr>,
    /// Where this program connects from, as far as it knows: behind a translation of addresses the broker sees another.
    local: SocketAddr,
    port: u16,
    /// When the tests began, where the policy hangs on the time.
    at: Option<i64>,
}

/// A case that the broker can show.
pub(super) struct ExpectedAnswer {
    /// Its client as the broker will see it.
    pub(super) client: OwnedClient,
    /// Whether the broker must allow it.
    pub(super) allowed: bool,
}

/// A field of a client that the client has no say in.
struct BrokerField {
    name: &'static str,
    /// Makes it what it will be at the broker, or may be.
    set: Box<Setter>,
    show: Box<dyn Fn(&OwnedClient) -> String>,
}

type Setter = dyn Fn(&Expectations<'_>, &mut OwnedClient);

/// The fields of which it is known what they will be.
fn known() -> Vec<BrokerField> {
    let fields = ClientField::in_events().filter_map(|field| {
        let set: Box<Setter> = match field {
            ClientField::Text(text) => {
                let value = text.traits().plain?;
                // What the broker does not tell, it does not tell of this client either.
                Box::new(move |_, client| {
                    if text.of(&client.as_client()).is_some() {
                        text.set(client, value);
                    }
                })
            }
            ClientField::Host(host) if host == HostField::Peerhost => {
                Box::new(move |expectations, client| host.set(client, Peerhost::Addr(expectations.local.ip())))
            }
            ClientField::Port(port) if port == PortField::Sockport => {
                Box::new(move |expectations, client| port.set(client, expectations.port))
            }
            ClientField::Flag(flag) => {
                let value = flag.traits().plain?;
                Box::new(move |_, client| flag.set(client, value))
            }
            ClientField::Host(_) | ClientField::Port(_) => return None,
        };
        Some(BrokerField { name: field.name(), set, show: Box::new(move |client| expected(field, client)) })
    });
    fields.chain([time()]).collect()
}

fn time() -> BrokerField {
    BrokerField {
        name: "at",
        set: Box::new(|expectations, client| client.extra.at = expectations.at.or(client.extra.at)),
        show: Box::new(|client| client.extra.at.map_or_else(|| "no time".to_owned(), |at| Zone::utc().exactly(at))),
    }
}

/// The fields that may be anything, and whether the broker tells those that only some do.
fn unknown() -> Vec<BrokerField> {
    let anything = ClientField::in_events().filter_map(|field| {
        let set: Box<Setter> = match field {
            // These are what the test says.
            ClientField::Text(TextField::Clientid | TextField::Username) => return None,
            ClientField::Text(text) if text.traits().plain.is_none() => Box::new(move |_, client| {
                if let Some(another) = text.of(&client.as_client()).map(|name| format!("{name}-or-another")) {
                    text.set(client, &another);
                }
            }),
            ClientField::Host(host) if host != HostField::Peerhost => Box::new(move |_, client| {
                if host.of(&client.as_client()).is_some() {
                    host.set(client, Peerhost::Other("another"));
                }
            }),
            ClientField::Port(port) if port != PortField::Sockport => Box::new(move |_, client| {
                if let Some(another) = port.of(&client.as_client()).map(|port| port ^ 1) {
                    port.set(client, another);
                }
            }),
            ClientField::Flag(flag) if flag.traits().plain.is_none() => Box::new(move |_, client| {
                if let Some(another) = flag.of(&client.as_client()).map(|flag| !flag) {
                    flag.set(client, another);
                }
            }),
            ClientField::Text(_) | ClientField::Host(_) | ClientField::Port(_) | ClientField::Flag(_) => return None,
        };
        Some(BrokerField { name: field.name(), set, show: Box::new(move |client| expected(field, client)) })
    });
    let untold = ClientField::in_events().filter_map(|field| {
        let fact = field.told_by()?;
        let set: Box<Setter> = Box::new(move |expectations, client| expectations.not_told(fact, field, client));
        Some(BrokerField { name: field.name(), set, show: Box::new(move |client| expected(field, client)) })
    });
    anything.chain(untold).collect()
}

/// A field's value.
fn expected(field: ClientField, client: &OwnedClient) -> String {
    match field.of(&client.as_client()) {
        None => "not told".to_owned(),
        Some(FieldValue::Text(text)) => format!("{text:?}"),
        Some(value @ (FieldValue::Host(_) | FieldValue::Port(_) | FieldValue::Flag(_))) => value.to_string(),
    }
}

/// The longest text that MQTT carries, in bytes.
const MAX_TEXT: usize = u16::MAX as usize;

impl<'s> Expectations<'s> {
    /// Connects once, to know from where.
    pub(super) fn find(suite: &'s Suite, addresses: &[SocketAddr], patience: Duration) -> Result<Self, String> {
        let mut tried = Vec::new();
        for address in addresses {
            let local = TcpStream::connect_timeout(address, patience).and_then(|stream| stream.local_addr());
            match local {
                Ok(local) => {
                    let at = suite.policy.asks_time().then(now_ms);
                    return Ok(Expectations { suite, addresses: vec![*address], local, port: address.port(), at });
                }
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
        Err(format!("no connection to the broker: {}", tried.join("; ")))
    }

    /// The client as the broker will see it.
    pub(super) fn seen(&self, client: &OwnedClient) -> OwnedClient {
        let mut seen = client.clone();
        for field in &known() {
            (field.set)(self, &mut seen);
        }
        seen
    }

    /// What the broker must do, where it can show what the case asks; else why it cannot.
    pub(super) fn expected(&self, case: &Case, version: MqttVersion) -> Result<ExpectedAnswer, String> {
        if case.would {
            return Err("it is about rules in audit mode, which the broker is told nothing of".to_owned());
        }
        let allowed = match case.expected.verdict {
            Verdict::Allow => true,
            Verdict::Deny => false,
            Verdict::Ignore => return Err("the policy leaves it to the broker".to_owned()),
        };
        can_be_sent(case, version)?;
        let seen = self.seen(&case.client);
        let written = self.suite.decide(case).verdict;
        if self.suite.answer(&seen, &case.question).verdict != written {
            return Err(self.what_differs(case, written));
        }
        let decides =
            |field: &&BrokerField| self.suite.answer(&self.with(field, &seen), &case.question).verdict != written;
        match unknown().iter().find(decides) {
            None => Ok(ExpectedAnswer { client: seen, allowed }),
            Some(field) => {
                let value = (field.show)(&seen);
                Err(format!("it is so where `{}` is {value}, which is not known of this broker", field.name))
            }
        }
    }

    /// Takes the value away, unless the brokers that the policy is for surely tell it.
    fn not_told(&self, fact: Fact, field: ClientField, client: &mut OwnedClient) {
        let brokers = self.suite.policy.brokers();
        if brokers.versions().is_empty() || !brokers.all_have(fact) {
            field.unset(client);
        }
    }

    fn with(&self, field: &BrokerField, client: &OwnedClient) -> OwnedClient {
        let mut client = client.clone();
        (field.set)(self, &mut client);
        client
    }

    /// The fields that make the policy decide otherwise, by themselves or else together.
    fn what_differs(&self, case: &Case, written: Verdict) -> String {
        let known = known();
        let changed = known.iter().map(|field| (field, self.with(field, &case.client)));
        let changed: Vec<_> = changed.filter(|(_, client)| *client != case.client).collect();
        let decides = |client: &OwnedClient| self.suite.answer(client, &case.question).verdict != written;
        let alone = changed.iter().any(|(_, client)| decides(client));
        let deciding = changed.iter().filter(|(_, client)| !alone || decides(client));
        let told = deciding.map(|(BrokerField { name, show, .. }, client)| {
            format!("`{name}` {}, not {}", show(client), show(&case.client))
        });
        let told = told.collect::<Vec<_>>().join(", ");
        format!("from here the client has {told}, and the policy decides otherwise")
    }

    /// A password with which the policy lets this client in, as the broker will see it: one of those that the tests
    /// log it in with, one that stands in for a source, or none.
    pub(super) fn password(&self, client: &OwnedClient) -> Option<Secret> {
        let asked = self.suite.tests.iter().flat_map(|test| &test.cases).filter_map(|case| match &case.question {
            Question::Authenticate(password) if case.client.username == client.username => Some(password),
            Question::Authenticate(_) | Question::Acl(..) => None,
        });
        let known = self.suite.contents.passwords_of(&client.username);
        let none = Secret::default();
        let mut passwords = asked.chain(known).chain([&none]);
        let lets_in = |password: &&Secret| {
            let question = Question::Authenticate((*password).clone());
            self.suite.answer(client, &question).verdict == Verdict::Allow
        };
        passwords.find(lets_in).cloned()
    }

    /// The clients of the test file that may see messages of this topic, another than the one who publishes first.
    pub(super) fn observers(&self, topic: &str, publisher: &OwnedClient) -> Vec<(OwnedClient, Secret)> {
        let mut found: Vec<(OwnedClient, Secret)> = Vec::new();
        for case in self.suite.tests.iter().flat_map(|test| &test.cases) {
            let client = self.seen(&case.client);
            if client.clientid.is_empty() || found.iter().any(|(known, _)| known.clientid == client.clientid) {
                continue;
            }
            if self.suite.answer(&client, &Question::Acl(Action::Subscribe, topic.to_owned())).verdict == Verdict::Allow
            {
                found.extend(self.password(&client).map(|password| (client, password)));
            }
        }
        found.sort_by_key(|(client, _)| client.clientid == publisher.clientid);
        found
    }
}

/// Whether a client can ask this at all.
fn can_be_sent(case: &Case, version: MqttVersion) -> Result<(), String> {
    let client = &case.client;
    let text = |what: &str, text: &str| match text {
        text if text.contains('\0') => Err(format!("MQTT carries no NUL in a {what}")),
        text if text.len() > MAX_TEXT => Err(format!("MQTT carries no {what} of {} bytes", text.len())),
        _ => Ok(()),
    };
    if client.clientid.is_empty() {
        return Err("a broker gives a client without a clientid one of its own".to_owned());
    }
    text("clientid", &client.clientid)?;
    text("username", &client.username)?;
    match &case.question {
        Question::Authenticate(password) => {
            if version == MqttVersion::V3 && client.username.is_empty() && !password.is_empty() {
                return Err("MQTT 3.1.1 carries no password without a username".to_owned());
            }
            text("password", password.expose())
        }
        Question::Acl(action, topic) => {
            text("topic", topic)?;
            match (Request::parse(*action, topic), action, version) {
                (None, Action::Publish, _) => {
                    Err("this is no topic name, and a broker disconnects who publishes to it".to_owned())
                }
                (None, Action::Subscribe, _) => {
                    Err("this is no topic filter, and a broker disconnects who subscribes to it".to_owned())
                }
                (Some(_), Action::Publish, MqttVersion::V3)
                    if PREFIXES.iter().any(|prefix| topic.starts_with(prefix)) =>
                {
                    Err("in MQTT 3.1.1 only its arrival would show it, and nobody can subscribe to this name"
                        .to_owned())
                }
                (Some(_), Action::Publish | Action::Subscribe, _) => Ok(()),
            }
        }
    }
}

#[cfg(test)]
#[path = "expected_tests.rs"]
mod tests;
