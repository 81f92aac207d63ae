//! Terms in Erlang's own text form, as `file:consult` reads them: `{allow, all}.`

use erl_tokenize::{Symbol, Token, TokenKind, TokenValue};

use super::ConversionProblem;

/// Tuples and lists inside each other; acl.conf needs five.
const MAX_DEPTH: usize = 32;

/// A term and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// From 1.
    pub line: usize,
    /// What it is.
    pub value: ErlangValue,
}

/// What a term is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErlangValue {
    /// A name, such as `allow`.
    Atom(String),
    /// A string or a binary.
    Text(String),
    /// A whole number; `None` if it does not fit 64 bits.
    Integer(Option<u64>),
    /// `{...}`.
    Tuple(Vec<Term>),
    /// `[...]`.
    List(Vec<Term>),
}

/// The terms of a file, each of which ends in a full stop.
///
/// # Errors
/// The first thing in it that is no term.
pub fn consult(source: &str) -> Result<Vec<Term>, ConversionProblem> {
    let tokens = match erl_tokenize::scan_tokens(source) {
        Ok(tokens) => tokens.into_iter().filter(|token| token.kind().is_lexical()).collect::<Vec<_>>(),
        Err(error) => return Err(ConversionProblem::new(error.position.line().get(), "this is no Erlang term")),
    };
    let mut reader = ErlangReader { source, tokens: &tokens, line: 1 };
    let mut terms = Vec::new();
    while !reader.tokens.is_empty() {
        terms.push(reader.term(0)?);
        reader.expect(Symbol::Dot, "`.`")?;
    }
    Ok(terms)
}

struct ErlangReader<'s> {
    source: &'s str,
    tokens: &'s [Token],
    /// Of the last token.
    line: usize,
}

impl<'s> ErlangReader<'s> {
    fn next(&mut self) -> Option<&'s Token> {
        let (token, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        self.line = token.start().line().get();
        Some(token)
    }

    fn peek(&self, symbol: Symbol) -> bool {
        self.tokens.first().is_some_and(|token| token.kind() == TokenKind::Symbol(symbol))
    }

    fn expect(&mut self, symbol: Symbol, name: &str) -> Result<(), ConversionProblem> {
        match self.next() {
            Some(token) if token.kind() == TokenKind::Symbol(symbol) => Ok(()),
            Some(token) => {
                let found = token.text(self.source);
                Err(ConversionProblem::new(self.line, format!("{name} must stand before `{found}`")))
            }
            None => Err(ConversionProblem::new(self.line, format!("the file ends where {name} must stand"))),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, ConversionProblem> {
        let Some(token) = self.next() else {
            return Err(ConversionProblem::new(self.line, "the file ends inside a term"));
        };
        let line = self.line;
        if depth > MAX_DEPTH {
            return Err(ConversionProblem::new(line, "the term is too deep"));
        }
        let value = match token.value(self.source) {
            TokenValue::Atom(name) => ErlangValue::Atom(name.into_owned()),
            TokenValue::String(text) => ErlangValue::Text(text.into_owned()),
            TokenValue::Integer(number) => ErlangValue::Integer(number),
            TokenValue::Symbol(Symbol::OpenBrace) => {
                ErlangValue::Tuple(self.members(Symbol::CloseBrace, "`}`", depth)?)
            }
            TokenValue::Symbol(Symbol::OpenSquare) => {
                ErlangValue::List(self.members(Symbol::CloseSquare, "`]`", depth)?)
            }
            TokenValue::Symbol(Symbol::DoubleLeftAngle) => self.binary(depth)?,
            TokenValue::Char(_)
            | TokenValue::Comment(_)
            | TokenValue::Float(_)
            | TokenValue::Keyword(_)
            | TokenValue::SigilString { .. }
            | TokenValue::Symbol(_)
            | TokenValue::Variable(_)
            | TokenValue::Whitespace(_) => {
                let message = format!("`{}` has no place in a rule", token.text(self.source));
                return Err(ConversionProblem::new(line, message));
            }
        };
        Ok(Term { line, value })
    }

    fn members(&mut self, end: Symbol, name: &str, depth: usize) -> Result<Vec<Term>, ConversionProblem> {
        let mut members = Vec::new();
        while !self.peek(end) {
            if !members.is_empty() {
                self.expect(Symbol::Comma, "`,`")?;
            }
            members.push(self.term(depth.saturating_add(1))?);
        }
        self.expect(end, name)?;
        Ok(members)
    }

    /// A binary of one string, `<<"a">>`.
    fn binary(&mut self, depth: usize) -> Result<ErlangValue, ConversionProblem> {
        if self.peek(Symbol::DoubleRightAngle) {
            self.next();
            return Ok(ErlangValue::Text(String::new()));
        }
        let inner = self.term(depth.saturating_add(1))?;
        self.expect(Symbol::DoubleRightAngle, "`>>`")?;
        match inner.value {
            ErlangValue::Text(text) => Ok(ErlangValue::Text(text)),
            ErlangValue::Atom(_) | ErlangValue::Integer(_) | ErlangValue::Tuple(_) | ErlangValue::List(_) => {
                Err(ConversionProblem::new(inner.line, "only a string may stand in a binary"))
            }
        }
    }
}
