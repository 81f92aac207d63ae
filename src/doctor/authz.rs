//! `authorization` of EMQX 5 and later: which topics the broker decides before it asks about the policy, or without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::emqx_conf::unknown_value;
use super::hocon::HoconValue;
use super::rules::{AclConfReach, read_rules};
use super::server::{is_enabled, lasting};
use super::settings::BrokerSettings;
use super::{AnsweredShare, Etc, Finding, FindingState, first_with, is_there};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::emqx::{Fact, Has, Version};
use exhook_policy_runtime::files::input;

/// Decisions that are remembered for longer are worth a look.
const LONG_CACHE: Duration = Duration::from_secs(10 * 60);
/// What the broker does where the files do not say.
const DEFAULT_CACHE: &str = "1m";
/// What has the policy asked in audit mode, while the broker answers as before.
const NO_LAST_LINE: &str = "take the line out, and write: authorization.no_match = allow";
/// What takes all sources away.
const NO_SOURCES: &str = "authorization.sources = []";

pub(super) fn check(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    if etc.decides().topics == AnsweredShare::None {
        return Vec::new();
    }
    let mut found = vec![no_match(settings, etc, version)];
    match version.has(Fact::AsksAfterSources) {
        Has::Yes => found.extend(sources(settings, etc, version)),
        Has::From(from) => {
            let message = format!("before {from}, the broker asks about no topic: the policy's `acl` has no effect");
            found.push(Finding::warning("authorization", message));
            found.extend(sources(settings, etc, version));
        }
        Has::No => {
            let message = format!("EMQX {version} asks about no topic: the policy's `acl` has no effect");
            let finding = Finding::problem("authorization", message);
            found.push(first_with(finding, version, Fact::AsksAfterSources, "asks"));
        }
    }
    found.push(cache(settings));
    found
}

