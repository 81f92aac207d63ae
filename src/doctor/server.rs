//! `exhook.servers` of EMQX 5 and later: which provider the broker asks, where, and what it does where it gets no answer.

use std::time::Duration;

use super::conf::duration;
use super::hocon::HoconValue;
use super::plugin::{Late, failed_action, patience};
use super::settings::BrokerSettings;
use super::{Etc, Finding, Url};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Version};

/// What the broker does where a server does not say.
const DEFAULT_TIMEOUT: &str = "5s";
const DEFAULT_RECONNECT: &str = "60s";
/// A broker that does not ask for longer is worth a look.
const LONG_RECONNECT: Duration = Duration::from_secs(60);

pub(super) fn check(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    let about = "exhook.servers";
    let servers = settings.get(&["exhook", "servers"]);
    let help = format!("exhook-policy install --emqx {version}");
    let list = match servers.map(HoconValue::list) {
        Some(Some(list)) => list,
        Some(None) => {
            let message = "it is no list of servers that can be read here";
            return vec![settings.at(Finding::unseen(about, message), servers)];
        }
        None => Vec::new(),
    };
    let (on, off): (Vec<&HoconValue>, Vec<&HoconValue>) = list.into_iter().partition(|server| is_enabled(server));
    let mut found: Vec<Finding> = off.iter().map(|server| disabled(settings, server, on.is_empty())).collect();
    if on.is_empty() && off.is_empty() {
        let message = "there is none, so that the policy is not asked for anything";
        found.push(settings.at(Finding::problem(about, message).fix(help), servers));
    }
    if on.len() > 1 {
        let names: Vec<String> = on.iter().map(|server| name(server)).collect();
        let message = format!("{} are asked in this order, and the first that decides is the last", names.join(", "));
        found.push(settings.at(Finding::warning(about, message), servers));
    }
    for server in on {
        found.push(address(settings, server, version));
        found.push(failure(settings, server, etc.decides().mode));
        found.push(time_out(settings, etc, server));
        found.push(reconnect(settings, server));
    }
    found
}

pub(super) fn is_enabled(item: &HoconValue) -> bool {
    item.get(&["enable"]).and_then(HoconValue::text) != Some("false")
}

fn name(server: &HoconValue) -> String {
    server.get(&["name"]).and_then(HoconValue::text).unwrap_or("?").to_owned()
}

fn disabled(settings: &BrokerSettings, server: &HoconValue, alone: bool) -> Finding {
    let about = format!("exhook.servers: {}: enable", name(server));
    let finding = if alone {
        Finding::problem(about, "it is `false`, so that the policy is not asked for anything").fix("enable = true")
    } else {
        Finding::fine(about, "it is `false`")
    };
    settings.at(finding, server.get(&["enable"]))
}

fn address(settings: &BrokerSettings, server: &HoconValue, version: Version) -> Finding {
    let about = format!("exhook.servers: {}: url", name(server));
    let value = server.get(&["url"]);
    let Some(text) = value.and_then(HoconValue::text) else {
        let message = "it is not set here, so that nobody knows whom the broker asks";
        return settings.at(Finding::unseen(about, message), value.or(Some(server)));
    };
    let finding = match text.parse::<Url>() {
        Err(error) => Finding::problem(about, format!("{text:?} leads nowhere: {error}")),
        Ok(url) if url.tls => return tls(settings, server, &url, version),
        Ok(url) if url.is_local() => Finding::fine(about, format!("{url} stays on this machine")),
        Ok(url) => {
            let message = format!(
                "{url} is in the clear: whoever is on the way reads passwords, and can answer in the policy's place"
            );
            Finding::warning(about, message)
        }
    };
    settings.at(finding, value)
}

/// Whether the broker looks at the certificate of the provider that it asks.
fn tls(settings: &BrokerSettings, server: &HoconValue, url: &Url, version: Version) -> Finding {
    let about = format!("exhook.servers: {}: ssl", name(server));
    let is = |key: &str, value: &str| server.get(&["ssl", key]).and_then(HoconValue::text) == Some(value);
    let place = server.get(&["ssl"]).or_else(|| server.get(&["url"]));
    let anyone = "anyone on the way can answer in the policy's place";
    let finding = if !is("enable", "true") {
        Finding::warning(about, format!("it is not enabled, so that nothing in it counts: {anyone}"))
            .fix("ssl.enable = true")
    } else if server.get(&["ssl", "cacertfile"]).is_none() {
        Finding::warning(about, format!("no cacertfile is set, against which the certificate is held: {anyone}"))
    } else {
        match version.has(Fact::VerifiesProvider) {
            Has::No => Finding::warning(about, format!("EMQX {version} takes no notice of `verify`, and may not look")),
            Has::Yes | Has::From(_) if !is("verify", "verify_peer") => {
                Finding::warning(about, format!("the certificate is not verified: {anyone}"))
                    .fix("ssl.verify = verify_peer")
            }
            Has::From(from) => {
                Finding::warning(about, format!("before {from}, the broker takes no notice of `verify`"))
            }
            Has::Yes => Finding::fine(about, format!("the certificate of {} is verified", url.host)),
        }
    };
    settings.at(finding, place)
}

fn failure(settings: &BrokerSettings, server: &HoconValue, mode: Mode) -> Finding {
    let about = format!("exhook.servers: {}: failed_action", name(server));
    let value = server.get(&["failed_action"]);
    let finding = match value.map_or(Some("deny"), HoconValue::text) {
        Some(text) => failed_action(&about, "failed_action", text, mode),
        None => Finding::unseen(about, "its value is not in the file"),
    };
    settings.at(finding, value.or(Some(server)))
}

fn time_out(settings: &BrokerSettings, etc: &Etc<'_>, server: &HoconValue) -> Finding {
    let value = server.get(&["request_timeout"]);
    let Some(text) = value.map_or(Some(DEFAULT_TIMEOUT), HoconValue::text) else {
        let about = format!("exhook.servers: {}: request_timeout", name(server));
        return settings.at(Finding::unseen(about, "its value is not in the file"), value);
    };
    let late = match server.get(&["failed_action"]).and_then(HoconValue::text) {
        Some("ignore") => Late::LetThrough,
        Some(_) | None => Late::Refused,
    };
    let decides = etc.policy.map(|(decides, _)| decides);
    let mut finding = patience("request_timeout", text, lasting(text), decides, late);
    finding.about = format!("exhook.servers: {}: request_timeout", name(server));
    settings.at(finding, value.or(Some(server)))
}

fn reconnect(settings: &BrokerSettings, server: &HoconValue) -> Finding {
    let about = format!("exhook.servers: {}: auto_reconnect", name(server));
    let value = server.get(&["auto_reconnect"]);
    let finding = match value.map_or(Some(DEFAULT_RECONNECT), HoconValue::text) {
        None => Finding::unseen(about, "its value is not in the file"),
        Some("false") => {
            let message = "it is `false`: a provider that is not there when the broker starts is never asked";
            Finding::problem(about, message).fix("auto_reconnect = 5s")
        }
        Some(text) => match lasting(text) {
            None => Finding::problem(about, format!("{text:?} is no duration, so that the broker will not start")),
            Some(every) if every > LONG_RECONNECT => {
                let message = format!("a provider that was not there is asked {text} later");
                Finding::warning(about, message).fix("auto_reconnect = 5s")
            }
            Some(_) => Finding::fine(about, format!("a provider that was not there is tried again every {text}")),
        },
    };
    settings.at(finding, value.or(Some(server)))
}

/// A duration; a number alone is in milliseconds.
pub(super) fn lasting(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis).or_else(|| duration(text))
}
