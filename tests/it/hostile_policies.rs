//! Policies that mean harm, or that nobody would write: none may crash the reader or keep it busy.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::scale::times;
use exhook_policy_core::policy;
use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, Report};
use proptest::prelude::*;

/// Far more than any of these takes, even without optimisation on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// The lines that `line` makes of the numbers.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

#[track_caller]
fn read(text: &str) -> Report {
    let start = Instant::now();
    let report = match policy::parse(text, "rules.yaml", Path::new("")) {
        Ok(loaded) => loaded.warnings,
        Err(report) => *report,
    };
    let rendered = report.render(false);
    assert!(start.elapsed() < LONG, "took {:?}", start.elapsed());
    assert!(rendered.len() < 2_000_000, "{} bytes", rendered.len());
    report
}

#[track_caller]
fn check_refused(text: &str, code: Code) {
    let report = read(text);
    let codes: Vec<Code> = report.diagnostics().iter().map(Diagnostic::code).collect();
    assert_eq!(codes, [code]);
}

#[test]
fn deep_nesting_is_refused() {
    for depth in [40, 100, 1000, 100_000] {
        check_refused(&format!("version: 1\nx: {}", "[".repeat(depth)), Code::TooLarge);
        check_refused(&format!("version: 1\nx: {}", "{a: ".repeat(depth)), Code::TooLarge);
        check_refused(&format!("version: 1\nx:\n  {}", "- ".repeat(depth)), Code::TooLarge);
        check_refused(&"? ".repeat(depth), Code::TooLarge);
    }
    let indented = lines(100, |level| format!("{}a:\n", " ".repeat(level)));
    check_refused(&indented, Code::TooLarge);
}

#[test]
fn what_people_write_is_not_too_deep() {
    let nots = format!("{}x{}", "{ not: ".repeat(10), " }".repeat(10));
    let text = format!("version: 1\nauth: {{ rules: [{{ id: a, deny: {{ clientid: {nots} }} }}] }}\n");
    assert!(read(&text).is_empty());
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let uses = format!("*a{}, ", level - 1).repeat(10);
        writeln!(text, "a{level}: &a{level} [{uses}]").unwrap();
    }
    check_refused(&text, Code::TooLarge);
    check_refused("version: 1\nlists: &a { b: *a }\n", Code::YamlSyntax);
}

#[test]
fn names_cannot_grow_without_bound() {
    let mut text = "version: 1\nclients:\n  c0: { clientid: x }\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        writeln!(text, "  c{level}: [c{below}, c{below}, c{below}, c{below}]").unwrap();
    }
    check_refused(&text, Code::TooLarge);
    let chain = lines(10_000, |n| format!("  c{n}: c{}\n", n + 1));
    let report = read(&format!("version: 1\nclients:\n{chain}"));
    assert!(report.diagnostics().iter().any(|diagnostic| diagnostic.code() == Code::TooLarge));
}

#[test]
fn ten_megabytes_are_read() {
    const TEN_MEGABYTES: usize = 10 * 1024 * 1024;
    check_refused(&"#".repeat(TEN_MEGABYTES), Code::EmptyValue);
    check_refused(&"a".repeat(TEN_MEGABYTES), Code::WrongType);
    check_refused(&format!("version: 1\nx: \"{}\"\n", "\\n".repeat(TEN_MEGABYTES / 2)), Code::UnknownKey);
    check_refused(&"\n".repeat(TEN_MEGABYTES), Code::EmptyValue);
    check_refused(&"x\n".repeat(TEN_MEGABYTES / 2), Code::WrongType);
    check_refused(&" ".repeat(70 * 1024 * 1024), Code::TooLarge);
}

#[test]
fn times_cannot_grow_without_bound() {
    let rule =
        |when: &str| format!("version: 1\nauth: {{ rules: [{{ allow: {{ username: ann }}, when: {when} }}] }}\n");
    let hours = |count: usize| {
        lines(count, |n| format!("\"{:02}:{:02}-{:02}:{:02}\", ", n / 60 % 24, n % 60, n / 60 % 24, (n + 1) % 60))
    };
    check_refused(&rule(&format!("{{ hours: [{}] }}", hours(100_000))), Code::TooLarge);
    check_refused(&rule(&format!("{{ days: [{}] }}", "mon, ".repeat(100_000))), Code::TooLarge);
    check_refused(&rule(&format!("[{}]", "{ days: mon }, ".repeat(100_000))), Code::TooLarge);
    // The first Sunday is a day too late for each of these.
    let never = format!("{{ days: sun, from: 2027-06-07, until: 2027-06-12, hours: [{}] }}", hours(100));
    let report = read(&rule(&format!("[{}]", format!("{never}, ").repeat(100))));
    let codes: Vec<Code> = report.diagnostics().iter().map(Diagnostic::code).collect();
    assert_eq!(codes, [Code::EmptyWindow; 100]);
}

