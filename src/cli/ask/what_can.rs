//! `exhook-policy what-can`: what a client can do of which some fields are known.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{Format, Kinds, Rows, audit, load, moment, past, pretty, print, told_moment};
use exhook_policy_core::decision::{DEFAULT, Verdict};
use exhook_policy_core::event::owned::{OwnedClient, OwnedPeerhost};
use exhook_policy_core::event::{Peerhost, Shown};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::model::Who;
use exhook_policy_core::policy::show::Words;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_tools::access::{FilledPattern, KnownClient, LoginRule, TopicRules, WhatCan};

/// Say what a client can do, from the rules.
///
/// What is not given is not known, and the answer says on what it hangs. Lists are named and not told, and no list,
/// password file or database is read. The exit code is 0 whatever the answer is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy file
    policy: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// What is known of a client.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ClientArgs {
    /// The MQTT client identifier
    #[arg(long)]
    pub(super) clientid: Option<String>,
    /// The user name; empty where the client gives none
    #[arg(long)]
    pub(super) username: Option<String>,
    /// The address that the client connects from
    #[arg(long)]
    pub(super) peerhost: Option<IpAddr>,
    /// The listener's port
    #[arg(long)]
    pub(super) sockport: Option<u16>,
    /// `mqtt`, `mqtt-sn`, `coap` and so on
    #[arg(long)]
    pub(super) protocol: Option<String>,
    /// The prefix that the broker puts before the client's topics
    #[arg(long)]
    pub(super) mountpoint: Option<String>,
    /// The broker node
    #[arg(long)]
    pub(super) node: Option<String>,
    /// The name of the broker's cluster
    #[arg(long)]
    pub(super) cluster: Option<String>,
    /// The port that the client connects from
    #[arg(long)]
    pub(super) peerport: Option<u16>,
    /// The common name in the client's certificate; empty without one
    #[arg(long)]
    pub(super) cn: Option<String>,
    /// The subject of the client's certificate; empty without one
    #[arg(long)]
    pub(super) dn: Option<String>,
    /// The broker's superuser flag
    #[arg(long, value_name = "BOOL")]
    pub(super) is_superuser: Option<bool>,
    /// Whether the broker let the client in without a decision of its own
    #[arg(long, value_name = "BOOL")]
    pub(super) anonymous: Option<bool>,
    /// When it asks (default: now), like 2026-12-01T18:00+01:00 or 2026-12-01T18:00[Europe/Berlin]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) at: Option<i64>,
}

impl ClientArgs {
    /// Sets the fields that are given.
    pub(super) fn put_into(&self, client: &mut OwnedClient) {
        let texts = [
            (&self.clientid, &mut client.clientid),
            (&self.username, &mut client.username),
            (&self.protocol, &mut client.protocol),
            (&self.mountpoint, &mut client.mountpoint),
            (&self.node, &mut client.node),
        ];
        for (given, field) in texts {
            if let Some(given) = given {
                *field = given.as_str().into();
            }
        }
        let told = [
            (&self.cluster, &mut client.extra.cluster),
            (&self.cn, &mut client.extra.cn),
            (&self.dn, &mut client.extra.dn),
        ];
        for (given, field) in told {
            if let Some(given) = given {
                *field = Some(given.as_str().into());
            }
        }
        client.extra.peerport = self.peerport.or(client.extra.peerport);
        if let Some(address) = self.peerhost {
            client.peerhost = OwnedPeerhost::Addr(address.to_canonical());
        }
        client.sockport = self.sockport.unwrap_or(client.sockport);
        client.is_superuser = self.is_superuser.unwrap_or(client.is_superuser);
        client.anonymous = self.anonymous.unwrap_or(client.anonymous);
    }

    pub(super) fn known(&self) -> KnownClient<'_> {
        KnownClient {
            clientid: self.clientid.as_deref(),
            username: self.username.as_deref(),
            peerhost: self.peerhost.map(|address| Peerhost::Addr(address.to_canonical())),
            sockport: self.sockport,
            protocol: self.protocol.as_deref(),
            mountpoint: self.mountpoint.as_deref(),
            node: self.node.as_deref(),
            cluster: self.cluster.as_deref(),
            peerport: self.peerport,
            cn: self.cn.as_deref(),
            dn: self.dn.as_deref(),
            is_superuser: self.is_superuser,
            anonymous: self.anonymous,
            at: self.at,
        }
    }
}

