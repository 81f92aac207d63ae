//! Test files of policies: what is wrong with them, and what running them says.
//!
//! A file of `tests/suites/bad` ends in comments that say what must be found in it. With `UPDATE_GOLDEN=1` the tests
//! write these and the other expected texts instead of comparing them.

use std::fs;
use std::path::{Path, PathBuf};

use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, Report};
use exhook_policy_core::suite;
use exhook_policy_runtime::files::policies;
use tempfile::TempDir;

use crate::schema_check;
use crate::support::golden::{check_findings, check_golden, files};
use crate::support::program::program;

/// The tests run in the package's folder, and reports name files as they are called.
fn folder(name: &str) -> PathBuf {
    Path::new("tests/suites").join(name)
}

/// What is wrong with a test file; the report on its policy is left out.
fn report(bytes: &[u8], path: &Path) -> Report {
    let mut reports = policies::parse_suite(bytes, path).unwrap_err();
    reports.pop().unwrap()
}

#[test]
fn bad_test_files_say_what_is_wrong_and_where() {
    for path in files(&folder("bad")) {
        check_findings(&path, |bytes| report(bytes, &path));
    }
}

#[test]
fn no_report_shows_a_password() {
    for path in files(&folder("bad")) {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.windows(3).position(|window| window == b"\n#~").unwrap_or(bytes.len());
        let shown = report(&bytes[..end], &path).to_string();
        let mut words = shown.split(|c: char| !c.is_alphanumeric());
        assert!(!words.any(|word| ["s3cret", "s3", "cret", "12345"].contains(&word)), "{shown}");
    }
}

/// A folder with a policy and the named ones of its test files.
fn with_tests(names: &[&str]) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::copy(folder("run").join("rules.yaml"), to.path().join("rules.yaml")).unwrap();
    for name in names {
        fs::copy(folder("run").join(format!("{name}.yaml")), to.path().join(format!("{name}.test.yaml"))).unwrap();
    }
    to
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = program();
    let output = command.arg("test").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs the test files of these names, and compares what is written to stdout with a file.
#[track_caller]
fn check_output(names: &[&str], arguments: &[&str], code: i32, golden: &str) {
    let folder_of_tests = with_tests(names);
    let (found, stdout, stderr) = run(folder_of_tests.path(), arguments);
    assert_eq!((found, stderr.as_str()), (Some(code), ""), "{stdout}");
    assert!(!["s3cret", "guess"].iter().any(|secret| stdout.contains(secret)), "{stdout}");
    check_golden(&folder("golden").join(golden), &stdout);
}

#[test]
fn failures_are_told_with_the_rules_that_were_tried() {
    check_output(&["failing"], &[], 1, "failing.txt");
    check_output(&["failing"], &["--format", "json"], 1, "failing.json");
    check_output(&["failing"], &["--format", "junit"], 1, "failing.xml");
}

#[test]
fn what_nothing_stands_in_for_is_named() {
    check_output(&["wanting", "wanting-passwords"], &[], 1, "wanting.txt");
}

#[test]
fn good_tests_are_told_in_a_line() {
    check_output(&["good"], &[], 0, "good.txt");
    check_output(&["good"], &["--format", "json", "--coverage"], 0, "good.json");
    check_output(&["good"], &["--format", "junit"], 0, "good.xml");
}

#[test]
fn coverage_is_of_a_policy_and_all_its_test_files() {
    check_output(&["good"], &["--coverage"], 0, "coverage.txt");
    check_output(&["good", "wanting"], &["--filter", "DEVICE LOGS", "--coverage"], 1, "coverage-filter.txt");
    check_output(&["good"], &["--min-coverage", "42"], 0, "coverage.txt");
    check_output(&["good"], &["--min-coverage", "43"], 1, "coverage-short.txt");
    check_output(&["good"], &["--min-coverage", "43", "--format", "junit"], 1, "coverage-short.xml");
    check_output(&["good"], &["--min-coverage", "43", "--format", "json"], 1, "coverage-short.json");
}

#[test]
fn a_file_that_cannot_be_run_does_not_hide_the_others() {
    for (format, golden) in [("human", "unusable.txt"), ("json", "unusable.json"), ("junit", "unusable.xml")] {
        let tests = with_tests(&["good"]);
        fs::write(tests.path().join("bad.test.yaml"), "policy: rules.yaml\nlist: {}\n").unwrap();
        let (code, stdout, _) = run(tests.path(), &["--format", format]);
        assert_eq!(code, Some(1), "{stdout}");
        check_golden(&folder("golden").join(golden), &stdout);
    }
}

