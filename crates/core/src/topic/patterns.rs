//! The patterns of one rule for one action, as one set of topics.

use smallvec::SmallVec;

use super::filter::{Filter, missed_depth, topic_of_depth};
use super::index::{Builder, Frontier, Index};
use super::names::Names;
use super::request::Request;
use super::rich::Rich;
use super::walk::{Found, Part, atoms, common_topic, cost_of_walk, uncovered_topic};
use super::{Pattern, PatternKind};
use crate::text::Identity;
use crate::text::machine::{CharClass, Cost, Table};

/// The patterns of one rule for one action.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Most rules have one.
    filters: SmallVec<[Filter; 1]>,
    rich: Vec<Rich>,
    /// The characters that the globs and regexes tell apart, in groups.
    atoms: Box<[CharClass]>,
    /// Where there are many: filters by their places, and behind them globs and regexes.
    index: Option<Box<Index>>,
}

/// Steps that it takes to begin a walk over a glob or a regex.
const START: usize = 30;
/// So many patterns are asked one by one.
const FEW: usize = 12;

/// One of the patterns.
#[derive(Clone, Copy)]
enum One<'p> {
    Filter(&'p Filter),
    Rich(&'p Rich),
}

/// How far patterns cover a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// Every topic of the request is covered.
    Full,
    /// This topic of the request is not.
    Without(String),
    /// That cannot be settled within the bound of work, which counts as not covered.
    Unsettled,
}

/// Whether patterns touch a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// No topic of the request is covered.
    Nothing,
    /// This topic of the request is.
    Topic(String),
    /// That cannot be settled within the bound of work, which counts as touched.
    Unsettled,
}

