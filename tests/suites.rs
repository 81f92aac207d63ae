//! Test files of policies: what is wrong with them, and what running them says.
//!
//! A file of `tests/suites/bad` ends in comments that say what must be found in it. With `UPDATE_GOLDEN=1` the tests
//! write these and the other expected texts instead of comparing them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod golden_text;
mod schema_check;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exhook_policy::policy::codes::Code;
use exhook_policy::policy::diag::Report;
use exhook_policy::suite;
use tempfile::TempDir;

use golden_text::{check_findings, check_golden, files};

/// The tests run in the package's folder, and reports name files as they are called.
fn folder(name: &str) -> PathBuf {
    Path::new("tests/suites").join(name)
}

/// What is wrong with a test file; the report on its policy is left out.
fn report(bytes: &[u8], path: &Path) -> Report {
    let mut reports = suite::parse(bytes, path).unwrap_err();
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhook-policy"));
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