#[track_caller]
fn check_run(folder: &TempDir, arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let found = run(folder.path(), arguments);
    assert_eq!(found, (Some(code), stdout.to_owned(), stderr.to_owned()), "{arguments:?}");
}

#[test]
fn a_client_has_what_all_brokers_of_the_policy_tell() {
    let rules = r#"acl:
  rules:
    - { id: bare, deny: { cn: "" }, topics: [a] }
    - { id: own, allow: { cn: "${clientid}", dn: "CN=${clientid}", cluster: emqxcl, peerport: 49152 }, topics: [a] }
    - { id: other, allow: { cn: { not: x }, peerport: 5000, cluster: { not: emqxcl } }, topics: [a] }
"#;
    let cases = r#"{ publish: a, deny: bare }
      - { publish: a, allow: own, cn: c, dn: "CN=c" }
      - { publish: a, allow: other, cn: w, cluster: z, peerport: 5000 }
"#;
    let write = |broker: &str, cases: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yaml"), format!("version: 1\n{broker}{rules}")).unwrap();
        let tests = format!("tests:\n  - name: told\n    client: {{ clientid: c }}\n    expect:\n      - {cases}");
        fs::write(folder.path().join("rules.test.yaml"), tests).unwrap();
        folder
    };
    let fine = "rules.test.yaml: 3 cases in 1 test, fine\n";
    check_run(&write("", cases), &["rules.yaml"], 0, fine, "");
    check_run(&write("broker: 5.4\n", cases), &["rules.yaml"], 0, fine, "");
    // Where one of them tells less, less is said of a client, unless a test says it.
    let untold = r#"{ publish: a, deny: error }
      - { publish: a, deny: bare, cn: "" }
      - { publish: a, deny: error, cn: c, dn: "CN=c", cluster: emqxcl }
      - { publish: a, allow: own, cn: c, dn: "CN=c", cluster: emqxcl, peerport: 49152 }
"#;
    let fine = "rules.test.yaml: 4 cases in 1 test, fine\n";
    check_run(&write("broker: [4.2, 5.4]\n", untold), &["rules.yaml"], 0, fine, "");
    let told = r#"FAILED rules.test.yaml:5: told
  publish "a", by clientid="c" username="" peerhost=192.0.2.1 sockport=1883 cn="w" peerport=5000
  expected deny bare, got deny error
  the client has no `cluster`, which a broker of the policy does not tell
  by the rules of rules.yaml:
    `bare` (line 5): cn "w" is not ""
    `own` (line 6): cn "w" is not "${clientid}" (here "c")
    `other` (line 7): cannot be told, since the broker does not tell `cluster`; this denies

rules.test.yaml: 1 case in 1 test, 1 failed
"#;
    let case = "{ publish: a, deny: bare, cn: w, peerport: 5000 }\n";
    check_run(&write("broker: [4.2, 5.4]\n", case), &["rules.yaml"], 1, told, "");
}

#[test]
fn a_test_says_when_its_client_asks() {
    let rules = "version: 1\nacl:\n  rules:\n    - { id: day, allow: everyone, publish: a, \
        when: { days: mon-fri, hours: \"08:00-18:00\", zone: Europe/Berlin } }\n    - { id: rest, deny: everyone, publish: b }\n";
    let write = |tests: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        fs::write(folder.path().join("rules.test.yaml"), tests).unwrap();
        folder
    };
    let fine = "rules.test.yaml: 5 cases in 2 tests, fine\n";
    let tests = r#"at: 2026-12-01T08:00+01:00
clients: { night: { clientid: c, at: "2026-12-01T18:00[Europe/Berlin]" } }
tests:
  - name: by day
    client: { clientid: c }
    expect:
      - { publish: a, allow: day }
      - { publish: a, deny: default, at: 2026-12-01T06:59Z }
  - name: by night
    client: night
    expect:
      - { publish: [a, c], deny: default }
      - { publish: a, allow: day, at: 2026-12-01T16:59Z }
