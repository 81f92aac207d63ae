//! The client: asks the broker what a case asks, and reads its answer.

use super::here::{Here, Shown};
use super::report::Outcome;
use super::{Broker, Observer};
use crate::mqtt::{Connected, Connection, Error, Login, Refusal, Reply, Version};
use exhook_policy_core::event::Action;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::suite::{Case, Question, Secret};

/// Why a case has no outcome.
pub(super) enum Stop {
    /// The broker does not speak this version.
    Version(String),
    /// It is silent, or talks nonsense.
    Error(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error.to_string())
    }
}

/// What the broker did.
enum Answer {
    Allowed,
    Denied(String),
    /// Closed the connection without a word.
    Closed,
    /// For a reason that has nothing to do with who asks.
    Refused(String),
    Untold(String),
}

pub(super) struct Asker<'a> {
    here: &'a Here<'a>,
    broker: &'a Broker,
    version: Version,
    /// The client that asked last is still there.
    session: Option<(OwnedClient, Box<Connection>)>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(here: &'a Here<'a>, broker: &'a Broker, version: Version) -> Self {
        Asker { here, broker, version, session: None }
    }

    pub(super) fn ask(&mut self, shown: &Shown, case: &Case) -> Result<Outcome, Stop> {
        let client = &shown.client;
        let answer = match &case.question {
            Question::Authenticate(password) => self.authenticate(client, password)?,
            Question::Acl(action, topic) => {
                let answer = self.topic(client, *action, topic)?;
                // It may have been for another reason, such as another client of this name.
                if let Answer::Closed = answer { self.topic(client, *action, topic)? } else { answer }
            }
        };
        Ok(outcome(shown.allowed, answer))
    }

    fn topic(&mut self, client: &OwnedClient, action: Action, topic: &str) -> Result<Answer, Stop> {
        let mut connection = match self.enter(client)? {
            Ok(connection) => connection,
            Err(why) => return Ok(Answer::Untold(why)),
        };
        let answer = match action {
            Action::Subscribe => subscribe(&mut connection, topic)?,
            Action::Publish => self.publish(client, &mut connection, topic)?,
        };
        self.session = Some((client.clone(), connection));
        Ok(answer)
    }

    fn login(&self, client: &OwnedClient, password: &Secret) -> Result<Connected, Stop> {
        let login = Login { clientid: &client.clientid, username: &client.username, password: password.expose() };
        let connected = Connection::login(&self.here.addresses, self.version, login, self.broker.patience)?;
        match connected {
            Connected::Refused(Refusal::Other(0x01 | 0x84)) => {
                Err(Stop::Version(format!("the broker does not speak {}", self.version)))
            }
            Connected::In(_) | Connected::Refused(_) => Ok(connected),
        }
    }

    fn authenticate(&mut self, client: &OwnedClient, password: &Secret) -> Result<Answer, Stop> {
        if let Some((_, connection)) = self.session.take() {
            connection.disconnect();
        }
        Ok(match self.login(client, password)? {
            Connected::In(connection) => {
                connection.disconnect();
                Answer::Allowed
            }
            Connected::Refused(refusal @ Refusal::NotAuthorized(_)) => Answer::Denied(refusal.to_string()),
            Connected::Refused(refusal @ (Refusal::Other(_) | Refusal::Closed)) => Answer::Refused(refusal.to_string()),
        })
    }

    /// The connection of this client, which logs in unless it is there already; else why it cannot.
    fn enter(&mut self, client: &OwnedClient) -> Result<Result<Box<Connection>, String>, Stop> {
        match self.session.take() {
            Some((there, connection)) if there == *client && connection.is_open() => return Ok(Ok(connection)),
            Some((_, connection)) => connection.disconnect(),
            None => {}
        }
        let Some(password) = self.here.password(client) else {
            return Ok(Err("the policy lets its client in with no password of the test file".to_owned()));
        };
        Ok(match self.login(client, &password)? {
            Connected::In(connection) => Ok(connection),
            Connected::Refused(refusal) => Err(format!("its client cannot log in: {refusal}")),
        })
    }

    fn publish(&self, client: &OwnedClient, publisher: &mut Connection, topic: &str) -> Result<Answer, Stop> {
        let payload = &self.broker.payload;
        match self.version {
            // The PUBACK says whether the message was taken.
            Version::V5 => Ok(topic_answer(publisher.publish(topic, payload)?)),
            // It does not: whoever may see the message looks whether it arrives.
            Version::V3 => match self.observer(client, topic)? {
                Err(why) => Ok(Answer::Untold(why)),
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
    fn observer(&self, publisher: &OwnedClient, topic: &str) -> Result<Result<Option<Box<Connection>>, String>, Stop> {
        let (client, password) = match &self.broker.observer {
            Some(Observer { clientid, .. }) if **clientid == *publisher.clientid => {
                return Ok(Err("the observer is the client that publishes".to_owned()));
            }
            Some(Observer { clientid, username, password }) => {
                let mut client = OwnedClient::named(clientid);
                client.username = username.as_str().into();
                (client, password.clone())
            }
            None => match self.here.observers(topic, publisher).into_iter().next() {
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
            Connected::In(connection) => connection,
            Connected::Refused(refusal) => {
                return Ok(Err(format!("observer {} cannot log in: {refusal}", client.clientid)));
            }
        };
        connection.watch(topic, &self.broker.payload);
        match connection.subscribe(topic)? {
            Reply::Done => Ok(Ok(Some(connection))),
            Reply::Refused(refusal) => {
                Ok(Err(format!("observer {} cannot subscribe to the topic: {refusal}", client.clientid)))
            }
        }
    }

    fn publish_to_itself(&self, connection: &mut Connection, topic: &str) -> Result<Answer, Stop> {
        connection.watch(topic, &self.broker.payload);
        if let Reply::Refused(refusal) = connection.subscribe(topic)? {
            return Ok(Answer::Untold(format!("its client cannot subscribe to the topic to see it: {refusal}")));
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

fn subscribe(connection: &mut Connection, filter: &str) -> Result<Answer, Stop> {
    let answer = topic_answer(connection.subscribe(filter)?);
    if let Answer::Allowed = answer {
        connection.unsubscribe(filter)?;
    }
    Ok(answer)
}

/// What an answer to a publish or a subscription says. Who asks for what it may not is disconnected by some brokers, and
/// in MQTT 3.1.1 without a word.
fn topic_answer(reply: Reply) -> Answer {
    match reply {
        Reply::Done => Answer::Allowed,
        Reply::Refused(refusal @ Refusal::NotAuthorized(_)) => Answer::Denied(refusal.to_string()),
        Reply::Refused(Refusal::Closed) => Answer::Closed,
        Reply::Refused(refusal @ Refusal::Other(_)) => Answer::Refused(refusal.to_string()),
    }
}

/// What the arrival of a message says, whatever the PUBACK was.
fn seen(arrived: bool, answer: Answer) -> Answer {
    match (arrived, answer) {
        (true, _) => Answer::Allowed,
        (false, Answer::Allowed) => Answer::Denied("the message does not arrive".to_owned()),
        (false, answer) => answer,
    }
}

fn outcome(allowed: bool, answer: Answer) -> Outcome {
    match (allowed, answer) {
        (true, Answer::Allowed) | (false, Answer::Denied(_) | Answer::Closed) => Outcome::Passed,
        (false, Answer::Allowed) => Outcome::LetThrough,
        (true, Answer::Denied(why) | Answer::Refused(why)) => Outcome::Refused(why),
        (true, Answer::Closed) => Outcome::Refused(Refusal::Closed.to_string()),
        (false, Answer::Refused(why)) => Outcome::Skipped(format!("it is refused, but not for who asks: {why}")),
        (_, Answer::Untold(why)) => Outcome::Skipped(why),
    }
}
