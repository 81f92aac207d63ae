//! Diagnostics: what is wrong with a policy, where, and what to do about it.

use std::collections::HashSet;
use std::fmt;

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str, renderer::DecorStyle,
};

use super::accepts::Accepts;
use super::codes::{Code, Severity};
use super::span::{BOM, Columns, Lines, Place, Span};

/// How many diagnostics of one file are kept; the rest are counted.
const MOST: usize = 1000;
/// Lines longer than this are shown in part, so that a policy in one line does not fill the screen.
const LONG_LINE: usize = 2000;
/// How much of a long line is shown on either side of the span.
const CONTEXT: usize = 60;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    code: Code,
    message: String,
    span: Option<Span>,
    related: Vec<(Span, String)>,
    remarks: Vec<(Remark, String)>,
}

/// What stands below the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remark {
    Note,
    Help,
}

impl Diagnostic {
    /// A mistake at a place. The message is a sentence without a full stop.
    // Public for the analysis, which makes diagnostics too.
    #[doc(hidden)]
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { span: Some(span), ..Diagnostic::unplaced(code, message) }
    }

    /// A mistake that has no place in the policy's text.
    pub(crate) fn unplaced(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), span: None, related: Vec::new(), remarks: Vec::new() }
    }

    /// Another place that has to do with it, with words beside it.
    #[must_use]
    // Public for the analysis, which makes diagnostics too.
    #[doc(hidden)]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// What shows it: an example, say.
    #[must_use]
    // Public for the analysis, which makes diagnostics too.
    #[doc(hidden)]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.remarks.push((Remark::Note, note.into()));
        self
    }

    /// What to do about it.
    #[must_use]
    // Public for the analysis, which makes diagnostics too.
    #[doc(hidden)]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.remarks.push((Remark::Help, help.into()));
        self
    }

    /// The kind of mistake.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in a sentence without a full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The offending bytes of the policy's text.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// Other places that have to do with it, with words beside each.
    pub fn related_places(&self) -> &[(Span, String)] {
        &self.related
    }

    /// What shows it.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.remarks(Remark::Note)
    }

    /// What to do about it.
    pub fn helps(&self) -> impl Iterator<Item = &str> {
        self.remarks(Remark::Help)
    }

    fn remarks(&self, kind: Remark) -> impl Iterator<Item = &str> {
        self.remarks.iter().filter(move |(remark, _)| *remark == kind).map(|(_, words)| words.as_str())
    }
}

/// Diagnostics while they are collected.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    kept: Vec<Diagnostic>,
    seen: HashSet<(Code, Option<Span>, String)>,
    omitted: CodeCount,
    accepts: Accepts,
    accepted: Vec<Accepted>,
}

/// A warning that the policy says is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The warning.
    pub diagnostic: Diagnostic,
    /// Why it is meant.
    pub reason: String,
}

/// How many of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CodeCount {
    errors: usize,
    warnings: usize,
    accepted: usize,
}

impl CodeCount {
    fn add(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.errors = self.errors.saturating_add(1),
            Severity::Warning => self.warnings = self.warnings.saturating_add(1),
        }
    }
}

impl Diagnostics {
    /// Says which warnings are meant, of all that come from now on.
    pub(crate) fn accept(&mut self, accepts: Accepts) {
        self.accepts = accepts;
    }

    /// Adds one. The same mistake at the same place, met again by way of an alias or a name, counts once.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let reason = self.accepts.reason(&diagnostic);
        if self.is_full() {
            match reason {
                Some(_) => self.omitted.accepted = self.omitted.accepted.saturating_add(1),
                None => self.omitted.add(diagnostic.code.severity()),
            }
        } else if self.seen.insert((diagnostic.code, diagnostic.span, diagnostic.message.clone())) {
            match reason {
                Some(reason) => self.accepted.push(Accepted { diagnostic, reason }),
                None => self.kept.push(diagnostic),
            }
        }
    }

    /// Says nothing but the kind of mistake of those whose places hold a secret.
    pub(crate) fn withhold(&mut self, is_secret: impl Fn(Span) -> bool, help: &str) {
        for diagnostic in &mut self.kept {
            if diagnostic.span.is_some_and(&is_secret) {
                let title = sentence(diagnostic.code.title());
                diagnostic.message = format!("{title}; what stands here may be a password, and is not shown");
                diagnostic.remarks = vec![(Remark::Help, help.to_owned())];
            }
        }
    }

    /// Whether no more will be kept, so that no work need go into their words.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len().saturating_add(self.accepted.len()) >= MOST
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.omitted.errors > 0 || self.kept.iter().any(|kept| kept.code.severity() == Severity::Error)
    }
}