#[test]
fn many_mistakes_are_counted_and_the_first_thousand_told() {
    let rules = lines(20_000, |n| format!("    - {{ id: r{n}, deny: x{n} }}\n"));
    let report = read(&format!("version: 1\nauth:\n  rules:\n{rules}"));
    assert_eq!((report.errors(), report.diagnostics().len()), (20_000, 1000));
    assert!(report.to_string().ends_with("\n\n... and 19000 more\n\nrules.yaml: 20000 errors\n"));

    let keys = lines(20_000, |n| format!("k{n}: 1\n"));
    assert_eq!(read(&keys).errors(), 20_001);
    let entries = "007, ".repeat(20_000);
    assert_eq!(read(&format!("version: 1\nlists: {{ a: [{entries}] }}")).errors(), 20_000);
}

/// A hundred thousand in a soak.
#[test]
fn thousands_of_rules_and_entries_are_accepted() {
    let many = times(20_000, 100_000) as usize;
    let rules = lines(many, |n| format!("    - {{ deny: {{ clientid: d-{n} }}, topics: [d/{n}] }}\n"));
    let entries = lines(many, |n| format!("d-{n}, "));
    let text = format!(
        "version: 1\nlists: {{ a: [{entries}] }}\nauth: {{ rules: [{{ deny: {{ clientid: {{ in: a }} }} }}] }}\nacl:\n  rules:\n{rules}"
    );
    let start = Instant::now();
    let loaded = policy::parse(&text, "rules.yaml", Path::new("")).unwrap();
    assert!(start.elapsed() < LONG);
    assert!(loaded.warnings.is_empty());
    let rules = loaded.model.acl.unwrap().rules;
    let last = rules.last().unwrap();
    assert_eq!((rules.len(), last.id.as_str(), last.line), (many, format!("acl-{many}").as_str(), many + 5));
}

/// Pieces of policies, for texts that are nearly right.
const PIECES: &[&str] = &[
    "version: 1\n",
    "mode: ",
    "enforce",
    "lists:\n",
    "  a: ",
    "[x, y]",
    "{ file: f }",
    "clients:\n",
    "{ clientid: ",
    "{ not: ",
    " }",
    "auth:\n",
    "acl:\n",
    "  rules:\n",
    "    - ",
    "allow: ",
    "deny: ",
    "everyone\n",
    "topics: ",
    "[",
    "]",
    "\"#\"",
    " #",
    "#",
    "'",
    "\"",
    "${clientid}",
    "\\",
    "&a ",
    "*a",
    "<<: ",
    "!x ",
    "|\n",
    "---\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "é",
    "\u{1F600}",
    "007",
    "yes",
    "~",
    ",",
    ":",
    ": ",
    "\n",
    "  ",
    "? ",
    "- ",
    "\0",
    "%",
    "@",
    "{ glob: ",
    "{ regex: ",
    "(",
    "**",
    "peerhost: ",
    "10.0.0.1/8",
    "2s",
];

fn check_any(text: &str) -> Result<(), TestCaseError> {
    let report = match policy::parse(text, "rules.yaml", Path::new("")) {
        Ok(loaded) => loaded.warnings,
        Err(report) => {
            prop_assert!(report.errors() > 0);
            *report
        }
    };
    for diagnostic in report.diagnostics() {
        if let Some(span) = diagnostic.span() {
            prop_assert!(text.get(span.range()).is_some(), "{span:?} is no part of the text: {}", diagnostic.message());
        }
    }
    prop_assert!(report.render(true).len() >= report.render(false).len());
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        check_any(&text)?;
    }

    #[test]
    fn any_pieces_are_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        check_any(&pieces.concat())?;
    }

    #[test]
    fn a_policy_with_a_slip_is_read(at in any::<prop::sample::Index>(), len in 0usize..20, piece in prop::sample::select(PIECES)) {
        let text = include_str!("../policies/good/annotated.yaml");
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let rest = chars.iter().skip(at + len);
        let slipped: String = chars.iter().take(at).copied().chain(piece.chars()).chain(rest.copied()).collect();
        check_any(&slipped)?;
    }
}
