//! `exhook-policy what-can`: what a client can do of which some fields are known.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, FromArgMatches, value_parser};
use serde_json::{Map, Value, json};

use super::{AnswerRows, AskFormat, NamedKinds, audit, load, moment, past, pretty, print, told_moment};
use exhook_policy_core::decision::{DEFAULT, Verdict};
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::event::{Peerhost, Shown};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::model::{ClientField, FieldValue, FlagFields, HostFields, PortFields, TextFields, Who};
use exhook_policy_core::policy::show::Words;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_tools::access::{FilledPattern, KnownClient, PossibleLoginRule, PossibleTopicRule, WhatCan};

/// Say what a client can do, from the rules.
///
/// What is not given is not known, and the answer says on what it hangs. Lists are named and not told, and no list,
/// password file or database is read. The exit code is 0 whatever the answer is.
#[derive(Debug, clap::Args)]
pub struct WhatCanArgs {
    /// The policy file
    policy: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = AskFormat::Human)]
    format: AskFormat,
}

/// What is known of a client.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    fields: FieldArgs,
    /// When it asks (default: now), like 2026-12-01T18:00+01:00 or 2026-12-01T18:00[Europe/Berlin]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) at: Option<i64>,
}

/// An option for each field of a client.
#[derive(Debug, Default)]
struct FieldArgs {
    texts: TextFields<Option<String>>,
    hosts: HostFields<Option<IpAddr>>,
    ports: PortFields<Option<u16>>,
    flags: FlagFields<Option<bool>>,
}

