//! Policies in files, each with what is wrong with it.
//!
//! A file of `tests/policies/bad` or `tests/policies/warned` ends in comments that say what must be
//! found in it, and one of `tests/policies/near`, which barely escapes the code that it is named after, in what
//! else is: `#~ code at line:column [underlined text]: message`, then a line `#~   note: note` for each note and
//! `#~   help` for each help.
//! With `UPDATE_GOLDEN=1` the tests write these lines and the other expected texts instead of comparing them.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use exhook_policy_core::policy::codes::{Code, Severity};
use exhook_policy_core::policy::diag::{Diagnostic, Report};
use exhook_policy_core::policy::problem::{SourceFault, SourceKind, SourceProblem};
use exhook_policy_core::policy::{self, Loaded};
use exhook_policy_core::topic::Budget;
use exhook_policy_runtime::files::policies;
use exhook_policy_tools::analysis::findings;

use crate::schema_check;
use crate::support::golden::{check_golden, files, is_updating, shown};

/// When the policies are looked at: 2026-12-01T09:00Z, a Tuesday.
const NOW: i64 = 1_796_115_600_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What `check` says without the sources.
fn report(result: Result<Loaded, Box<Report>>) -> Report {
    match result {
        Ok(mut loaded) => {
            findings::report(&mut loaded, NOW, &mut Budget::new(findings::WORK), |_| true);
            assert_eq!(loaded.warnings.open(), None, "{}", loaded.warnings);
            loaded.warnings
        }
        Err(report) => *report,
    }
}

fn shown_all(report: &Report, text: &str) -> String {
    let mut out = String::new();
    for diagnostic in report.diagnostics() {
        write!(out, "#~ {}", diagnostic.code().name()).unwrap();
        if let (Some((line, column)), Some(span)) = (report.position(diagnostic), diagnostic.span()) {
            write!(out, " at {line}:{column} [{}]", shown(span.of(text))).unwrap();
        }
        writeln!(out, ": {}", shown(diagnostic.message())).unwrap();
        for note in diagnostic.notes() {
            writeln!(out, "#~   note: {}", shown(note)).unwrap();
        }
        for help in diagnostic.helps() {
            writeln!(out, "#~   {}", shown(help)).unwrap();
        }
    }
    out
}

/// Compares what is found in a file with what it expects.
fn check_expected(path: &Path) -> Report {
    let file = fs::read(path).unwrap();
    let end = file.windows(3).position(|window| window == b"\n#~").map_or(file.len(), |at| at + 1);
    let (policy, expected) = file.split_at(end);
    let report = report(policy::parse_bytes(policy, &name(path), Path::new("/etc/policy")));
    let found = shown_all(&report, &String::from_utf8_lossy(policy));
    if is_updating() {
        fs::write(path, [policy, found.as_bytes()].concat()).unwrap();
    } else {
        assert_eq!(found, String::from_utf8_lossy(expected), "{}", path.display());
    }
    report
}

fn check_expectations(kind: &str, severity: Severity) {
    for path in files(&folder().join(kind)) {
        let report = check_expected(&path);
        assert!(!report.diagnostics().is_empty(), "{} shows nothing", path.display());
        let worst = if report.errors() > 0 { Severity::Error } else { Severity::Warning };
        assert_eq!(worst, severity, "{}", path.display());
    }
}

#[test]
fn bad_policies_say_what_is_wrong_and_where() {
    check_expectations("bad", Severity::Error);
}

#[test]
fn doubtful_policies_are_warned_about() {
    check_expectations("warned", Severity::Warning);
}

/// These are about other files, and who may do what with them; see the tests below, those of `check` and those of test files.
const ELSEWHERE: [Code; 6] = [
    Code::UnreadableFile,
    Code::BadSource,
    Code::BadPasswordEntry,
    Code::UnknownRule,
    Code::ReadByEveryone,
    Code::WrittenByEveryone,
];

