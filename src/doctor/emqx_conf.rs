//! `emqx.conf`: what the broker does without the driver, and which listeners do not ask it.

use std::path::Path;
use std::time::Duration;

use super::conf::{Conf, duration};
use super::{AnsweredShare, Decides, Finding, FindingState, PolicyQuestion};
use exhook_policy_core::decision::Mode;

/// Decisions that are remembered for longer are worth a look.
const LONG_CACHE: Duration = Duration::from_secs(10 * 60);
/// What the broker does where the file does not say.
const DEFAULT_CACHE: &str = "1m";

pub(super) fn check(conf: &Conf, file: &Path, decides: &Decides, asked: &PolicyQuestion) -> Vec<Finding> {
    let mut found = vec![
        fallback(conf, file, &LOGINS, (decides.mode, decides.logins), asked),
        fallback(conf, file, &TOPICS, (decides.mode, decides.topics), asked),
    ];
    if decides.topics != AnsweredShare::None {
        found.push(cache(conf, file));
        found.push(deny_action(conf, file));
    }
    found.extend(listeners(conf).iter().map(|listener| listener_finding(conf, file, listener, decides, asked)));
    found
}

/// A setting that says what happens where the driver has said nothing.
struct Fallback {
    key: &'static str,
    open: &'static str,
    closed: &'static str,
    /// What happens where it is open, and where it is closed.
    then: &'static str,
    else_then: &'static str,
    section: &'static str,
}

const LOGINS: Fallback = Fallback {
    key: "allow_anonymous",
    open: "true",
    closed: "false",
    then: "everyone gets in",
    else_then: "nobody gets in",
    section: "auth",
};
const TOPICS: Fallback = Fallback {
    key: "acl_nomatch",
    open: "allow",
    closed: "deny",
    then: "everything that acl.conf does not deny gets through",
    else_then: "nothing gets through that acl.conf does not allow",
    section: "acl",
};

fn fallback(
    conf: &Conf,
    file: &Path,
    setting: &Fallback,
    (mode, share): (Mode, AnsweredShare),
    asked: &PolicyQuestion,
) -> Finding {
    let Fallback { key, open, closed, then, else_then, section } = setting;
    let read = conf.get(key);
    let value = read.map_or(*closed, |setting| &setting.value);
    let is = match read {
        Some(_) => format!("it is `{value}`"),
        None => format!("it is not set, which means `{value}`"),
    };
    let close = format!("{key} = {closed}");
    let finding = if value != *open && value != *closed {
        unknown_value(key, value, &[open, closed])
    } else if share == AnsweredShare::None {
        Finding::fine(*key, format!("{is}, and decides alone: the policy has no `{section}`"))
    } else if mode == Mode::Audit {
        if value == *open {
            let message = format!("{is}, and decides until the policy leaves audit mode: close it together with that");
            Finding::fine(*key, message)
        } else {
            let message = format!("{is}, and decides, since the policy is in audit mode: {else_then}");
            Finding::warning(*key, message).fix(format!("{key} = {open}"))
        }
    } else if value == *closed {
        Finding::fine(*key, is)
    } else {
        let state = if share == AnsweredShare::All { FindingState::Problem } else { FindingState::Warning };
        let rest = if share == AnsweredShare::All { "" } else { ", as where the policy says `ignore`" };
        let message = format!("{is}: {}, {then}{rest}", asked.away);
        Finding::new(state, *key, message).fix(close)
    };
    finding.at(file, read.map(|setting| setting.line))
}

/// The broker does not start with a value that it does not know.
pub(super) fn unknown_value(key: &str, value: &str, known: &[&str]) -> Finding {
    let mut message = format!("{value:?} is not one of {}, so that the broker will not start", known.join(" and "));
    if value.contains('#') {
        message.push_str(" (a comment needs a line of its own)");
    }
    Finding::problem(key, message)
}

fn cache(conf: &Conf, file: &Path) -> Finding {
    let about = "acl_cache_ttl";
    if let Some(enabled) = conf.get("enable_acl_cache") {
        let finding = match enabled.value.as_str() {
            "off" => Finding::fine("enable_acl_cache", "it is `off`: a rule that changed counts at once"),
            "on" => return lasting(conf, file, about),
            other => unknown_value("enable_acl_cache", other, &["on", "off"]),
        };
        return finding.at(file, Some(enabled.line));
    }
    lasting(conf, file, about)
}

