//! The reports as workflow commands of GitHub Actions, which it shows beside the lines of a change.

use std::io;

use exhook_policy_core::policy::diag::{Diagnostic, Report};
use exhook_policy_core::policy::span::Columns;

/// Writes a line for each diagnostic, and one for what was left open.
pub(super) fn write(reports: &[Report], out: &mut impl io::Write) -> io::Result<()> {
    for report in reports {
        for diagnostic in report.diagnostics() {
            writeln!(out, "{}", command(report, diagnostic))?;
        }
        if let Some(open) = report.open() {
            writeln!(out, "::notice file={}::{}", property(report.name()), data(open))?;
        }
    }
    Ok(())
}

fn command(report: &Report, diagnostic: &Diagnostic) -> String {
    let file = property(report.name());
    let place = diagnostic.span().map(|span| report.place(span, Columns::Characters));
    // Columns are taken only where the place is in one line.
    let place = place.map_or_else(String::new, |place| {
        let (line, end_line) = (place.line, place.end_line);
        if line == end_line {
            format!(",line={line},endLine={end_line},col={},endColumn={}", place.column, place.end_column)
        } else {
            format!(",line={line},endLine={end_line}")
        }
    });
    let notes = diagnostic.notes().map(|note| format!("\nnote: {note}"));
    let helps = diagnostic.helps().map(|help| format!("\nhelp: {help}"));
    let message: String = std::iter::once(diagnostic.message().to_owned()).chain(notes).chain(helps).collect();
    let code = diagnostic.code();
    format!("::{} file={file}{place},title={}::{}", code.severity(), property(code.name()), data(&message))
}

/// The text of a command, which must stay on one line.
pub(in crate::cli) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A value before it, which must hold no separator either.
pub(in crate::cli) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn separators_are_escaped_once() {
        assert_eq!(data("100%: a, b\r\n::error::"), "100%25: a, b%0D%0A::error::");
        assert_eq!(property("C:\\a,b%\n.yaml"), "C%3A\\a%2Cb%25%0A.yaml");
    }
}
