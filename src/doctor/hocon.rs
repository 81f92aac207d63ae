//! The HOCON of EMQX 5 and later, with the place of each value.
//!
//! It is read as the broker reads it, as far as settings of the broker go, and within bounds. What stands for something
//! that is not in the file, `${...}`, stays unknown; `include` is told and not followed.

use std::collections::BTreeMap;

/// No file of settings is larger.
const MOST_BYTES: usize = 16 << 20;
/// No settings are nested deeper, counted in keys and brackets.
const MOST_LEVELS: usize = 128;

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HoconPlace {
    /// Which of the files.
    pub(super) file: usize,
    /// From 1.
    pub(super) line: usize,
}

/// A value, and where its last word stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HoconValue {
    pub(super) at: HoconPlace,
    pub(super) kind: HoconKind,
}

pub(super) type HoconObject = BTreeMap<String, HoconValue>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HoconKind {
    /// Also numbers and booleans.
    Text(String),
    Array(Vec<HoconValue>),
    Object(HoconObject),
    /// It depends on something outside of the file.
    Unknown,
}

/// A file that was read.
#[derive(Debug, Default)]
pub(super) struct HoconDocument {
    pub(super) root: HoconObject,
    /// The files that are included, with the lines that say so.
    pub(super) includes: Vec<(usize, String)>,
}

/// What is wrong with a file, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HoconProblem {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

impl HoconValue {
    /// What stands at a path below it.
    pub(super) fn get(&self, path: &[&str]) -> Option<&HoconValue> {
        match path.split_first() {
            None => Some(self),
            Some((first, rest)) => match &self.kind {
                HoconKind::Object(members) => members.get(*first)?.get(rest),
                HoconKind::Text(_) | HoconKind::Array(_) | HoconKind::Unknown => None,
            },
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            HoconKind::Text(text) => Some(text),
            HoconKind::Array(_) | HoconKind::Object(_) | HoconKind::Unknown => None,
        }
    }

    /// The members of an array, which the broker also takes as an object of numbers: `servers.1 { ... }`.
    pub(super) fn list(&self) -> Option<Vec<&HoconValue>> {
        match &self.kind {
            HoconKind::Array(items) => Some(items.iter().collect()),
            HoconKind::Object(members) => Some(numbered(members)?.into_values().collect()),
            HoconKind::Text(_) | HoconKind::Unknown => None,
        }
    }
}

/// The members of an object whose keys are numbers, in their order.
fn numbered(members: &HoconObject) -> Option<BTreeMap<usize, &HoconValue>> {
    members.iter().map(|(key, value)| Some((key.parse().ok()?, value))).collect()
}

/// Puts what is said later over what was said before: objects are merged, all else is replaced.
pub(super) fn merge(base: &mut HoconObject, over: HoconObject) {
    for (key, value) in over {
        match base.get_mut(&key) {
            Some(old) => merge_value(old, value),
            None => {
                base.insert(key, value);
            }
        }
    }
}

fn merge_value(base: &mut HoconValue, over: HoconValue) {
    match (&mut base.kind, over.kind) {
        (HoconKind::Object(members), HoconKind::Object(more)) => merge(members, more),
        (HoconKind::Array(items), HoconKind::Object(more)) if !more.is_empty() && numbered(&more).is_some() => {
            for (key, value) in more {
                match key.parse::<usize>().ok().and_then(|number| items.get_mut(number.checked_sub(1)?)) {
                    Some(item) => merge_value(item, value),
                    None => items.push(value),
                }
            }
        }
        (_, kind) => *base = HoconValue { at: over.at, kind },
    }
}

/// Reads the text of a file.
pub(super) fn parse(text: &str, file: usize) -> Result<HoconDocument, HoconProblem> {
    let mut reader = HoconReader { rest: text.trim_start_matches('\u{feff}'), line: 1, file, includes: Vec::new() };
    if text.len() > MOST_BYTES {
        return Err(reader.problem("the file is too large"));
    }
    reader.skip_separators();
    let braced = reader.take("{");
    let root = reader.members(braced, MOST_LEVELS)?;
    reader.skip_separators();
    if !reader.rest.is_empty() {
        return Err(reader.problem("there is more behind the last `}`"));
    }
    Ok(HoconDocument { root, includes: reader.includes })
}

struct HoconReader<'t> {
    rest: &'t str,
    line: usize,
    file: usize,
    includes: Vec<(usize, String)>,
}

/// What a value is put together from, if several stand beside each other.
enum ValuePiece {
    /// Blanks between two texts belong to the value.
    Blank(String),
    Value(HoconKind),
}

