//! What YAML does to texts that look harmless, in plain words.

use super::codes::Code;
use super::diag::{Diagnostic, quote};
use super::span::Span;
use super::yaml::{Node, Yaml};

/// The rest of the line after a byte, as it stands.
fn rest_of_line(text: &str, offset: usize) -> &str {
    let rest = text.get(offset..).unwrap_or_default();
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

/// The comment that follows a value on the same line, with nothing but blanks between.
pub(crate) fn comment_after(text: &str, offset: usize) -> Option<Span> {
    let rest = rest_of_line(text, offset);
    let comment = rest.trim_start_matches([' ', '\t']);
    if !comment.starts_with('#') {
        return None;
    }
    let start = offset.saturating_add(rest.len().saturating_sub(comment.len()));
    Some(Span::new(start, start.saturating_add(comment.trim_end().len())))
}

/// The comment that stands where a value should: `key: #`, `- #`. The place of a value that is not there is
/// behind the key or behind the comment.
pub(crate) fn comment_instead(text: &str, offset: usize) -> Option<Span> {
    let rest = rest_of_line(text, offset);
    let blanks = rest.len().saturating_sub(rest.trim_start_matches([' ', '\t', ':']).len());
    if let Some(comment) = comment_after(text, offset.saturating_add(blanks)) {
        return Some(comment);
    }
    let start = text.get(..offset)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = rest_of_line(text, start);
    let dash = line.len().saturating_sub(line.trim_start_matches([' ', '\t', '-']).len());
    comment_after(text, start.saturating_add(dash))
}

/// A value that is null: because a `#` ate it, because nothing stands there, or because it says so.
pub(crate) fn null(text: &str, value: &Yaml, key: Option<Span>) -> Diagnostic {
    let written = value.span.of(text);
    let of = key.map(|key| format!(" of {}", quote(key.of(text)))).unwrap_or_default();
    if !written.is_empty() {
        return Diagnostic::new(
            Code::EmptyValue,
            value.span,
            format!("YAML reads {} as no value at all", quote(written)),
        )
        .help(format!("leave the key out, give it a value, or write \"{written}\" in quotes if the text is meant"));
    }
    if let Some(comment) = comment_instead(text, value.span.end) {
        let message = format!("YAML reads {} as a comment, so the value{of} is empty", quote(comment.of(text)));
        let help = format!("write it in quotes if it is meant as a text: {}", in_quotes(comment.of(text)));
        return Diagnostic::new(Code::BareHash, comment, message).help(help);
    }
    let span = key.unwrap_or(value.span);
    let message = key
        .map_or_else(|| "an entry without a value".to_owned(), |key| format!("{} has no value", quote(key.of(text))));
    Diagnostic::new(Code::EmptyValue, span, message)
        .help("leave it out or give it a value; an empty section is `{}`, an empty list `[]`")
}

/// A number, true or false where a text is needed.
pub(crate) fn not_a_string(text: &str, value: &Yaml) -> Option<Diagnostic> {
    let written = value.span.of(text);
    let read = match &value.node {
        Node::Bool(flag) => flag.to_string(),
        Node::Int(number) => format!("the number {number}"),
        Node::Number(number) if number.len() <= 40 => format!("the number {number}"),
        Node::Number(_) => "a number".to_owned(),
        Node::Null | Node::Text(_) | Node::Seq(_) | Node::Map(_) => return None,
    };
    let read = if read == written { "true or false".to_owned() } else { read };
    let message = format!("YAML reads {written} as {read}, and a text is needed");
    Some(Diagnostic::new(Code::NotAString, value.span, message).help(format!("write {}", in_quotes(written))))
}

/// A comment directly behind a plain topic pattern that looks like its continuation: `a/b #c`, `dev/ #`.
pub(crate) fn comment_after_pattern(text: &str, span: Span) -> Option<Diagnostic> {
    let pattern = span.of(text);
    if pattern.starts_with(['"', '\'']) {
        return None;
    }
    let comment = comment_after(text, span.end)?;
    let words = comment.of(text).trim_start_matches('#');
    if !words.is_empty() && words.starts_with([' ', '\t', '#']) && !pattern.ends_with('/') {
        return None;
    }
    let message = format!("YAML reads {} as a comment, so the pattern is {}", quote(comment.of(text)), quote(pattern));
    Some(Diagnostic::new(Code::CommentAfterPattern, comment, message).help(
        "write the whole topic in quotes if the `#` belongs to it; put a blank after the `#` if it begins a comment",
    ))
}

/// The mistake behind a syntax error where a comment ate a closing bracket: `[dev/ #]`.
pub(crate) fn explain_syntax(text: &str, error: Span) -> Option<Diagnostic> {
    let end = error.start.saturating_add(rest_of_line(text, error.start).len());
    let mut line_end = end;
    for line in text.get(..end)?.rsplit('\n').take(1000) {
        let start = line_end.saturating_sub(line.len());
        if let Some(at) = swallowed(line) {
            let comment = line.get(at..).unwrap_or_default().trim_end();
            let span = Span::new(start.saturating_add(at), start.saturating_add(at).saturating_add(comment.len()));
            let message =
                format!("YAML reads {} as a comment, so the bracket before it is never closed", quote(comment));
            return Some(
                Diagnostic::new(Code::BareHash, span, message)
                    .help("write a text with a `#` in quotes: [\"#\"] or [\"dev/#\"]"),
            );
        }
        line_end = start.saturating_sub(1);
    }
    None
}

/// Where a comment begins that holds the bracket which would close one open before it.
fn swallowed(line: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some('"'), '"') if before == '\\' => {}
            (Some(closing), c) if c == closing => quote = None,
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ']' | '}') => {
                open.pop();
            }
            (None, '#') if before.is_whitespace() || matches!(before, '[' | '{' | ',') => {
                let closing = *open.last()?;
                return closes_more(line.get(at..)?, closing).then_some(at);
            }
            (Some(_) | None, _) => {}
        }
        before = c;
    }
    None
}

