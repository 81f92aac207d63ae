//! What the commands that put a question to a policy have in common: how a client is named, which forms the answer has,
//! and the words for it.

pub mod explain;
pub mod what_can;
pub mod who_can;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::out::stdout;
use exhook_policy_core::decision::{DEFAULT, Mode, Verdict};
use exhook_policy_core::event::Action;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::policy::show::Words;
use exhook_policy_core::policy::when::moment::{self, Edge};
use exhook_policy_core::policy::{Loaded, Policy};
use exhook_policy_runtime::files::policies;
use exhook_policy_tools::access::AccessQuestion;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AskFormat {
    /// Sentences
    Human,
    /// One JSON object
    Json,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AskedAction {
    /// To log in
    Connect,
    /// To publish to a topic name
    Publish,
    /// To subscribe to a topic filter
    Subscribe,
}

/// A question of the command line.
#[derive(Debug, clap::Args)]
struct QuestionArgs {
    /// What is asked for
    #[arg(value_enum, value_name = "connect|publish|subscribe", hide_possible_values = true)]
    asked: AskedAction,
    /// The topic name or topic filter
    #[arg(required_if_eq_any([("asked", "publish"), ("asked", "subscribe")]))]
    topic: Option<String>,
}

impl QuestionArgs {
    /// `None` where a topic stands behind `connect`.
    fn question(&self) -> Option<AccessQuestion<'_>> {
        match (self.asked, self.topic.as_deref()) {
            (AskedAction::Connect, None) => Some(AccessQuestion::Connect),
            (AskedAction::Publish, Some(topic)) => Some(AccessQuestion::Topic(Action::Publish, topic)),
            (AskedAction::Subscribe, Some(topic)) => Some(AccessQuestion::Topic(Action::Subscribe, topic)),
            (AskedAction::Connect, Some(_)) | (AskedAction::Publish | AskedAction::Subscribe, None) => None,
        }
    }
}

/// A moment of the command line, Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    moment::parse(text, None, Edge::Begin).map_err(|wrong| format!("it {}: {}", wrong.message(), wrong.help()))
}

/// When it is asked, in words, where the policy hangs on it: `at 2026-12-01 08:00 (tue, Europe/Berlin)`.
fn told_moment(policy: &Policy, at: Option<i64>) -> Option<String> {
    policy.zone().zip(at).map(|(zone, at)| format!("at {}", zone.told(at)))
}

/// Reads the policy; where that fails the report goes to stderr.
fn load(file: &Path) -> Option<Loaded> {
    match policies::load(file) {
        Ok(loaded) => Some(loaded),
        Err(report) => {
            complain(format_args!("{report}"));
            None
        }
    }
}

/// Says on stderr why nothing could be asked.
fn complain(message: impl fmt::Display) {
    // A reader that closed stderr does not want to know.
    let _ = write!(io::stderr(), "{message}");
}

/// Prints the answer. The code is 0 whatever it is, and 2 where it cannot be printed.
fn print(answer: &str) -> ExitCode {
    match stdout().write_all(answer.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

/// What became of a client.
fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
        Verdict::Ignore => "left to the broker",
    }
}

/// A rule with the place where it stands.
fn rule(id: &str, file: &str, line: usize) -> String {
    format!("rule `{id}` ({file}:{line})")
}

/// Whatever decides where no rule does.
fn no_rule(id: &str, section: &str) -> String {
    if id == DEFAULT { format!("by the default of `{section}`") } else { format!("by `{id}`") }
}

/// The section that a question is about.
fn section(question: AccessQuestion<'_>) -> &'static str {
    match question {
        AccessQuestion::Connect => "auth",
        AccessQuestion::Topic(..) => "acl",
    }
}

/// The kinds of client with a name that rules are about.
#[derive(Default)]
struct NamedKinds<'p>(BTreeMap<&'p str, &'p Who>);

impl<'p> NamedKinds<'p> {
    fn of_login(&mut self, policy: &'p Policy, id: &str) {
        policy.auth_rules().iter().filter(|rule| rule.id == id).for_each(|rule| self.add(&rule.who));
    }

    fn of_topics(&mut self, policy: &'p Policy, id: &str) {
        policy.acl_rules().iter().filter(|rule| rule.id == id).for_each(|rule| self.add(&rule.who));
    }

    fn add(&mut self, who: &'p Who) {
        match who {
            Who::Everyone | Who::All(_) => {}
            Who::Named(named) => {
                if self.0.insert(&named.name, &named.who).is_none() {
                    self.add(&named.who);
                }
            }
            Who::Any(each) => each.iter().for_each(|who| self.add(who)),
            Who::During(_, who) => self.add(who),
        }
    }

    /// A paragraph that says who they are; empty where there are none.
    fn told(&self, words: Words<'_>) -> String {
        let lines = self.0.iter().map(|(name, who)| format!("  `{name}`: {}\n", words.who(who)));
        let lines: String = lines.collect();
        if lines.is_empty() { lines } else { format!("\nkinds of client\n{lines}") }
    }
}

/// Lines for answers of a policy that is not carried out, or some of whose rules are not; empty for others.
fn audit(policy: &Policy, section: &str) -> String {
    let mode = match policy.mode() {
        Mode::Enforce => "",
        Mode::Audit => "\nThe policy is in audit mode: this is recorded, and the broker is told nothing.\n",
    };
    let ids: Vec<String> = tried_rules(policy, section).map(|id| format!("`{id}`")).collect();
    if ids.is_empty() {
        return mode.to_owned();
    }
    format!("{mode}\nLeft out, since they are in audit mode: {}.\n", ids.join(", "))
}

/// The ids of the rules in audit mode; those of one section, or of both where it is empty.
fn tried_rules<'p>(policy: &'p Policy, section: &str) -> impl Iterator<Item = &'p str> {
    let auth = policy.tried_logins().filter(|_| section != "acl").map(|rule| rule.id.as_str());
    let acl = policy.tried_topics().filter(|_| section != "auth").map(|rule| rule.id.as_str());
    auth.chain(acl).collect::<Vec<_>>().into_iter()
}

/// Columns of a place, a rule and what is said of it.
#[derive(Default)]
struct AnswerRows(Vec<AnswerRow>);

enum AnswerRow {
    Title(String),
    Said { place: String, rule: String, said: String },
}

impl AnswerRows {
    fn title(&mut self, title: &str) {
        self.0.push(AnswerRow::Title(title.to_owned()));
    }

    fn push(&mut self, place: String, rule: &str, said: String) {
        self.0.push(AnswerRow::Said { place, rule: rule.to_owned(), said });
    }
}

impl fmt::Display for AnswerRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.0.iter().filter_map(|row| match row {
            AnswerRow::Title(_) => None,
            AnswerRow::Said { place, rule, .. } => Some((place.chars().count(), rule.chars().count())),
        });
        let (places, rules) = widths.fold((0, 0), |widest, width| (widest.0.max(width.0), widest.1.max(width.1)));
        for row in &self.0 {
            match row {
                AnswerRow::Title(title) => writeln!(f, "\n{title}")?,
                AnswerRow::Said { place, rule, said } => writeln!(f, "  {place:places$}  {rule:rules$}  {said}")?,
            }
        }
        Ok(())
    }
}

/// A JSON object as a file of its own.
fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