"#;
    check_run(&write(tests), &["rules.yaml"], 0, fine, "");
    let untold =
        "tests:\n  - name: when\n    client: { clientid: c }\n    expect:\n      - { publish: a, allow: day }\n";
    let told = r#"FAILED rules.test.yaml:5: when
  publish "a", by clientid="c" username="" peerhost=192.0.2.1 sockport=1883
  expected allow day, got deny error
  nothing says when it asks: give it an `at`
  by the rules of rules.yaml:
    `day` (line 4): cannot be told, since nobody tells when it asks; this denies

rules.test.yaml: 1 case in 1 test, 1 failed
"#;
    check_run(&write(untold), &["rules.yaml"], 1, told, "");
    let late = untold.replace("allow: day", "allow: day, at: 2026-12-06T12:00Z");
    let told = r#"FAILED rules.test.yaml:5: when
  publish "a", by clientid="c" username="" peerhost=192.0.2.1 sockport=1883 at=2026-12-06T12:00:00+00:00
  expected allow day, got deny default
  by the rules of rules.yaml:
    `day` (line 4): 2026-12-06 13:00 (sun, Europe/Berlin) is outside mon-fri 08:00-18:00 (Europe/Berlin)
    `rest` (line 5): topic "a" is not in "b"

rules.test.yaml: 1 case in 1 test, 1 failed
"#;
    check_run(&write(&late), &["rules.yaml"], 1, told, "");
}

#[test]
fn a_test_says_what_rules_in_audit_mode_would_do() {
    let rules = "version: 1\nacl:\n  rules:\n    - { id: secret, deny: everyone, topics: [\"a/secret/#\"], mode: audit }\n    \
        - { id: open, allow: everyone, topics: [\"a/#\"] }\n";
    let write = |line: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let tests = format!("tests:\n  - name: tried\n    client: {{ clientid: c }}\n    expect:\n      - {line}\n");
        fs::write(folder.path().join("rules.test.yaml"), tests).unwrap();
        folder
    };
    let fine = |count: &str| format!("rules.test.yaml: {count} in 1 test, fine\n");
    let both = "{ publish: a/secret/x, allow: open, would: { deny: secret } }";
    check_run(&write("{ publish: a/secret/x, allow: open }"), &["rules.yaml"], 0, &fine("1 case"), "");
    check_run(&write(both), &["rules.yaml"], 0, &fine("2 cases"), "");
    check_run(
        &write("{ publish: a/x, allow: open, would: { allow: open } }"),
        &["rules.yaml"],
        0,
        &fine("2 cases"),
        "",
    );
    let covered = format!(
        "{}rules.yaml: 2 of 3 rules decided a case, 66 %\n  rules.yaml: the default of `acl` decided none\n",
        fine("2 cases")
    );
    check_run(&write(both), &["rules.yaml", "--coverage"], 0, &covered, "");
    let failed = r#"FAILED rules.test.yaml:5: tried
  publish "a/secret/x", by clientid="c" username="" peerhost=192.0.2.1 sockport=1883
  with the rules in audit mode carried out
  expected allow open, got deny secret
  by the rules of rules.yaml:
    `secret` (line 4): decides

rules.test.yaml: 2 cases in 1 test, 1 failed
"#;
    check_run(&write("{ publish: a/secret/x, allow: open, would: { allow: open } }"), &["rules.yaml"], 1, failed, "");
}

