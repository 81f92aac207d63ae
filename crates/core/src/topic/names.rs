//! The topic names that a filter receives, as a deterministic automaton over characters.

pub(super) use crate::text::machine::NEVER;

/// A filter, read as the set of the topic names that it receives.
#[derive(Debug, Clone)]
pub(super) struct Names<'f> {
    filter: std::borrow::Cow<'f, str>,
}

/// A state: the byte of the filter that is read next, and whether a character was read at all. A
/// wildcard is not passed before its end is told by the next character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: u32,
    pub(super) started: bool,
}

impl Place {
    pub(super) const START: Place = Place { at: 0, started: false };
}

/// Which characters may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// None.
    End,
    /// This one.
    Only(char),
    /// Every one that [`Names::step`] takes; all but `/`, and `$` at the start, lead to the same place.
    Many,
}

impl<'f> Names<'f> {
    /// The filter must be valid.
    pub(super) fn new(filter: impl Into<std::borrow::Cow<'f, str>>) -> Self {
        Names { filter: filter.into() }
    }

    fn rest(&self, place: Place) -> &str {
        self.filter.get(place.at as usize..).unwrap_or_default()
    }

    pub(super) fn next(&self, place: Place) -> Next {
        match self.rest(place).chars().next() {
            None => Next::End,
            Some('+' | '#') => Next::Many,
            Some(c) => Next::Only(c),
        }
    }

    /// Whether what was read is one of the names.
    pub(super) fn accepts(&self, place: Place) -> bool {
        place.started && matches!(self.rest(place), "" | "+" | "#" | "/#" | "+/#")
    }

    /// Whether every continuation is one of the names, but for a `$` at the start.
    pub(super) fn takes_all(&self, place: Place) -> bool {
        self.rest(place) == "#"
    }

    pub(super) fn step(&self, place: Place, c: char) -> Option<Place> {
        if NEVER.contains(&c) {
            return None;
        }
        let rest = self.rest(place);
        let wild = rest.starts_with(['+', '#']);
        if wild && c == '$' && !place.started {
            return None;
        }
        let passed = if rest.starts_with('+') && c == '/' {
            rest.starts_with("+/").then_some(2)?
        } else if wild {
            0
        } else {
            rest.starts_with(c).then_some(c.len_utf8())?
        };
        Some(Place { at: place.at + u32::try_from(passed).ok()?, started: true })
    }

    /// Completes a beginning of a name, which brought the automaton to this place.
    pub(super) fn finish(&self, mut place: Place, name: &mut String) {
        while !self.accepts(place) {
            let c = match self.next(place) {
                Next::End => return,
                Next::Only(c) => c,
                Next::Many if name.is_empty() || name.ends_with('/') => 'x',
                Next::Many => '/',
            };
            name.push(c);
            match self.step(place, c) {
                Some(next) => place = next,
                None => return,
            }
        }
    }
}
