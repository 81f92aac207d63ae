//! `listeners` of EMQX 5.0 to 5.8: which of them are open at boot, before anything can refuse a client. And those of gateways.

use std::collections::BTreeSet;

use super::hocon::{HoconKind, HoconValue};
use super::server::is_enabled;
use super::settings::BrokerSettings;
use super::{AnsweredShare, Etc, Finding};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Version};

/// The kinds of which the broker opens a listener `default`, unless the settings turn it off.
const BY_DEFAULT: [&str; 4] = ["tcp", "ssl", "ws", "wss"];

/// Turns on what was off at boot.
const TURN_ON: &str = "emqx ctl conf load --merge open.conf";

const ABOUT: &str = "listeners";

/// What the broker takes for a listener that was deleted.
const DELETED: &str = "marked_for_deletion";

pub(super) fn check(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    let decides = etc.decides();
    let is_closed = version.has(Fact::ListensLast) == Has::Yes;
    if is_closed || decides.logins == AnsweredShare::None || decides.mode == Mode::Audit {
        return Vec::new();
    }
    let listeners = settings.get(&["listeners"]);
    let open = open_at_boot(listeners);
    let finding = if open.is_empty() { closed() } else { problem(&open, version) };
    let mut found = vec![settings.at(finding, listeners)];
    found.extend(gateways(settings));
    found
}

/// The gateways with a listener that the settings leave on. Which of them open before the provider is loaded is not known.
fn gateways(settings: &BrokerSettings) -> Vec<Finding> {
    let gateways = settings.get(&["gateway"]).map(members).unwrap_or_default();
    let open = gateways.into_iter().filter(|(_, gateway)| {
        let kinds = gateway.get(&["listeners"]).map(members).unwrap_or_default();
        is_on(gateway) && kinds.into_iter().flat_map(|(_, kind)| members(kind)).any(|(_, listener)| is_on(listener))
    });
    open.map(|(name, gateway)| {
        let message = "it has listeners of its own; which clients it lets in at boot, before the provider is loaded, was not measured";
        let finding = Finding::warning(format!("gateway.{name}"), message);
        settings.at(finding.fix("let no client reach these listeners until the provider is loaded"), Some(gateway))
    })
    .collect()
}

fn closed() -> Finding {
    let message = "all are off in the settings, so that no client gets in at boot through these listeners";
    Finding::fine(ABOUT, message).fix(format!("after each boot, once the provider is loaded: {TURN_ON}"))
}

fn problem(open: &[(&str, &str)], version: Version) -> Finding {
    let names: Vec<String> = open.iter().map(|(kind, name)| format!("{kind}:{name}")).collect();
    let message = format!(
        "{} open before the provider is loaded and before any authenticator starts: at each boot every client gets in, \
         with any password, and its session stays; measured on 5.8.8: for up to 0.06 s while the provider is up, 0.5 s \
         while it is down, 5.5 s while it hangs",
        names.join(", ")
    );
    let mut finding = Finding::problem(ABOUT, message);
    let merges = version.has(Fact::MergesSettings);
    if merges != Has::No {
        for (kind, name) in open {
            finding = finding.fix(format!("listeners.{kind}.{name}.enable = false"));
        }
        finding = finding.fix(format!("and after each boot, once the provider is loaded: {TURN_ON}"));
    }
    if let Has::From(from) = merges {
        finding = finding.fix(format!("(this needs EMQX {from})"));
    }
    let or = if merges == Has::No { "" } else { "or " };
    finding = finding.fix(format!("{or}after each boot, once the provider is loaded:"));
    for name in names {
        finding = finding.fix(format!("emqx ctl listeners restart {name}"));
    }
    finding
        .fix("(this disconnects the clients that got in; no setting shows it, so the problem is still reported)")
        .fix(format!("see also: exhook-policy install --emqx {version}"))
}

/// The listeners that the settings do not turn off, by kind and name.
fn open_at_boot(listeners: Option<&HoconValue>) -> Vec<(&str, &str)> {
    let set = listeners.map(members).unwrap_or_default();
    let mut kinds: Vec<&str> = BY_DEFAULT.to_vec();
    kinds.extend(set.iter().map(|(kind, _)| *kind).filter(|kind| !BY_DEFAULT.contains(kind)));
    let mut open = Vec::new();
    for kind in kinds {
        let of_kind = set.iter().find(|(name, _)| *name == kind).map(|(_, value)| members(value)).unwrap_or_default();
        let mut names: BTreeSet<&str> = of_kind.iter().map(|(name, _)| *name).collect();
        if BY_DEFAULT.contains(&kind) {
            names.insert("default");
        }
        let is_open = |name: &&str| {
            let listener = of_kind.iter().find(|(other, _)| other == name).map(|(_, listener)| *listener);
            listener.is_none_or(is_on)
        };
        open.extend(names.into_iter().filter(is_open).map(|name| (kind, name)));
    }
    open
}

/// Whether the settings leave a listener on. The key was `enabled` before 5.1.1, which later versions take as well.
pub(super) fn is_on(listener: &HoconValue) -> bool {
    let is_disabled = listener.get(&["enabled"]).and_then(HoconValue::text) == Some("false");
    is_enabled(listener) && !is_disabled && listener.text() != Some(DELETED)
}

/// The members of an object; of anything else there are none.
fn members(value: &HoconValue) -> Vec<(&str, &HoconValue)> {
    match &value.kind {
        HoconKind::Object(members) => members.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        HoconKind::Text(_) | HoconKind::Array(_) | HoconKind::Unknown => Vec::new(),
    }
}
