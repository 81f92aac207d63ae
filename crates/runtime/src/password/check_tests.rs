use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use exhook_policy_core::policy;

const HASH: &str = "$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M";

/// What is wrong with the password sources of a policy that are written like this.
fn found(folder: &TempDir, passwords: &str) -> Vec<(SourceFault, PathBuf, Option<usize>, String)> {
    let text = format!("version: 1\npasswords: {{ {passwords} }}\n");
    let loaded = policy::parse(&text, "rules.yaml", folder.path()).unwrap();
    check(&loaded.model).into_iter().map(|it| (it.fault, it.path, it.line, it.message)).collect()
}

#[test]
fn every_entry_of_a_file_is_looked_at() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("users.passwd");
    fs::write(&file, format!("ann:{HASH}\nbob:hunter2\n")).unwrap();
    let bad = "user `bob` is denied, since the hash cannot be read: it looks like a password in plain text".to_owned();
    assert_eq!(found(&folder, "users: { file: users.passwd }"), [(SourceFault::BadEntry, file.clone(), Some(2), bad)]);
    fs::write(&file, "# none yet\n").unwrap();
    let empty = "there are no users".to_owned();
    assert_eq!(found(&folder, "users: { file: users.passwd }"), [(SourceFault::Empty, file, None, empty)]);
    let missing = "No such file or directory (os error 2)".to_owned();
    let path = folder.path().join("none.passwd");
    assert_eq!(found(&folder, "users: { file: none.passwd }"), [(SourceFault::Unusable, path, None, missing)]);
    assert_eq!(found(&folder, "users: { file: . }")[0].3, "not a regular file");
}

#[test]
fn a_file_that_is_too_large_is_refused_as_by_a_login() {
    let folder = TempDir::new().unwrap();
    let file = fs::File::create(folder.path().join("users.passwd")).unwrap();
    file.set_len(file::MAX_BYTES + 1).unwrap();
    let found = found(&folder, "users: { file: users.passwd }");
    assert_eq!((found.len(), found[0].0, found[0].3.as_str()), (1, SourceFault::Unusable, "larger than 256 MiB"));
}

#[test]
fn of_a_database_the_query_is_looked_at() {
    let folder = TempDir::new().unwrap();
    let connection = Connection::open(folder.path().join("staff.db")).unwrap();
    connection
        .execute_batch("CREATE TABLE staff(username, hash); INSERT INTO staff VALUES ('bob', 'hunter2')")
        .unwrap();
    for (query, expected) in [
        ("SELECT hash FROM staff WHERE username = :username", None),
        ("SELECT hash FROM users WHERE username = :username", Some("no such table: users")),
        ("SELECT * FROM staff WHERE username = :username", Some("the query gives 2 columns, not the hash alone")),
        (
            "SELECT hash FROM staff WHERE username = :username OR username = :name",
            Some("the query has parameters other than :username"),
        ),
    ] {
        let passwords = format!("staff: {{ sqlite: staff.db, query: \"{query}\" }}");
        let told: Vec<_> = found(&folder, &passwords).into_iter().map(|it| it.3).collect();
        assert_eq!(
            told.iter().map(String::as_str).collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>(),
            "{query}"
        );
    }
}
