//! `exhook-policy who-can`: who can log in, publish to a topic or subscribe to a filter.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    AskFormat, NamedKinds, QuestionArgs, audit, complain, load, moment, no_rule, past, pretty, print, rule, section,
    told_moment,
};
use exhook_policy_core::decision::{DEFAULT, INVALID_TOPIC, Verdict};
use exhook_policy_core::event::Shown;
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::show::Words;
use exhook_policy_runtime::clock::now_ms;
use exhook_policy_tools::access::{AccessQuestion, AllowedClients, ClientCase, ExceptedClients, WhoCan};

/// Say who can do something, from the rules.
///
/// Lists are named and not told, and no list, password file or database is read. The exit code is 0 whatever the answer
/// is.
#[derive(Debug, clap::Args)]
pub struct WhoCanArgs {
    /// The policy file
    policy: PathBuf,
    #[command(flatten)]
    question: QuestionArgs,
    /// When it is asked (default: now), like 2026-12-01T18:00+01:00 or 2026-12-01T18:00[Europe/Berlin]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = AskFormat::Human)]
    format: AskFormat,
}

/// Prints the answer to stdout. The code is 2 where the policy cannot be read or is wrong.
pub fn run(args: &WhoCanArgs) -> ExitCode {
    let Some(question) = args.question.question() else {
        complain("error: `connect` takes no topic\n");
        return ExitCode::from(2);
    };
    let Some(loaded) = load(&args.policy) else { return ExitCode::from(2) };
    let policy = Policy::compile(loaded.model);
    let at = args.at.unwrap_or_else(now_ms);
    print(&told(&policy, &args.policy.display().to_string(), question, at, args.format))
}

/// The answer as it is printed.
pub(super) fn told(policy: &Policy, file: &str, question: AccessQuestion<'_>, at: i64, format: AskFormat) -> String {
    let answer = WhoCan::ask(policy, question, at);
    match format {
        AskFormat::Human => human(policy, file, question, at, &answer),
        AskFormat::Json => pretty(&to_json(policy, file, question, at, &answer)),
    }
}

fn human(policy: &Policy, file: &str, question: AccessQuestion<'_>, at: i64, answer: &WhoCan<'_>) -> String {
    let mut asked = match question {
        AccessQuestion::Connect => "to log in".to_owned(),
        AccessQuestion::Topic(action, topic) => format!("to {} to {}", action.as_str(), Shown(topic)),
    };
    if let Some(moment) = told_moment(policy, Some(at)) {
        asked = format!("{asked} {moment}");
    }
    let mut out = String::new();
    let words = Words::of(policy);
    if answer.allowed.is_empty() {
        line(&mut out, format_args!("Nobody is allowed {asked}."));
    } else {
        line(&mut out, format_args!("Allowed {asked}:"));
    }
    for allowed in &answer.allowed {
        told_of(&mut out, words, file, question, allowed);
    }
    for ExceptedClients { rule: id, line: at, verdict, case, .. } in &answer.others {
        let by = rule(id, file, *at);
        line(
            &mut out,
            format_args!("\n  {}\n    {} by {by}, unless a rule before decides", case.words(words), past(*verdict)),
        );
    }
    if let Some((verdict, id)) = answer.otherwise
        && verdict != Verdict::Allow
    {
        let nobody = answer.allowed.is_empty() && answer.others.is_empty();
        let who = if nobody { "Everyone" } else { "Everyone else" };
        let by = rules(policy, question)
            .find(|(rule, _)| *rule == id)
            .map(|(id, line)| format!("by {}", rule(id, file, line)));
        let by = match (by, id) {
            (Some(by), _) => by,
            (None, INVALID_TOPIC) => "since the topic is not valid".to_owned(),
            (None, _) if default_of(policy, question).is_none() => {
                format!("since the policy has no `{}`", section(question))
            }
            (None, id) => no_rule(id, section(question)),
        };
        line(&mut out, format_args!("\n{who} is {} {by}.", past(verdict)));
    }
    if answer.unsettled {
        out.push_str(
            "\nClients whose clientid or username is empty, holds `/`, `+` or `#`, or begins with `$` may be decided\n\
             otherwise: ask `exhook-policy explain`.\n",
        );
    }
    let mut kinds = NamedKinds::default();
    let allowed = answer
        .allowed
        .iter()
        .flat_map(|allowed| [allowed.rule].into_iter().chain(allowed.except.iter().map(|except| except.rule)));
    for id in allowed.chain(answer.others.iter().map(|other| other.rule)) {
        match question {
            AccessQuestion::Connect => kinds.of_login(policy, id),
            AccessQuestion::Topic(..) => kinds.of_topics(policy, id),
        }
    }
    out.push_str(&kinds.told(words));
    out.push_str(&audit(policy, section(question)));
    out
}