fn lasting(conf: &Conf, file: &Path, about: &str) -> Finding {
    let read = conf.get(about);
    let value = read.map_or(DEFAULT_CACHE, |setting| &setting.value);
    let finding = match duration(value) {
        None => Finding::problem(about, format!("{value:?} is no duration, so that the broker will not start")),
        Some(ttl) => {
            let message =
                format!("a client's topics are asked for once in {value}: a rule that changed counts that much later");
            let state = if ttl > LONG_CACHE { FindingState::Warning } else { FindingState::Fine };
            let finding = Finding::new(state, about, message);
            if state == FindingState::Fine { finding } else { finding.fix(format!("{about} = {DEFAULT_CACHE}")) }
        }
    };
    finding.at(file, read.map(|setting| setting.line))
}

fn deny_action(conf: &Conf, file: &Path) -> Finding {
    let about = "acl_deny_action";
    let read = conf.get(about);
    let finding = match read.map_or("ignore", |setting| &setting.value) {
        "ignore" => {
            Finding::fine(about, "a denied message is dropped; a client of MQTT 3.1.1 gets a PUBACK all the same")
        }
        "disconnect" => Finding::fine(about, "who asks for a denied topic is disconnected"),
        other => unknown_value(about, other, &["ignore", "disconnect"]),
    };
    finding.at(file, read.map(|setting| setting.line))
}

/// A listener whose clients are in a zone, which may have settings of its own.
struct Listener<'c> {
    /// `listener.tcp.external`.
    key: &'c str,
    address: &'c str,
    zone: &'c str,
}

fn listeners(conf: &Conf) -> Vec<Listener<'_>> {
    conf.iter()
        .filter(|(key, _)| key.starts_with("listener.") && key.split('.').count() == 3)
        .filter_map(|(key, address)| {
            let zone = conf.get(&format!("{key}.zone"))?;
            Some(Listener { key, address: &address.value, zone: &zone.value })
        })
        .collect()
}

impl Listener<'_> {
    /// Only programs on the broker's own machine get there.
    fn is_local(&self) -> bool {
        ["127.", "[::1]", "::1:", "localhost:"].iter().any(|start| self.address.starts_with(start))
    }
}

fn listener_finding(
    conf: &Conf,
    file: &Path,
    listener: &Listener<'_>,
    decides: &Decides,
    asked: &PolicyQuestion,
) -> Finding {
    let (zone, who) = (listener.zone, asked.who);
    let of_zone = |key: &str| conf.get(&format!("zone.{zone}.{key}"));
    let is = |key: &str, value: &str| of_zone(key).is_some_and(|setting| setting.value == value);
    // A zone that has any setting has them all, with defaults of their own: in it, ACLs are off.
    let is_set_up = conf.iter().any(|(key, _)| key.starts_with(&format!("zone.{zone}.")));
    let without_acl = is_set_up && !is("enable_acl", "on");

    let mut open = Vec::new();
    if decides.logins != AnsweredShare::None {
        if is("bypass_auth_plugins", "true") {
            open.push(("bypass_auth_plugins", "false", "logins are not asked for".to_owned()));
        }
        if is("allow_anonymous", "true") {
            open.push(("allow_anonymous", "false", format!("everyone gets in while the {who} is away")));
        }
    }
    if decides.topics != AnsweredShare::None {
        if without_acl {
            open.push(("enable_acl", "on", "topics are not asked for".to_owned()));
        }
        if is("acl_nomatch", "allow") {
            open.push(("acl_nomatch", "deny", format!("everything gets through while the {who} is away")));
        }
    }
    if decides.mode == Mode::Audit {
        open.retain(|(key, _, _)| !matches!(*key, "allow_anonymous" | "acl_nomatch"));
    }
    let line = conf.get(listener.key).map(|setting| setting.line);
    let about = format!("{} ({})", listener.key, listener.address);
    let Some((first, _, _)) = open.first() else {
        return Finding::fine(about, format!("its zone `{zone}` asks the {who}")).at(file, line);
    };
    let line = of_zone(first).map(|setting| setting.line).or(line);
    let reasons: Vec<&str> = open.iter().map(|(_, _, reason)| reason.as_str()).collect();
    let message = format!("in its zone `{zone}` {}", reasons.join(", "));
    let finding = if listener.is_local() {
        Finding::warning(about, format!("{message}; only this machine reaches it"))
    } else {
        Finding::problem(about, message)
    };
    let finding =
        open.iter().fold(finding, |finding, (key, value, _)| finding.fix(format!("zone.{zone}.{key} = {value}")));
    finding.at(file, line)
}
