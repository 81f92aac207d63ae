//! `acl.conf`: what the broker allows where the driver has said nothing.

use std::path::{Path, PathBuf};

use super::rules::{AclConfReach, AclConfRule, read_rules};
use super::{AnsweredShare, Conf, Etc, Finding, PolicyQuestion, is_there, loaded};
use exhook_policy_core::decision::Mode;
use exhook_policy_runtime::files::input;

/// The module that reads the file.
const MODULE: &str = "emqx_mod_acl_internal";

pub(super) fn check(
    etc: &Etc<'_>,
    conf: Option<&Conf>,
    modules: Option<&Path>,
    asked: &PolicyQuestion,
) -> Vec<Finding> {
    let decides = etc.decides();
    if decides.topics == AnsweredShare::None {
        return Vec::new();
    }
    let file = file(etc, conf);
    let about = "acl.conf";
    let mut found = Vec::new();
    match modules.map(|modules| (modules, loaded::read(modules))) {
        Some((_, Ok(names))) if !names.iter().any(|(_, name)| name == MODULE) => {
            let message = format!("{MODULE} is not loaded, so that nobody asks it");
            return vec![Finding::fine(about, message).at(&file, None)];
        }
        Some((modules, Err(error))) => {
            let message = format!("the file cannot be read: {error}; it is taken for loaded");
            found.push(Finding::unseen(MODULE, message).at(modules, None));
        }
        Some((_, Ok(_))) | None => {}
    }
    found.extend(check_rules(&file, decides.mode, asked));
    found
}

fn check_rules(file: &Path, mode: Mode, asked: &PolicyQuestion) -> Vec<Finding> {
    let about = "acl.conf";
    let rules = input::read_regular_text(file, input::MOST)
        .map_err(|error| error.to_string())
        .and_then(|text| read_rules(&text));
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => return vec![Finding::unseen(about, format!("it cannot be read: {error}")).at(file, None)],
    };
    let end = rules.iter().position(|rule| rule.reach == AclConfReach::All);
    let before = rules.get(..end.unwrap_or(rules.len())).unwrap_or_default();
    let allows: Vec<&AclConfRule> = before.iter().filter(|rule| rule.allows).collect();
    let allows_all = end.and_then(|end| rules.get(end)).filter(|rule| rule.allows);
    if mode == Mode::Audit {
        let message = "it decides until the policy leaves audit mode";
        return vec![Finding::fine(about, message).at(file, None)];
    }
    let mut found = Vec::new();
    if let Some(rule) = allows_all {
        let message = format!("{}, everything gets through", asked.away);
        let finding = Finding::problem(rule.text.as_str(), message).at(file, Some(rule.line));
        found.push(finding.fix("take the line out, or write: {deny, all}."));
    }
    if let Some(first) = allows.first() {
        let lines: Vec<String> = allows.iter().map(|rule| rule.line.to_string()).collect();
        let lines = format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, lines.join(", "));
        let message = format!("{}, what it allows in {lines} gets through", asked.away);
        found.push(Finding::warning(about, message).at(file, Some(first.line)));
    }
    if found.is_empty() {
        found.push(Finding::fine(about, "it allows nothing").at(file, None));
    }
    found
}

fn file(etc: &Etc<'_>, conf: Option<&Conf>) -> PathBuf {
    let set = conf.and_then(|conf| conf.get("acl_file")).map(|setting| etc.resolve(&setting.value));
    let beside = etc.folder.join("acl.conf");
    // A folder that was copied from the broker's machine keeps the paths of that.
    set.filter(|file| is_there(file) || !is_there(&beside)).unwrap_or(beside)
}