/// What was found in one policy file. `Display` gives the whole report as plain text.
#[derive(Debug)]
pub struct Report {
    name: String,
    text: String,
    lines: Lines,
    found: Diagnostics,
    open: Option<String>,
}

impl Report {
    pub(crate) fn new(name: &str, text: &str, found: Diagnostics) -> Self {
        let lines = Lines::new(text);
        let mut report = Report { name: name.to_owned(), text: text.to_owned(), lines, found, open: None };
        report.sort();
        report
    }

    /// Adds what was found later, each in its place.
    pub(crate) fn add(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        found.into_iter().for_each(|diagnostic| self.found.push(diagnostic));
        self.sort();
    }

    /// Notes what could not be settled, in a line. It is no mistake of the policy.
    pub(crate) fn leave_open(&mut self, line: String) {
        self.open = Some(line);
    }

    /// What could not be settled within the bound of work, in a line.
    pub fn open(&self) -> Option<&str> {
        self.open.as_deref()
    }

    /// Adds a warning for each accepted code that met no warning.
    pub(crate) fn report_unused_accepts(&mut self, looked_for: impl Fn(Code) -> bool) {
        let unused = self.found.accepts.unused(looked_for);
        self.add(unused);
    }

    fn sort(&mut self) {
        let place = |diagnostic: &Diagnostic| (diagnostic.span.map_or(0, |span| span.start), diagnostic.code);
        self.found.kept.sort_by_key(place);
        self.found.accepted.sort_by_key(|accepted| place(&accepted.diagnostic));
    }