fn told_of(out: &mut String, words: Words<'_>, file: &str, question: AccessQuestion<'_>, allowed: &AllowedClients<'_>) {
    let by = match allowed.line {
        Some(line) => format!("by {}", rule(allowed.rule, file, line)),
        None => no_rule(DEFAULT, section(question)),
    };
    let password = allowed.password.map(|source| format!(", with the password of `{source}`")).unwrap_or_default();
    line(out, format_args!("\n  {}{password}", allowed.case.words(words)));
    line(out, format_args!("    {by}"));
    for ExceptedClients { rule: id, line: at, verdict, case, password } in &allowed.except {
        let of = case.words(words);
        let by = rule(id, file, *at);
        match password {
            Some(source) => line(
                out,
                format_args!("    except {of} whose username is in `{source}`: the password there decides, by {by}"),
            ),
            None => line(out, format_args!("    except {of}, {} by {by}", past(*verdict))),
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{text}");
}

fn default_of(policy: &Policy, question: AccessQuestion<'_>) -> Option<Verdict> {
    match question {
        AccessQuestion::Connect => policy.auth_default(),
        AccessQuestion::Topic(..) => policy.acl_default(),
    }
}

fn rules<'p>(policy: &'p Policy, question: AccessQuestion<'_>) -> Box<dyn Iterator<Item = (&'p str, usize)> + 'p> {
    match question {
        AccessQuestion::Connect => Box::new(policy.auth_rules().iter().map(|rule| (rule.id.as_str(), rule.line))),
        AccessQuestion::Topic(..) => Box::new(policy.acl_rules().iter().map(|rule| (rule.id.as_str(), rule.line))),
    }
}

fn to_json(policy: &Policy, file: &str, question: AccessQuestion<'_>, at: i64, answer: &WhoCan<'_>) -> Value {
    let words = Words::of(policy);
    let mut asked = match question {
        AccessQuestion::Connect => json!({ "action": "connect" }),
        AccessQuestion::Topic(action, topic) => json!({ "action": action.as_str(), "topic": topic }),
    };
    if let (Some(_), Value::Object(asked)) = (policy.zone(), &mut asked) {
        asked.insert("at".to_owned(), at.into());
    }
    let except = |except: &ExceptedClients<'_>| {
        let ExceptedClients { rule, line, verdict, case: taken, password } = except;
        json!({ "rule": rule, "line": line, "verdict": verdict.as_str(), "who": case(taken, words), "password": password })
    };
    let allowed = |allowed: &AllowedClients<'_>| {
        json!({
            "rule": allowed.rule,
            "line": allowed.line,
            "who": case(&allowed.case, words),
            "password": allowed.password,
            "except": allowed.except.iter().map(except).collect::<Vec<_>>(),
        })
    };
    let otherwise = answer.otherwise.map(|(verdict, rule)| json!({ "verdict": verdict.as_str(), "rule": rule }));
    json!({
        "policy": file,
        "mode": policy.mode().as_str(),
        "asked": asked,
        "allowed": answer.allowed.iter().map(allowed).collect::<Vec<_>>(),
        "others": answer.others.iter().map(except).collect::<Vec<_>>(),
        "otherwise": otherwise,
        "unsettled": answer.unsettled,
    })
}

fn case(case: &ClientCase<'_>, words: Words<'_>) -> Value {
    json!({
        "words": case.words(words),
        "kind": case.kind,
        "clientid": case.identity.clientid,
        "username": case.identity.username,
        "where": case.rest.as_ref().map(|rest| words.who_json(rest)),
    })
}
