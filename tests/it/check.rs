//! `check` as it is run, with the exact text of every format.
//!
//! With `UPDATE_GOLDEN=1` the files under `tests/it/check` are written instead of compared.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::schema_check;
use crate::support::golden::check_golden;
use crate::support::program::{program, run_with};

/// A password file without a fault.
const STAFF: &str = "op-1:$pbkdf2-sha256$i=7$c29tZXNhbHRzb21lc2FsdA$Z1Zx3Fkf7gIOCLZTmysdH29G31M\n";

/// Everything that a report can hold: errors and warnings, related places, notes, accepted warnings, a source.
const FILES: &[(&str, &str)] = &[
    ("good.yaml", "version: 1\n"),
    (
        "doubtful.yaml",
        "version: 1
accept: { default-ignore: acl.conf decides about the rest }
passwords: { staff: { file: staff.passwd } }
auth:
  rules:
    - { id: staff, allow: { username: { glob: \"op-*\" } }, password: staff }
    - { id: all, allow: everyone }
acl:
  default: ignore
  rules:
    - { id: open, allow: everyone, topics: [\"#\"], accept: { allows-everything: \"a test bench, 100% open\" } }
",
    ),
    (
        "odd, 50%: é.yaml",
        "version: 1\nmod: audit\nlists: { 🦀🦀: [007], \"🦀🦀\": [] }\nclients: { c: { clientid: \"a\n  %c\" } }\n",
    ),
    (
        "source.yaml",
        "version: 1\nlists: { a: { file: a.txt } }\nauth: { rules: [{ deny: { peerhost: { in: a } } }] }\n",
    ),
    ("a.txt", "10.0.0.1\nnonsense\n"),
    ("staff.passwd", STAFF),
    (
        "passwords.yaml",
        "version: 1\npasswords: { users: { file: plain.passwd } }\nauth: { rules: [{ allow: everyone, password: users }] }\n",
    ),
    ("plain.passwd", "# Neither of these can log in.\nlamp:in-the-clear\npump:$apr1$abcdefgh$0123456789abcdefghijkl\n"),
    ("empty.txt", "# nobody yet\n"),
];

const ALL: &[&str] =
    &["good.yaml", "doubtful.yaml", "odd, 50%: é.yaml", "source.yaml", "passwords.yaml", "missing.yaml", "-"];

/// Runs `check` in a folder with the files, and gives exit code and output.
#[track_caller]
fn check(arguments: &[&str], stdin: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = run_with(program().arg("check").args(arguments).current_dir(folder.path()), stdin.as_bytes());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Every file and the standard input in one format.
#[track_caller]
fn all(format: &str) -> String {
    let arguments: Vec<&str> = ["--format", format].into_iter().chain(ALL.iter().copied()).collect();
    let (code, out) = check(&arguments, "version: 1\nauth: { default: allow }\n");
    assert_eq!(code, 2, "a file is missing");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/check").join(format);
    check_golden(&path, &out.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    out
}

#[test]
fn people_see_the_text() {
    all("human");
}

#[test]
fn json_is_one_object() {
    let document: Value = serde_json::from_str(&all("json")).unwrap();
    let files = document["files"].as_array().unwrap();
    assert_eq!(files.len(), ALL.len());
    let sum = |key: &str| files.iter().map(|file| file[key].as_u64().unwrap()).sum::<u64>();
    let accepted = files.iter().map(|file| file["accepted"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!([&document["errors"], &document["warnings"]], [sum("errors"), sum("warnings")]);
    assert_eq!(document["accepted"], accepted);
}

#[test]
fn github_gets_commands_and_nothing_else() {
    let out = all("github");
    assert!(out.lines().all(|line| line.starts_with("::error file=") || line.starts_with("::warning file=")), "{out}");
    assert_eq!(check(&["--format", "github", "good.yaml"], ""), (0, String::new()));
}

#[test]
fn sarif_has_the_shape_that_the_standard_says() {
    let schema =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/check/sarif.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let log: Value = serde_json::from_str(&all("sarif")).unwrap();
    assert!(schema_check::accepts(&schema, &schema, &log));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > 5);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
    let suppressed = results.iter().filter(|result| !result["suppressions"].as_array().unwrap().is_empty());
    assert_eq!(suppressed.count(), 2);
    // Not everything is accepted by the schema.
    for (pointer, wrong) in [
        ("/version", Value::from("2.0.0")),
        ("/runs/0/tool/driver/name", Value::Null),
        ("/runs/0/results/0/level", Value::from("fatal")),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startColumn", Value::from(0)),
        ("/runs/0/results/0/suppressions", Value::from("none")),
    ] {
        let mut broken = log.clone();
        *broken.pointer_mut(pointer).unwrap() = wrong;
        assert!(!schema_check::accepts(&schema, &schema, &broken), "{pointer}");
    }
    let (code, empty) = check(&["--format", "sarif", "good.yaml", "./good.yaml"], "");
    let empty: Value = serde_json::from_str(&empty).unwrap();
    assert!(schema_check::accepts(&schema, &schema, &empty));
    assert_eq!((code, empty["runs"][0]["artifacts"].as_array().unwrap().len()), (0, 1));
}

#[test]
fn warnings_are_denied_in_every_format_and_accepted_ones_in_none() {
    let accepted = "version: 1\naccept: { default-allow: a bench }\nauth: { default: allow }\n";
    for format in ["human", "json", "github", "sarif"] {
        let run = |extra: &[&str], stdin| check(&[&["--format", format, "-"], extra].concat(), stdin).0;
        assert_eq!(run(&[], "version: 1\nauth: { default: allow }\n"), 0, "{format}");
        assert_eq!(run(&["--deny-warnings"], "version: 1\nauth: { default: allow }\n"), 1, "{format}");
        assert_eq!(run(&["--deny-warnings"], accepted), 0, "{format}");
        assert_eq!(run(&[], "version: 2\n"), 1, "{format}");
    }
}

#[test]
fn sources_that_hold_nothing_are_told_where_they_are_read() {
    let policy = |accept: &str| {
        format!(
            "version: 1\n{accept}lists: {{ fleet: {{ file: empty.txt }} }}\npasswords: {{ staff: {{ file: empty.txt }} }}\n\
             auth: {{ rules: [{{ allow: {{ clientid: {{ in: fleet }} }}, password: staff }}] }}\n"
        )
    };
    let expected = "\
warning[no-entries]: empty.txt: there are no entries
 --> <stdin>:2:10
  |
2 | lists: { fleet: { file: empty.txt } }
  |          ^^^^^

warning[no-entries]: empty.txt: there are no users
 --> <stdin>:3:14
  |
3 | passwords: { staff: { file: empty.txt } }
  |              ^^^^^

<stdin>: 2 warnings
";
    assert_eq!(check(&["-"], &policy("")), (0, expected.to_owned()));
    let accepted = policy("accept: { no-entries: filled when it is installed }\n");
    assert_eq!(check(&["-", "--deny-warnings"], &accepted), (0, "<stdin>: fine, 2 accepted\n".to_owned()));
    // It is no mistake to accept it where there are entries, by now or for a while.
    assert_eq!(check(&["-", "--no-sources"], &accepted), (0, "<stdin>: fine\n".to_owned()));
    let filled = accepted.replace("empty.txt", "staff.passwd");
    assert_eq!(check(&["-", "--deny-warnings"], &filled), (0, "<stdin>: fine\n".to_owned()));
}

/// The policy for a password file of this text, as it is read from the standard input.
#[track_caller]
fn check_passwords(text: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let file = folder.path().join("users.passwd");
    fs::write(&file, text).unwrap();
    let policy = format!(
        "version: 1\npasswords: {{ users: {{ file: {} }} }}\nauth: {{ rules: [{{ allow: everyone, password: users }}] }}\n",
        file.display()
    );
    let (code, out) = check(&[&["-"], arguments].concat(), &policy);
    (code, out.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn entries_that_let_no_one_in_are_errors_with_their_lines() {
    let text = format!("lamp:in-the-clear\n{STAFF}:$7$1$x$y\nop-1:x\npump\n");
    let expected = "\
error[bad-password-entry]: users.passwd:1: user `lamp` is denied, since the hash cannot be read: it looks like a password in plain text
 --> <stdin>:2:14
  |
2 | passwords: { users: { file: users.passwd } }
  |              ^^^^^
  |
  = help: set the password again: exhook-policy passwd users.passwd lamp
";
    let (code, out) = check_passwords(&text, &[]);
    assert_eq!(code, 1);
    assert!(out.starts_with(expected), "{out}");
    assert!(out.ends_with("\n<stdin>: 4 errors\n"), "{out}");
    for line in [
        "error[bad-password-entry]: users.passwd:3: there is no username before the `:`\n",
        "error[bad-password-entry]: users.passwd:4: user `op-1` is denied, since line 2 is an entry of this user too\n",
        "error[bad-password-entry]: users.passwd:5: there is no `:` between username and hash\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("in-the-clear") && !out.contains("pump"), "{out}");
    assert_eq!(check_passwords(&text, &["--no-sources"]), (0, "<stdin>: fine\n".to_owned()));
}

#[test]
fn a_password_file_without_bad_entries_is_fine() {
    let hash = STAFF.trim_end().split_once(':').unwrap().1;
    let text = format!("\u{feff}# lamp:in-the-clear\r\n\r\n{STAFF}op-2:{hash}\r\n op 3 :{hash}\n\n#end");
    assert_eq!(check_passwords(&text, &["--deny-warnings"]), (0, "<stdin>: fine\n".to_owned()));
}

#[test]
fn many_bad_entries_are_counted() {
    let text = (0..5018).fold(String::new(), |text, n| text + &format!("user-{n}:hunter2\n"));
    let (code, out) = check_passwords(&text, &[]);
    assert_eq!((code, out.matches("looks like a password in plain text").count()), (1, 20));
    let last = "error[bad-password-entry]: users.passwd: and 4,998 more entries that let no one in\n";
    assert!(out.contains(last) && out.ends_with("\n<stdin>: 21 errors\n"), "{out}");
}

/// In a folder that everyone enters, what everyone can read or write is told, and fails only where warnings do.
#[test]
fn what_everyone_can_read_or_write_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let policy = |accept: &str| {
        let text = format!(
            "version: 1\n{accept}lists: {{ fleet: {{ file: fleet.txt }} }}\npasswords: {{ staff: {{ file: staff.passwd }} }}\n\
             auth: {{ rules: [{{ allow: {{ clientid: {{ in: fleet }} }}, password: staff }}] }}\n"
        );
        fs::write(root.join("rules.yaml"), text).unwrap();
    };
    let mode = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    let run = |more: &[&str]| {
        let output = program().args(["check", "rules.yaml"]).args(more).current_dir(&root).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap().replace(&format!("{}/", root.display()), "/here/");
        (output.status.code().unwrap(), out)
    };
    policy("");
    fs::write(root.join("fleet.txt"), "dev-1\n").unwrap();
    fs::write(root.join("staff.passwd"), STAFF).unwrap();
    mode("", 0o755);
    mode("rules.yaml", 0o646);
    mode("fleet.txt", 0o666);
    mode("staff.passwd", 0o644);
    let expected = "\
warning[written-by-everyone]: rules.yaml: everyone on this machine can write to /here/rules.yaml
--> rules.yaml
 = help: chmod o-w /here/rules.yaml

warning[written-by-everyone]: fleet.txt: everyone on this machine can write to /here/fleet.txt
 --> rules.yaml:2:10
  |
2 | lists: { fleet: { file: fleet.txt } }
  |          ^^^^^
  |
  = help: chmod o-w /here/fleet.txt

warning[read-by-everyone]: staff.passwd: everyone on this machine can read it
 --> rules.yaml:3:14
  |
3 | passwords: { staff: { file: staff.passwd } }
  |              ^^^^^
  |
  = help: chmod o-r /here/staff.passwd

rules.yaml: 3 warnings
";
    assert_eq!(run(&[]), (0, expected.to_owned()));
    assert_eq!(run(&["--deny-warnings"]).0, 1);
    assert_eq!(run(&["--no-sources", "--deny-warnings"]), (0, "rules.yaml: fine\n".to_owned()));
    policy("accept: { written-by-everyone: a bench, read-by-everyone: a bench }\n");
    assert_eq!(run(&["--deny-warnings"]), (0, "rules.yaml: fine, 3 accepted\n".to_owned()));
    // It is no mistake to accept it where nobody can.
    for name in ["rules.yaml", "fleet.txt", "staff.passwd"] {
        mode(name, 0o600);
    }
    assert_eq!(run(&["--deny-warnings"]), (0, "rules.yaml: fine\n".to_owned()));
}

#[test]
fn only_people_get_colors() {
    let colored = |format| check(&["--format", format, "--color", "always", "doubtful.yaml"], "").1.contains('\u{1b}');
    assert!(colored("human"));
    assert!(!colored("json") && !colored("github") && !colored("sarif"));
}