    /// The policy file, as it was named by the caller.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text, in which the places of the diagnostics are.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The diagnostics in the order of the text, at most a thousand.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.found.kept
    }

    /// The warnings that the policy says are meant, in the order of the text. With the other diagnostics they are at most
    /// a thousand.
    pub fn accepted(&self) -> &[Accepted] {
        &self.found.accepted
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count().errors
    }

    /// How many warnings there are that the policy does not accept.
    pub fn warnings(&self) -> usize {
        self.count().warnings
    }

    fn count(&self) -> CodeCount {
        let mut count = self.found.omitted;
        self.found.kept.iter().for_each(|diagnostic| count.add(diagnostic.code.severity()));
        count.accepted = count.accepted.saturating_add(self.found.accepted.len());
        count
    }

    /// How many diagnostics were found beyond those that are kept.
    pub fn omitted(&self) -> usize {
        self.found.omitted.errors.saturating_add(self.found.omitted.warnings)
    }

    /// Whether nothing was found but what the policy accepts.
    pub fn is_empty(&self) -> bool {
        self.errors() == 0 && self.warnings() == 0
    }

    /// Whether the file could not be read at all.
    pub fn is_unreadable(&self) -> bool {
        self.diagnostics().iter().any(|diagnostic| diagnostic.code == Code::UnreadableFile)
    }

    /// Line and column of a diagnostic, both from 1; `None` where it has no place in the text.
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(usize, usize)> {
        diagnostic.span.map(|span| self.lines.position(span.start, &self.text, Columns::Characters))
    }

    /// Where a span of the policy's text begins and ends.
    pub fn place(&self, span: Span, columns: Columns) -> Place {
        self.lines.place(span, &self.text, columns)
    }

    /// Every diagnostic with its place in the text, what was left open, and a line that counts them. Ends in a line end.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in self.diagnostics() {
            for line in renderer.render(&[self.group(diagnostic)]).lines().filter(|line| *line != " ::: ") {
                out.push_str(line);
                out.push('\n');
            }
            out.push('\n');
        }
        if self.omitted() > 0 {
            out.push_str("... and ");
            out.push_str(&self.omitted().to_string());
            out.push_str(" more\n\n");
        }
        if let Some(open) = &self.open {
            for part in [&self.name, ": ", open, "\n"] {
                out.push_str(part);
            }
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// One line: the file and how many errors and warnings it has.
    pub fn summary(&self) -> String {
        let CodeCount { errors, warnings, accepted } = self.count();
        let some = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            count => Some(format!("{count} {word}s")),
        };
        let fine = (errors == 0 && warnings == 0).then(|| "fine".to_owned());
        let accepted = (accepted > 0).then(|| format!("{accepted} accepted"));
        let parts = [fine, some(errors, "error"), some(warnings, "warning"), accepted];
        format!("{}: {}", self.name, parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.code.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code.name()));
        match diagnostic.span {
            Some(span) => group = group.elements(self.snippets(diagnostic, span)),
            None => group = group.element(Origin::path(&self.name)),
        }
        let notes = diagnostic.notes().map(|note| Level::NOTE.message(normalize_untrusted_str(note)));
        let helps = diagnostic.helps().map(|help| Level::HELP.message(normalize_untrusted_str(help)));
        group.elements(notes).elements(helps)
    }

    fn snippets<'a>(&'a self, diagnostic: &'a Diagnostic, span: Span) -> Vec<Element<'a>> {
        let related = |(other, words): &'a (Span, String)| (AnnotationKind::Context, *other, Some(words.as_str()));
        let (near, far): (Vec<_>, Vec<_>) = diagnostic
            .related
            .iter()
            .map(related)
            .partition(|(_, other, _)| span.start.abs_diff(other.start) < LONG_LINE);
        let near: Vec<_> = std::iter::once((AnnotationKind::Primary, span, None)).chain(near).collect();
        let far = far.into_iter().flat_map(|mark| self.snippet(&[mark]));
        self.snippet(&near).into_iter().chain(far).collect()
    }

    /// The lines that hold the spans. Only they are handed to the renderer, which looks through all that it gets.
    fn snippet<'a>(&'a self, marks: &[(AnnotationKind, Span, Option<&'a str>)]) -> Vec<Element<'a>> {
        let first = marks.iter().map(|(_, span, _)| span.start).min().unwrap_or_default();
        let last = marks.iter().map(|(_, span, _)| span.end).max().unwrap_or_default();
        let line = self.lines.line(first);
        let (mut from, mut to) = (self.lines.start(line), self.lines.end(self.lines.line(last), &self.text));
        if self.text.get(from..to).is_some_and(|window| window.starts_with(BOM)) {
            from = from.saturating_add(BOM.len_utf8());
        }
        let origin = (to.saturating_sub(from) > LONG_LINE).then(|| {
            let (line, column) = self.lines.position(first, &self.text, Columns::Characters);
            from = from.max(boundary(&self.text, first.saturating_sub(CONTEXT)));
            to = to.min(boundary(&self.text, last.min(first.saturating_add(LONG_LINE)).saturating_add(CONTEXT)));
            Origin::path(&self.name).line(line).char_column(column)
        });
        let window = Span::new(from, to).of(&self.text);
        let within = |offset: usize| offset.clamp(from, to).saturating_sub(from);
        let mut snippet = Snippet::source(window).line_start(line);
        for (kind, span, label) in marks {
            snippet = snippet.annotation(kind.span(within(span.start)..within(span.end)).label(*label));
        }
        match origin {
            Some(origin) => vec![origin.into(), snippet.into()],
            None => vec![snippet.path(&self.name).into()],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// A title as the beginning of a message: `A value` becomes `a value`, and `YAML` stays as it is.
fn sentence(title: &str) -> String {
    let mut rest = title.chars();
    let (first, second) = (rest.next(), rest.clone().next());
    match (first, second) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(rest).collect(),
        (_, _) => title.to_owned(),
    }
}

/// The last byte not behind `offset` at which a character begins.
fn boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default()
}

/// A piece of the policy's text inside a message: in backticks, on one line and not too long.
// Public for the analysis, which makes diagnostics too.
#[doc(hidden)]
pub fn quote(text: &str) -> String {
    const MOST_CHARS: usize = 60;
    if text.is_empty() {
        return "the empty text".to_owned();
    }
    let mut shown: String = text.chars().take(MOST_CHARS).flat_map(|c| visible(c).collect::<Vec<_>>()).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The candidate that was most likely meant, where one is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST_CANDIDATES: usize = 1000;
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(MOST_CANDIDATES)
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= most && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{nearest, quote};

    #[track_caller]
    fn near(word: &str, want: Option<&str>) {
        assert_eq!(nearest(word, ["publish", "subscribe", "topics", "allow", "deny", "in"]), want, "{word}");
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        near("publsh", Some("publish"));
        near("Publish", Some("publish"));
        near("subscibe", Some("subscribe"));
        near("dney", Some("deny"));
        near("topic", Some("topics"));
        near("comment", None);
        near("x", None);
        near("", None);
        near(&"publish".repeat(100), None);
    }

    #[test]
    fn quoted_text_stays_on_one_line() {
        assert_eq!(quote("a b"), "`a b`");
        assert_eq!(quote("a\n\u{1b}[0m"), "`a\\n\\u{1b}[0m`");
        assert_eq!(quote(&"é".repeat(61)), format!("`{}...`", "é".repeat(60)));
    }
}