impl HoconReader<'_> {
    fn problem(&self, message: &'static str) -> HoconProblem {
        HoconProblem { line: self.line, message }
    }

    fn place(&self) -> HoconPlace {
        HoconPlace { file: self.file, line: self.line }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    fn take(&mut self, start: &str) -> bool {
        match self.rest.strip_prefix(start) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|next| keep(*next)) {
            taken.push(next);
            self.bump();
        }
        taken
    }

    fn at_comment(&self) -> bool {
        self.rest.starts_with('#') || self.rest.starts_with("//")
    }

    fn skip_comment(&mut self) {
        self.take_while(|c| c != '\n');
    }

    fn skip_blanks(&mut self) -> String {
        self.take_while(|c| c.is_whitespace() && c != '\n')
    }

    /// Blanks, comments, line ends.
    fn skip_lines(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.at_comment() {
                return;
            }
            self.skip_comment();
        }
    }

    fn skip_separators(&mut self) {
        self.skip_lines();
        while self.take(",") {
            self.skip_lines();
        }
    }

    /// What stands in an object, to its `}` or to the end of the file.
    fn members(&mut self, braced: bool, levels: usize) -> Result<HoconObject, HoconProblem> {
        let mut members = HoconObject::new();
        let opened = self.line;
        loop {
            self.skip_separators();
            if braced && self.take("}") {
                return Ok(members);
            }
            if self.rest.is_empty() {
                let problem = HoconProblem { line: opened, message: "this `{` has no `}`" };
                return if braced { Err(problem) } else { Ok(members) };
            }
            if self.include()? {
                continue;
            }
            let at = self.place();
            let path = self.path()?;
            let Some(levels) = levels.checked_sub(path.len()).filter(|left| *left > 0) else {
                return Err(self.problem("it is nested too deeply"));
            };
            self.skip_blanks();
            let appends = self.take("+=");
            if !appends && !self.take("=") && !self.take(":") && self.peek() != Some('{') {
                return Err(self.problem("a key needs `=` or `{`"));
            }
            self.skip_lines();
            let value = self.value(levels)?;
            put(&mut members, &path, value, appends, at);
        }
    }

    /// `include "file"`, `include file("file")`, `include required(file("file"))`, `include file.conf`.
    fn include(&mut self) -> Result<bool, HoconProblem> {
        let Some(rest) = self.rest.strip_prefix("include") else { return Ok(false) };
        let argument = rest.trim_start_matches([' ', '\t']);
        if argument.len() == rest.len() || argument.starts_with(['=', ':', '+', '{', '.', '\r', '\n']) {
            return Ok(false);
        }
        let line = self.line;
        self.rest = argument;
        let before = self.take_while(|c| c != '"' && c != '\n');
        let name = if self.take("\"") { self.quoted()? } else { before.trim().to_owned() };
        self.take_while(|c| c == ')' || c == ' ');
        self.includes.push((line, name));
        Ok(true)
    }

    /// A key: words with dots between them, some of which may be quoted.
    fn path(&mut self) -> Result<Vec<String>, HoconProblem> {
        let mut path = Vec::new();
        loop {
            let word = if self.take("\"") {
                self.quoted()?
            } else {
                let word = self.take_while(|c| !c.is_control() && !".=:{}[]+,#\"$".contains(c));
                word.trim().to_owned()
            };
            if word.is_empty() {
                return Err(self.problem("a key is expected here"));
            }
            path.push(word);
            if !self.take(".") {
                return Ok(path);
            }
            if path.len() > MOST_LEVELS {
                return Err(self.problem("it is nested too deeply"));
            }
        }
    }

    /// All that stands beside each other, to the end of the line or the next separator.
    fn value(&mut self, levels: usize) -> Result<HoconValue, HoconProblem> {
        let mut at = self.place();
        let mut whole: Option<HoconKind> = None;
        let mut blank = String::new();
        while let Some(piece) = self.piece(levels)? {
            match piece {
                ValuePiece::Blank(text) => blank = text,
                ValuePiece::Value(kind) => {
                    if let HoconKind::Text(_) = kind {
                        at = self.place();
                    }
                    whole = Some(match whole.take() {
                        None => kind,
                        Some(before) => self.beside(before, &blank, kind)?,
                    });
                }
            }
        }
        let kind = whole.ok_or_else(|| self.problem("a value is expected here"))?;
        Ok(HoconValue { at, kind })
    }

    fn beside(&self, before: HoconKind, blank: &str, next: HoconKind) -> Result<HoconKind, HoconProblem> {
        match (before, next) {
            (HoconKind::Unknown, _) | (_, HoconKind::Unknown) => Ok(HoconKind::Unknown),
            (HoconKind::Text(before), HoconKind::Text(next)) => Ok(HoconKind::Text(format!("{before}{blank}{next}"))),
            (HoconKind::Array(mut items), HoconKind::Array(more)) => {
                items.extend(more);
                Ok(HoconKind::Array(items))
            }
            (HoconKind::Object(mut members), HoconKind::Object(more)) => {
                merge(&mut members, more);
                Ok(HoconKind::Object(members))
            }
            (HoconKind::Text(_) | HoconKind::Array(_) | HoconKind::Object(_), _) => {
                Err(self.problem("values of two kinds stand beside each other"))
            }
        }
    }

    fn piece(&mut self, levels: usize) -> Result<Option<ValuePiece>, HoconProblem> {
        let blank = self.skip_blanks();
        if self.at_comment() {
            self.skip_comment();
        }
        match self.peek() {
            None | Some('\n' | ',' | '}' | ']') => return Ok(None),
            Some(_) if !blank.is_empty() => return Ok(Some(ValuePiece::Blank(blank))),
            Some(_) => {}
        }
        let Some(below) = levels.checked_sub(1) else { return Err(self.problem("it is nested too deeply")) };
        let kind = if self.take("{") {
            HoconKind::Object(self.members(true, below)?)
        } else if self.take("[") {
            HoconKind::Array(self.items(below)?)
        } else if self.take("\"\"\"") {
            HoconKind::Text(self.triple_quoted()?)
        } else if self.take("\"") {
            HoconKind::Text(self.quoted()?)
        } else if self.take("${") {
            self.take_while(|c| c != '}' && c != '\n');
            if !self.take("}") {
                return Err(self.problem("this `${` has no `}`"));
            }
            HoconKind::Unknown
        } else {
            HoconKind::Text(self.unquoted()?)
        };
        Ok(Some(ValuePiece::Value(kind)))
    }

    fn items(&mut self, levels: usize) -> Result<Vec<HoconValue>, HoconProblem> {
        let mut items = Vec::new();
        let opened = self.line;
        loop {
            self.skip_separators();
            if self.take("]") {
                return Ok(items);
            }
            if self.rest.is_empty() {
                return Err(HoconProblem { line: opened, message: "this `[` has no `]`" });
            }
            items.push(self.value(levels)?);
        }
    }

    /// The rest of a quoted text.
    fn quoted(&mut self) -> Result<String, HoconProblem> {
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(text),
                Some('\\') => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let digits: String = self.rest.chars().take(4).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                        digits.chars().for_each(|_| {
                            self.bump();
                        });
                    }
                    Some(other) => text.push(other),
                    None => return Err(self.problem("a text has no end")),
                },
                Some('\n') | None => return Err(self.problem("a text has no end")),
                Some(other) => text.push(other),
            }
        }
    }

    fn triple_quoted(&mut self) -> Result<String, HoconProblem> {
        let Some((text, rest)) = self.rest.split_once("\"\"\"") else {
            return Err(self.problem("a text has no end"));
        };
        self.line += text.matches('\n').count();
        self.rest = rest;
        Ok(text.to_owned())
    }

    /// Words without quotes; blanks between them belong to them, blanks behind them do not.
    fn unquoted(&mut self) -> Result<String, HoconProblem> {
        let word = self.take_while(|c| !c.is_whitespace() && !",{}[]\"#$".contains(c));
        if word.is_empty() { Err(self.problem("a value is expected here")) } else { Ok(word) }
    }
}

