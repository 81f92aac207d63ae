//! `exhook-policy explain`: what a policy decides in one case, and why.

mod happened;
mod steps;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::what_can::{ClientArgs, add_moment, fields_json, told_fields};
use super::{AnswerRows, AskFormat, AskedAction, audit, complain, load, pretty, print, told_moment};
use crate::cli::world::{World, WorldArgs};
use exhook_policy_core::decision::{Answer, ERROR, INVALID_TOPIC, Mode, Verdict};
use exhook_policy_core::event::json::{self as events, Decided, JsonError, LONGEST, Line};
use exhook_policy_core::event::owned::{OwnedClient, OwnedEvent, OwnedExtra};
use exhook_policy_core::event::{Action, Shown};
use exhook_policy_core::policy::model::{ClientField, TextField};
use exhook_policy_core::policy::places::Places;
use exhook_policy_core::policy::span::Span;
use exhook_policy_core::policy::trace::{Outcome, Trace, Tried};
use exhook_policy_core::policy::{Found, Loaded, Policy};
use exhook_policy_core::text::Identity;
use exhook_policy_core::topic::Request;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_runtime::files::input;
use exhook_policy_tools::access::KnownClient;
use happened::Happened;
use steps::{password, taken_for, tried_json};

/// Say what a policy decides, and why.
///
/// Asks one question: may this client log in, publish to this topic, subscribe to this filter? Prints the answer, the
/// rule that decided, and why the rules before it did not. The exit code is 0 whatever the answer is.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The policy file
    policy: PathBuf,
    /// What is asked for
    #[arg(value_enum, value_name = "connect|publish|subscribe", hide_possible_values = true)]
    #[arg(required_unless_present = "event", conflicts_with = "event")]
    asked: Option<AskedAction>,
    /// The topic name or topic filter
    #[arg(required_if_eq_any([("asked", "publish"), ("asked", "subscribe")]))]
    topic: Option<String>,
    /// An event that asks it, as JSON: a file, `-` for stdin, or the JSON itself; what is said of the client beside it
    /// counts before what is said in it. If it tells what was decided, that is explained too
    #[arg(long, value_name = "JSON")]
    event: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    world: WorldArgs,
    /// Where the texts of earlier policies are kept, if that is not `state` beside the policy
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Show all rules that were tried, however many
    #[arg(long)]
    all: bool,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = AskFormat::Human)]
    format: AskFormat,
}

/// One question of one client.
struct ExplainedQuestion {
    client: OwnedClient,
    asked: ExplainedRequest,
    /// What was decided when it was asked, as far as the event tells.
    decided: Option<Decided>,
}

#[derive(Clone)]
enum ExplainedRequest {
    Connect { password_given: bool },
    Topic(Action, String),
}

/// Prints the answer to stdout. The code is 2 where the question, the policy or the stand-ins cannot be read.
pub fn run(args: &ExplainArgs) -> ExitCode {
    match explain(args) {
        Ok(answer) => print(&answer),
        Err(message) => {
            complain(message);
            ExitCode::from(2)
        }
    }
}

fn explain(args: &ExplainArgs) -> Result<String, String> {
    let mut question = question(args).map_err(|message| format!("error: {message}\n"))?;
    let Some(loaded) = load(&args.policy) else { return Err(String::new()) };
    let Loaded { model, warnings, places } = loaded;
    let places = places.enforced(&model);
    let policy = Policy::compile(model);
    let happened = Happened::of(args, &question, warnings.text(), policy.mode());
    let at = args.client.at.or(question.client.extra.at).unwrap_or_else(now_ms);
    if args.event.is_none() {
        question.client.extra = policy.usual_extra().into();
    }
    let username = question.client.username.clone();
    args.client.put_into(&mut question.client);
    if question.client.username != username {
        // What the sources said then was of another user.
        question.decided = None;
    }
    question.client.extra.at = Some(at);
    let world = args.world.world(&policy).map_err(|report| report.to_string())?;
    let file = args.policy.display().to_string();
    let explained = Explained::new(&policy, &question, &world, &file, warnings.text(), &places);
    Ok(match (args.format, &happened) {
        (AskFormat::Human, None) => explained.human(args.all),
        (AskFormat::Human, Some(happened)) => happened.human(&explained, args.all),
        (AskFormat::Json, None) => pretty(&explained.json()),
        (AskFormat::Json, Some(happened)) => pretty(&happened.json(&explained)),
    })
}

