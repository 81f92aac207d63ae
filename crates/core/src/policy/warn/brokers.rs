//! What the brokers that a policy is for do not tell, or do otherwise than it seems.

use std::time::Duration;

use crate::emqx::{Fact, Has, Transport, Version};
use crate::policy::codes::Code;
use crate::policy::decode::{At, Cx};
use crate::policy::diag::Diagnostic;
use crate::policy::duration::show;
use crate::policy::raw::Broker;
use crate::policy::span::Span;

/// How long the broker waits for an answer, unless that was changed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A condition on a field that some of the brokers do not tell.
pub(crate) fn not_told(cx: &mut Cx<'_>, fact: Fact, key: Span, brokers: &[Broker]) {
    let mut lacking = Vec::new();
    let mut some_tell = false;
    for broker in brokers {
        match broker.version.has(fact) {
            Has::Yes => some_tell = true,
            Has::No => lacking.push((broker, broker.version.to_string())),
            Has::From(since) => {
                some_tell = true;
                lacking.push((broker, format!("{} before {since}", broker.version)));
            }
        }
    }
    if lacking.is_empty() {
        return;
    }
    let (code, there) = if some_tell { (Code::NotToldEverywhere, " there") } else { (Code::NotTold, "") };
    let field = key.of(cx.text).trim_matches(['"', '\'']);
    let do_not = if lacking.len() == 1 { "does not" } else { "do not" };
    let names = emqx(lacking.iter().map(|(_, name)| name.clone()));
    let message = format!("{names} {do_not} tell `{field}`, so a rule that comes to need it denies{there}");
    let since = emqx(fact.since().iter().map(Version::to_string));
    let mut diagnostic = Diagnostic::new(code, key, message).help(format!("it is told from {since} on"));
    for (broker, _) in lacking {
        diagnostic = diagnostic.related(broker.span, "does not tell it");
    }
    cx.push(diagnostic);
}

/// A condition on a flag that is the same for every client.
pub(crate) fn anonymous(cx: &mut Cx<'_>, flag: &At<bool>, brokers: &[Broker]) {
    let such = brokers.iter().filter(|broker| broker.version.has(Fact::AllAnonymous) == Has::Yes);
    let such: Vec<String> = such.map(|broker| broker.version.to_string()).collect();
    if such.is_empty() {
        return;
    }
    let holds_for = if flag.value { "every client" } else { "nobody" };
    let there = if such.len() < brokers.len() { " there" } else { "" };
    let says = if such.len() == 1 { "says" } else { "say" };
    let names = emqx(such);
    let message = format!("{names} {says} of every client that it is anonymous, so this holds for {holds_for}{there}");
    cx.push(Diagnostic::new(Code::NoSuchValue, flag.span, message).help("take the condition away"));
}

/// The deadline is not under the broker's usual time-out.
pub(crate) fn deadline(cx: &mut Cx<'_>, time: Duration, span: Span, brokers: &[Broker]) {
    const PORT: &str = "`exhook.drivers.python3.call_timeout`";
    const GRPC: &str = "`request_timeout`";
    if time < PATIENCE {
        return;
    }
    let [port, grpc] = transports(brokers);
    let setting = match (port, grpc) {
        (true, false) => PORT.to_owned(),
        (false, true) => GRPC.to_owned(),
        (true, true) | (false, false) => format!("{PORT} (from 4.3 on {GRPC})"),
    };
    let message = format!("the broker waits {} for an answer unless it was told otherwise", show(PATIENCE));
    let help = format!("write a shorter one, or set {setting} above it");
    cx.push(Diagnostic::new(Code::LongDeadline, span, message).help(help));
}

/// Some brokers send messages in one edition only.
pub(crate) fn messages(cx: &mut Cx<'_>, span: Span, brokers: &[Broker]) {
    let such = brokers.iter().filter(|broker| broker.version.transport() == Transport::Port);
    let such: Vec<String> = such.map(|broker| broker.version.to_string()).collect();
    let whose = "`messages` only in the Enterprise edition, whose plugin calls message hooks";
    if brokers.is_empty() {
        let message = format!("before 4.3 EMQX sends {whose}");
        let help = "say which version it is for: `broker: \"5.8\"`";
        cx.push(Diagnostic::new(Code::MessagesEnterprise, span, message).help(help));
    } else if !such.is_empty() {
        let sends = if such.len() == 1 { "sends" } else { "send" };
        let message = format!("{} {sends} {whose}", emqx(such));
        cx.push(Diagnostic::new(Code::MessagesEnterprise, span, message));
    }
}

/// Whether some of the brokers ask through a port, and whether some by gRPC.
fn transports(brokers: &[Broker]) -> [bool; 2] {
    let is_port = |broker: &Broker| broker.version.transport() == Transport::Port;
    [brokers.iter().any(is_port), brokers.iter().any(|broker| !is_port(broker))]
}

/// `EMQX 4.1, 4.2 and 5.3`, each once.
fn emqx(versions: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = Vec::new();
    for version in versions {
        if !names.contains(&version) {
            names.push(version);
        }
    }
    match names.as_slice() {
        [] => "EMQX".to_owned(),
        [one] => format!("EMQX {one}"),
        [most @ .., last] => format!("EMQX {} and {last}", most.join(", ")),
    }
}
