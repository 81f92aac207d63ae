//! Reading every source once, to tell what is wrong with it.

use std::path::Path;

use super::{Problem, Unreadable, file, sqlite};
use crate::policy::lists::Uses;
use crate::policy::model::{ListDef, ListSource};
use crate::policy::problem::{SourceKind, SourceProblem};

/// Reads the lists of a policy, in its order, and returns what is wrong with them. Lists in the policy
/// itself are not looked at.
pub fn check(lists: &[ListDef]) -> Vec<SourceProblem> {
    let mut problems = Vec::new();
    for def in lists {
        // A list that nothing uses is read as text, since every entry of every list is.
        let uses = Uses { text: def.used_as_text || !def.used_as_networks, networks: def.used_as_networks };
        let (path, result) = match &def.source {
            ListSource::Inline(_) => continue,
            ListSource::File { path, .. } => (path, file::read_list(path, uses).map(|_| ())),
            ListSource::Sqlite { path, query, .. } => {
                (path, sqlite::read_list(path, query, uses, sqlite::LIMITS).map(|_| ()))
            }
        };
        problems.extend(told(&def.name, path, result));
    }
    problems
}

fn told(name: &str, path: &Path, result: Result<(), Unreadable>) -> Vec<SourceProblem> {
    let Err(Unreadable { mut problems, more }) = result else {
        return Vec::new();
    };
    if more > 0 {
        problems.push(Problem { line: None, message: format!("and {more} more of these") });
    }
    let problem = |Problem { line, message }| SourceProblem {
        kind: SourceKind::List,
        name: name.to_owned(),
        path: path.to_owned(),
        line,
        message,
    };
    problems.into_iter().map(problem).collect()
}