impl Patterns {
    /// Compiles them.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let mut compiled = Patterns::default();
        for pattern in patterns {
            match pattern.kind {
                PatternKind::Filter(filter) => compiled.filters.push(filter),
                PatternKind::Rich(rich) => compiled.rich.push(rich),
            }
        }
        compiled.filters.shrink_to_fit();
        compiled.rich.shrink_to_fit();
        if !compiled.rich.is_empty() {
            compiled.atoms = atoms(compiled.rich.iter().filter_map(Rich::machine));
        }
        if compiled.len() > FEW {
            let mut builder = Builder::default();
            for (number, one) in (0..).zip(compiled.all()) {
                match one {
                    One::Filter(filter) => builder.add_filter(number, filter),
                    One::Rich(rich) => builder.add_rich(number, rich),
                }
            }
            compiled.index = Some(Box::new(builder.thinned().finish()));
        }
        compiled
    }

    /// The same, all asked one by one.
    #[cfg(test)]
    pub(super) fn without_index(self) -> Self {
        Patterns { index: None, ..self }
    }

    /// Whether the rule is about this action at all.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.rich.is_empty()
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.filters.len() + self.rich.len()
    }

    /// About how many steps it takes to decide a topic name by them.
    pub fn weight(&self) -> usize {
        const RICH: usize = 20;
        self.filters.len() + RICH * self.rich.len()
    }

    /// What matching a topic name by its globs and regexes takes at most, without those that a name of another
    /// beginning never comes to.
    pub(crate) fn cost_of_names(&self) -> Cost {
        self.rich.iter().filter(|rich| rich.prefix().is_empty() || rich.cost() != Table::COST).map(Rich::cost).sum()
    }

    /// About what comparing a topic filter with them takes at most.
    pub(crate) fn cost_of_filters(&self) -> Cost {
        self.rich.iter().filter_map(Rich::machine).map(cost_of_walk).sum()
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    pub(super) fn rich(&self) -> &[Rich] {
        &self.rich
    }

    /// For rules that allow: whether every topic of the request is covered by the patterns together.
    /// False where that cannot be settled within the bound of work.
    pub fn cover(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        if !request.is_wildcard() {
            // Whether values are safe is asked last, of the few patterns that match.
            return self.any_about_name(request, identity, |one| match one {
                One::Filter(filter) => filter.matches(request, identity) && filter.uses().safe(identity),
                One::Rich(rich) => {
                    rich.may_reach(request, identity)
                        && rich.matches(request.text(), request, identity) == Some(true)
                        && is_safe(rich, request, identity)
                }
            });
        }
        match self.missed_depth(request, identity) {
            None => true,
            Some(_) if self.rich.is_empty() => false,
            Some(depth) => self.covered_by_all(depth, request, identity) == Cover::Full,
        }
    }

    /// As [`cover`](Self::cover), with a topic that shows why not.
    pub fn covered(&self, request: &Request<'_>, identity: Identity<'_>) -> Cover {
        if request.is_wildcard() {
            let missed = self.missed_depth(request, identity);
            return missed.map_or(Cover::Full, |depth| self.covered_by_all(depth, request, identity));
        }
        if self.allowed_filters(identity).any(|filter| filter.matches(request, identity)) {
            return Cover::Full;
        }
        match any_match(self.allowed_rich(request, identity), request.text(), request, identity) {
            Some(true) => Cover::Full,
            Some(false) => Cover::Without(request.text().to_owned()),
            None => Cover::Unsettled,
        }
    }

    /// For rules that deny: whether any topic of the request is covered by one of the patterns.
    /// True where that cannot be settled within the bound of work.
    pub fn touch(&self, request: &Request<'_>, identity: Identity<'_>) -> bool {
        if !request.is_wildcard() {
            return self.any_about_name(request, identity, |one| match one {
                One::Filter(filter) => filter.matches_literally(request, identity) && filter.uses().possible(identity),
                One::Rich(rich) => {
                    rich.may_reach(request, identity) && rich.matches(request.text(), request, identity) != Some(false)
                }
            });
        }
        let touches = |one: One<'_>| match one {
            One::Filter(filter) => filter.touches(request, identity) && filter.uses().possible(identity),
            One::Rich(rich) => rich.may_reach(request, identity) && common(rich, request, identity) != Found::Nothing,
        };
        match &self.index {
            None => self.all().any(touches),
            Some(index) => {
                let mut found = Frontier::new(request, identity);
                index.touch(&mut found);
                found.filter_map(|number| self.one(number)).any(touches)
            }
        }
    }

    /// As [`touch`](Self::touch), with a topic that shows it.
    pub fn touched(&self, request: &Request<'_>, identity: Identity<'_>) -> Touch {
        let mut filters = self.filters.iter().filter(|filter| filter.uses().possible(identity));
        if !request.is_wildcard() {
            let matched = if filters.any(|filter| filter.matches_literally(request, identity)) {
                Some(true)
            } else {
                any_match(self.denied_rich(request, identity), request.text(), request, identity)
            };
            return match matched {
                Some(true) => Touch::Topic(request.text().to_owned()),
                Some(false) => Touch::Nothing,
                None => Touch::Unsettled,
            };
        }
        if let Some(topic) = filters.find_map(|filter| filter.common_topic(request, identity)) {
            return Touch::Topic(topic);
        }
        let mut touch = Touch::Nothing;
        for rich in self.denied_rich(request, identity) {
            match common(rich, request, identity) {
                Found::Topic(topic) => return Touch::Topic(topic),
                Found::Nothing => {}
                Found::Unsettled => touch = Touch::Unsettled,
            }
        }
        touch
    }

    fn all(&self) -> impl Iterator<Item = One<'_>> {
        self.filters.iter().map(One::Filter).chain(self.rich.iter().map(One::Rich))
    }

    /// The pattern of a number of the index.
    fn one(&self, number: u32) -> Option<One<'_>> {
        let number = number as usize;
        match number.checked_sub(self.filters.len()) {
            None => self.filters.get(number).map(One::Filter),
            Some(number) => self.rich.get(number).map(One::Rich),
        }
    }

    /// Whether this holds of one of the patterns that may match a topic name.
    fn any_about_name<'p>(
        &'p self,
        request: &Request<'_>,
        identity: Identity<'_>,
        holds: impl FnMut(One<'p>) -> bool,
    ) -> bool {
        let Some(index) = &self.index else { return self.all().any(holds) };
        let mut found = Frontier::new(request, identity);
        index.cover(&mut found);
        found.filter_map(|number| self.one(number)).any(holds)
    }

    fn allowed_filters<'p>(&'p self, identity: Identity<'p>) -> impl Iterator<Item = &'p Filter> {
        self.filters.iter().filter(move |filter| filter.uses().safe(identity))
    }

    fn allowed_rich<'p>(&'p self, request: &'p Request<'_>, identity: Identity<'p>) -> impl Iterator<Item = &'p Rich> {
        self.rich.iter().filter(move |rich| rich.may_reach(request, identity) && is_safe(rich, request, identity))
    }

    /// Unlike a filter, a glob or a regex can match without its placeholders, so that a value which no topic
    /// holds does not take it out.
    fn denied_rich<'p>(&'p self, request: &'p Request<'_>, identity: Identity<'p>) -> impl Iterator<Item = &'p Rich> {
        self.rich.iter().filter(move |rich| rich.may_reach(request, identity))
    }

    fn missed_depth(&self, request: &Request<'_>, identity: Identity<'_>) -> Option<usize> {
        let Some(index) = &self.index else {
            return missed_depth(self.allowed_filters(identity), request, identity);
        };
        let mut found = Frontier::new(request, identity);
        index.cover_together(&mut found);
        let filters = found.filter_map(|number| self.filters.get(number as usize));
        missed_depth(filters.filter(|filter| filter.uses().safe(identity)), request, identity)
    }

    /// Whether filters, globs and regexes cover a filter together, of which the filters alone miss topics with
    /// so many levels.
    fn covered_by_all(&self, depth: usize, request: &Request<'_>, identity: Identity<'_>) -> Cover {
        let topic = topic_of_depth(request, depth, &self.new_word(identity));
        // No automaton is needed where that topic is missed by globs and regexes too.
        match any_match(self.allowed_rich(request, identity), &topic, request, identity) {
            Some(true) => {}
            Some(false) => return Cover::Without(topic),
            None => return Cover::Unsettled,
        }
        if !request.spend(START * self.rich.len()) {
            return Cover::Unsettled;
        }
        let mut settled = true;
        let mut parts = Vec::new();
        for rich in self.allowed_rich(request, identity) {
            match rich.machine() {
                Some(machine) => parts.push(Part::Machine(machine)),
                None => settled = false,
            }
        }
        let filters = self.allowed_filters(identity).filter(|filter| filter.overlaps(request, identity));
        parts.extend(filters.map(|filter| Part::Filter(Names::new(filter.filled(identity)))));
        match uncovered_topic(&parts, &self.atoms, request, identity) {
            Found::Nothing => Cover::Full,
            Found::Topic(topic) if settled && request.work().left() > 0 => Cover::Without(topic),
            Found::Topic(_) | Found::Unsettled => Cover::Unsettled,
        }
    }

    /// A word that is no level of a filter.
    fn new_word(&self, identity: Identity<'_>) -> String {
        let words = ["x", "y", "z"].into_iter().map(str::to_owned).chain((1..).map(|number: u32| format!("x{number}")));
        let mut new = words.filter(|word| !self.filters.iter().any(|filter| filter.has_word(word, identity)));
        new.next().unwrap_or_default()
    }
}

/// Whether one of them matches the topic; `None` where that is not settled.
fn any_match<'p>(
    rich: impl Iterator<Item = &'p Rich>,
    topic: &str,
    request: &Request<'_>,
    identity: Identity<'_>,
) -> Option<bool> {
    let mut settled = true;
    for rich in rich {
        match rich.matches(topic, request, identity) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => settled = false,
        }
    }
    // Where no work is left, patterns may have been left out.
    (settled && request.work().left() > 0).then_some(false)
}

/// Whether it is of use in a rule that allows. To look through long values is work, too.
fn is_safe(rich: &Rich, request: &Request<'_>, identity: Identity<'_>) -> bool {
    const BYTES: usize = 32;
    let length: usize = rich.uses().values(identity).map(str::len).sum();
    (length < BYTES || request.spend(length / BYTES)) && rich.uses().safe(identity)
}

fn common(rich: &Rich, request: &Request<'_>, identity: Identity<'_>) -> Found {
    rich.machine().map_or(Found::Unsettled, |machine| common_topic(machine, request, identity))
}