/// Prints the answer to stdout. The code is 2 where the policy cannot be read or is wrong.
pub fn run(args: &Args) -> ExitCode {
    let Some(loaded) = load(&args.policy) else { return ExitCode::from(2) };
    let policy = Policy::compile(loaded.model);
    let known = args.client.known();
    let known = KnownClient { at: known.at.or_else(|| Some(now_ms())), ..known };
    print(&told(&policy, &args.policy.display().to_string(), &known, args.format))
}

/// The answer as it is printed.
pub(super) fn told(policy: &Policy, file: &str, known: &KnownClient<'_>, format: Format) -> String {
    let answer = WhatCan::ask(policy, known);
    match format {
        Format::Human => human(policy, file, known, &answer),
        Format::Json => pretty(&to_json(policy, file, known, &answer)),
    }
}

fn human(policy: &Policy, file: &str, known: &KnownClient<'_>, answer: &WhatCan<'_>) -> String {
    let words = Words::of(policy);
    let mut rows = Rows::default();
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
    let mut kinds = Kinds::default();
    logins.for_each(|id| kinds.of_login(policy, id));
    topics.for_each(|id| kinds.of_topics(policy, id));
    let moment = told_moment(policy, known.at).map(|moment| format!(", {moment}")).unwrap_or_default();
    format!("A client {}{moment}:\n{rows}{}{}", told_client(known), kinds.told(words), audit(policy, ""))
}

/// The known fields by name; when it asks is told beside them.
pub(super) fn fields(known: &KnownClient<'_>) -> Vec<(&'static str, Value)> {
    let fields = [
        ("clientid", known.clientid.map(Value::from)),
        ("username", known.username.map(Value::from)),
        ("peerhost", known.peerhost.map(|value| Value::from(value.to_string()))),
        ("sockport", known.sockport.map(Value::from)),
        ("protocol", known.protocol.map(Value::from)),
        ("mountpoint", known.mountpoint.map(Value::from)),
        ("node", known.node.map(Value::from)),
        ("cluster", known.cluster.map(Value::from)),
        ("peerport", known.peerport.map(Value::from)),
        ("cn", known.cn.map(Value::from)),
        ("dn", known.dn.map(Value::from)),
        ("is_superuser", known.is_superuser.map(Value::from)),
        ("anonymous", known.anonymous.map(Value::from)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The known fields in words.
pub(super) fn told_fields(known: &KnownClient<'_>) -> String {
    let field = |(name, value): (&str, Value)| match value.as_str() {
        Some(text) if name != "peerhost" => format!("{name} {}", Shown(text)),
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    };
    let fields: Vec<String> = fields(known).into_iter().map(field).collect();
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

impl Rows {
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

fn said_login(words: Words<'_>, login: &LoginRule<'_>) -> String {
    let condition = condition(words, login.if_.as_ref());
    match login.password {
        None => format!("{}{condition}", past(login.verdict)),
        // Such a rule allows, or it would have none.
        Some(source) => format!("allowed with the password in `{source}`{condition}"),
    }
}

fn said_topics(words: Words<'_>, topics: &TopicRules<'_>) -> String {
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
    let login = |login: &LoginRule<'_>| {
        json!({
            "rule": login.rule,
            "line": login.line,
            "verdict": login.verdict.as_str(),
            "password": login.password,
            "if": condition(&login.if_),
        })
    };
    let topics = |topics: &TopicRules<'_>| {
        json!({
            "rule": topics.rule,
            "line": topics.line,
            "verdict": topics.verdict.as_str(),
            "if": condition(&topics.if_),
            "patterns": topics.patterns.iter().map(FilledPattern::json).collect::<Vec<_>>(),
            "except": topics.except,
        })
    };
    let all =
        |each: &Option<Vec<TopicRules<'_>>>| each.as_ref().map(|each| each.iter().map(topics).collect::<Vec<_>>());
    let client: Map<String, Value> = fields(known).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut told = json!({
        "policy": file,
        "mode": policy.mode().as_str(),
        "client": client,
        "login": answer.logins.as_ref().map(|logins| logins.iter().map(login).collect::<Vec<_>>()),
        "login_default": answer.login_default.map(Verdict::as_str),
        "publish": all(&answer.publish),
        "subscribe": all(&answer.subscribe),
        "acl_default": answer.acl_default.map(Verdict::as_str),
    });
    add_moment(&mut told, policy, known.at);
    told
}
