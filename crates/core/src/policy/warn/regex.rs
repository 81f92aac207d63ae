//! Regexes that are not what they seem.

use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassBracketed, ClassSet, ClassSetItem, LiteralKind, RepetitionKind, Visitor,
};

use super::texts::blanks;
use crate::policy::codes::Code;
use crate::policy::decode::{Cx, Text};
use crate::policy::diag::{Diagnostic, quote};
use crate::policy::traps::in_quotes;
use crate::text::Matcher;

/// What a regex is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Name,
    Address,
    Topic,
}

/// A regex over a field of the client or a topic.
pub(crate) fn regex(cx: &mut Cx<'_>, text: &Text, subject: Subject) {
    blanks(cx, text);
    let source = with_stand_ins(&text.value);
    let Ok(ast) = ast::parse::Parser::new().parse(&source) else { return };
    let Ok(found) = ast::visit(&ast, Looker { subject, ..Looker::default() });
    if let Some(sign) = found.wildcard {
        let message = format!("{} is written like a glob or a topic filter: {sign}", quote(&text.value));
        cx.push(Diagnostic::new(Code::GlobInRegex, text.span, message).help(match subject {
            Subject::Topic => "`.*` is any text, `[^/]+` one level; or write a filter or a glob",
            Subject::Name | Subject::Address => "`.*` is any text; or write a glob",
        }));
    } else if let Some(literal) = literal(&ast).map(|literal| without_stand_ins(&literal)) {
        let message = format!("this regex matches {} and nothing else", quote(&literal));
        let help = format!("write the text itself, {}, or `.*` where more may stand", in_quotes(&literal));
        cx.push(Diagnostic::new(Code::PlainRegex, text.span, message).help(help));
    } else {
        half_anchored(cx, text, &ast);
    }
    if let Some(dot) = found.dots.into_iter().find(|&at| is_meant_literally(&source, at, subject)) {
        unescaped_dot(cx, text, dot, subject);
    }
    for (class, message) in found.classes {
        let span = text.part(Some(&class));
        cx.push(
            Diagnostic::new(Code::OddClass, span, message)
                .help("a class is a set of single characters: `[a-zA-Z]`, `[ab]`"),
        );
    }
    empty_alternative(cx, text, &ast);
}

/// Noncharacters for placeholders, and a letter so that the length and with it every place stays.
const STAND_INS: [(&str, &str); 2] =
    [("${clientid}", "\u{FDD0}\u{FDD0}\u{FDD0}é"), ("${username}", "\u{FDD1}\u{FDD1}\u{FDD1}é")];

fn with_stand_ins(regex: &str) -> String {
    STAND_INS.iter().fold(regex.to_owned(), |text, (placeholder, stand_in)| text.replace(placeholder, stand_in))
}

fn without_stand_ins(text: &str) -> String {
    STAND_INS.iter().fold(text.to_owned(), |text, (placeholder, stand_in)| text.replace(stand_in, placeholder))
}

/// What to look at in a regex.
#[derive(Debug)]
struct Looker {
    subject: Subject,
    /// Where a `.` stands that nothing repeats.
    dots: Vec<usize>,
    /// What is no wildcard here, in words.
    wildcard: Option<String>,
    classes: Vec<(std::ops::Range<usize>, String)>,
    repeated: Option<usize>,
}

impl Default for Looker {
    fn default() -> Self {
        Looker { subject: Subject::Name, dots: Vec::new(), wildcard: None, classes: Vec::new(), repeated: None }
    }
}

impl Visitor for Looker {
    type Output = Self;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self, Self::Err> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Repetition(repetition) => {
                if let Ast::Dot(span) = &*repetition.ast {
                    self.repeated = Some(span.start.offset);
                }
                if let Ast::Literal(literal) = &*repetition.ast
                    && literal.kind == LiteralKind::Verbatim
                    && "-_/:@".contains(literal.c)
                    && repetition.op.kind != RepetitionKind::ZeroOrOne
                {
                    let words = format!("it repeats {}", quote(&literal.c.to_string()));
                    self.wildcard.get_or_insert(words);
                }
            }
            Ast::Dot(span) if self.repeated != Some(span.start.offset) => self.dots.push(span.start.offset),
            Ast::Literal(literal) if literal.c == '#' && self.subject == Subject::Topic => {
                self.wildcard.get_or_insert("no topic has a `#` in it".to_owned());
            }
            Ast::ClassBracketed(class) => self.classes.extend(odd_class(class)),
            Ast::Empty(_)
            | Ast::Flags(_)
            | Ast::Literal(_)
            | Ast::Dot(_)
            | Ast::Assertion(_)
            | Ast::ClassUnicode(_)
            | Ast::ClassPerl(_)
            | Ast::Group(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => {}
        }
        Ok(())
    }
}

/// The text where the regex is nothing but one.
fn literal(ast: &Ast) -> Option<String> {
    let parts = if let Ast::Concat(concat) = ast { concat.asts.as_slice() } else { std::slice::from_ref(ast) };
    let char = |part: &Ast| if let Ast::Literal(literal) = part { Some(literal.c) } else { None };
    parts.iter().map(char).collect()
}

