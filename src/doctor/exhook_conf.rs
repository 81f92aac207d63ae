//! `emqx_exhook.conf` of EMQX 4.3 and 4.4: which provider the broker asks, where, and what it does where it gets no answer.

use std::path::Path;
use std::time::Duration;

use super::conf::{Conf, duration};
use super::plugin::{Late, failed_action, patience};
use super::{Etc, Finding, Url, first_with, read_conf};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Version};

/// What the plugin does where the file does not say.
const DEFAULT_TIMEOUT: &str = "5s";
const DEFAULT_RECONNECT: &str = "60s";
/// A broker that does not ask for longer is worth a look.
const LONG_RECONNECT: Duration = Duration::from_secs(60);

pub(super) fn check(etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    let file = etc.folder.join("plugins/emqx_exhook.conf");
    let mut found = Vec::new();
    let Some(conf) = read_conf(&file, &mut found) else { return found };
    let servers: Vec<&str> = conf
        .iter()
        .filter_map(|(key, _)| key.strip_prefix("exhook.server.")?.strip_suffix(".url"))
        .filter(|name| !name.contains('.'))
        .collect();
    if servers.is_empty() {
        let message = "it is not set, so that the policy is not asked for anything";
        let finding = Finding::problem("exhook.server.default.url", message);
        found.push(finding.fix("exhook.server.default.url = http://127.0.0.1:9000").at(&file, None));
    }
    if servers.len() > 1 {
        let message =
            format!("{} are asked one after the other, and the first that decides is the last", servers.join(", "));
        found.push(Finding::warning("exhook.server", message).at(&file, None));
    }
    found.extend(servers.iter().map(|server| address(&conf, &file, server)));
    match version.has(Fact::FailsClosed) {
        Has::No => {
            let message = format!(
                "EMQX {version} takes an error and a time-out for no opinion, and never asks a provider that was not \
                 there when it started"
            );
            let finding = Finding::problem("the plugin", message);
            found.push(first_with(finding, version, Fact::FailsClosed, "has settings against that").at(&file, None));
        }
        Has::Yes | Has::From(_) => {
            let action = failure(&conf, &file, etc.decides().mode);
            let late = match conf.get("exhook.request_failed_action") {
                Some(setting) if setting.value == "ignore" => Late::LetThrough,
                Some(_) | None => Late::Refused,
            };
            found.push(action);
            found.push(time_out(etc, &conf, &file, late));
            found.push(reconnect(&conf, &file));
        }
    }
    found.extend(priority(&conf, &file));
    found
}

fn address(conf: &Conf, file: &Path, server: &str) -> Finding {
    let key = format!("exhook.server.{server}.url");
    let setting = conf.get(&key);
    let value = setting.map_or("", |setting| &setting.value);
    let ca = format!("exhook.server.{server}.ssl.cacertfile");
    let finding = match value.parse::<Url>() {
        Err(error) => Finding::problem(key, format!("{value:?} leads nowhere: {error}")),
        Ok(url) if url.tls && conf.get(&ca).is_none() => {
            let message = "no cacertfile is set, against which the certificate is held: anyone on the way can answer in \
                           the policy's place";
            Finding::warning(key, message).fix(format!("{ca} = /etc/emqx/certs/exhook-policy-ca.pem"))
        }
        Ok(url) if url.tls => Finding::fine(key, format!("TLS is spoken with {}", url.host)),
        Ok(url) if url.is_local() => Finding::fine(key, format!("{url} stays on this machine")),
        Ok(url) => {
            let message = format!(
                "{url} is in the clear: whoever is on the way reads passwords, and can answer in the policy's place"
            );
            Finding::warning(key, message)
        }
    };
    finding.at(file, setting.map(|setting| setting.line))
}

fn failure(conf: &Conf, file: &Path, mode: Mode) -> Finding {
    let key = "exhook.request_failed_action";
    let setting = conf.get(key);
    let value = setting.map_or("deny", |setting| &setting.value);
    failed_action(key, key, value, mode).at(file, setting.map(|setting| setting.line))
}

fn time_out(etc: &Etc<'_>, conf: &Conf, file: &Path, late: Late) -> Finding {
    let key = "exhook.request_timeout";
    let setting = conf.get(key);
    let value = setting.map_or(DEFAULT_TIMEOUT, |setting| &setting.value);
    let decides = etc.policy.map(|(decides, _)| decides);
    patience(key, value, duration(value), decides, late).at(file, setting.map(|setting| setting.line))
}

fn reconnect(conf: &Conf, file: &Path) -> Finding {
    let key = "exhook.auto_reconnect";
    let setting = conf.get(key);
    let value = setting.map_or(DEFAULT_RECONNECT, |setting| &setting.value);
    let finding = match (value, duration(value)) {
        ("false", _) => {
            let message = "it is `false`: a provider that is not there when the broker starts is never asked";
            Finding::problem(key, message).fix(format!("{key} = 5s"))
        }
        (_, None) => Finding::problem(key, format!("{value:?} is no duration, so that the broker will not start")),
        (_, Some(every)) if every > LONG_RECONNECT => {
            let message = format!("a provider that was not there is asked {value} later");
            Finding::warning(key, message).fix(format!("{key} = 5s"))
        }
        (_, Some(_)) => Finding::fine(key, format!("a provider that was not there is tried again every {value}")),
    };
    finding.at(file, setting.map(|setting| setting.line))
}

/// Below the rules of `acl.conf`, which have -1, the policy comes after them.
fn priority(conf: &Conf, file: &Path) -> Option<Finding> {
    let key = "exhook.hook_priority";
    let setting = conf.get(key)?;
    let finding = match setting.value.parse::<i64>() {
        Ok(priority) if priority < 0 => {
            let message = format!("it is {priority}: acl.conf is asked before the policy");
            Finding::problem(key, message).fix(format!("{key} = 0"))
        }
        Ok(priority) => Finding::fine(key, format!("it is {priority}: the policy is asked before acl.conf")),
        Err(_) => Finding::problem(key, format!("{:?} is no number, so that the broker will not start", setting.value)),
    };
    Some(finding.at(file, Some(setting.line)))
}
