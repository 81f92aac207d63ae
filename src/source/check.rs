//! Reading every source once, to tell what is wrong with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{Problem, Stop, Unreadable, file, sqlite};
use crate::policy::lists::{List, Lists, Uses};
use crate::policy::model::{ListDef, ListId, ListSource, Model, PasswordSource};
use crate::policy::problem::{SourceFault, SourceKind, SourceProblem};

/// Reads the sources of a policy, in its order, and returns what is wrong with them. Lists in the policy
/// itself are not looked at, and neither is the form of the hashes.
pub fn check(model: &Model) -> Vec<SourceProblem> {
    let (lists, mut problems) = read(&model.lists);
    for (index, def) in model.lists.iter().enumerate() {
        let (ListSource::File { path, .. } | ListSource::Sqlite { path, .. }) = &def.source else { continue };
        if lists.get(ListId(index)).is_some_and(List::is_empty) {
            problems.push(empty(SourceKind::List, &def.name, path, "there are no entries"));
        }
    }
    for def in &model.passwords {
        let (path, result) = match &def.source {
            PasswordSource::File { path } => (path, check_password_file(path)),
            PasswordSource::Sqlite { path, query } => (path, check_password_query(path, query).map(|()| None)),
        };
        match result {
            Ok(Some(0)) => problems.push(empty(SourceKind::Passwords, &def.name, path, "there are no users")),
            Ok(_) => {}
            Err(unreadable) => problems.extend(told(SourceKind::Passwords, &def.name, path, unreadable)),
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
                (path, file::read_list(path, uses, &Stop::default()).map(|(list, _)| list))
            }
            ListSource::Sqlite { path, query, .. } => {
                (path, sqlite::read_list(path, query, uses, sqlite::LIMITS, &Stop::default()))
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

fn told(kind: SourceKind, name: &str, path: &Path, unreadable: Unreadable) -> Vec<SourceProblem> {
    let Unreadable { mut problems, more } = unreadable;
    if more > 0 {
        problems.push(Problem { line: None, message: format!("and {more} more of these") });
    }
    let problem = |Problem { line, message }| {
        let (name, path) = (name.to_owned(), path.to_owned());
        SourceProblem { kind, fault: SourceFault::Unusable, name, path, line, message, help: None }
    };
    problems.into_iter().map(problem).collect()
}

/// How many users the file has.
fn check_password_file(path: &Path) -> Result<Option<usize>, Unreadable> {
    const SHOWN: usize = 20;
    let mut lines = file::Lines::of(file::open(path)?);
    let mut users: HashMap<Box<str>, usize> = HashMap::new();
    let mut found = Unreadable { problems: Vec::new(), more: 0 };
    while let Some((number, line)) = lines.next_line().map_err(Unreadable::because)? {
        let Err(message) = check_password_line(number, line, &mut users) else {
            continue;
        };
        if found.problems.len() < SHOWN {
            found.problems.push(Problem { line: Some(number), message });
        } else {
            found.more += 1;
        }
    }
    if found.problems.is_empty() { Ok(Some(users.len())) } else { Err(found) }
}

fn check_password_line(number: usize, line: &[u8], users: &mut HashMap<Box<str>, usize>) -> Result<(), String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let (user, hash) = line.split_once(':').ok_or("the line is not of the form username:hash")?;
    if user.is_empty() {
        return Err("there is no username before the colon".to_owned());
    }
    if hash.is_empty() {
        return Err(format!("there is no hash for {user:?}"));
    }
    match users.insert(user.into(), number) {
        None => Ok(()),
        Some(first) => Err(format!("{user:?} stands in line {first} already, and a user with two hashes is denied")),
    }
}

fn check_password_query(path: &Path, query: &str) -> Result<(), Unreadable> {
    let connection = sqlite::open(path)?;
    let statement = sqlite::prepare(&connection, query)?;
    let named = statement.parameter_index(":username").map_err(sqlite::unreadable)?;
    if named.is_none() {
        return Err(Unreadable::because("the query has no parameter :username"));
    }
    if statement.parameter_count() > 1 {
        return Err(Unreadable::because("the query has a parameter besides :username"));
    }
    Ok(())
}
