//! The reports as one JSON document of this program's own.

use std::io;

use serde::Serialize;

use exhook_policy_core::policy::diag::{Diagnostic, Report};
use exhook_policy_core::policy::span::{Columns, Span};

#[derive(Serialize)]
struct CheckDocument<'a> {
    errors: usize,
    warnings: usize,
    accepted: usize,
    files: Vec<Checked<'a>>,
}

/// What was found in one file.
#[derive(Serialize)]
pub(in crate::cli) struct Checked<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<DiagnosticJson<'a>>,
    /// Warnings that the policy says are meant.
    accepted: Vec<DiagnosticJson<'a>>,
    /// What could not be settled within the bound of work.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<&'a str>,
}

#[derive(Serialize)]
struct DiagnosticJson<'a> {
    code: &'static str,
    severity: String,
    message: &'a str,
    #[serde(flatten)]
    place: Option<PlaceJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Related<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    helps: Vec<&'a str>,
    /// Why it is meant, where it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct PlaceJson {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: PlaceJson,
}

/// Writes one object, with a line end.
pub(super) fn write(reports: &[Report], out: &mut impl io::Write) -> io::Result<()> {
    let files: Vec<Checked<'_>> = reports.iter().map(checked).collect();
    let document = CheckDocument {
        errors: files.iter().map(|file| file.errors).sum(),
        warnings: files.iter().map(|file| file.warnings).sum(),
        accepted: files.iter().map(|file| file.accepted.len()).sum(),
        files,
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

/// One report.
pub(in crate::cli) fn checked(report: &Report) -> Checked<'_> {
    let found = report.diagnostics().iter().map(|diagnostic| entry(report, diagnostic, None));
    let accepted = report.accepted().iter().map(|it| entry(report, &it.diagnostic, Some(it.reason.as_str())));
    Checked {
        file: report.name(),
        errors: report.errors(),
        warnings: report.warnings(),
        diagnostics: found.collect(),
        accepted: accepted.collect(),
        open: report.open(),
    }
}

fn entry<'a>(report: &Report, diagnostic: &'a Diagnostic, reason: Option<&'a str>) -> DiagnosticJson<'a> {
    let related = |(span, message): &'a (Span, String)| Related { message, place: place(report, *span) };
    DiagnosticJson {
        code: diagnostic.code().name(),
        severity: diagnostic.code().severity().to_string(),
        message: diagnostic.message(),
        place: diagnostic.span().map(|span| place(report, span)),
        related: diagnostic.related_places().iter().map(related).collect(),
        notes: diagnostic.notes().collect(),
        helps: diagnostic.helps().collect(),
        reason,
    }
}

fn place(report: &Report, span: Span) -> PlaceJson {
    let place = report.place(span, Columns::Characters);
    PlaceJson { line: place.line, column: place.column, end_line: place.end_line, end_column: place.end_column }
}