/// The question of the command line, less what is said of the client beside it.
fn question(args: &ExplainArgs) -> Result<ExplainedQuestion, String> {
    match (&args.event, args.asked, &args.topic) {
        (Some(event), ..) => asked_by(&event_text(event)?),
        (None, Some(AskedAction::Connect), None) => {
            Ok(ExplainedQuestion::new(ExplainedRequest::Connect { password_given: true }))
        }
        (None, Some(AskedAction::Publish), Some(topic)) => {
            Ok(ExplainedQuestion::new(ExplainedRequest::Topic(Action::Publish, topic.clone())))
        }
        (None, Some(AskedAction::Subscribe), Some(topic)) => {
            Ok(ExplainedQuestion::new(ExplainedRequest::Topic(Action::Subscribe, topic.clone())))
        }
        (None, Some(AskedAction::Connect), Some(_)) => Err("`connect` takes no topic".to_owned()),
        (None, ..) => Err("nothing is asked".to_owned()),
    }
}

/// The text of an event that is given in one of three ways.
fn event_text(event: &str) -> Result<String, String> {
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let read = match event {
        "-" => input::rest_text(io::stdin().lock(), most),
        event if event.trim_start().starts_with('{') => return Ok(event.to_owned()),
        file => input::read_text(Path::new(file), most),
    };
    read.map_err(|error| format!("the event cannot be read: {error}"))
}

fn asked_by(text: &str) -> Result<ExplainedQuestion, String> {
    let no_event = |error: JsonError| format!("this is no event: {error}");
    let (at, decided) = match events::read_line(text.trim()).map_err(no_event)? {
        Line::Told(told) => (told.at, told.decision),
        Line::Dropped(_) => (None, None),
    };
    let event = events::read(text.trim()).map_err(no_event)?;
    let timed = |client: OwnedClient| OwnedClient { extra: OwnedExtra { at, ..client.extra }, ..client };
    if let OwnedEvent::Authenticate { client, password_given } = event {
        let asked = ExplainedRequest::Connect { password_given };
        return Ok(ExplainedQuestion { client: timed(client), asked, decided });
    }
    if let OwnedEvent::CheckAcl { client, action, topic } = event {
        let asked = ExplainedRequest::Topic(action, topic.into());
        return Ok(ExplainedQuestion { client: timed(client), asked, decided });
    }
    Err(format!("`{}` asks the policy nothing", event.hook().name()))
}

impl ExplainedQuestion {
    /// By a client of which nothing is known.
    fn new(asked: ExplainedRequest) -> Self {
        ExplainedQuestion { client: OwnedClient::named(""), asked, decided: None }
    }

    /// What the sources said of the password when it was asked.
    fn passwords(&self) -> Option<&BTreeMap<Box<str>, Found>> {
        self.decided.as_ref().map(|decided| &decided.passwords)
    }

    fn words(&self) -> String {
        match &self.asked {
            ExplainedRequest::Connect { .. } => "to log in".to_owned(),
            ExplainedRequest::Topic(action, topic) => format!("to {} to {}", action.as_str(), Shown(topic)),
        }
    }

    fn section(&self) -> &'static str {
        match self.asked {
            ExplainedRequest::Connect { .. } => "auth",
            ExplainedRequest::Topic(..) => "acl",
        }
    }
}

