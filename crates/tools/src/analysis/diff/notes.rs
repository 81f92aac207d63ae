//! What differs between two versions of a policy beside its rules.

use std::fmt::Debug;

use crate::analysis::questions::is_same;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::model::{
    CaptureDef, HistoryDef, IfInvalid, LimitDef, LimitDefs, ListDef, ListSource, MetricsDef,
};
use exhook_policy_core::policy::show::Words;

/// One line each.
pub(super) fn notes(old: &Policy, new: &Policy) -> Vec<String> {
    let mut notes = Vec::new();
    if old.mode() != new.mode() {
        notes.push(format!("mode: {} -> {}", old.mode().as_str(), new.mode().as_str()));
    }
    if old.deadline() != new.deadline() {
        notes.push(format!("deadline: {:?} -> {:?}", old.deadline(), new.deadline()));
    }
    if old.if_invalid() != new.if_invalid() {
        let word = match new.if_invalid() {
            IfInvalid::Deny => "everything is denied",
            IfInvalid::LastGood => "the last good policy is in force",
        };
        notes.push(format!("if_invalid: {word} at a start where the file does not load"));
    }
    sections(&mut notes, old, new);
    trials(&mut notes, old, new);
    lists(&mut notes, old.lists(), new.lists());
    for own in new.passwords() {
        if old.passwords().iter().any(|other| other.name == own.name && !is_same(&other.source, &own.source)) {
            notes.push(format!("passwords: `{}` is read from elsewhere", own.name));
        }
    }
    let limits = |policy| {
        let LimitDefs { lockout, flapping } = Policy::limits(policy);
        [lockout, flapping].map(|def| def.as_ref().map(|def| limit(policy, def)))
    };
    for ((name, old), new) in ["lockout", "flapping"].into_iter().zip(limits(old)).zip(limits(new)) {
        part(&mut notes, name, old, new);
    }
    part(&mut notes, "log", Some(old.log()), Some(new.log()));
    part(&mut notes, "history", old.history().map(history), new.history().map(history));
    part(&mut notes, "capture", old.capture().map(capture), new.capture().map(capture));
    part(&mut notes, "metrics", old.metrics().map(metrics), new.metrics().map(metrics));
    notes
}

fn sections(notes: &mut Vec<String>, old: &Policy, new: &Policy) {
    let auth = ("auth", old.auth_default(), new.auth_default());
    let acl = ("acl", old.acl_default(), new.acl_default());
    for (name, old, new) in [auth, acl] {
        match (old, new) {
            (Some(_), None) => {
                notes.push(format!("{name}: the section is gone, and the broker is left with its questions"));
            }
            (None, Some(_)) => notes.push(format!("{name}: the section is new")),
            (Some(old), Some(new)) if old != new => {
                notes.push(format!("{name}: the default is {} instead of {}", new.as_str(), old.as_str()));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Rules that are in audit mode, or were. What one of them does once it is carried out is among the
/// changes.
fn trials(notes: &mut Vec<String>, old: &Policy, new: &Policy) {
    for (name, old, new) in [("auth", logins(old), logins(new)), ("acl", topics(old), topics(new))] {
        for (id, mode) in &new {
            let before = old.iter().find(|(other, _)| other == id).map(|(_, mode)| *mode);
            match (before, *mode) {
                (Some(Mode::Audit), Mode::Enforce) => {
                    notes.push(format!("{name}: rule `{id}` is carried out, and was in audit mode"));
                }
                (Some(Mode::Enforce), Mode::Audit) => {
                    notes.push(format!("{name}: rule `{id}` is in audit mode, and was carried out"));
                }
                (None, Mode::Audit) => notes.push(format!("{name}: rule `{id}` is new, and in audit mode")),
                (Some(_) | None, Mode::Audit | Mode::Enforce) => {}
            }
        }
        let gone = old.iter().filter(|(id, _)| new.iter().all(|(other, _)| other != id));
        for (id, _) in gone.filter(|(_, mode)| *mode == Mode::Audit) {
            notes.push(format!("{name}: rule `{id}` is gone, and was in audit mode"));
        }
    }
}

fn logins(policy: &Policy) -> Vec<(&str, Mode)> {
    let rules = policy.trial().unwrap_or(policy.rules()).auth_rules();
    rules.iter().map(|rule| (rule.id.as_str(), rule.mode)).collect()
}

fn topics(policy: &Policy) -> Vec<(&str, Mode)> {
    let rules = policy.trial().unwrap_or(policy.rules()).acl_rules();
    rules.iter().map(|rule| (rule.id.as_str(), rule.mode)).collect()
}

/// Entries of inline lists are rules' matter; whatever else a list may hold is not known.
fn lists(notes: &mut Vec<String>, old: &[ListDef], new: &[ListDef]) {
    for own in new {
        let Some(other) = old.iter().find(|other| other.name == own.name) else { continue };
        let place = |source: &ListSource| match source {
            ListSource::Inline(_) => None,
            ListSource::File { path, .. } => Some((path.file_name().map(ToOwned::to_owned), None)),
            ListSource::Sqlite { path, query, .. } => {
                Some((path.file_name().map(ToOwned::to_owned), Some(query.clone())))
            }
        };
        if place(&own.source) != place(&other.source) {
            notes.push(format!("lists: `{}` is read from elsewhere, and may hold anything", own.name));
        }
    }
}

fn part<T: PartialEq + Debug>(notes: &mut Vec<String>, name: &str, old: Option<T>, new: Option<T>) {
    let what = match (old, new) {
        (Some(_), None) => "the section is gone",
        (None, Some(_)) => "the section is new",
        (Some(old), Some(new)) if old != new => "the section says something else",
        (Some(_), Some(_)) | (None, None) => return,
    };
    notes.push(format!("{name}: {what}"));
}

/// What a limit says. What lists hold is not its matter.
fn limit(policy: &Policy, def: &LimitDef) -> impl PartialEq + Debug + use<> {
    let exempt = def.exempt.as_ref().map(|who| Words::of(policy).who(who));
    (def.by.clone(), def.most, def.within, def.ban, exempt)
}

/// What a history says, but for the folder that the policy stands in.
fn history(def: &HistoryDef) -> impl PartialEq + Debug {
    (def.database.file_name().map(ToOwned::to_owned), def.keep, def.sync, def.record)
}

/// What metrics says, but for the folder that the policy stands in.
fn metrics(def: &MetricsDef) -> impl PartialEq + Debug {
    match def {
        MetricsDef::File { path, every } => (path.file_name().map(ToOwned::to_owned), Some(*every), None),
        MetricsDef::Listen(address) => (None, None, Some(*address)),
    }
}

/// What a capture says, but for the folder that the policy stands in.
fn capture(def: &CaptureDef) -> impl PartialEq + Debug {
    (def.file.file_name().map(ToOwned::to_owned), def.max_size, def.max_files, def.events)
}