#[test]
fn tests_are_found_by_themselves_by_their_policy_and_by_their_folder() {
    const FINE: &str = "3 cases in 1 test, fine\n";
    const TEST: &str =
        "tests: [{ name: it is closed, client: { clientid: a }, expect: [{ publish: [a, b, c], deny: default }] }]\n";
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    check_run(&folder, &[], 2, "", "error: .: there is no test file, `rules.test.yaml` say, in it or below it\n");
    write("a/rules.yaml", "version: 1\nacl: {}\n");
    check_run(
        &folder,
        &["a/rules.yaml"],
        2,
        "",
        "error: a/rules.yaml: its tests, `rules.test.yaml`, do not stand beside it\n",
    );
    check_run(&folder, &["b/rules.yaml"], 2, "", "error: b/rules.yaml: there is no such file\n");
    write("a/rules.test.yaml", TEST);
    let one = format!("a/rules.test.yaml: {FINE}");
    for path in ["a/rules.yaml", "a/rules.test.yaml", "a", "."] {
        check_run(&folder, &[path], 0, &one, "");
    }
    check_run(&folder, &[], 0, &one, "");
    check_run(&folder, &["a", "a/rules.yaml", "./a/rules.test.yaml"], 0, &one, "");
    write("c/other.yml", "version: 1\nacl: {}\n");
    write("c/other.test.yml", TEST);
    write(".hidden/rules.test.yaml", "nonsense");
    let both = format!("{one}c/other.test.yml: {FINE}2 files: 6 cases in 2 tests, fine\n");
    check_run(&folder, &[], 0, &both, "");
    check_run(&folder, &["c/other.yml"], 0, &format!("c/other.test.yml: {FINE}"), "");
    check_run(&folder, &["--filter", "IS CLOSED"], 0, &both, "");
    check_run(&folder, &["--filter", "open"], 2, "", "error: no test has \"open\" in its name\n");
    write("c/other.test.yml", "lists: {}\n");
    check_run(&folder, &["c"], 2, "", "error: the test files have no tests\n");
    check_run(&folder, &["d/rules.test.yaml"], 2, UNREADABLE, "");
    fs::remove_file(folder.path().join("a/rules.yaml")).unwrap();
    assert_eq!(run(folder.path(), &["a"]).0, Some(1));
}

/// Writes a policy and its tests, and compares what `test --min-coverage 100` says.
#[track_caller]
fn check_coverage(policy: &str, tests: &str, code: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yaml"), format!("version: 1\n{policy}\n")).unwrap();
    fs::write(folder.path().join("rules.test.yaml"), format!("tests:\n  - {tests}\n")).unwrap();
    let (found, stdout, stderr) = run(folder.path(), &["--min-coverage", "100"]);
    let told = stdout.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert_eq!((found, told.as_str(), stderr.as_str()), (Some(code), expected, ""), "{stdout}");
}

#[test]
fn the_default_of_a_section_is_covered_where_something_can_reach_it() {
    let asks = |question: &str| format!("{{ name: a, client: {{ clientid: a }}, expect: [{question}] }}");
    let login = asks("{ authenticate: \"\", allow: open }");
    let whole = "rules.yaml: 1 of 1 rule decided a case, 100 %";
    check_coverage("auth: { rules: [{ id: open, allow: everyone }] }", &login, 0, whole);
    let half = "rules.yaml: 1 of 2 rules decided a case, 50 %, and 100 % is the least\n  rules.yaml: the default of `auth` decided none";
    check_coverage("auth: { rules: [{ id: open, allow: { clientid: a } }] }", &login, 1, half);
    // Both sections may have a rule of this id.
    let both = "auth: { rules: [{ id: open, allow: everyone }] }\nacl: { rules: [{ id: open, allow: everyone, topics: [\"#\"] }] }";
    let of_both = "rules.yaml: 1 of 3 rules decided a case, 33 %, and 100 % is the least\n  \
                   rules.yaml:3: rule `open` of `acl` decided none\n  rules.yaml: the default of `acl` decided none";
    check_coverage(both, &login, 1, of_both);
    let topics =
        asks("{ authenticate: \"\", allow: open }, { publish: a, allow: open }, { publish: $a, deny: default }");
    check_coverage(both, &topics, 0, "rules.yaml: 3 of 3 rules decided a case, 100 %");
    // What a policy leaves to the broker has no rule to cover.
    let ignored = asks("{ publish: a, ignore: default }");
    check_coverage("log: []", &ignored, 0, "rules.yaml: 0 of 0 rules decided a case, 100 %");
}

#[test]
fn a_file_has_no_more_cases_than_can_be_run() {
    let topics = vec!["a"; 1000].join(", ");
    let clients = vec!["{ clientid: a }"; 101].join(", ");
    let text = format!(
        "policy: ../rules.yaml\ntests:\n  - name: many\n    client: [{clients}]\n    expect: {{ publish: [{topics}], deny: default }}\n"
    );
    let report = report(text.as_bytes(), &folder("run").join("any.yaml"));
    let messages: Vec<&str> = report.diagnostics().iter().map(Diagnostic::message).collect();
    assert_eq!(messages, ["with this line the file has more than 100000 cases"]);
}