#[test]
fn every_code_has_a_policy() {
    let mut met = HashSet::new();
    for path in files(&folder().join("bad")).into_iter().chain(files(&folder().join("warned"))) {
        let report = report(policies::load(&path));
        met.extend(report.diagnostics().iter().map(Diagnostic::code));
    }
    met.extend(ELSEWHERE);
    let missing: Vec<&str> = Code::ALL.iter().filter(|code| !met.contains(code)).map(|code| code.name()).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_code_has_a_policy_that_barely_escapes_it() {
    let mut escaped: HashSet<Code> = files(&folder().join("near")).iter().map(|path| near_miss(path)).collect();
    escaped.extend(ELSEWHERE);
    let missing: Vec<&str> = Code::ALL.iter().filter(|code| !escaped.contains(code)).map(|code| code.name()).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// The code that a file is named after and must not raise.
#[track_caller]
fn near_miss(path: &Path) -> Code {
    let code = Code::of_name(path.file_stem().unwrap().to_str().unwrap());
    let code = code.unwrap_or_else(|| panic!("{} is named after no code", path.display()));
    let report = check_expected(path);
    assert!(report.diagnostics().iter().all(|diagnostic| diagnostic.code() != code), "{}: {report}", path.display());
    code
}

#[test]
fn good_policies_are_fine() {
    for path in files(&folder().join("good")) {
        let report = report(policies::load(&path));
        assert_eq!(report.render(false), format!("{}: fine\n", path.display()));
        assert!(report.is_empty());
    }
}

#[track_caller]
fn check_accepted(policy: &str, summary: &str, accepted: &[(&str, &str)]) {
    let report = report(policy::parse(policy, "rules.yaml", Path::new("")));
    assert_eq!(report.summary(), format!("rules.yaml: {summary}"), "{report}");
    let found: Vec<_> = report.accepted().iter().map(|it| (it.diagnostic.code().name(), it.reason.as_str())).collect();
    assert_eq!(found, accepted, "{policy}");
}

#[test]
fn what_is_accepted_is_not_warned_about() {
    let open = "allow: everyone, topics: [\"#\"]";
    let accept = "accept: { allows-everything: a bench }";
    let used = &[("allows-everything", "a bench")];
    check_accepted(&format!("version: 1\nacl: {{ rules: [{{ {open} }}] }}\n"), "1 warning", &[]);
    check_accepted(&format!("version: 1\nacl: {{ rules: [{{ {open}, {accept} }}] }}\n"), "fine, 1 accepted", used);
    // The top is not about rules, nor a rule about its neighbours.
    check_accepted(&format!("version: 1\n{accept}\nacl: {{ rules: [{{ {open} }}] }}\n"), "2 warnings", &[]);
    check_accepted(
        &format!("version: 1\nacl: {{ rules: [{{ {open}, {accept} }}, {{ {open} }}] }}\n"),
        "2 warnings, 1 accepted",
        used,
    );
    // Behind the last rule comes what is no rule's, in one line too.
    let default = "accept: { default-ignore: another plugin }";
    let ignored = &[("default-ignore", "another plugin")];
    check_accepted(
        &format!("version: 1\nacl: {{ rules: [{{ deny: everyone, topics: [\"#\"] }}], default: ignore }}\n{default}\n"),
        "fine, 1 accepted",
        ignored,
    );
    // A rule that stands in both sections by way of an alias is one text.
    check_accepted(
        &format!(
            "version: 1\nauth:\n  rules: &rules\n    - {{ id: a, allow: everyone, {accept} }}\n\
             acl: {{ rules: [{{ deny: everyone, topics: [\"#\"] }}] }}\n"
        ),
        "fine, 1 accepted",
        used,
    );
}

#[test]
fn ten_mistakes_are_told_at_once() {
    let text = fs::read_to_string(folder().join("ten-mistakes.yaml")).unwrap();
    let report = *policy::parse(&text, "rules.yaml", Path::new("")).unwrap_err();
    assert_eq!((report.errors(), report.warnings()), (10, 0));
    check_golden(&folder().join("golden/ten-mistakes.txt"), &report.to_string());
    let colored = report.render(true);
    assert!(colored.contains("\u{1b}["));
    assert!(!report.to_string().contains('\u{1b}'));
}

#[test]
fn mistakes_in_long_lines_show_a_part_of_the_line() {
    let many = "dev-1, ".repeat(3000);
    let text = format!("version: 1\nlists: {{ a: [{many}007, {many}\"é\"], b: [{many}], b: [] }}\n");
    let report = *policy::parse(&text, "rules.yaml", Path::new("")).unwrap_err();
    check_golden(&folder().join("golden/long-lines.txt"), &report.to_string());
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart() {
    let report = *policies::load(Path::new("no/such/rules.yaml")).unwrap_err();
    assert!(report.is_unreadable());
    let expected = "error[unreadable-file]: the file cannot be read: No such file or directory (os error 2)\n\
                    --> no/such/rules.yaml\n\nno/such/rules.yaml: 1 error\n";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn problems_of_sources_stand_where_the_sources_are_declared() {
    let text = "version: 1\nlists:\n  fleet: { file: fleet.txt }\nauth: { default: allow, rules: [{ id: a, deny: { clientid: { in: fleet } } }] }\n";
    let mut loaded = policy::parse(text, "rules.yaml", Path::new("/etc")).unwrap();
    assert_eq!((loaded.warnings.errors(), loaded.warnings.warnings()), (0, 1));
    let problem = |kind, name: &str, line| SourceProblem {
        kind,
        fault: SourceFault::Unusable,
        name: name.to_owned(),
        path: PathBuf::from("/etc/fleet.txt"),
        line,
        message: "the line is odd".to_owned(),
        help: None,
    };
    loaded.report_sources([problem(SourceKind::List, "fleet", Some(7)), problem(SourceKind::Passwords, "fleet", None)]);
    let expected = "\
error[bad-source]: /etc/fleet.txt: the line is odd
--> rules.yaml

error[bad-source]: /etc/fleet.txt:7: the line is odd
 --> rules.yaml:3:3
  |
3 |   fleet: { file: fleet.txt }
  |   ^^^^^

warning[default-allow]: logins that no rule matches are allowed
 --> rules.yaml:4:18
  |
4 | auth: { default: allow, rules: [{ id: a, deny: { clientid: { in: fleet } } }] }
  |                  ^^^^^
  |
  = help: deny by default, and allow what is needed

rules.yaml: 2 errors, 1 warning
";
    assert_eq!(loaded.warnings.to_string(), expected);
}

#[test]
fn the_schema_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/policy.schema.json");
    check_golden(&path, &policy::schema());
}

/// The mistakes that the schema can see. Where a policy has no other, the schema must refuse it, and it must
/// accept what has none of them.
const STRUCTURAL: [Code; 21] = [
    Code::NotAString,
    Code::EmptyValue,
    Code::BareHash,
    Code::WrongType,
    Code::UnknownKey,
    Code::MissingKey,
    Code::ConflictingKeys,
    Code::UnknownWord,
    Code::UnsupportedVersion,
    Code::BadDuration,
    Code::BadSize,
    Code::BadNumber,
    Code::BadBroker,
    Code::BadPort,
    Code::NoEffect,
    Code::NoTopics,
    Code::EmptyList,
    Code::NoConditions,
    Code::UnknownCode,
    Code::NotAcceptable,
    Code::NoReason,
];

#[test]
fn the_schema_and_the_decoder_agree() {
    let schema: serde_json::Value = serde_json::from_str(&policy::schema()).unwrap();
    let mut refused = 0;
    for path in files(&folder().join("good"))
        .into_iter()
        .chain(files(&folder().join("warned")))
        .chain(files(&folder().join("bad")))
    {
        let report = report(policies::load(&path));
        let codes: BTreeSet<Code> = report.diagnostics().iter().map(Diagnostic::code).collect();
        let unread = [Code::YamlSyntax, Code::NotUtf8, Code::TooLarge, Code::DuplicateKey];
        if codes.iter().any(|code| unread.contains(code)) || report.render(false).contains("is never closed") {
            continue;
        }
        let Ok(value) = serde_saphyr::from_str::<serde_json::Value>(&fs::read_to_string(&path).unwrap()) else {
            continue;
        };
        let accepted = schema_check::accepts(&schema, &schema, &value);
        let structural = codes.iter().any(|code| STRUCTURAL.contains(code) && !is_out_of_bounds(&report, *code));
        assert_eq!(accepted, !structural, "{}: {codes:?}", path.display());
        refused += usize::from(!accepted);
    }
    assert!(refused > 10);
}

/// The schema knows how a duration or a size is written, but not its bounds.
fn is_out_of_bounds(report: &Report, code: Code) -> bool {
    let mut found = report.diagnostics().iter().filter(|diagnostic| diagnostic.code() == code);
    found.all(|diagnostic| diagnostic.message().contains("must be between"))
}
