//! Whether the broker's user can read what the policy names, and no other user can write it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Finding;
use exhook_policy_core::policy::model::{ListSource, Model, PasswordSource};
use exhook_policy_runtime::files::input;
use exhook_policy_runtime::source::Way;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SystemUser {
    name: String,
    uid: u32,
    groups: Vec<u32>,
}

impl SystemUser {
    /// The user of this name or number; `None` where there is none.
    fn find(name: &str) -> Option<Self> {
        let read = |file| input::read_regular_text(Path::new(file), input::MOST).unwrap_or_default();
        Self::find_in(name, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn find_in(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let rows = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let mut named = rows.filter_map(|row| match row.as_slice() {
            [user, _, uid, gid, ..] => Some((*user, uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?)),
            _ => None,
        });
        let (user, uid, gid) = named.find(|(user, uid, _)| *user == name || uid.to_string() == name)?;
        let rows = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let more = rows.filter_map(|row| match row.as_slice() {
            [_, _, gid, members] if members.split(',').any(|member| member == user) => gid.parse().ok(),
            _ => None,
        });
        Some(SystemUser { name: user.to_owned(), uid, groups: std::iter::once(gid).chain(more).collect() })
    }

    /// Whether the bits of a file or folder (4 read, 2 write, 1 execute or enter) are there for this user.
    fn may(&self, metadata: &Metadata, bits: u32) -> bool {
        let shift = if metadata.uid() == self.uid {
            6
        } else if self.groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || (metadata.mode() >> shift) & bits == bits
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const ENTER: u32 = 1;

/// Looks at the policy file and at what it names, for the user, by name or number, whom `who` runs as: the broker, or
/// the provider.
pub fn check_files(policy: &Path, model: &Model, user: &str, who: &str) -> Vec<Finding> {
    let known = SystemUser::find(user);
    let mut found = check_for(policy, model, known.as_ref());
    if known.is_none() {
        let message = format!("there is no such user here, so that nobody knows whether the {who} can read the policy");
        let fix = format!("--user NAME says whom the {who} runs as");
        found.push(Finding::warning(format!("user {user}"), message).fix(fix));
    }
    found
}

fn check_for(policy: &Path, model: &Model, user: Option<&SystemUser>) -> Vec<Finding> {
    let mut found = vec![file("the policy", policy, user, PLAIN)];
    for list in &model.lists {
        let about = format!("list `{}`", list.name);
        match &list.source {
            ListSource::Inline(_) => {}
            ListSource::File { path, .. } => found.push(file(&about, path, user, PLAIN)),
            ListSource::Sqlite { path, .. } => {
                found.push(file(&about, path, user, FileKind { is_database: true, ..PLAIN }));
            }
        }
    }
    for passwords in &model.passwords {
        let (path, is_database) = match &passwords.source {
            PasswordSource::File { path } => (path, false),
            PasswordSource::Sqlite { path, .. } => (path, true),
        };
        found.push(file(
            &format!("passwords `{}`", passwords.name),
            path,
            user,
            FileKind { secret: true, is_database },
        ));
    }
    if let (Some(history), Some(user)) = (&model.history, user) {
        found.push(database(&history.database, user));
    }
    found
}

/// What a file is.
#[derive(Clone, Copy)]
struct FileKind {
    /// It has password hashes.
    secret: bool,
    /// It is of SQLite.
    is_database: bool,
}

const PLAIN: FileKind = FileKind { secret: false, is_database: false };

/// A file that the driver reads.
fn file(about: &str, path: &Path, user: Option<&SystemUser>, kind: FileKind) -> Finding {
    let finding = match look(path, user, READ) {
        Err(FileTrouble::Io(at, error)) if error.kind() == io::ErrorKind::NotFound => {
            Finding::problem(about, format!("{} does not exist", at.display()))
        }
        Err(FileTrouble::Io(at, error)) => Finding::unseen(about, format!("{}: {error}", at.display())),
        Err(FileTrouble::Refused(at, name)) => Finding::problem(about, format!("user {name} cannot {at}")),
        Ok(way) => match (way.written_by_everyone(kind.is_database), kind.secret && way.read_by_everyone()) {
            (Some(written), _) => Finding::problem(about, written.message()).fix(written.help()),
            (None, true) => Finding::warning(about, "everyone on this machine can read it")
                .fix(format!("chmod o-r {}", way.end().display())),
            (None, false) => Finding::fine(about, "only those can read and write it who may"),
        },
    };
    finding.at(path, None)
}

/// Where the driver makes and writes the database.
fn database(path: &Path, user: &SystemUser) -> Finding {
    let about = "the history";
    // The folders are made by the driver where they are missing.
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let bits = WRITE | ENTER;
    let of_folder = look(folder, Some(user), bits).map(|_| ());
    let of_file = if path.exists() { look(path, Some(user), READ | WRITE).map(|_| ()) } else { Ok(()) };
    let finding = match of_folder.and(of_file) {
        Ok(()) => Finding::fine(about, format!("user {} can write it", user.name)),
        Err(FileTrouble::Refused(at, name)) => Finding::problem(about, format!("user {name} cannot {at}"))
            .fix(format!("chown -R {name} {}", folder.display())),
        Err(FileTrouble::Io(at, error)) => Finding::unseen(about, format!("{}: {error}", at.display())),
    };
    finding.at(path, None)
}

enum FileTrouble {
    Io(PathBuf, io::Error),
    /// What cannot be done, and who cannot.
    Refused(String, String),
}

/// Follows the links of a path and looks at every folder on the way.
fn look(path: &Path, user: Option<&SystemUser>, bits: u32) -> Result<Way, FileTrouble> {
    let way = Way::of(path).map_err(|error| FileTrouble::Io(path.to_owned(), error))?;
    let Some(user) = user else { return Ok(way) };
    let may = |step: &Path, bits, can| {
        let metadata = fs::metadata(step).map_err(|error| FileTrouble::Io(step.to_owned(), error))?;
        if user.may(&metadata, bits) {
            return Ok(());
        }
        Err(FileTrouble::Refused(format!("{can} {}", step.display()), user.name.clone()))
    };
    for folder in way.folders() {
        may(folder, ENTER, "enter")?;
    }
    may(way.end(), bits, if bits == READ { "read" } else { "write to" })?;
    Ok(way)
}

#[cfg(test)]
mod tests {
    use exhook_policy_runtime::files::policies;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use exhook_policy_core::policy;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nemqx:x:900:901::/:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\ncerts:x:55:alice,emqx\nemqx:x:901:\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let emqx = SystemUser { name: "emqx".to_owned(), uid: 900, groups: vec![901, 55] };
        assert_eq!(SystemUser::find_in("emqx", PASSWD, GROUP), Some(emqx.clone()));
        assert_eq!(SystemUser::find_in("900", PASSWD, GROUP), Some(emqx));
        assert_eq!(SystemUser::find_in("nobody", PASSWD, GROUP), None);
    }

    /// What is found where a file or folder has this mode, for a user who owns none of it, or without one.
    #[track_caller]
    fn check(name: &str, mode: u32, with_user: bool, expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let write = |name: &str, text: &str| {
            fs::write(root.join(name), text).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        };
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.join("d")).unwrap();
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o755)).unwrap();
        write("d/list", "a\n");
        write("d/passwd", "u:x\n");
        fs::set_permissions(root.join("d/passwd"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = "version: 1\nlists: { l: { file: d/list } }\npasswords: { p: { file: d/passwd } }\n\
                    auth: { rules: [{ allow: { clientid: { in: l } }, password: p }] }\n";
        write("rules.yaml", text);
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();

        let loaded = policies::load(&root.join("rules.yaml")).unwrap();
        let user = SystemUser { name: "emqx".to_owned(), uid: 4_000_000_000, groups: vec![4_000_000_001] };
        let found = check_for(&root.join("rules.yaml"), &loaded.model, with_user.then_some(&user));
        let prefix = format!("{}/", root.display());
        let said: Vec<String> = found.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect();
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o755)).unwrap();
        let bad: Vec<&str> = said.iter().map(String::as_str).filter(|line| !line.starts_with("fine")).collect();
        assert_eq!(bad, expected);
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn who_must_not_read_or_write_does_not() {
        check("rules.yaml", 0o644, false, &[]);
        check(
            "rules.yaml",
            0o646,
            false,
            &[
                "problem  rules.yaml: the policy: everyone on this machine can write to rules.yaml\n           chmod o-w rules.yaml",
            ],
        );
        check(
            "d",
            0o757,
            false,
            &[
                "problem  d/list: list `l`: everyone on this machine can write to d\n           chmod o-w d",
                "problem  d/passwd: passwords `p`: everyone on this machine can write to d\n           chmod o-w d",
            ],
        );
        // In a sticky folder no user replaces what is another's, and neither of these is a database.
        check("d", 0o1757, false, &[]);
        check(
            "d/passwd",
            0o644,
            false,
            &["warning  d/passwd: passwords `p`: everyone on this machine can read it\n           chmod o-r d/passwd"],
        );
    }

    #[test]
    fn the_folders_of_links_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for (name, mode) in [("", 0o755), ("links", 0o777), ("safe", 0o755)] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(root.join("safe/rules.yaml"), "version: 1\n").unwrap();
        fs::set_permissions(root.join("safe/rules.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("../safe/rules.yaml", root.join("links/rules.yaml")).unwrap();
        let user = SystemUser { name: "emqx".to_owned(), uid: 4_000_000_000, groups: vec![4_000_000_001] };
        let said = |user| {
            let finding = file("the policy", &root.join("links/rules.yaml"), user, PLAIN);
            finding.to_string().replace(&format!("{}/", root.display()), "")
        };
        let open = "problem  links/rules.yaml: the policy: everyone on this machine can write to links\n           \
                    chmod o-w links";
        assert_eq!(said(None), open);
        assert_eq!(said(Some(&user)), open);
        fs::set_permissions(root.join("links"), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(said(Some(&user)), "problem  links/rules.yaml: the policy: user emqx cannot enter links");
    }

    #[test]
    fn a_database_has_its_journal_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::write(root.join("u.db"), "").unwrap();
        fs::set_permissions(root.join("u.db"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o1777)).unwrap();
        let text = "version: 1\nlists: { l: { sqlite: u.db, query: \"SELECT a FROM b\" } }\n\
                    passwords: { p: { sqlite: u.db, query: \"SELECT a FROM b WHERE c = :username\" } }\n";
        let loaded = policy::parse(text, "rules.yaml", &root).unwrap();
        let found = check_for(&root.join("u.db"), &loaded.model, None);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        let journal = format!("everyone on this machine can put a journal beside the database, in {}", root.display());
        let holds: Vec<bool> = said.iter().map(|one| one.contains(&journal)).collect();
        assert_eq!(holds, [false, true, true], "{said:#?}");
    }

    #[test]
    fn the_brokers_user_must_read() {
        let passwd = "problem  d/passwd: passwords `p`: user emqx cannot read d/passwd";
        check("rules.yaml", 0o644, true, &[passwd]);
        check(
            "rules.yaml",
            0o640,
            true,
            &["problem  rules.yaml: the policy: user emqx cannot read rules.yaml", passwd],
        );
        check(
            "d",
            0o750,
            true,
            &[
                "problem  d/list: list `l`: user emqx cannot enter d",
                "problem  d/passwd: passwords `p`: user emqx cannot enter d",
            ],
        );
    }
}
