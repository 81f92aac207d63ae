//! What is wrong with the password sources of a policy.

use std::path::Path;
use std::time::Duration;

use super::entries::grouped;
use super::{file, sqlite};
use exhook_policy_core::policy::model::{Model, PasswordSource};
use exhook_policy_core::policy::problem::{SourceFault, SourceKind, SourceProblem};

/// Reads the password sources of a policy, and says what is wrong with them. Of a file every entry is
/// looked at. Of a database only the query is, since it asks for one user: it may wait for a locked
/// database for two seconds.
pub fn check(model: &Model) -> Vec<SourceProblem> {
    let mut problems = Vec::new();
    for def in &model.passwords {
        let mut problem = |path: &Path, fault, line, message: String, help| {
            let (name, path) = (def.name.clone(), path.to_owned());
            problems.push(SourceProblem { kind: SourceKind::Passwords, fault, name, path, line, message, help });
        };
        match &def.source {
            PasswordSource::File { path } => check_file(path, model.deadline, &mut problem),
            PasswordSource::Sqlite { path, query } => {
                if let Err(why) = sqlite::check(path, query) {
                    problem(path, SourceFault::Unusable, None, why, None);
                }
            }
        }
    }
    problems
}

/// Says what is wrong with a file: how bad it is, the line, what it is, and what to do.
fn check_file(
    path: &Path,
    deadline: Duration,
    problem: &mut impl FnMut(&Path, SourceFault, Option<usize>, String, Option<String>),
) {
    let entries = match file::check(path, deadline) {
        Ok(entries) => entries,
        Err(why) => return problem(path, SourceFault::Unusable, None, why.to_string(), None),
    };
    if entries.users.is_empty() {
        problem(path, SourceFault::Empty, None, "there are no users".to_owned(), None);
    }
    for entry in &entries.bad.first {
        problem(path, SourceFault::BadEntry, Some(entry.line), entry.to_string(), Some(entry.help(path)));
    }
    if entries.bad.more > 0 {
        let message = format!("and {} more entries that let no one in", grouped(entries.bad.more));
        problem(path, SourceFault::BadEntry, None, message, None);
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
