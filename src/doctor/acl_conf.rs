//! `acl.conf`: what the broker allows where the driver has said nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Conf, Etc, Finding, Share, loaded};
use crate::convert::{Term, Value, consult};
use crate::decision::Mode;

/// The module that reads the file.
const MODULE: &str = "emqx_mod_acl_internal";

pub(super) fn check(etc: &Etc<'_>, conf: Option<&Conf>, modules: Option<&Path>) -> Vec<Finding> {
    let decides = etc.decides();
    if decides.topics == Share::None {
        return Vec::new();
    }
    let file = file(etc, conf);
    let about = "acl.conf";
    let loaded = modules.and_then(|modules| loaded::names(&fs::read_to_string(modules).ok()?).ok());
    if loaded.is_some_and(|names| !names.iter().any(|(_, name)| name == MODULE)) {
        return vec![Finding::fine(about, format!("{MODULE} is not loaded, so that nobody asks it")).at(&file, None)];
    }
    let terms = fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| consult(&text).map_err(|problem| format!("line {}: {}", problem.line, problem.message)));
    let terms = match terms {
        Ok(terms) => terms,
        Err(error) => return vec![Finding::unseen(about, format!("it cannot be read: {error}")).at(&file, None)],
    };
    let end = terms.iter().position(|term| effect(term).is_some_and(|(_, all)| all));
    let asked = terms.get(..end.map_or(terms.len(), |end| end.saturating_add(1))).unwrap_or_default();
    let allows: Vec<&Term> = asked.iter().filter(|term| effect(term) == Some((true, false))).collect();
    let allows_all = asked.last().filter(|term| effect(term) == Some((true, true)));
    if decides.mode == Mode::Audit {
        let message = "it decides until the policy leaves audit mode";
        return vec![Finding::fine(about, message).at(&file, None)];
    }
    let mut found = Vec::new();
    if let Some(term) = allows_all {
        let message = "while the driver is not loaded, starting or late, everything gets through";
        let finding = Finding::problem("{allow, all}", message).at(&file, Some(term.line));
        found.push(finding.fix("take the line out, or write: {deny, all}."));
    }
    if let Some(first) = allows.first() {
        let lines: Vec<String> = allows.iter().map(|term| term.line.to_string()).collect();
        let lines = format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, lines.join(", "));
        let message =
            format!("while the driver is not loaded, starting or late, what it allows in {lines} gets through");
        found.push(Finding::warning(about, message).at(&file, Some(first.line)));
    }
    if found.is_empty() {
        found.push(Finding::fine(about, "it allows nothing").at(&file, None));
    }
    found
}

fn file(etc: &Etc<'_>, conf: Option<&Conf>) -> PathBuf {
    let set = conf.and_then(|conf| conf.get("acl_file")).map(|setting| etc.resolve(&setting.value));
    let beside = etc.folder.join("acl.conf");
    // A folder that was copied from the broker's machine keeps the paths of that.
    set.filter(|file| file.is_file() || !beside.is_file()).unwrap_or(beside)
}

/// Whether a rule allows, and whether it is about everyone and everything.
fn effect(term: &Term) -> Option<(bool, bool)> {
    let Value::Tuple(members) = &term.value else { return None };
    let is = |term: &Term, name: &str| matches!(&term.value, Value::Atom(atom) if atom == name);
    let (first, rest) = members.split_first()?;
    let allows = is(first, "allow");
    (allows || is(first, "deny")).then(|| (allows, matches!(rest, [only] if is(only, "all"))))
}
