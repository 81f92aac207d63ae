//! What is put to a driver: a policy of some size with its lists, and the questions to ask it.

use std::fmt;
use std::fs;
use std::path::Path;

use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client as Asking, Extra, Peerhost};
use exhook_policy_core::policy::{Login, Policy};
use exhook_policy_runtime::source;

use crate::frames::{self, Client};
use crate::policies;

/// How many different questions there are of each kind. They are asked in turn.
const QUESTIONS: usize = 1000;

/// A policy of one kind and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// 10,000 names that may log in, and 100 rules about topics.
    Fleet,
    /// So many rules about topics.
    Rules(usize),
    /// A list of so many names that may log in.
    Names(usize),
    /// A list of so many networks from which to log in.
    Networks(usize),
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// May a client log in?
    Authenticate,
    /// May it publish to a topic?
    Publish,
    /// May it subscribe to a filter with wildcards?
    Wildcard,
}

impl Subject {
    /// The policy's text. Nothing is logged: lines on a console are not what is measured.
    pub fn policy(self) -> String {
        let text = match self {
            Subject::Fleet => policies::of_rules(100).replace(
                "    - { id: all, allow: everyone }\n",
                "    - { id: fleet, allow: { clientid: { in: names } } }\n",
            ),
            Subject::Rules(count) => policies::of_rules(count),
            Subject::Names(_) => of_login("clientid: { in: names }"),
            Subject::Networks(_) => of_login("peerhost: { in: networks }"),
        };
        let lists = match self {
            Subject::Fleet | Subject::Names(_) => "lists:\n  names: { file: names.txt }\n",
            Subject::Networks(_) => "lists:\n  networks: { file: networks.txt }\n",
            Subject::Rules(_) => "",
        };
        text.replacen("version: 1\n", &format!("version: 1\nlog: []\n{lists}"), 1)
    }

    /// Writes the policy and its lists into a folder, as the module `rules`.
    pub fn write(self, folder: &Path) {
        let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a policy's folder");
        write("rules.yaml", self.policy());
        let lines = |entries: Vec<String>| entries.join("\n") + "\n";
        match self {
            Subject::Fleet => write("names.txt", lines(policies::names(10_000).collect())),
            Subject::Names(count) => write("names.txt", lines(policies::names(count).collect())),
            Subject::Networks(count) => write("networks.txt", lines(policies::networks(count).collect())),
            Subject::Rules(_) => {}
        }
    }

    /// The questions of a kind, whose answers lie all over the policy.
    pub fn questions(self, question: Question) -> Vec<Asked> {
        let client = |n: usize, of: usize| Client::number(if of <= QUESTIONS { n % of } else { n * (of / QUESTIONS) });
        let topics = |topics: fn(usize, &str) -> Vec<String>, of: usize| {
            let of_client = |n| {
                let client = Client::number(n * 991);
                topics(of, &client.clientid).into_iter().map(move |topic| (client.clone(), topic))
            };
            (0..QUESTIONS / 100).flat_map(of_client).map(|(client, topic)| Asked { client, topic, question }).collect()
        };
        match (self, question) {
            (Subject::Networks(count), Question::Authenticate) => {
                let networks: Vec<String> = policies::networks(count).collect();
                let from =
                    |n: usize| networks[if count <= QUESTIONS { n % count } else { n * (count / QUESTIONS) }].as_str();
                let host = |network: &str| network.trim_end_matches("0/24").trim_end_matches("/64").to_owned() + "7";
                let client = |n| Client { peerhost: host(from(n)), ..Client::number(n) };
                (0..QUESTIONS).map(|n| Asked { client: client(n), topic: String::new(), question }).collect()
            }
            (_, Question::Authenticate) => {
                let of = match self {
                    Subject::Names(count) => count,
                    Subject::Fleet | Subject::Rules(_) | Subject::Networks(_) => 10_000,
                };
                (0..QUESTIONS).map(|n| Asked { client: client(n, of), topic: String::new(), question }).collect()
            }
            (_, Question::Publish) => topics(policies::publishes, self.rules()),
            (_, Question::Wildcard) => topics(policies::wildcards, self.rules()),
        }
    }

    fn rules(self) -> usize {
        match self {
            Subject::Rules(count) => count,
            Subject::Fleet => 100,
            Subject::Names(_) | Subject::Networks(_) => unreachable!("a policy about logins has no topics"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Fleet => f.write_str("10,000 names and 100 rules"),
            Subject::Rules(count) => write!(f, "{} rules", grouped(*count as u64)),
            Subject::Names(count) => write!(f, "{} names", grouped(*count as u64)),
            Subject::Networks(count) => write!(f, "{} networks", grouped(*count as u64)),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Question::Authenticate => "authenticate",
            Question::Publish => "publish",
            Question::Wildcard => "wildcard subscribe",
        })
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One question.
#[derive(Debug, Clone)]
pub struct Asked {
    pub client: Client,
    pub topic: String,
    pub question: Question,
}

impl Asked {
    /// Appends the call that asks it.
    pub fn push(&self, out: &mut Vec<u8>, id: u32) {
        match self.question {
            Question::Authenticate => frames::authenticate(out, id, &self.client, "s3cret"),
            Question::Publish => frames::check_acl(out, id, &self.client, "publish", &self.topic),
            Question::Wildcard => frames::check_acl(out, id, &self.client, "subscribe", &self.topic),
        }
    }

    /// The client as a policy sees it.
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            clientid: &self.client.clientid,
            username: &self.client.username,
            peerhost: Peerhost::parse(&self.client.peerhost),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "emqx@127.0.0.1",
            is_superuser: false,
            anonymous: false,
            extra: Extra::NONE,
        }
    }
}

/// The calls that ask the questions in turn, `count` of them.
pub fn calls(questions: &[Asked], count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, asked) in (1..).zip(questions.iter().cycle().take(count)) {
        asked.push(&mut out, id);
    }
    out
}

fn of_login(condition: &str) -> String {
    format!("version: 1\nauth:\n  rules:\n    - {{ id: listed, allow: {{ {condition} }} }}\n")
}

/// How many of the questions the policy in a folder answers with yes, asked without a driver.
pub fn allowed(folder: &Path, questions: &[Asked]) -> usize {
    let loaded = exhook_policy_runtime::files::policies::load(&folder.join("rules.yaml"))
        .unwrap_or_else(|report| panic!("{report}"));
    let policy = Policy::compile(loaded.model);
    let (lists, problems) = source::read(policy.lists());
    assert!(problems.is_empty(), "{problems:?}");
    let allowed = |asked: &&Asked| {
        let client = asked.asking();
        let decision = match asked.question {
            Question::Authenticate => match policy.authenticate(&client, &lists) {
                Login::Decided(decision) => decision,
                Login::Password { .. } => unreachable!("the policy has no passwords"),
            },
            Question::Publish => policy.check_acl(&client, Action::Publish, &asked.topic, &lists),
            Question::Wildcard => policy.check_acl(&client, Action::Subscribe, &asked.topic, &lists),
        };
        decision.verdict == Verdict::Allow
    };
    questions.iter().filter(allowed).count()
}