/// An answer with all that is said of it.
struct Explained<'a> {
    policy: &'a Policy,
    question: &'a ExplainedQuestion,
    world: &'a World,
    trace: Trace<'a>,
    /// The policy's file and text.
    file: &'a str,
    text: &'a str,
    places: &'a Places,
    /// What the password was taken for by the sources that were asked, in that order, of those of
    /// which it is not known.
    found: Vec<(&'a str, Found)>,
    /// What is known of the others, since the event tells it.
    recorded: Vec<(&'a str, Found)>,
}

impl<'a> Explained<'a> {
    fn new(
        policy: &'a Policy,
        question: &'a ExplainedQuestion,
        world: &'a World,
        file: &'a str,
        text: &'a str,
        places: &'a Places,
    ) -> Self {
        let client = question.client.as_client();
        let (mut found, mut recorded) = (Vec::new(), Vec::new());
        let trace = match &question.asked {
            ExplainedRequest::Topic(action, topic) => policy.trace_acl(&client, *action, topic, world.lists()),
            ExplainedRequest::Connect { password_given } => policy.trace_login(&client, world.lists(), |source| {
                let name = policy.passwords().get(source.0).map(|def| def.name.as_str());
                // As `replay` does: what was said then holds.
                if let Some((name, said)) = name.and_then(|name| Some((name, *question.passwords()?.get(name)?))) {
                    recorded.push((name, said));
                    return said;
                }
                let said = world.found(source, client.username, *password_given);
                found.extend(name.map(|name| (name, said)));
                said
            }),
        };
        Explained { policy, question, world, trace, file, text, places, found, recorded }
    }

    /// The rule that the decision names or, where a list or a password source is missing, the one that needs it.
    fn decider(&self) -> Option<usize> {
        let Trace { tried, decision } = &self.trace;
        match decision.rule {
            ERROR => tried.len().checked_sub(1),
            id => tried.iter().position(|tried| tried.id == id),
        }
    }

    fn human(&self, all: bool) -> String {
        let verdict = self.trace.decision.verdict;
        let headline = match (self.policy.mode(), verdict) {
            (Mode::Enforce, Verdict::Allow) => "Allowed",
            (Mode::Enforce, Verdict::Deny) => "Not allowed",
            (Mode::Audit, Verdict::Allow) => "Would be allowed",
            (Mode::Audit, Verdict::Deny) => "Would not be allowed",
            (Mode::Enforce | Mode::Audit, Verdict::Ignore) => "Left to the broker:",
        };
        let mut lines = vec![
            format!("{headline} {}, {}.", self.question.words(), self.because()),
            format!("The client: {}{}.", told_fields(&self.known()), self.moment()),
        ];
        let taken_for = |(source, found): &(&str, Found)| {
            format!("No password was compared: {} (see `--assume-password`).", taken_for(source, *found))
        };
        lines.extend(self.recorded.iter().map(|(source, found)| steps::recorded(source, *found)));
        lines.extend(self.found.iter().map(taken_for));
        if self.trace.decision.rule == ERROR {
            lines.extend(self.world.problems.iter().map(ToString::to_string));
        }
        if let Some(text) = self.decider().and_then(|place| self.text_of(place)) {
            lines.push(String::new());
            lines.extend(text);
        }
        let mut out = lines.join("\n") + "\n";
        out.push_str(&self.before(all));
        out.push_str(&self.trial().map(|trace| would(&trace, self.file)).unwrap_or_default());
        out.push_str(&audit(self.policy, self.question.section()));
        out
    }

    /// What the rules in audit mode would make of it, where that is something else.
    fn trial(&self) -> Option<Trace<'a>> {
        let trial = self.policy.trial()?;
        let client = self.question.client.as_client();
        let trace = match &self.question.asked {
            ExplainedRequest::Topic(action, topic) => trial.trace_acl(&client, *action, topic, self.world.lists()),
            ExplainedRequest::Connect { password_given } => trial.trace_login(&client, self.world.lists(), |source| {
                let name = trial.passwords().get(source.0).map(|def| def.name.as_str());
                let said = name.and_then(|name| Some(*self.question.passwords()?.get(name)?));
                said.unwrap_or_else(|| self.world.found(source, client.username, *password_given))
            }),
        };
        (trace.decision.verdict != self.trace.decision.verdict).then_some(trace)
    }

    /// When it asks, where the policy hangs on it.
    fn moment(&self) -> String {
        let moment = told_moment(self.policy, self.question.client.extra.at);
        moment.map(|moment| format!(", {moment}")).unwrap_or_default()
    }

    /// Why it is so, in words.
    fn because(&self) -> String {
        let rule = self.decider().and_then(|place| self.trace.tried.get(place));
        match (rule, self.trace.decision.rule) {
            (Some(tried), _) => {
                let by = super::rule(tried.id, self.file, tried.line);
                if let Outcome::Decided { topic } = &tried.outcome {
                    let shows = topic.as_ref().map(|topic| format!(": the client would receive {}", Shown(topic)));
                    return format!("by {by}{}", shows.unwrap_or_default());
                }
                format!("by {by}: {}", tried.outcome)
            }
            (None, INVALID_TOPIC) => "since the topic is not valid".to_owned(),
            (None, _) if !self.has_section() => format!("since the policy has no `{}`", self.question.section()),
            (None, _) => format!("by the default of `{}`, since no rule matches", self.question.section()),
        }
    }

    fn has_section(&self) -> bool {
        match self.question.asked {
            ExplainedRequest::Connect { .. } => self.policy.auth_default().is_some(),
            ExplainedRequest::Topic(..) => self.policy.acl_default().is_some(),
        }
    }

    /// The rules that did not decide.
    fn before(&self, all: bool) -> String {
        const MOST: usize = 20;
        let decider = self.decider();
        let tried = self.trace.tried.iter().enumerate().filter(|(place, _)| Some(*place) != decider);
        let mut shown: Vec<(usize, &Tried<'_>)> = tried.collect();
        let count = shown.len();
        if count == 0 {
            return String::new();
        }
        if !all && count > MOST {
            shown.retain(|(place, tried)| self.is_near(*place, &tried.outcome));
            shown.truncate(MOST);
        }
        let more = count - shown.len();
        let mut rows = AnswerRows::default();
        rows.title(if decider.is_some() { "other rules that were tried" } else { "rules that were tried" });
        for (_, tried) in shown {
            rows.push(format!("{}:{}", self.file, tried.line), tried.id, tried.outcome.to_string());
        }
        let more = if more == 0 {
            String::new()
        } else {
            format!("  and {more} more that are further from it (`--all` shows them)\n")
        };
        format!("{rows}{more}")
    }

    /// Whether the rule is about the client or about the topic.
    fn is_near(&self, place: usize, outcome: &Outcome<'_>) -> bool {
        match outcome {
            Outcome::OtherAction(_) => false,
            Outcome::NotWho(_) => self.is_about_topic(place),
            Outcome::NotCovered { .. }
            | Outcome::NotTouched { .. }
            | Outcome::Part { .. }
            | Outcome::Limited { .. }
            | Outcome::CannotTell { .. }
            | Outcome::UnknownUser(_)
            | Outcome::UnreadablePasswords(_)
            | Outcome::WrongPassword(_)
            | Outcome::Decided { .. } => true,
        }
    }

    fn is_about_topic(&self, place: usize) -> bool {
        let ExplainedRequest::Topic(action, topic) = &self.question.asked else { return false };
        let client = self.question.client.as_client();
        let identity = Identity { clientid: client.clientid, username: client.username };
        let request = Request::parse(*action, topic);
        let rule = self.policy.acl_rules().get(place);
        rule.zip(request).is_some_and(|(rule, request)| rule.patterns(*action).touch(&request, identity))
    }

    /// The lines of a rule in the policy's text, moved to the left.
    fn text_of(&self, place: usize) -> Option<Vec<String>> {
        const MOST: usize = 12;
        let section = match self.question.asked {
            ExplainedRequest::Connect { .. } => &self.places.auth,
            ExplainedRequest::Topic(..) => &self.places.acl,
        };
        let lines = rule_lines(self.text, section.rules.get(place)?.whole);
        let margin = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).min().unwrap_or(0);
        let shown = lines.iter().take(MOST).map(|line| line.get(margin..).unwrap_or_default());
        let more = (lines.len() > MOST).then_some("...");
        Some(shown.chain(more).map(|line| format!("  | {line}").trim_end().to_owned()).collect())
    }

    /// The client, without the fields that are as they are where nothing is said of them.
    fn known(&self) -> KnownClient<'_> {
        let nobody = OwnedClient { extra: self.policy.usual_extra().into(), ..OwnedClient::named("") };
        let (client, nobody) = (self.question.client.as_client(), nobody.as_client());
        let names = [ClientField::Text(TextField::Clientid), ClientField::Text(TextField::Username)];
        KnownClient::from(client).without(|field| !names.contains(&field) && field.of(&client) == field.of(&nobody))
    }

    fn json(&self) -> Value {
        let Trace { tried, decision } = &self.trace;
        let mode = self.policy.mode();
        let answer = match mode.answer(decision.verdict) {
            Answer::Allow => "allow",
            Answer::Deny => "deny",
            Answer::NoOpinion => "no opinion",
        };
        let asked = match &self.question.asked {
            ExplainedRequest::Connect { .. } => json!({ "action": "connect" }),
            ExplainedRequest::Topic(action, topic) => json!({ "action": action.as_str(), "topic": topic }),
        };
        let all = KnownClient::from(self.question.client.as_client());
        let mut told = json!({
            "policy": self.file,
            "mode": mode.as_str(),
            "client": fields_json(&all),
            "asked": asked,
            "decision": { "verdict": decision.verdict.as_str(), "rule": decision.rule },
            "answer": answer,
            "because": self.because(),
            "line": self.decider().and_then(|place| tried.get(place)).map(|tried| tried.line),
            "passwords": self.found.iter().map(|(source, found)| password(source, *found)).collect::<Vec<_>>(),
            "tried": tried.iter().map(tried_json).collect::<Vec<_>>(),
        });
        add_moment(&mut told, self.policy, all.at);
        if let (Some(Trace { decision, .. }), Value::Object(told)) = (self.trial(), &mut told) {
            told.insert("would".to_owned(), json!({ "verdict": decision.verdict.as_str(), "rule": decision.rule }));
        }
        told
    }
}

