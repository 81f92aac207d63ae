//! The reports as one run of SARIF 2.1.0, which code scanners and editors read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path};

use serde::Serialize;

use exhook_policy_core::policy::codes::Code;
use exhook_policy_core::policy::diag::{Diagnostic, Report};
use exhook_policy_core::policy::span::{Columns, Span};

use super::page;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

#[derive(Serialize)]
struct SarifLog {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [SarifRun; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifRun {
    tool: Tool,
    invocations: [Invocation; 1],
    column_kind: &'static str,
    artifacts: Vec<Artifact>,
    results: Vec<SarifResult>,
}

#[derive(Serialize)]
struct Tool {
    driver: SarifDriver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifDriver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<SarifRule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifRule {
    id: &'static str,
    short_description: SarifMessage,
    full_description: SarifMessage,
    help: SarifMessage,
    help_uri: String,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: String,
}

#[derive(Serialize)]
struct SarifMessage {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    /// Whether every file could be read.
    execution_successful: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    location: Uri,
    source_language: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    rule_index: usize,
    level: String,
    message: SarifMessage,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
    /// Stands in every result or in none.
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<SarifMessage>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Uri,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Uri {
    uri: String,
    /// What a relative path begins at, by the name that code scanners agree on.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: String,
}

/// Writes one log with one run, with a line end.
pub(super) fn write(reports: &[Report], out: &mut impl io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &log(reports))?;
    writeln!(out)
}

fn log(reports: &[Report]) -> SarifLog {
    let mut rules = BTreeMap::new();
    for report in reports {
        let accepted = report.accepted().iter().map(|accepted| &accepted.diagnostic);
        rules.extend(report.diagnostics().iter().chain(accepted).map(|diagnostic| (diagnostic.code(), 0)));
    }
    for (at, index) in rules.values_mut().enumerate() {
        *index = at;
    }
    let mut artifacts: Vec<Artifact> = Vec::new();
    for report in reports {
        let location = uri(report.name());
        if artifacts.iter().all(|artifact| artifact.location != location) {
            artifacts.push(Artifact { location, source_language: "yaml" });
        }
    }
    let driver = SarifDriver {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        information_uri: REPOSITORY,
        rules: rules.keys().map(|code| rule(*code)).collect(),
    };
    let run = SarifRun {
        tool: Tool { driver },
        invocations: [Invocation { execution_successful: !reports.iter().any(Report::is_unreadable) }],
        column_kind: "utf16CodeUnits",
        artifacts,
        results: reports.iter().flat_map(|report| results(report, &rules)).collect(),
    };
    SarifLog { schema: SCHEMA, version: "2.1.0", runs: [run] }
}

fn rule(code: Code) -> SarifRule {
    SarifRule {
        id: code.name(),
        short_description: SarifMessage::of(code.title()),
        full_description: SarifMessage::of(code.explanation()),
        help: SarifMessage { text: page::text(code), markdown: Some(page::markdown(code)) },
        help_uri: format!("{REPOSITORY}/blob/main/docs/diagnostics.md#{}", code.name()),
        default_configuration: Configuration { level: code.severity().to_string() },
    }
}

fn results(report: &Report, rules: &BTreeMap<Code, usize>) -> impl Iterator<Item = SarifResult> {
    let found = report.diagnostics().iter().map(|diagnostic| (diagnostic, None));
    let accepted = report.accepted().iter().map(|accepted| (&accepted.diagnostic, Some(accepted.reason.clone())));
    found.chain(accepted).map(|(diagnostic, reason)| result(report, diagnostic, reason, rules))
}

fn result(
    report: &Report,
    diagnostic: &Diagnostic,
    reason: Option<String>,
    rules: &BTreeMap<Code, usize>,
) -> SarifResult {
    let code = diagnostic.code();
    let location = |span: Option<Span>, message| Location {
        physical_location: Physical {
            artifact_location: uri(report.name()),
            region: span.map(|span| region(report, span)),
        },
        message,
    };
    let related = diagnostic.related_places().iter();
    let suppression = |reason| Suppression { kind: "inSource", justification: reason };
    SarifResult {
        rule_id: code.name(),
        rule_index: rules.get(&code).copied().unwrap_or_default(),
        level: code.severity().to_string(),
        message: SarifMessage::of(message(diagnostic)),
        locations: vec![location(diagnostic.span(), None)],
        related_locations: related.map(|(span, words)| location(Some(*span), Some(SarifMessage::of(words)))).collect(),
        suppressions: reason.map(suppression).into_iter().collect(),
    }
}

/// A sentence that can stand alone, then a line for each note and help.
fn message(diagnostic: &Diagnostic) -> String {
    let notes = diagnostic.notes().map(|note| sentence(&format!("Note: {note}")));
    let helps = diagnostic.helps().map(|help| sentence(&format!("Help: {help}")));
    let lines = std::iter::once(sentence(diagnostic.message())).chain(notes).chain(helps);
    lines.collect::<Vec<_>>().join("\n")
}

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

impl SarifMessage {
    fn of(text: impl Into<String>) -> Self {
        SarifMessage { text: text.into(), markdown: None }
    }
}

fn region(report: &Report, span: Span) -> Region {
    let place = report.place(span, Columns::Utf16);
    Region {
        start_line: place.line,
        start_column: place.column,
        end_line: place.end_line,
        end_column: place.end_column,
    }
}

/// The file as a URI: with a scheme where the path is absolute, else relative.
fn uri(name: &str) -> Uri {
    let path = Path::new(name);
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(encode(&part.to_string_lossy())),
        Component::ParentDir => Some("..".to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let parts = parts.collect::<Vec<_>>().join("/");
    if path.is_absolute() {
        Uri { uri: format!("file:///{parts}"), uri_base_id: None }
    } else {
        Uri { uri: parts, uri_base_id: Some("%SRCROOT%") }
    }
}

/// Every byte that has a meaning in a URI, or none, as `%` and its number.
fn encode(part: &str) -> String {
    let mut encoded = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[track_caller]
    fn check(name: &str, expected: &str, base: Option<&str>) {
        let found = uri(name);
        assert_eq!((found.uri.as_str(), found.uri_base_id), (expected, base), "{name}");
    }

    #[test]
    fn paths_become_uris() {
        let root = Some("%SRCROOT%");
        check("rules.yaml", "rules.yaml", root);
        check("./a//b/./rules.yaml", "a/b/rules.yaml", root);
        check("../rules.yaml", "../rules.yaml", root);
        check("a:b/50% é#?.yaml", "a%3Ab/50%25%20%C3%A9%23%3F.yaml", root);
        check("<stdin>", "%3Cstdin%3E", root);
        check("/etc/emqx/rules.yaml", "file:///etc/emqx/rules.yaml", None);
    }
}
