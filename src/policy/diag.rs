//! Diagnostics: what is wrong with a policy, where, and what to do about it.

use std::collections::HashSet;
use std::fmt;

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str, renderer::DecorStyle,
};

use super::codes::{Code, Severity};
use super::span::{BOM, Lines, Span};

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
    related: Option<(Span, String)>,
    helps: Vec<String>,
}

impl Diagnostic {
    /// A mistake at a place. The message is a sentence without a full stop.
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { span: Some(span), ..Diagnostic::unplaced(code, message) }
    }

    /// A mistake that has no place in the policy's text.
    pub(crate) fn unplaced(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), span: None, related: None, helps: Vec::new() }
    }

    /// Another place that has to do with it, with words beside it.
    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
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

    /// What to do about it.
    pub fn helps(&self) -> &[String] {
        &self.helps
    }
}

/// Diagnostics while they are collected.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    kept: Vec<Diagnostic>,
    seen: HashSet<(Code, Option<Span>, String)>,
    omitted: Count,
}

/// How many of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    errors: usize,
    warnings: usize,
}

impl Count {
    fn add(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.errors = self.errors.saturating_add(1),
            Severity::Warning => self.warnings = self.warnings.saturating_add(1),
        }
    }
}

impl Diagnostics {
    /// Adds one. The same mistake at the same place, met again by way of an alias or a name, counts once.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.is_full() {
            self.omitted.add(diagnostic.code.severity());
        } else if self.seen.insert((diagnostic.code, diagnostic.span, diagnostic.message.clone())) {
            self.kept.push(diagnostic);
        }
    }

    /// Whether no more will be kept, so that no work need go into their words.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= MOST
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
    diagnostics: Vec<Diagnostic>,
    count: Count,
}

impl Report {
    pub(crate) fn new(name: &str, text: &str, mut found: Diagnostics) -> Self {
        found.kept.sort_by_key(|diagnostic| (diagnostic.span.map_or(0, |span| span.start), diagnostic.code));
        let mut count = found.omitted;
        found.kept.iter().for_each(|diagnostic| count.add(diagnostic.code.severity()));
        Report { name: name.to_owned(), text: text.to_owned(), lines: Lines::new(text), diagnostics: found.kept, count }
    }

    /// Adds what was found later, in its place.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.count.add(diagnostic.code.severity());
        let start = |diagnostic: &Diagnostic| diagnostic.span.map_or(0, |span| span.start);
        let at = self.diagnostics.partition_point(|kept| start(kept) <= start(&diagnostic));
        self.diagnostics.insert(at, diagnostic);
    }

    /// The policy file, as it was named by the caller.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The diagnostics in the order of the text, at most a thousand.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count.errors
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count.warnings
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.count == Count::default()
    }

    /// Whether the file could not be read at all.
    pub fn is_unreadable(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.code == Code::UnreadableFile)
    }

    /// Line and column of a diagnostic, both from 1; `None` where it has no place in the text.
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(usize, usize)> {
        diagnostic.span.map(|span| self.lines.position(span.start, &self.text))
    }

    /// Every diagnostic with its place in the text, and a line that counts them. Ends in a line end.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            for line in renderer.render(&[self.group(diagnostic)]).lines().filter(|line| *line != " ::: ") {
                out.push_str(line);
                out.push('\n');
            }
            out.push('\n');
        }
        let omitted = self.count.errors.saturating_add(self.count.warnings).saturating_sub(self.diagnostics.len());
        if omitted > 0 {
            out.push_str("... and ");
            out.push_str(&omitted.to_string());
            out.push_str(" more\n\n");
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// One line: the file and how many errors and warnings it has.
    pub fn summary(&self) -> String {
        let count = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        match (self.count.errors, self.count.warnings) {
            (0, 0) => format!("{}: fine", self.name),
            (errors, 0) => format!("{}: {}", self.name, count(errors, "error")),
            (0, warnings) => format!("{}: {}", self.name, count(warnings, "warning")),
            (errors, warnings) => {
                format!("{}: {}, {}", self.name, count(errors, "error"), count(warnings, "warning"))
            }
        }
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
        let helps = diagnostic.helps.iter().map(|help| Level::HELP.message(normalize_untrusted_str(help)));
        group.elements(helps)
    }

    fn snippets<'a>(&'a self, diagnostic: &'a Diagnostic, span: Span) -> Vec<Element<'a>> {
        let primary = (AnnotationKind::Primary, span, None);
        let Some((other, words)) = &diagnostic.related else { return self.snippet(&[primary]) };
        let related = (AnnotationKind::Context, *other, Some(words.as_str()));
        if span.start.abs_diff(other.start) < LONG_LINE {
            return self.snippet(&[primary, related]);
        }
        let mut both = self.snippet(&[primary]);
        both.append(&mut self.snippet(&[related]));
        both
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
            let (line, column) = self.lines.position(first, &self.text);
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

/// The last byte not behind `offset` at which a character begins.
fn boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default()
}

/// A piece of the policy's text inside a message: in backticks, on one line and not too long.
pub(crate) fn quote(text: &str) -> String {
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
