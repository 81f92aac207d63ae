//! Whether every user of the machine can read or write what a policy is made of.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::way::Way;
use exhook_policy_core::policy::model::{ListSource, Model, PasswordSource};
use exhook_policy_core::policy::problem::{SourceFault, SourceKind, SourceProblem};

/// A file that a policy is made of.
struct PolicyPart {
    kind: SourceKind,
    name: String,
    path: PathBuf,
    is_database: bool,
}

/// What every user can write of a policy's file, where it has one, and of what it names, and which of its passwords every
/// user can read. What is not there is not looked at.
pub fn open_to_everyone(policy: Option<&Path>, model: &Model) -> Vec<SourceProblem> {
    parts(policy, model).iter().filter_map(problem).collect()
}

/// As [`open_to_everyone`], within some time: a file system may hang, and nobody is to be kept waiting for this.
///
/// # Errors
/// The time did not suffice.
pub fn open_to_everyone_within(
    policy: Option<&Path>,
    model: &Model,
    patience: Duration,
) -> Result<Vec<SourceProblem>, String> {
    let parts = parts(policy, model);
    let (found, finding) = mpsc::sync_channel(1);
    let look = move || {
        // Nobody listens any more where it took too long.
        let _ = found.send(parts.iter().filter_map(problem).collect());
    };
    let started = thread::Builder::new().name("access".to_owned()).spawn(look);
    started.map_err(|error| error.to_string())?;
    finding.recv_timeout(patience).map_err(|_| format!("it takes more than {patience:?}"))
}

fn parts(policy: Option<&Path>, model: &Model) -> Vec<PolicyPart> {
    let part = |kind, name: &str, path: &Path, is_database| PolicyPart {
        kind,
        name: name.to_owned(),
        path: path.to_owned(),
        is_database,
    };
    let mut parts: Vec<PolicyPart> = policy.map(|path| part(SourceKind::Policy, "", path, false)).into_iter().collect();
    for list in &model.lists {
        match &list.source {
            ListSource::Inline(_) => {}
            ListSource::File { path, .. } => parts.push(part(SourceKind::List, &list.name, path, false)),
            ListSource::Sqlite { path, .. } => parts.push(part(SourceKind::List, &list.name, path, true)),
        }
    }
    for passwords in &model.passwords {
        let (path, is_database) = match &passwords.source {
            PasswordSource::File { path } => (path, false),
            PasswordSource::Sqlite { path, .. } => (path, true),
        };
        parts.push(part(SourceKind::Passwords, &passwords.name, path, is_database));
    }
    parts
}

fn problem(part: &PolicyPart) -> Option<SourceProblem> {
    let way = Way::of(&part.path).ok()?;
    let (fault, message, help) = if let Some(written) = way.written_by_everyone(part.is_database) {
        (SourceFault::WrittenByEveryone, written.message(), written.help())
    } else if part.kind == SourceKind::Passwords && way.read_by_everyone() {
        let message = "everyone on this machine can read it".to_owned();
        (SourceFault::ReadByEveryone, message, format!("chmod o-r {}", way.end().display()))
    } else {
        return None;
    };
    let (kind, name, path) = (part.kind, part.name.clone(), part.path.clone());
    Some(SourceProblem { kind, fault, name, path, line: None, message, help: Some(help) })
}

#[cfg(test)]
mod tests {
    use crate::files::policies;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// What is found where a file or folder has this mode.
    #[track_caller]
    fn check(name: &str, mode: u32, expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let set = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        set("", 0o755);
        for folder in ["d", "e"] {
            fs::create_dir(root.join(folder)).unwrap();
            set(folder, 0o755);
        }
        let text = "version: 1\nlists: { l: { file: d/list }, i: [a], gone: { file: d/gone } }\n\
                    passwords: { p: { file: d/passwd }, q: { sqlite: links/u.db, query: \"SELECT hash FROM u WHERE u = :username\" } }\n";
        for (name, text, mode) in
            [("rules.yaml", text, 0o644), ("d/list", "a\n", 0o644), ("d/passwd", "u:x\n", 0o640), ("e/u.db", "", 0o600)]
        {
            fs::write(root.join(name), text).unwrap();
            set(name, mode);
        }
        fs::create_dir(root.join("links")).unwrap();
        set("links", 0o755);
        symlink("../e/u.db", root.join("links/u.db")).unwrap();
        set(name, mode);

        let file = root.join("rules.yaml");
        let loaded = policies::load(&file).unwrap();
        let prefix = format!("{}/", root.display());
        let shown = |found: Vec<SourceProblem>| -> Vec<String> {
            let shown = found.iter().map(|one| format!("{one}; {}", one.help.as_deref().unwrap_or_default()));
            shown.map(|one| one.replace(&prefix, "")).collect()
        };
        assert_eq!(shown(open_to_everyone(Some(&file), &loaded.model)), expected);
        let within = open_to_everyone_within(Some(&file), &loaded.model, Duration::from_secs(60));
        assert_eq!(shown(within.unwrap()), expected);
        let sources: Vec<&str> = expected.iter().copied().filter(|one| !one.starts_with("rules.yaml")).collect();
        assert_eq!(shown(open_to_everyone(None, &loaded.model)), sources);
    }

    #[test]
    fn what_everyone_can_read_or_write_is_told() {
        check("rules.yaml", 0o644, &[]);
        check("rules.yaml", 0o664, &[]);
        check(
            "rules.yaml",
            0o646,
            &["rules.yaml: everyone on this machine can write to rules.yaml; chmod o-w rules.yaml"],
        );
        check("d/list", 0o602, &["d/list: list `l`: everyone on this machine can write to d/list; chmod o-w d/list"]);
        check(
            "d/passwd",
            0o644,
            &["d/passwd: passwords `p`: everyone on this machine can read it; chmod o-r d/passwd"],
        );
        // Who can write it can read it in the end.
        check(
            "d/passwd",
            0o646,
            &["d/passwd: passwords `p`: everyone on this machine can write to d/passwd; chmod o-w d/passwd"],
        );
        check("e/u.db", 0o604, &["links/u.db: passwords `q`: everyone on this machine can read it; chmod o-r e/u.db"]);
        check(
            "d",
            0o757,
            &[
                "d/list: list `l`: everyone on this machine can write to d; chmod o-w d",
                "d/passwd: passwords `p`: everyone on this machine can write to d; chmod o-w d",
            ],
        );
        // Whoever writes it leads the link elsewhere.
        check(
            "links",
            0o757,
            &["links/u.db: passwords `q`: everyone on this machine can write to links; chmod o-w links"],
        );
        // In a sticky folder nobody replaces what is another's, but a database has its journal there.
        check("d", 0o1757, &[]);
        check(
            "e",
            0o1757,
            &["links/u.db: passwords `q`: everyone on this machine can put a journal beside the database, in e; \
                 give the database a folder in which only those can write who may"],
        );
    }

    #[test]
    fn a_folder_that_nobody_enters_hides_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::write(root.join("passwd"), "u:x\n").unwrap();
        fs::set_permissions(root.join("passwd"), fs::Permissions::from_mode(0o644)).unwrap();
        for (mode, read) in [(0o750, false), (0o751, true)] {
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Way::of(&root.join("passwd")).unwrap().read_by_everyone(), read, "{mode:o}");
        }
    }
}