/// A text with an anchor at one end: written by someone who takes it for a search.
fn half_anchored(cx: &mut Cx<'_>, text: &Text, ast: &Ast) {
    let branches =
        if let Ast::Alternation(alternation) = ast { alternation.asts.as_slice() } else { std::slice::from_ref(ast) };
    for branch in branches {
        let Ast::Concat(concat) = branch else { continue };
        let help = match concat.asts.as_slice() {
            [first, rest @ ..] if is_start(first) && !rest.is_empty() && rest.iter().all(is_text) => {
                "write `.*` behind it if more may follow, or take the `^` away"
            }
            [rest @ .., last] if is_end(last) && !rest.is_empty() && rest.iter().all(is_text) => {
                "write `.*` before it if more may stand there, or take the `$` away"
            }
            [..] => continue,
        };
        let message = format!("{} must match the whole value, with no more before or behind it", quote(&text.value));
        return cx.push(Diagnostic::new(Code::HalfAnchored, text.span, message).help(help));
    }
}

fn is_start(ast: &Ast) -> bool {
    matches!(ast, Ast::Assertion(it) if matches!(it.kind, AssertionKind::StartLine | AssertionKind::StartText))
}

fn is_end(ast: &Ast) -> bool {
    matches!(ast, Ast::Assertion(it) if matches!(it.kind, AssertionKind::EndLine | AssertionKind::EndText))
}

/// Whether it is a text, or a choice of texts.
fn is_text(ast: &Ast) -> bool {
    match ast {
        Ast::Literal(_) => true,
        Ast::Group(group) => is_text(&group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter().all(is_text),
        Ast::Concat(concat) => concat.asts.iter().all(is_text),
        Ast::Empty(_)
        | Ast::Flags(_)
        | Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::ClassBracketed(_)
        | Ast::Repetition(_) => false,
    }
}

/// Whether the dot stands in what looks like an address, a version or the name of a host.
fn is_meant_literally(source: &str, dot: usize, subject: Subject) -> bool {
    const ENDINGS: [&str; 12] =
        ["com", "net", "org", "io", "de", "cn", "eu", "local", "lan", "internal", "example", "localdomain"];
    let (Some(before), Some(behind)) = (source.get(..dot), source.get(dot.saturating_add(1)..)) else { return false };
    let digits = before.ends_with(|c: char| c.is_ascii_digit()) && behind.starts_with(|c: char| c.is_ascii_digit());
    let ends = |ending: &str| {
        behind.strip_prefix(ending).is_some_and(|rest| rest.is_empty() || rest.starts_with(['$', ')', '|', '/']))
    };
    let host = before.ends_with(|c: char| c.is_alphanumeric() || c == ']' || c == '+') && ENDINGS.into_iter().any(ends);
    subject == Subject::Address || digits || host
}

fn unescaped_dot(cx: &mut Cx<'_>, text: &Text, dot: usize, subject: Subject) {
    let span = text.part(Some(&(dot..dot.saturating_add(1))));
    let message = format!("this `.` of {} matches any character", quote(&text.value));
    let diagnostic = Diagnostic::new(Code::UnescapedDot, span, message);
    if subject == Subject::Address {
        let help = "write the address or the network itself, 10.0.0.0/8 say, or `[.]` for each dot";
        return cx.push(diagnostic.help(help));
    }
    let other = text.value.trim_start_matches('^').trim_end_matches('$').replace('.', "x");
    let shown = Matcher::regex(&text.value).is_ok_and(|matcher| matcher.is_match(&other));
    let diagnostic = if shown { diagnostic.note(format!("{} matches, too", quote(&other))) } else { diagnostic };
    cx.push(diagnostic.help("write `[.]` for a dot"));
}

/// A class that was meant as something else: `[A-z]`, `[a|b]`, `[a,b]`.
fn odd_class(class: &ClassBracketed) -> Option<(std::ops::Range<usize>, String)> {
    let items = match &class.kind {
        ClassSet::Item(ClassSetItem::Union(union)) => union.items.as_slice(),
        ClassSet::Item(one) => std::slice::from_ref(one),
        ClassSet::BinaryOp(_) => return None,
    };
    let wide =
        |item: &ClassSetItem| matches!(item, ClassSetItem::Range(range) if (range.start.c, range.end.c) == ('A', 'z'));
    let is = |item: &ClassSetItem, c: char| matches!(item, ClassSetItem::Literal(literal) if literal.c == c);
    let joined = |c: char| {
        let (even, odd): (Vec<_>, Vec<_>) = items.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let single = |item: &ClassSetItem| matches!(item, ClassSetItem::Literal(_)) && !is(item, c);
        items.len() % 2 == 1
            && !odd.is_empty()
            && odd.iter().all(|(_, item)| is(item, c))
            && even.iter().all(|(_, item)| single(item))
    };
    let message = if items.iter().any(wide) {
        "`A-z` also holds `[`, `\\`, `]`, `^`, `_` and the backtick".to_owned()
    } else {
        let joint = ['|', ','].into_iter().find(|c| joined(*c))?;
        format!("in a class {} is one of the characters", quote(&joint.to_string()))
    };
    Some((class.span.start.offset..class.span.end.offset, message))
}

/// `a|` also matches nothing at all.
fn empty_alternative(cx: &mut Cx<'_>, text: &Text, ast: &Ast) {
    let Ast::Alternation(alternation) = ast else { return };
    let empty = |branch: &Ast| match branch {
        Ast::Empty(_) => true,
        Ast::Concat(concat) => concat.asts.iter().all(|part| is_start(part) || is_end(part)),
        Ast::Flags(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::ClassBracketed(_)
        | Ast::Repetition(_)
        | Ast::Group(_)
        | Ast::Alternation(_) => false,
        Ast::Assertion(_) => is_start(branch) || is_end(branch),
    };
    if alternation.asts.iter().any(empty) {
        let message = format!("an alternative of {} is empty, so it also matches the empty text", quote(&text.value));
        cx.push(
            Diagnostic::new(Code::EmptyAlternative, text.span, message).help("take the `|` before or behind it away"),
        );
    }
}