/// What rules in audit mode would decide otherwise, in a paragraph.
fn would(trace: &Trace<'_>, file: &str) -> String {
    let Trace { tried, decision } = trace;
    let what = match decision.verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
        Verdict::Ignore => "left to the broker",
    };
    let by = match tried.iter().find(|tried| tried.id == decision.rule).or(tried.last()) {
        Some(tried) if decision.rule == tried.id => super::rule(tried.id, file, tried.line),
        Some(tried) => format!("{}: {}", super::rule(tried.id, file, tried.line), tried.outcome),
        None => format!("`{}`", decision.rule),
    };
    format!("\nWith the rules in audit mode carried out it would be {what}, by {by}.\n")
}

/// The lines on which a rule stands. Where it is no mapping in braces, these are also the lines behind its beginning that
/// are further to the right than its dash.
fn rule_lines(text: &str, span: Span) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut dash = None;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if end > span.start {
            let inside = start < span.end || dash.is_some_and(|dash| indent(line) > dash && !line.trim().is_empty());
            if !inside {
                break;
            }
            if lines.is_empty() && line.trim_start().starts_with('-') {
                dash = Some(indent(line));
            }
            lines.push(line.trim_end());
        }
        start = end;
    }
    lines
}

fn indent(line: &str) -> usize {
    line.len().saturating_sub(line.trim_start_matches(' ').len())
}