/// Whether the comment closes a bracket that it did not open: `# the [old] one` does not.
fn closes_more(comment: &str, closing: char) -> bool {
    let opening = if closing == ']' { '[' } else { '{' };
    comment.matches(closing).count() > comment.matches(opening).count()
}

/// What to do about a syntax error that a missing quote has caused.
pub(crate) fn syntax_help(text: &str, error: Span) -> Option<String> {
    let start = text.get(..error.start)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = rest_of_line(text, start);
    let at = error.start.saturating_sub(start);
    let first = text.get(error.start..)?.chars().next()?;
    if line.get(..at)?.ends_with('$') || (line.contains("${") && line.contains(['[', '{'])) {
        return Some("a text with `${...}` inside [ ] or { } must stand in quotes".to_owned());
    }
    if matches!(first, '*' | '&' | '!' | '%' | '@' | '`') {
        return Some(format!("a text that begins with {} must stand in quotes", quote(&first.to_string())));
    }
    if matches!(first, '+' | '#') {
        return Some("write topic filters in quotes".to_owned());
    }
    line.contains('\t').then(|| "YAML is indented with blanks, never with tabs".to_owned())
}

/// The text as YAML would have it in double quotes.
pub(crate) fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A file with nothing but comments.
pub(crate) fn empty_file(what: &str, first: &str) -> Diagnostic {
    Diagnostic::new(Code::EmptyValue, Span::new(0, 0), format!("{what} is empty")).help(format!("begin with `{first}`"))
}

#[cfg(test)]
mod tests {
    use super::swallowed;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(swallowed(line).map(|at| line.split_at(at).1), expected, "{line}");
    }

    #[test]
    fn a_comment_that_ate_a_bracket_is_found() {
        check("topics: [dev/ #]", Some("#]"));
        check("topics: [#]", Some("#]"));
        check("topics: [a,#]", Some("#]"));
        check("- { topics: [a, #] }", Some("#] }"));
        check("- { publish: # }", Some("# }"));
        check("topics: [\"#\", #]", Some("#]"));
        check("topics: [\"a\\\" #\", '#', # b]", Some("# b]"));
    }

    #[test]
    fn other_comments_are_left_alone() {
        check("topics: [dev/#]", None);
        check("topics: [\"dev/ #\"]", None);
        check("topics: [a] # one]", None);
        check("topics: [a, # one", None);
        check("topics: [a, # the [old] one", None);
        check("# [a]", None);
        check("", None);
    }
}
