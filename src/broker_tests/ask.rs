//! The client: asks the broker what a case asks, and reads its answer.

use super::expected::{Expectations, ExpectedAnswer};
use super::report::BrokerOutcome;
use super::{Observer, TestedBroker};
use crate::mqtt::{LoginResult, MqttConnection, MqttError, MqttLogin, MqttRefusal, MqttReply, MqttVersion};
use exhook_policy_core::event::Action;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::suite::{Case, Question, Secret};

/// Why a case has no outcome.
pub(super) enum NoOutcome {
    /// The broker does not speak this version.
    MqttVersion(String),
    /// It is silent, or talks nonsense.
    Error(String),
}

impl From<MqttError> for NoOutcome {
    fn from(error: MqttError) -> Self {
        NoOutcome::Error(error.to_string())
    }
}

/// What the broker did.
enum BrokerAnswer {
    Allowed,
    Denied(String),
    /// Closed the connection without a word.
    Closed,
    /// For a reason that has nothing to do with who asks.
    Refused(String),
    Untold(String),
}

pub(super) struct BrokerTestClient<'a> {
    expectations: &'a Expectations<'a>,
    broker: &'a TestedBroker,
    version: MqttVersion,
    /// The client that asked last is still there.
    session: Option<(OwnedClient, Box<MqttConnection>)>,
}

impl<'a> BrokerTestClient<'a> {
    pub(super) fn new(expectations: &'a Expectations<'a>, broker: &'a TestedBroker, version: MqttVersion) -> Self {
        BrokerTestClient { expectations, broker, version, session: None }
    }

    pub(super) fn ask(&mut self, expected: &ExpectedAnswer, case: &Case) -> Result<BrokerOutcome, NoOutcome> {
        let client = &expected.client;
        let answer = match &case.question {
            Question::Authenticate(password) => self.authenticate(client, password)?,
            Question::Acl(action, topic) => {
                let answer = self.topic(client, *action, topic)?;
                // It may have been for another reason, such as another client of this name.
                if let BrokerAnswer::Closed = answer { self.topic(client, *action, topic)? } else { answer }
            }
        };
        Ok(outcome(expected.allowed, answer))
    }

    fn topic(&mut self, client: &OwnedClient, action: Action, topic: &str) -> Result<BrokerAnswer, NoOutcome> {
        let mut connection = match self.enter(client)? {
            Ok(connection) => connection,
            Err(why) => return Ok(BrokerAnswer::Untold(why)),
        };
        let answer = match action {
            Action::Subscribe => subscribe(&mut connection, topic)?,
            Action::Publish => self.publish(client, &mut connection, topic)?,
        };
        self.session = Some((client.clone(), connection));
        Ok(answer)
    }

    fn login(&self, client: &OwnedClient, password: &Secret) -> Result<LoginResult, NoOutcome> {
        let login = MqttLogin { clientid: &client.clientid, username: &client.username, password: password.expose() };
        let connected = MqttConnection::login(&self.expectations.addresses, self.version, login, self.broker.patience)?;
        match connected {
            LoginResult::Refused(MqttRefusal::Other(0x01 | 0x84)) => {
                Err(NoOutcome::MqttVersion(format!("the broker does not speak {}", self.version)))
            }
            LoginResult::In(_) | LoginResult::Refused(_) => Ok(connected),
        }
    }

    fn authenticate(&mut self, client: &OwnedClient, password: &Secret) -> Result<BrokerAnswer, NoOutcome> {
        if let Some((_, connection)) = self.session.take() {
            connection.disconnect();
        }
        Ok(match self.login(client, password)? {
            LoginResult::In(connection) => {
                connection.disconnect();
                BrokerAnswer::Allowed
            }
            LoginResult::Refused(refusal @ MqttRefusal::NotAuthorized(_)) => BrokerAnswer::Denied(refusal.to_string()),
            LoginResult::Refused(refusal @ (MqttRefusal::Other(_) | MqttRefusal::Closed)) => {
                BrokerAnswer::Refused(refusal.to_string())
            }
        })
    }

    /// The connection of this client, which logs in unless it is there already; else why it cannot.
    fn enter(&mut self, client: &OwnedClient) -> Result<Result<Box<MqttConnection>, String>, NoOutcome> {
        match self.session.take() {
            Some((there, connection)) if there == *client && connection.is_open() => return Ok(Ok(connection)),
            Some((_, connection)) => connection.disconnect(),
            None => {}
        }
        let Some(password) = self.expectations.password(client) else {
            return Ok(Err("the policy lets its client in with no password of the test file".to_owned()));
        };
        Ok(match self.login(client, &password)? {
            LoginResult::In(connection) => Ok(connection),
            LoginResult::Refused(refusal) => Err(format!("its client cannot log in: {refusal}")),
        })
    }

