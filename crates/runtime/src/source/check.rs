//! Reading every list once, to tell what is wrong with it.

use std::path::Path;
use std::sync::Arc;

use super::{ReadProblem, ReadStop, UnreadableSource, file, sqlite};
use exhook_policy_core::policy::lists::{List, Lists, Uses};
use exhook_policy_core::policy::model::{ListDef, ListId, ListSource, Model};
use exhook_policy_core::policy::problem::{SourceFault, SourceKind, SourceProblem};

/// Reads the lists of a policy, in its order, and returns what is wrong with them. Lists in the
/// policy itself are not looked at. Password sources are checked by `password::check`.
pub fn check(model: &Model) -> Vec<SourceProblem> {
    let (lists, mut problems) = read(&model.lists);
    for (index, def) in model.lists.iter().enumerate() {
        let (ListSource::File { path, .. } | ListSource::Sqlite { path, .. }) = &def.source else { continue };
        if lists.get(ListId(index)).is_some_and(List::is_empty) {
            problems.push(empty(SourceKind::List, &def.name, path, "there are no entries"));
        }
    }
    problems
}

fn empty(kind: SourceKind, name: &str, path: &Path, message: &str) -> SourceProblem {
    let (name, path, message) = (name.to_owned(), path.to_owned(), message.to_owned());
    SourceProblem { kind, fault: SourceFault::Empty, name, path, line: None, message, help: None }
}

/// Reads each list once. One that cannot be read is unknown, and what is wrong with it is told.
pub fn read(defs: &[ListDef]) -> (Lists, Vec<SourceProblem>) {
    let mut problems = Vec::new();
    let list = |def: &ListDef| {
        // A list that nothing uses is read as text, since every entry of every list is.
        let uses = Uses { text: def.used_as_text || !def.used_as_networks, networks: def.used_as_networks };
        let (path, result) = match &def.source {
            ListSource::Inline(entries) => {
                return List::build(uses, (1..).zip(entries.iter().map(String::as_str))).ok().map(Arc::new);
            }
            ListSource::File { path, .. } => {
                (path, file::read_list(path, uses, &ReadStop::default()).map(|(list, _)| list))
            }
            ListSource::Sqlite { path, query, .. } => {
                (path, sqlite::read_list(path, query, uses, sqlite::LIMITS, &ReadStop::default()))
            }
        };
        match result {
            Ok(list) => Some(Arc::new(list)),
            Err(unreadable) => {
                problems.extend(told(SourceKind::List, &def.name, path, unreadable));
                None
            }
        }
    };
    (Lists::new(defs.iter().map(list).collect()), problems)
}

fn told(kind: SourceKind, name: &str, path: &Path, unreadable: UnreadableSource) -> Vec<SourceProblem> {
    let UnreadableSource { mut problems, more } = unreadable;
    if more > 0 {
        problems.push(ReadProblem { line: None, message: format!("and {more} more of these") });
    }
    let problem = |ReadProblem { line, message }| {
        let (name, path) = (name.to_owned(), path.to_owned());
        SourceProblem { kind, fault: SourceFault::Unusable, name, path, line, message, help: None }
    };
    problems.into_iter().map(problem).collect()
}