#[test]
fn a_password_is_not_printed() {
    let text = "policy: ../rules.yaml\npasswords: { devices: { a: s3cret } }\n\
                tests: [{ name: a, client: { clientid: a }, expect: { authenticate: s3cret, deny: default } }]\n";
    let suite = policies::parse_suite(text.as_bytes(), &folder("run").join("any.yaml")).unwrap();
    assert!(format!("{suite:?}").contains("Secret(..)") && !format!("{suite:?}").contains("s3cret"), "{suite:?}");
    assert_eq!(suite.tests[0].cases[0].question.to_string(), "authenticate with a password");
}

const UNREADABLE: &str = "error[unreadable-file]: the file cannot be read: No such file or directory (os error 2)
--> d/rules.test.yaml

d/rules.test.yaml: 1 error

d/rules.test.yaml: not run
";

/// The mistakes that the schema can see.
const STRUCTURAL: [Code; 8] = [
    Code::NotAString,
    Code::EmptyValue,
    Code::WrongType,
    Code::UnknownKey,
    Code::MissingKey,
    Code::ConflictingKeys,
    Code::BadPort,
    Code::EmptyList,
];

#[test]
fn the_schema_and_the_decoder_agree() {
    let schema: serde_json::Value = serde_json::from_str(&suite::schema()).unwrap();
    let accepts = |bytes: &[u8]| {
        let value = serde_saphyr::from_slice::<serde_json::Value>(bytes).ok()?;
        Some(schema_check::accepts(&schema, &schema, &value))
    };
    let shipped =
        ["rules", "examples/gateway-fleet", "examples/public-broker"].map(|it| Path::new(it).join("rules.test.yaml"));
    let good = files(&folder("run")).into_iter().filter(|path| !path.ends_with("rules.yaml")).chain(shipped);
    for path in good {
        assert_eq!(accepts(&fs::read(&path).unwrap()), Some(true), "{}", path.display());
    }
    let mut refused = 0;
    for path in files(&folder("bad")) {
        let bytes = fs::read(&path).unwrap();
        let report = report(&bytes, &path);
        // What is not said at all is not in the schema, and neither is what a name stands for.
        let unsaid = |message: &str| message.contains("needs a `clientid`") || message.contains("stands beside it");
        let structural = report.diagnostics().iter().any(|it| STRUCTURAL.contains(&it.code()) && !unsaid(it.message()));
        let Some(accepted) = accepts(&bytes) else { continue };
        assert_eq!(accepted, !structural, "{}", path.display());
        refused += usize::from(!accepted);
    }
    assert!(refused > 4, "{refused}");
}

#[test]
fn the_schema_is_what_the_types_say() {
    check_golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/tests.schema.json"), &suite::schema());
}

/// A test file with a password in every place that has one.
const SOUND: &str = r#"policy: rules.yaml # the one beside
lists: { fleet: [dev-0001], offices: [10.0.0.0/8] }
passwords:
  devices: { dev-0001: SECRET, "dev-0002": "SECRET" }
  # staff: { alice: SECRET }
clients:
  device: { clientid: dev-0001, username: dev-0001 }
tests:
  - name: a device logs in
    client: device
    expect:
      - { authenticate: SECRET, allow: fleet }
      - { authenticate: ["", 'SECRET'], sockport: 8883, deny: fleet } # authenticate: SECRET
      - authenticate: SECRET
        allow: fleet
      - { subscribe: ["dev/#", "+/x"], deny: default }
"#;

/// What one slip of the pen puts in.
const SLIPS: [&str; 14] = ["", "#", " #", ":", ": ", ",", "[", "}", "\"", "'", "\n", "\t", "*", "&a "];

/// Whatever else is wrong with the file, its passwords stay out of the report.
#[test]
fn no_slip_of_the_pen_shows_a_password() {
    let path = folder("run").join("any.yaml");
    for start in 0..SOUND.len() {
        for length in [0, 4] {
            let mut text = SOUND.to_owned();
            let slip = SLIPS[(start + length) % SLIPS.len()];
            text.replace_range(start..(start + length).min(SOUND.len()), slip);
            let text = text.replace("SECRET", "hunter2");
            let Err(reports) = policies::parse_suite(text.as_bytes(), &path) else { continue };
            let shown: String = reports.iter().map(ToString::to_string).collect();
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
}
