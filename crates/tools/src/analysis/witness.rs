//! A question that was asked of a policy, to show what it says.

use std::fmt;

use serde::{Serialize, Serializer};

use super::sample::Sample;
use exhook_policy_core::event::{Action, Client, Shown};
use exhook_policy_core::policy::Found;
use exhook_policy_core::policy::model::ClientField;

/// A client and what it asks.
#[derive(Debug, Clone, Serialize)]
pub struct Witness {
    /// Who asks.
    #[serde(flatten)]
    pub sample: Sample,
    /// What is asked.
    #[serde(flatten)]
    pub asked: ClientQuestion,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ClientQuestion {
    /// To log in.
    Login {
        /// What the password sources say of it that the policy asks, in that order.
        passwords: Vec<PasswordAnswer>,
    },
    /// To publish to a topic name, or to subscribe to a topic filter.
    Topic {
        /// Which of the two.
        action: Action,
        /// The topic name or filter.
        topic: String,
    },
}

/// What one password source says of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordAnswer {
    /// The name of the source.
    pub source: String,
    /// What it says.
    pub found: Found,
}

fn word(found: Found) -> &'static str {
    match found {
        Found::Right => "right",
        Found::Wrong => "wrong",
        Found::Unknown => "unknown",
        Found::Unreadable => "unreadable",
    }
}

/// One line: `clientid "a", username "b" (in list `fleet`): publish "x/y"`.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sample, self.asked)
    }
}

impl fmt::Display for ClientQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientQuestion::Topic { action, topic } => write!(f, "{} {}", action.as_str(), Shown(topic)),
            ClientQuestion::Login { passwords } => {
                f.write_str("login")?;
                for (count, PasswordAnswer { source, found }) in passwords.iter().enumerate() {
                    f.write_str(if count == 0 { ", " } else { " and " })?;
                    match found {
                        Found::Right => write!(f, "with the right password of `{source}`")?,
                        Found::Wrong => write!(f, "with a wrong password of `{source}`")?,
                        Found::Unknown => write!(f, "unknown to `{source}`")?,
                        Found::Unreadable => write!(f, "with `{source}` unreadable")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl Serialize for PasswordAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct PasswordAnswerJson<'a> {
            source: &'a str,
            found: &'a str,
        }
        PasswordAnswerJson { source: &self.source, found: word(self.found) }.serialize(serializer)
    }
}

/// A client in the form of an event in JSON.
struct ClientJson<'a>(Client<'a>);

impl Serialize for ClientJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ClientJson(client) = self;
        serializer.collect_map(ClientField::in_events().filter_map(|field| Some((field.name(), field.of(client)?))))
    }
}

/// The client in the form of an event in JSON with the time, where that matters, and under `lists`
/// what is assumed of lists.
impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct SampleJson<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            at: Option<i64>,
            client: ClientJson<'a>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            lists: Vec<ListJson<'a>>,
        }
        #[derive(Serialize)]
        struct ListJson<'a> {
            list: &'a str,
            entry: &'a str,
            holds: bool,
        }
        let client = self.client();
        let at = client.extra.at.filter(|_| self.zone.is_some());
        let client = ClientJson(client);
        let lists = self.assumed().map(|(list, entry, holds)| ListJson { list, entry, holds }).collect();
        SampleJson { at, client, lists }.serialize(serializer)
    }
}
