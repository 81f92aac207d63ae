//! `authentication` of EMQX 5 and later: which clients the broker lets in before it asks about the policy, or without.

use super::boot::is_on;
use super::hocon::{HoconKind, HoconValue};
use super::server::is_enabled;
use super::settings::BrokerSettings;
use super::{AnsweredShare, Etc, Finding, first_with};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Version};

/// It refuses a client that neither it nor the policy lets in. By itself it lets no client in.
const CLOSED: &str = "authentication = [{ mechanism = scram, backend = built_in_database }]";

pub(super) fn check(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    let decides = etc.decides();
    if decides.logins == AnsweredShare::None {
        return Vec::new();
    }
    let root = settings.get(&["authentication"]);
    let mut found = Vec::new();
    match root.map(authenticators) {
        Some(None) => {
            let finding = Finding::unseen("authentication", "it is no list of authenticators that can be read here");
            found.push(settings.at(finding, root));
        }
        Some(Some(list)) if !list.is_empty() => {
            found.extend(list.iter().map(|one| authenticator(settings, one, "authentication", decides.mode, version)));
        }
        Some(Some(_)) | None => found.push(settings.at(none(decides.mode, version), root)),
    }
    found.extend(listeners(settings, decides.mode, version));
    found
}

/// Those that are enabled; one alone needs no list.
fn authenticators(value: &HoconValue) -> Option<Vec<&HoconValue>> {
    if value.get(&["mechanism"]).is_some() {
        return Some(vec![value].into_iter().filter(|one| is_enabled(one)).collect());
    }
    Some(value.list()?.into_iter().filter(|one| is_enabled(one)).collect())
}

/// No authenticator is there.
fn none(mode: Mode, version: Version) -> Finding {
    let about = "authentication";
    if mode == Mode::Audit {
        // EMQX before 5.9 takes "no opinion" for a refusal, and is therefore not asked to call the
        // provider about logins while the policy is in audit mode.
        let until = match version.has(Fact::IgnoreLetsIn) {
            Has::Yes => "until the policy leaves audit mode",
            Has::No | Has::From(_) => {
                "until the policy leaves audit mode and the broker loads the provider again after that"
            }
        };
        return Finding::fine(about, format!("there is none, so that everyone gets in {until}"));
    }
    let open = "there is none, so that everyone gets in until the provider is loaded";
    match version.has(Fact::AsksAfterAuthenticators) {
        Has::Yes => Finding::problem(about, open).fix(CLOSED),
        Has::From(from) => Finding::problem(about, open).fix(CLOSED).fix(format!("it needs EMQX {from}")),
        Has::No => {
            let finding = Finding::warning(about, open);
            first_with(finding, version, Fact::AsksAfterAuthenticators, "can be closed")
        }
    }
}

fn authenticator(settings: &BrokerSettings, value: &HoconValue, about: &str, mode: Mode, version: Version) -> Finding {
    let text = |key: &str| value.get(&[key]).and_then(HoconValue::text).unwrap_or("?");
    let (mechanism, backend) = (text("mechanism"), text("backend"));
    let is_scram = (mechanism, backend) == ("scram", "built_in_database");
    let about = match backend {
        "?" => format!("{about}: {mechanism}"),
        backend => format!("{about}: {mechanism}, {backend}"),
    };
    let finding = match version.has(Fact::AsksAfterAuthenticators) {
        Has::No => {
            let message = format!("EMQX {version} asks about no login where there is an authenticator");
            Finding::problem(about, message)
        }
        Has::Yes | Has::From(_) if is_scram && mode == Mode::Audit => {
            let message = "it refuses all clients that do not log in by SCRAM, though the policy is in audit mode";
            Finding::warning(about, message)
        }
        Has::Yes | Has::From(_) if is_scram => {
            let refuses = "it refuses a client that neither it nor the policy lets in; \
                           it lets in the users of its database, who log in by SCRAM";
            match version.has(Fact::ListensLast) {
                Has::Yes => Finding::fine(about, refuses),
                Has::No | Has::From(_) => Finding::fine(about, format!("once it has started, {refuses}")),
            }
        }
        Has::Yes | Has::From(_) => {
            let message = "it is asked before the policy: the policy is not asked about the clients that it knows, \
                           nor about any topic of those that it makes superusers";
            Finding::warning(about, message)
        }
    };
    settings.at(finding, value.get(&["mechanism"]).or(Some(value)))
}

/// What listeners say for themselves.
fn listeners(settings: &BrokerSettings, mode: Mode, version: Version) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(HoconKind::Object(kinds)) = settings.get(&["listeners"]).map(|value| &value.kind) else { return found };
    for (kind, of_kind) in kinds {
        let HoconKind::Object(named) = &of_kind.kind else { continue };
        for (name, listener) in named.iter().filter(|(_, listener)| is_on(listener)) {
            let key = format!("listeners.{kind}.{name}");
            let asks = listener.get(&["enable_authn"]);
            if asks.and_then(HoconValue::text) == Some("false") {
                let about = format!("{key}.enable_authn");
                let finding = if is_local(listener) {
                    Finding::warning(about, "logins are not asked for; only this machine reaches it")
                } else {
                    Finding::problem(about, "logins are not asked for")
                };
                found.push(settings.at(finding.fix(format!("{key}.enable_authn = true")), asks));
            }
            if let Some(own) = listener.get(&["authentication"]) {
                let about = format!("{key}.authentication");
                match authenticators(own) {
                    Some(list) if !list.is_empty() => {
                        found.extend(list.iter().map(|one| authenticator(settings, one, &about, mode, version)));
                    }
                    Some(_) | None => {
                        let message = "it is set, and takes the place of the general one";
                        found.push(settings.at(Finding::warning(about, message), Some(own)));
                    }
                }
            }
        }
    }
    found
}

fn is_local(listener: &HoconValue) -> bool {
    let bind = listener.get(&["bind"]).and_then(HoconValue::text).unwrap_or_default();
    ["127.", "[::1]", "::1:", "localhost:"].iter().any(|start| bind.starts_with(start))
}
