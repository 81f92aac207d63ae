//! Matches a text, state by state: for automata that are too large for a table.

use regex_syntax::hir::Look;
use regex_syntax::is_word_character;

use super::{Machine, Marks, MatchState, StateId, Thread, Threads, unread};
use crate::text::{Identity, Work};

/// Where a match stands in the text.
#[derive(Debug, Clone, Copy)]
struct Between {
    before: Option<char>,
    behind: Option<char>,
}

impl Machine {
    /// Whether the whole text matches. `None` if the question has no work left to settle that.
    ///
    /// The steps are those of the states that are met, so a pattern that could be costly is cheap for
    /// a text that follows few of its paths.
    pub(crate) fn matches(&self, text: &str, identity: Identity<'_>, work: &Work) -> Option<bool> {
        if !work.spend(self.states.len() / super::cost::STATES_MARKED) {
            return None;
        }
        let mut marks = Marks::new(self);
        let (mut waiting, mut readers) = (Threads::new(), Threads::new());
        waiting.push(Thread { state: self.start, offset: 0 });
        let mut between = Between { before: None, behind: None };
        let mut rest = text.chars();
        loop {
            between.behind = rest.next();
            marks.clear();
            let matches = self.expand(&mut waiting, between, identity, &mut marks, &mut readers);
            if !work.spend(1 + std::mem::take(&mut marks.met) + readers.len()) {
                return None;
            }
            let Some(c) = between.behind else { return Some(matches) };
            if readers.is_empty() {
                return Some(false);
            }
            waiting.extend(readers.drain(..).filter_map(|thread| self.behind(thread, c, identity)));
            between.before = Some(c);
        }
    }

    /// Follows what reads nothing. Gives back whether the text matches if it ends here.
    fn expand(
        &self,
        waiting: &mut Threads,
        between: Between,
        identity: Identity<'_>,
        marks: &mut Marks,
        readers: &mut Threads,
    ) -> bool {
        let mut matches = false;
        for thread in waiting.drain(..) {
            if thread.offset > 0 {
                // In the middle of a client's value.
                readers.push(thread);
                continue;
            }
            marks.stack.push(thread.state);
            while let Some(state) = marks.stack.pop() {
                if !marks.is_new(state) {
                    continue;
                }
                match self.state(state) {
                    MatchState::Split(ways) => marks.stack.extend_from_slice(ways),
                    MatchState::Start(next) => marks.stack.extend(between.before.is_none().then_some(*next)),
                    MatchState::End(next) => marks.stack.extend(between.behind.is_none().then_some(*next)),
                    MatchState::Around(look, next) => marks.stack.extend(between.holds(*look).then_some(*next)),
                    MatchState::Value(placeholder, next) if identity.value(*placeholder).is_empty() => {
                        marks.stack.push(*next);
                    }
                    MatchState::Match => matches = true,
                    MatchState::Value(..) | MatchState::Char(..) | MatchState::Class(..) => {
                        readers.push(Thread { state, offset: 0 });
                    }
                }
            }
        }
        matches
    }

    /// Where the thread stands once it has read the character.
    fn behind(&self, thread: Thread, c: char, identity: Identity<'_>) -> Option<Thread> {
        let at = |state: StateId| Some(Thread { state, offset: 0 });
        match self.state(thread.state) {
            MatchState::Char(own, next) if *own == c => at(*next),
            MatchState::Class(class, next) if self.class(*class).is_some_and(|class| class.contains(c)) => at(*next),
            MatchState::Value(placeholder, next) => {
                if unread(*placeholder, thread, identity).strip_prefix(c)?.is_empty() {
                    return at(*next);
                }
                let length = u32::try_from(c.len_utf8()).unwrap_or(u32::MAX);
                Some(Thread { state: thread.state, offset: thread.offset.saturating_add(length) })
            }
            MatchState::Char(..)
            | MatchState::Class(..)
            | MatchState::Split(_)
            | MatchState::Start(_)
            | MatchState::End(_)
            | MatchState::Around(..)
            | MatchState::Match => None,
        }
    }
}

impl Between {
    fn holds(self, look: Look) -> bool {
        let Between { before, behind } = self;
        let ascii = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let unicode = |c: Option<char>| c.is_some_and(is_word_character);
        match look {
            Look::Start => before.is_none(),
            Look::End => behind.is_none(),
            Look::StartLF => before.is_none_or(|c| c == '\n'),
            Look::EndLF => behind.is_none_or(|c| c == '\n'),
            Look::StartCRLF => before.is_none_or(|c| c == '\n' || (c == '\r' && behind != Some('\n'))),
            Look::EndCRLF => behind.is_none_or(|c| c == '\r' || (c == '\n' && before != Some('\r'))),
            Look::WordAscii => ascii(before) != ascii(behind),
            Look::WordAsciiNegate => ascii(before) == ascii(behind),
            Look::WordUnicode => unicode(before) != unicode(behind),
            Look::WordUnicodeNegate => unicode(before) == unicode(behind),
            Look::WordStartAscii => !ascii(before) && ascii(behind),
            Look::WordEndAscii => ascii(before) && !ascii(behind),
            Look::WordStartUnicode => !unicode(before) && unicode(behind),
            Look::WordEndUnicode => unicode(before) && !unicode(behind),
            Look::WordStartHalfAscii => !ascii(before),
            Look::WordEndHalfAscii => !ascii(behind),
            Look::WordStartHalfUnicode => !unicode(before),
            Look::WordEndHalfUnicode => !unicode(behind),
        }
    }
}