    fn publish(
        &self,
        client: &OwnedClient,
        publisher: &mut MqttConnection,
        topic: &str,
    ) -> Result<BrokerAnswer, NoOutcome> {
        let payload = &self.broker.payload;
        match self.version {
            // The PUBACK says whether the message was taken.
            MqttVersion::V5 => Ok(topic_answer(publisher.publish(topic, payload)?)),
            // It does not: a client that may see the message looks whether it arrives.
            MqttVersion::V3 => match self.observer(client, topic)? {
                Err(why) => Ok(BrokerAnswer::Untold(why)),
                Ok(None) => self.publish_to_itself(publisher, topic),
                Ok(Some(mut observer)) => {
                    let answer = topic_answer(publisher.publish(topic, payload)?);
                    let arrived = observer.arrived(self.broker.settle)?;
                    observer.disconnect();
                    Ok(seen(arrived, answer))
                }
            },
        }
    }

    /// The connection of an observer that is subscribed to the topic; `None` where the publisher itself is the only
    /// one that may be.
    fn observer(
        &self,
        publisher: &OwnedClient,
        topic: &str,
    ) -> Result<Result<Option<Box<MqttConnection>>, String>, NoOutcome> {
        let (client, password) = match &self.broker.observer {
            Some(Observer { clientid, .. }) if **clientid == *publisher.clientid => {
                return Ok(Err("the observer is the client that publishes".to_owned()));
            }
            Some(Observer { clientid, username, password }) => {
                let mut client = OwnedClient::named(clientid);
                client.username = username.as_str().into();
                (client, password.clone())
            }
            None => match self.expectations.observers(topic, publisher).into_iter().next() {
                Some((client, _)) if client.clientid == publisher.clientid => return Ok(Ok(None)),
                Some(observer) => observer,
                None => {
                    return Ok(Err("in MQTT 3.1.1 only its arrival shows it, and no client of the test file may \
                                   subscribe to the topic"
                        .to_owned()));
                }
            },
        };
        let mut connection = match self.login(&client, &password)? {
            LoginResult::In(connection) => connection,
            LoginResult::Refused(refusal) => {
                return Ok(Err(format!("observer {} cannot log in: {refusal}", client.clientid)));
            }
        };
        connection.watch(topic, &self.broker.payload);
        match connection.subscribe(topic)? {
            MqttReply::Done => Ok(Ok(Some(connection))),
            MqttReply::Refused(refusal) => {
                Ok(Err(format!("observer {} cannot subscribe to the topic: {refusal}", client.clientid)))
            }
        }
    }

    fn publish_to_itself(&self, connection: &mut MqttConnection, topic: &str) -> Result<BrokerAnswer, NoOutcome> {
        connection.watch(topic, &self.broker.payload);
        if let MqttReply::Refused(refusal) = connection.subscribe(topic)? {
            return Ok(BrokerAnswer::Untold(format!("its client cannot subscribe to the topic to see it: {refusal}")));
        }
        let answer = topic_answer(connection.publish(topic, &self.broker.payload)?);
        if !connection.is_open() {
            return Ok(answer);
        }
        let arrived = connection.arrived(self.broker.settle)?;
        connection.unsubscribe(topic)?;
        Ok(seen(arrived, answer))
    }
}

fn subscribe(connection: &mut MqttConnection, filter: &str) -> Result<BrokerAnswer, NoOutcome> {
    let answer = topic_answer(connection.subscribe(filter)?);
    if let BrokerAnswer::Allowed = answer {
        connection.unsubscribe(filter)?;
    }
    Ok(answer)
}

/// What an answer to a publish or a subscription says. Who asks for what it may not is disconnected by some brokers, and
/// in MQTT 3.1.1 without a word.
fn topic_answer(reply: MqttReply) -> BrokerAnswer {
    match reply {
        MqttReply::Done => BrokerAnswer::Allowed,
        MqttReply::Refused(refusal @ MqttRefusal::NotAuthorized(_)) => BrokerAnswer::Denied(refusal.to_string()),
        MqttReply::Refused(MqttRefusal::Closed) => BrokerAnswer::Closed,
        MqttReply::Refused(refusal @ MqttRefusal::Other(_)) => BrokerAnswer::Refused(refusal.to_string()),
    }
}

/// What the arrival of a message says, whatever the PUBACK was.
fn seen(arrived: bool, answer: BrokerAnswer) -> BrokerAnswer {
    match (arrived, answer) {
        (true, _) => BrokerAnswer::Allowed,
        (false, BrokerAnswer::Allowed) => BrokerAnswer::Denied("the message does not arrive".to_owned()),
        (false, answer) => answer,
    }
}

fn outcome(allowed: bool, answer: BrokerAnswer) -> BrokerOutcome {
    match (allowed, answer) {
        (true, BrokerAnswer::Allowed) | (false, BrokerAnswer::Denied(_) | BrokerAnswer::Closed) => {
            BrokerOutcome::Passed
        }
        (false, BrokerAnswer::Allowed) => BrokerOutcome::LetThrough,
        (true, BrokerAnswer::Denied(why) | BrokerAnswer::Refused(why)) => BrokerOutcome::Refused(why),
        (true, BrokerAnswer::Closed) => BrokerOutcome::Refused(MqttRefusal::Closed.to_string()),
        (false, BrokerAnswer::Refused(why)) => {
            BrokerOutcome::Skipped(format!("it is refused, but not for who asks: {why}"))
        }
        (_, BrokerAnswer::Untold(why)) => BrokerOutcome::Skipped(why),
    }
}
