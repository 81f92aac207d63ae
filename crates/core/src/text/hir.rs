//! Regexes as syntax trees in which placeholders can be filled in.

use regex_automata::nfa::thompson;
use regex_syntax::ast::{self, Ast, ClassSetItem, LiteralKind, Visitor};
use regex_syntax::hir::{Hir, Look};

use super::{Piece, TextError, is_reserved};

/// What a compiled glob or regex may take, in bytes. More than any sensible pattern needs.
pub(crate) const SIZE_LIMIT: usize = 4 << 20;

/// Reads a regex in which placeholders are already split off.
///
/// # Errors
/// It is no regex, or a placeholder stands where it can mean nothing.
pub(crate) fn parse_regex(pieces: &[Piece<'_>]) -> Result<Hir, TextError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Value(placeholder) => text.extend(["(?:", placeholder.stand_in(), ")"]),
        }
    }
    let shifted = pieces.iter().any(|piece| matches!(piece, Piece::Value(_)));
    let ast = ast::parse::Parser::new().parse(&text).map_err(|error| {
        let span = error.span().start.offset..error.span().end.offset;
        let error = TextError::new(format!("this is no regex: {}", error.kind()));
        if shifted { error } else { error.at(span) }
    })?;
    ast::visit(&ast, ClassVisitor)?;
    let mut translator = regex_syntax::hir::translate::TranslatorBuilder::new();
    translator
        .dot_matches_new_line(true)
        .build()
        .translate(&text, &ast)
        .map_err(|error| TextError::new(format!("this is no regex: {}", error.kind())))
}

/// Finds placeholders inside character classes, and escapes of the characters that stand for them.
struct ClassVisitor;

impl Visitor for ClassVisitor {
    type Output = ();
    type Err = TextError;

    fn finish(self) -> Result<(), TextError> {
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only a literal can be such a character")]
    fn visit_pre(&mut self, ast: &Ast) -> Result<(), TextError> {
        match ast {
            Ast::Literal(literal) if is_reserved(literal.c) && literal.kind != LiteralKind::Verbatim => {
                Err(TextError::new(format!("U+{:04X} is not a character", u32::from(literal.c))))
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), TextError> {
        let reserved = match item {
            ClassSetItem::Literal(literal) => is_reserved(literal.c),
            ClassSetItem::Range(range) => is_reserved(range.start.c) || is_reserved(range.end.c),
            ClassSetItem::Empty(_)
            | ClassSetItem::Ascii(_)
            | ClassSetItem::Unicode(_)
            | ClassSetItem::Perl(_)
            | ClassSetItem::Bracketed(_)
            | ClassSetItem::Union(_) => false,
        };
        if reserved {
            return Err(TextError::new("a placeholder cannot stand in a character class")
                .help("a class stands for one character; write the placeholder outside of `[...]`"));
        }
        Ok(())
    }
}

/// The tree, to match from the first byte to the last.
pub(crate) fn whole(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

/// Refuses a regex that takes more than [`SIZE_LIMIT`].
///
/// # Errors
/// It does.
pub(crate) fn check_size(regex: &str) -> Result<(), TextError> {
    let config = thompson::Config::new().nfa_size_limit(Some(SIZE_LIMIT)).which_captures(thompson::WhichCaptures::None);
    thompson::Compiler::new().configure(config).build(regex).map(drop).map_err(|_| too_big())
}

/// The error for a pattern that takes more than [`SIZE_LIMIT`].
pub(crate) fn too_big() -> TextError {
    TextError::new("this pattern is too big").help("split it into several smaller ones")
}

/// As `regex_automata` matches whole texts.
#[cfg(test)]
pub(crate) fn oracle(hir: Hir) -> impl Fn(&str) -> bool {
    use regex_automata::{Anchored, Input, meta};
    let config = meta::Regex::config().which_captures(thompson::WhichCaptures::None).utf8_empty(true);
    let regex = meta::Builder::new().configure(config).build_from_hir(&whole(hir)).unwrap();
    move |text| regex.is_match(Input::new(text).anchored(Anchored::Yes))
}
