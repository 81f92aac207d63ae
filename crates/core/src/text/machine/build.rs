//! Builds automata from syntax trees.

use std::collections::HashMap;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::{CharClass, Limit, MatchState, Refused, StateId};
use crate::text::Placeholder;

/// Steps that building one may take: counted repetitions of nothing add steps and no states.
const MAX_STEPS: usize = 1_000_000;

/// Builds the states from the end of the expression to its start.
pub(super) struct Builder {
    limit: Limit,
    pub(super) states: Vec<MatchState>,
    pub(super) classes: Vec<CharClass>,
    /// Whether an assertion other than the start and the end of the text stands in the expression.
    pub(super) looks_around: bool,
    known: HashMap<CharClass, u32>,
    steps: usize,
}

impl Builder {
    pub(super) fn new(limit: Limit) -> Self {
        Builder { limit, states: Vec::new(), classes: Vec::new(), looks_around: false, known: HashMap::new(), steps: 0 }
    }

    pub(super) fn add(&mut self, state: MatchState) -> Result<StateId, Refused> {
        if self.states.len() >= self.limit.states() {
            return Err(Refused::TooBig);
        }
        self.states.push(state);
        StateId::try_from(self.states.len() - 1).map_err(|_| Refused::TooBig)
    }

    fn set(&mut self, id: StateId, state: MatchState) {
        if let Some(slot) = self.states.get_mut(id as usize) {
            *slot = state;
        }
    }

    /// The state that reads the expression and then goes on in `next`.
    pub(super) fn expression(&mut self, hir: &Hir, next: StateId) -> Result<StateId, Refused> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Refused::TooBig);
        }
        match hir.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| Refused::Unsupported)?;
                self.literal(text, next)
            }
            HirKind::Class(class) => {
                let class = self.class(class)?;
                self.add(MatchState::Class(class, next))
            }
            HirKind::Look(Look::Start) => self.add(MatchState::Start(next)),
            HirKind::Look(Look::End) => self.add(MatchState::End(next)),
            HirKind::Look(look) => {
                self.looks_around = true;
                self.add(MatchState::Around(*look, next))
            }
            HirKind::Capture(capture) => self.expression(&capture.sub, next),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.expression(part, next)),
            HirKind::Alternation(ways) => {
                let ways = ways.iter().map(|way| self.expression(way, next)).collect::<Result<Vec<_>, _>>()?;
                self.add(MatchState::Split(ways.into()))
            }
            HirKind::Repetition(repetition) => {
                let mut at = match repetition.max {
                    None => {
                        let again = self.add(MatchState::Match)?;
                        let body = self.expression(&repetition.sub, again)?;
                        self.set(again, MatchState::Split(Box::new([body, next])));
                        again
                    }
                    Some(max) => {
                        let mut at = next;
                        for _ in repetition.min..max {
                            let body = self.expression(&repetition.sub, at)?;
                            at = self.add(MatchState::Split(Box::new([body, next])))?;
                        }
                        at
                    }
                };
                for _ in 0..repetition.min {
                    at = self.expression(&repetition.sub, at)?;
                }
                Ok(at)
            }
        }
    }

    fn literal(&mut self, text: &str, mut next: StateId) -> Result<StateId, Refused> {
        let mut rest = text;
        while let Some(last) = rest.chars().next_back() {
            if let Some((before, placeholder)) =
                Placeholder::ALL.into_iter().find_map(|p| Some((rest.strip_suffix(p.stand_in())?, p)))
            {
                next = self.add(MatchState::Value(placeholder, next))?;
                rest = before;
            } else {
                next = self.add(MatchState::Char(last, next))?;
                rest = rest.strip_suffix(last).unwrap_or_default();
            }
        }
        Ok(next)
    }

    fn class(&mut self, class: &Class) -> Result<u32, Refused> {
        let ranges: Box<[(char, char)]> = match class {
            Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
            Class::Bytes(class) if class.is_ascii() => {
                class.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
            }
            Class::Bytes(_) => return Err(Refused::Unsupported),
        };
        let class = CharClass { ranges };
        if let Some(known) = self.known.get(&class) {
            return Ok(*known);
        }
        let id = u32::try_from(self.classes.len()).map_err(|_| Refused::TooBig)?;
        self.classes.push(class.clone());
        self.known.insert(class, id);
        Ok(id)
    }
}
