//! Reading a policy: from the file to the [`Model`] or to everything that is wrong with it.

use std::fmt::Display;
use std::path::Path;
use std::str::Utf8Error;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use super::accepts::Accepts;
use super::codes::Code;
use super::decode::{At, Cx};
use super::diag::{Diagnostic, Diagnostics, Report};
use super::model::Model;
use super::places::Places;
use super::problem::{SourceFault, SourceKind, SourceProblem};
use super::span::Span;
use super::validate::validate;
use super::{raw, traps, yaml};

/// A policy that is well formed.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub model: Model,
    /// What in it may not do what was meant.
    pub warnings: Report,
    /// Where its parts stand in the text.
    pub places: Places,
}

impl Loaded {
    /// Adds what was found in the policy later, less what it accepts.
    pub fn add(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.warnings.add(found);
    }

    /// Notes what could not be settled, in a line of the report.
    pub fn leave_open(&mut self, line: String) {
        self.warnings.leave_open(line);
    }

    /// Adds a warning for everything that `accept` names in vain. This comes last; `looked_for` says whether everything
    /// that raises a code was looked for.
    pub fn report_unused_accepts(&mut self, looked_for: impl Fn(Code) -> bool) {
        self.warnings.report_unused_accepts(looked_for);
    }

    /// Adds what was found in the policy's sources to the report, at the places where they are declared.
    pub fn report_sources(&mut self, problems: impl IntoIterator<Item = SourceProblem>) {
        for problem in problems {
            let places: &[_] = match problem.kind {
                SourceKind::Policy => &[],
                SourceKind::List => &self.places.lists,
                SourceKind::Passwords => &self.places.passwords,
            };
            let span = places.iter().find(|(name, _)| *name == problem.name).map(|&(_, span)| span);
            let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
            let message = format!("{}{line}: {}", problem.path.display(), problem.message);
            let code = match problem.fault {
                SourceFault::Unusable => Code::BadSource,
                SourceFault::BadEntry => Code::BadPasswordEntry,
                SourceFault::Empty => Code::NoEntries,
                SourceFault::ReadByEveryone => Code::ReadByEveryone,
                SourceFault::WrittenByEveryone => Code::WrittenByEveryone,
            };
            let diagnostic = match span {
                Some(span) => Diagnostic::new(code, span, message),
                None => Diagnostic::unplaced(code, message),
            };
            self.add([match problem.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }]);
        }
    }
}

/// The report on a file that could not be read.
// Public for what reads files, which reports those that cannot be read as a policy is reported.
#[doc(hidden)]
pub fn unreadable(name: &str, error: &dyn Display) -> Report {
    let message = format!("the file cannot be read: {error}");
    only(name, "", Diagnostic::unplaced(Code::UnreadableFile, message))
}

/// Reads a policy from bytes, which must be UTF-8. The name stands in reports; paths are relative to the folder.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_bytes(bytes: &[u8], name: &str, folder: &Path) -> Result<Loaded, Box<Report>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, name, folder),
        Err(error) => Err(Box::new(only(name, &String::from_utf8_lossy(bytes), not_utf8(error)))),
    }
}

/// The first byte that is no UTF-8, in the text with replacement characters.
pub(crate) fn not_utf8(error: Utf8Error) -> Diagnostic {
    let at = error.valid_up_to();
    let span = Span::new(at, at.saturating_add(char::REPLACEMENT_CHARACTER.len_utf8()));
    Diagnostic::new(Code::NotUtf8, span, "this byte is no UTF-8").help("save the file as UTF-8")
}

/// Reads a policy from text. The name stands in reports; paths are relative to the folder.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Loaded, Box<Report>> {
    let tree = yaml::read(text).map_err(|diagnostic| Box::new(only(name, text, diagnostic)))?;
    let mut cx = Cx::new(text);
    if tree.node == yaml::Node::Null {
        let diagnostic = traps::empty_file("the policy", "version: 1");
        return Err(Box::new(only(name, text, diagnostic)));
    }
    let Some(mut policy) = cx.value::<raw::Policy>(&tree, None) else {
        return Err(Box::new(Report::new(name, text, cx.found)));
    };
    if let Some(At { value: raw::Version::Unknown, span, .. }) = policy.version {
        // Whatever else is odd in it may be right in that version.
        let message = format!("version {} of the policy language is not known", span.of(text));
        let diagnostic =
            Diagnostic::new(Code::UnsupportedVersion, span, message).help("this program knows `version: 1`");
        return Err(Box::new(only(name, text, diagnostic)));
    }
    drop(tree);
    cx.found.accept(Accepts::of(&mut policy));
    let (model, places, cx) = validate(policy, cx, folder);
    let failed = cx.found.has_errors();
    let report = Report::new(name, text, cx.found);
    if failed { Err(Box::new(report)) } else { Ok(Loaded { model, warnings: report, places }) }
}

pub(crate) fn only(name: &str, text: &str, diagnostic: Diagnostic) -> Report {
    let mut found = Diagnostics::default();
    found.push(diagnostic);
    Report::new(name, text, found)
}

/// The JSON Schema (draft 7) of policy files, with a line end.
pub fn schema() -> String {
    schema_of::<raw::Policy>()
}

/// The JSON Schema (draft 7) of a kind of file, with a line end.
pub(crate) fn schema_of<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