impl clap::Args for FieldArgs {
    fn augment_args(command: Command) -> Command {
        ClientField::ALL.iter().fold(command, |command, field| {
            let [option, value, help] = field.option();
            let arg = Arg::new(field.name()).long(option).value_name(value).help(help);
            command.arg(match field {
                ClientField::Text(_) => arg.value_parser(value_parser!(String)),
                ClientField::Host(_) => arg.value_parser(value_parser!(IpAddr)),
                ClientField::Port(_) => arg.value_parser(value_parser!(u16)),
                ClientField::Flag(_) => arg.value_parser(value_parser!(bool)),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FieldArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = FieldArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.texts = TextFields::each(|field| matches.get_one(field.name()).cloned());
        self.hosts = HostFields::each(|field| matches.get_one(field.name()).copied());
        self.ports = PortFields::each(|field| matches.get_one(field.name()).copied());
        self.flags = FlagFields::each(|field| matches.get_one(field.name()).copied());
        Ok(())
    }
}

impl ClientArgs {
    /// Sets the fields that are given.
    pub(super) fn put_into(&self, client: &mut OwnedClient) {
        let KnownClient { texts, hosts, ports, flags, at: _ } = self.known();
        texts
            .into_each()
            .filter_map(|(field, given)| Some((field, given?)))
            .for_each(|(field, text)| field.set(client, text));
        hosts
            .into_each()
            .filter_map(|(field, given)| Some((field, given?)))
            .for_each(|(field, host)| field.set(client, host));
        ports
            .into_each()
            .filter_map(|(field, given)| Some((field, given?)))
            .for_each(|(field, port)| field.set(client, port));
        flags
            .into_each()
            .filter_map(|(field, given)| Some((field, given?)))
            .for_each(|(field, flag)| field.set(client, flag));
    }

    pub(super) fn known(&self) -> KnownClient<'_> {
        let FieldArgs { texts, hosts, ports, flags } = &self.fields;
        let host = |address: &Option<IpAddr>| address.map(|address| Peerhost::Addr(address.to_canonical()));
        KnownClient {
            texts: TextFields::each(|field| texts.get(field).as_deref()),
            hosts: HostFields::each(|field| host(hosts.get(field))),
            ports: *ports,
            flags: *flags,
            at: self.at,
        }
    }
}

/// Prints the answer to stdout. The code is 2 where the policy cannot be read or is wrong.
pub fn run(args: &WhatCanArgs) -> ExitCode {
    let Some(loaded) = load(&args.policy) else { return ExitCode::from(2) };
    let policy = Policy::compile(loaded.model);
    let known = args.client.known();
    let known = KnownClient { at: known.at.or_else(|| Some(now_ms())), ..known };
    print(&told(&policy, &args.policy.display().to_string(), &known, args.format))
}

/// The answer as it is printed.
pub(super) fn told(policy: &Policy, file: &str, known: &KnownClient<'_>, format: AskFormat) -> String {
    let answer = WhatCan::ask(policy, known);
    match format {
        AskFormat::Human => human(policy, file, known, &answer),
        AskFormat::Json => pretty(&to_json(policy, file, known, &answer)),
    }
}

fn human(policy: &Policy, file: &str, known: &KnownClient<'_>, answer: &WhatCan<'_>) -> String {
    let words = Words::of(policy);
    let mut rows = AnswerRows::default();
    rows.section("login", "auth", answer.logins.as_deref(), answer.login_default, |rows, login| {
        rows.push(format!("{file}:{}", login.line), login.rule, said_login(words, login));
    });
    for (name, topics) in [("publish", &answer.publish), ("subscribe", &answer.subscribe)] {
        rows.section(name, "acl", topics.as_deref(), answer.acl_default, |rows, topics| {
            rows.push(format!("{file}:{}", topics.line), topics.rule, said_topics(words, topics));
        });
    }
    let logins = answer.logins.iter().flatten().map(|login| login.rule);
    let topics = [&answer.publish, &answer.subscribe].into_iter().flatten().flatten().map(|topics| topics.rule);
    let mut kinds = NamedKinds::default();
    logins.for_each(|id| kinds.of_login(policy, id));
    topics.for_each(|id| kinds.of_topics(policy, id));
    let moment = told_moment(policy, known.at).map(|moment| format!(", {moment}")).unwrap_or_default();
    format!("A client {}{moment}:\n{rows}{}{}", told_client(known), kinds.told(words), audit(policy, ""))
}

/// The known fields; when it asks is told beside them.
pub(super) fn fields<'k>(known: &'k KnownClient<'_>) -> impl Iterator<Item = (&'static str, FieldValue<'k>)> {
    ClientField::ALL.iter().filter_map(|field| Some((field.name(), known.field(*field)?)))
}

/// The same, as JSON.
pub(super) fn fields_json(known: &KnownClient<'_>) -> Map<String, Value> {
    fields(known).map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// The known fields in words.
pub(super) fn told_fields(known: &KnownClient<'_>) -> String {
    let field = |(name, value): (&str, FieldValue<'_>)| match value {
        FieldValue::Text(text) => format!("{name} {}", Shown(text)),
        FieldValue::Host(_) | FieldValue::Port(_) | FieldValue::Flag(_) => format!("{name} {value}"),
    };
    let fields: Vec<String> = fields(known).map(field).collect();
    fields.join(", ")
}

fn told_client(known: &KnownClient<'_>) -> String {
    match told_fields(known).as_str() {
        "" => "of which nothing is known".to_owned(),
        fields => format!("with {fields}"),
    }
}

/// Says when it is asked, Unix milliseconds, where the policy hangs on it.
pub(super) fn add_moment(answer: &mut Value, policy: &Policy, at: Option<i64>) {
    if let (Some(_), Some(at), Value::Object(answer)) = (policy.zone(), at, answer) {
        answer.insert("at".to_owned(), at.into());
    }
}

impl AnswerRows {
    fn section<T>(
        &mut self,
        name: &str,
        section: &str,
        each: Option<&[T]>,
        default: Option<Verdict>,
        add: impl Fn(&mut Self, &T),
    ) {
        self.title(name);
        let Some(each) = each else {
            return self.push(String::new(), "", format!("left to the broker, since the policy has no `{section}`"));
        };
        for one in each {
            add(self, one);
        }
        if let Some(default) = default {
            let who = if each.is_empty() { "" } else { "otherwise " };
            self.push(String::new(), DEFAULT, format!("{who}{}", past(default)));
        }
    }
}

fn said_login(words: Words<'_>, login: &PossibleLoginRule<'_>) -> String {
    let condition = condition(words, login.if_.as_ref());
    match login.password {
        None => format!("{}{condition}", past(login.verdict)),
        // Such a rule allows, or it would have none.
        Some(source) => format!("allowed with the password in `{source}`{condition}"),
    }
}

fn said_topics(words: Words<'_>, topics: &PossibleTopicRule<'_>) -> String {
    let patterns = topics.patterns.iter().map(FilledPattern::words).collect::<Vec<_>>().join(", ");
    let except = match topics.except.as_slice() {
        [] => String::new(),
        ids => format!(", less what {} takes", ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" or ")),
    };
    format!("{} {patterns}{except}{}", past(topics.verdict), condition(words, topics.if_.as_ref()))
}

/// What must hold of what is not known.
fn condition(words: Words<'_>, who: Option<&Who>) -> String {
    let said = |who: &Who| match who {
        Who::Named(named) => format!("it is one of `{}`", named.name),
        Who::Everyone | Who::Any(_) | Who::All(_) | Who::During(..) => words.who(who),
    };
    match who {
        None => String::new(),
        Some(Who::Any(each)) => format!(" if {}", each.iter().map(said).collect::<Vec<_>>().join(", or ")),
        Some(who) => format!(" if {}", said(who)),
    }
}

fn to_json(policy: &Policy, file: &str, known: &KnownClient<'_>, answer: &WhatCan<'_>) -> Value {
    let words = Words::of(policy);
    let condition = |who: &Option<Who>| who.as_ref().map(|who| words.who_json(who));
    let login = |login: &PossibleLoginRule<'_>| {
        json!({
            "rule": login.rule,
            "line": login.line,
            "verdict": login.verdict.as_str(),
            "password": login.password,
            "if": condition(&login.if_),
        })
    };
    let topics = |topics: &PossibleTopicRule<'_>| {
        json!({
            "rule": topics.rule,
            "line": topics.line,
            "verdict": topics.verdict.as_str(),
            "if": condition(&topics.if_),
            "patterns": topics.patterns.iter().map(FilledPattern::json).collect::<Vec<_>>(),
            "except": topics.except,
        })
    };
    let all = |each: &Option<Vec<PossibleTopicRule<'_>>>| {
        each.as_ref().map(|each| each.iter().map(topics).collect::<Vec<_>>())
    };
    let mut told = json!({
        "policy": file,
        "mode": policy.mode().as_str(),
        "client": fields_json(known),
        "login": answer.logins.as_ref().map(|logins| logins.iter().map(login).collect::<Vec<_>>()),
        "login_default": answer.login_default.map(Verdict::as_str),
        "publish": all(&answer.publish),
        "subscribe": all(&answer.subscribe),
        "acl_default": answer.acl_default.map(Verdict::as_str),
    });
    add_moment(&mut told, policy, known.at);
    told
}
