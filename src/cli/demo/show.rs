//! What the demo prints while it plays.

use std::io::{self, Write};

use super::host::LoggedDecision;
use super::script::RecordedQuestion;

pub(super) struct Show<'o> {
    out: &'o mut dyn Write,
    section: String,
    allowed: usize,
    denied: usize,
}

impl<'o> Show<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Show { out, section: String::new(), allowed: 0, denied: 0 }
    }

    /// The situation, above its first decision.
    pub(super) fn section(&mut self, (number, name): (&str, &str)) -> io::Result<()> {
        if self.section == number {
            return Ok(());
        }
        number.clone_into(&mut self.section);
        writeln!(self.out, "{number:<3} {}", name.trim_start())
    }

    /// One line: what was asked, the answer, and the rule.
    pub(super) fn decision(&mut self, asked: RecordedQuestion<'_>, decided: &LoggedDecision) -> io::Result<()> {
        if decided.allowed {
            self.allowed += 1;
        } else {
            self.denied += 1;
        }
        writeln!(self.out, "      {:<40} {:<8} {}", asked.to_string(), decided.word, decided.rule)
    }

    /// A line of the demo's own.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// How many were allowed, and how many denied.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.allowed, self.denied)
    }
}