fn no_match(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Finding {
    let about = "authorization.no_match";
    let value = settings.get(&["authorization", "no_match"]);
    let default = if version.has(Fact::DeniesNoMatch) == Has::Yes { "deny" } else { "allow" };
    let Some(text) = value.map_or(Some(default), HoconValue::text) else {
        return settings.at(Finding::unseen(about, "its value is not in the file"), value);
    };
    let is = match value {
        Some(_) => format!("it is `{text}`"),
        None => format!("it is not set, which means `{text}`"),
    };
    let decides = etc.decides();
    let finding = match (text, decides.mode) {
        ("allow", Mode::Audit) => Finding::fine(
            about,
            format!("{is}, and decides until the policy leaves audit mode: close it together with that"),
        ),
        ("deny", Mode::Audit) => {
            let message = format!(
                "{is}, and decides, since the policy is in audit mode: nothing gets through that no source allows"
            );
            Finding::warning(about, message).fix("authorization.no_match = allow")
        }
        ("deny", Mode::Enforce) => Finding::fine(about, is),
        ("allow", Mode::Enforce) => {
            let (state, rest) = match decides.topics {
                AnsweredShare::Some => (FindingState::Warning, ", as where the policy says `ignore`"),
                AnsweredShare::All | AnsweredShare::None => (FindingState::Problem, ""),
            };
            let message = format!("{is}: until the provider is loaded, everything gets through{rest}");
            Finding::new(state, about, message).fix("authorization.no_match = deny")
        }
        (other, _) => unknown_value(about, other, &["allow", "deny"]),
    };
    settings.at(finding, value)
}

/// Those that are asked before the policy.
fn sources(settings: &BrokerSettings, etc: &Etc<'_>, version: Version) -> Vec<Finding> {
    let about = "authorization.sources";
    let value = settings.get(&["authorization", "sources"]);
    let list = match value.map(HoconValue::list) {
        Some(Some(list)) => list,
        Some(None) => return vec![settings.at(Finding::unseen(about, "it is no list that can be read here"), value)],
        None if version.has(Fact::AclConfByDefault) == Has::No => Vec::new(),
        None => return acl_conf(settings, etc, &etc.folder.join("acl.conf"), None),
    };
    let on: Vec<&HoconValue> = list.into_iter().filter(|source| is_enabled(source)).collect();
    if on.is_empty() {
        return vec![settings.at(Finding::fine(about, "there is none, so that all topics are asked for"), value)];
    }
    let mut found = Vec::new();
    for source in on {
        let kind = source.get(&["type"]);
        match (kind.and_then(HoconValue::text), source.get(&["path"]).and_then(HoconValue::text)) {
            (Some("file"), Some(path)) => found.extend(acl_conf(settings, etc, &resolve(etc, path), Some(source))),
            (Some("file"), None) => {
                found.push(
                    settings.at(Finding::unseen(about, "the path of its file is not in the settings"), Some(source)),
                );
            }
            (name, _) => {
                let about = format!("{about}: {}", name.unwrap_or("?"));
                let message = "it is asked before the policy, and what it decides, the policy is not asked about";
                found.push(settings.at(Finding::warning(about, message).fix(NO_SOURCES), kind.or(Some(source))));
            }
        }
    }
    found
}

/// A path of a setting. A folder that was copied from the broker's machine keeps the paths of that.
fn resolve(etc: &Etc<'_>, path: &str) -> PathBuf {
    let file = match path.strip_prefix("${EMQX_ETC_DIR}/") {
        Some(rest) => etc.folder.join(rest),
        None => etc.resolve(path),
    };
    let beside = file.file_name().map(|name| etc.folder.join(name));
    if is_there(&file) { file } else { beside.filter(|beside| is_there(beside)).unwrap_or(file) }
}

/// A source that is a file of rules.
fn acl_conf(settings: &BrokerSettings, etc: &Etc<'_>, file: &Path, source: Option<&HoconValue>) -> Vec<Finding> {
    let about = "acl.conf";
    let by_default = match source {
        Some(_) => "",
        None => "no sources are set, which means this file; ",
    };
    let rules = input::read_regular_text(file, input::MOST)
        .map_err(|error| error.to_string())
        .and_then(|text| read_rules(&text));
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => {
            let finding = Finding::unseen(about, format!("{by_default}it cannot be read: {error}"));
            return vec![if is_there(file) { finding.at(file, None) } else { settings.at(finding, source) }];
        }
    };
    let audit = etc.decides().mode == Mode::Audit;
    let end = rules.iter().position(|rule| rule.reach != AclConfReach::Some);
    let before = rules.get(..end.unwrap_or(rules.len())).unwrap_or_default();
    let mut found = Vec::new();
    if let Some(last) = end.and_then(|end| rules.get(end)) {
        let what = match (last.allows, last.reach) {
            (true, AclConfReach::UnlessHardened) => {
                "everything gets through, unless EMQX_SECURITY_PROFILE is `hardened`"
            }
            (true, AclConfReach::All | AclConfReach::Some) => "everything gets through",
            (false, _) => "nothing gets through",
        };
        let message = format!("{by_default}it is asked before the policy, and decides all topics: {what}");
        let state = if audit || !last.allows { FindingState::Warning } else { FindingState::Problem };
        found.push(
            Finding::new(state, last.text.as_str(), message)
                .fix(if audit { NO_LAST_LINE } else { NO_SOURCES })
                .at(file, Some(last.line)),
        );
    }
    if audit && found.is_empty() {
        let message = format!("{by_default}it decides until the policy leaves audit mode: close it together with that");
        return vec![Finding::fine(about, message).at(file, None)];
    }
    let allows: Vec<usize> = before.iter().filter(|rule| rule.allows).map(|rule| rule.line).collect();
    if let Some(first) = allows.first().filter(|_| !audit) {
        let lines: Vec<String> = allows.iter().map(ToString::to_string).collect();
        let lines = format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, lines.join(", "));
        let message = format!("{by_default}it is asked before the policy: what it allows in {lines} gets through");
        found.push(Finding::warning(about, message).fix(NO_SOURCES).at(file, Some(*first)));
    }
    if found.is_empty() {
        found.push(Finding::fine(about, format!("{by_default}it allows nothing")).at(file, None));
    }
    found
}

fn cache(settings: &BrokerSettings) -> Finding {
    let about = "authorization.cache";
    let enable = settings.get(&["authorization", "cache", "enable"]);
    if enable.and_then(HoconValue::text) == Some("false") {
        return settings.at(Finding::fine(about, "it is off: a rule that changed counts at once"), enable);
    }
    let value = settings.get(&["authorization", "cache", "ttl"]);
    let finding = match value.map_or(Some(DEFAULT_CACHE), HoconValue::text) {
        None => Finding::unseen(about, "its `ttl` is not in the file"),
        Some(text) => match lasting(text) {
            None => Finding::problem(about, format!("{text:?} is no duration, so that the broker will not start")),
            Some(ttl) => {
                let message = format!(
                    "a client's topics are asked for once in {text}: a rule that changed counts that much later"
                );
                if ttl > LONG_CACHE {
                    Finding::warning(about, message).fix(format!("{about}.ttl = {DEFAULT_CACHE}"))
                } else {
                    Finding::fine(about, message)
                }
            }
        },
    };
    settings.at(finding, value)
}