/// Puts a value at the end of a path.
fn put(members: &mut HoconObject, path: &[String], value: HoconValue, appends: bool, at: HoconPlace) {
    let Some((first, rest)) = path.split_first() else { return };
    if !rest.is_empty() {
        let below = members
            .entry(first.clone())
            .or_insert_with(|| HoconValue { at, kind: HoconKind::Object(HoconObject::new()) });
        if !matches!(below.kind, HoconKind::Object(_) | HoconKind::Array(_)) {
            *below = HoconValue { at, kind: HoconKind::Object(HoconObject::new()) };
        }
        match &mut below.kind {
            HoconKind::Object(below) => put(below, rest, value, appends, at),
            HoconKind::Array(_) => {
                let mut over = HoconObject::new();
                put(&mut over, rest, value, appends, at);
                merge_value(below, HoconValue { at, kind: HoconKind::Object(over) });
            }
            HoconKind::Text(_) | HoconKind::Unknown => {}
        }
        return;
    }
    match members.get_mut(first) {
        Some(HoconValue { kind: HoconKind::Array(items), .. }) if appends => items.push(value),
        Some(old) if !appends => merge_value(old, value),
        Some(_) | None if appends => {
            members.insert(first.clone(), HoconValue { at, kind: HoconKind::Array(vec![value]) });
        }
        Some(_) | None => {
            members.insert(first.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests;
