//! The page of documentation of a code, made of the one table of codes.

use std::fmt::Write as _;

use exhook_policy_core::policy::codes::{Code, Example};

/// The page as plain text, with a line end.
pub(super) fn text(code: Code) -> String {
    let mut text = format!("{}[{}]: {}\n\n{}\n", code.severity(), code.name(), code.title(), code.explanation());
    if let Some(Example { bad, good }) = code.example() {
        let _ = write!(text, "\nFor example:\n\n{}\nBetter:\n\n{}", indented(bad), indented(good));
    }
    text
}

fn indented(yaml: &str) -> String {
    yaml.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "    {line}");
        text
    })
}

/// What stands below the heading of the page, as Markdown with a line end.
pub(super) fn markdown(code: Code) -> String {
    let mut text = format!("{}\n", code.explanation());
    if let Some(Example { bad, good }) = code.example() {
        let _ = write!(text, "\n```yaml\n{bad}\n```\n\nBetter:\n\n```yaml\n{good}\n```\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;

    use super::*;
    use exhook_policy_core::policy::codes::Severity;
    use exhook_policy_core::policy::{self, diag::Report};
    use exhook_policy_core::topic::Budget;
    use exhook_policy_runtime::clock::now_ms;
    use exhook_policy_tools::analysis::findings;

    /// `docs/diagnostics.md`.
    fn book() -> String {
        let mut text = "# What `check` finds\n\n\
            A page for each code, as `exhook-policy check --explain CODE` prints it. This file is made of the table of codes \
            by the tests\n(`UPDATE_GOLDEN=1 cargo test page`).\n"
            .to_owned();
        for (severity, title, about) in [
            (Severity::Error, "Errors", "The policy does not load."),
            (
                Severity::Warning,
                "Warnings",
                "The policy loads, and may not do what was meant. Where it does, [`accept`](policy.md#warnings-that-are-meant) \
                 says so.",
            ),
        ] {
            write!(text, "\n## {title}\n\n{about}\n").unwrap();
            for code in Code::ALL.iter().filter(|code| code.severity() == severity) {
                write!(text, "\n### {}\n\n**{}.** {}", code.name(), code.title(), markdown(*code)).unwrap();
            }
        }
        text
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            fs::write(&path, book()).unwrap();
        }
        assert_eq!(
            book(),
            fs::read_to_string(path).unwrap_or_default(),
            "UPDATE_GOLDEN=1 rewrites docs/diagnostics.md"
        );
    }

    #[track_caller]
    fn codes(fragment: &str) -> Vec<Code> {
        let text =
            if fragment.starts_with("version") { fragment.to_owned() } else { format!("version: 1\n{fragment}\n") };
        let report: Report = match policy::parse(&text, "rules.yaml", Path::new("")) {
            Ok(mut loaded) => {
                findings::report(&mut loaded, now_ms(), &mut Budget::new(findings::WORK), |_| true);
                loaded.warnings
            }
            Err(report) => *report,
        };
        report.diagnostics().iter().map(policy::diag::Diagnostic::code).collect()
    }

    #[test]
    fn examples_show_the_mistake_and_how_to_mend_it() {
        let mut shown = 0;
        for (code, example) in Code::ALL.iter().filter_map(|code| Some((code, code.example()?))) {
            assert!(codes(example.bad).contains(code), "{}: {}", code.name(), example.bad);
            let mended = codes(example.good);
            assert!(!mended.contains(code), "{}: {}", code.name(), example.good);
            assert!(mended.iter().all(|code| code.severity() == Severity::Warning), "{}: {mended:?}", code.name());
            shown += 1;
        }
        assert!(shown > 20, "{shown} examples");
    }
}
