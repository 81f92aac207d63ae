//! Values of a text field, of which every other one is treated as one of them is.

use std::collections::{HashMap, HashSet};
use std::ptr;

use super::facts::Facts;
use super::roles::Rules;
use super::space::{Kind, Space};
use super::views::{View, Views};
use super::words::{Track, Wanted, walk};
use exhook_policy_core::policy::model::{Condition, ListId, TextCondition, TextField, Who};
use exhook_policy_core::text::{Matcher, Placeholder};
use exhook_policy_core::topic::Budget;

/// Values of a field.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Each with the number of its class.
    pub(super) texts: Vec<(String, usize)>,
    pub(super) complete: bool,
}

/// Tells the values of fields apart, and finds some of each class.
pub(super) struct Texts<'a, 'w> {
    pub(super) space: &'a Space,
    pub(super) facts: &'a Facts<'w>,
    pub(super) rules: &'a Rules,
    pub(super) views: &'a Views,
    pub(super) focus: Kind<'w>,
    classes: HashMap<(TextField, Vec<u32>), usize>,
}

/// Parts the numbers of one view from those of the next.
const END: u32 = u32::MAX;
/// Steps that asking one condition about a value counts for.
const ASK: usize = 4;

impl<'a, 'w> Texts<'a, 'w> {
    pub(super) fn new(
        space: &'a Space,
        facts: &'a Facts<'w>,
        rules: &'a Rules,
        views: &'a Views,
        focus: Kind<'w>,
    ) -> Self {
        Texts { space, facts, rules, views, focus, classes: HashMap::new() }
    }

    /// The class of a value: values of one class differ in nothing but how fields are tied.
    pub(super) fn class(&mut self, field: TextField, value: &str) -> usize {
        let mut key = Vec::new();
        for view in self.views.of_field(field) {
            let shown = view.shows(value);
            self.facts.text(view.field).holding(&shown, &self.space.lists, &mut key);
            key.push(END);
            if let Some(placeholder) = placeholder_of(view.field) {
                key.push(self.rules.of_value(placeholder, &shown));
            }
        }
        // Placeholders stand for no empty value.
        key.push(u32::from(value.is_empty()));
        let next = self.classes.len();
        *self.classes.entry((field, key)).or_insert(next)
    }

    /// Values of the field, so many of each class.
    pub(super) fn pool(&mut self, field: TextField, count: usize, budget: &mut Budget) -> Pool {
        let views = self.views.of_field(field);
        let mut filling = Filling { field, count, taken: HashMap::new(), seen: HashSet::new(), pool: Pool::default() };
        filling.pool.complete = true;
        let cost = ASK * (1 + views.iter().map(|view| self.facts.text(view.field).asked()).sum::<usize>());
        if let Some(pinned) = self.pinned(self.focus.who, field) {
            for value in pinned {
                filling.add(self, value, cost, budget);
            }
            return filling.pool;
        }
        let mut known: HashSet<String> = HashSet::new();
        for view in &views {
            let literals = self.facts.text(view.field).literals.iter();
            known.extend(literals.filter_map(|literal| view.solve(literal)).map(str::to_owned));
            let roles = placeholder_of(view.field).map_or(&[][..], |placeholder| self.rules.known(placeholder));
            known.extend(roles.iter().filter_map(|value| view.solve(value)).map(str::to_owned));
        }
        known.insert(String::new());
        let mut ordered: Vec<&String> = known.iter().collect();
        ordered.sort_unstable_by_key(|value| (value.is_empty(), value.len(), *value));
        for value in ordered {
            filling.add(self, value, cost, budget);
        }
        self.add_fresh(&views, &known, &mut filling, cost, budget);
        self.add_entries(&views, &mut filling, cost, budget);
        self.add_words(&views, &known, &mut filling, cost, budget);
        filling.pool
    }

    /// Values that nothing names.
    fn add_fresh(
        &mut self,
        views: &[View],
        known: &HashSet<String>,
        filling: &mut Filling,
        cost: usize,
        budget: &mut Budget,
    ) {
        let names = filling.field.traits().examples;
        let first = names.first().copied().unwrap_or_default();
        let numbered = (1..).map(|number: u32| format!("{first}-{number}"));
        let fresh = |name: &String| !known.contains(name) && !self.is_entry(views, name);
        let names: Vec<String> =
            names.iter().map(|name| (*name).to_owned()).chain(numbered).filter(fresh).take(filling.count).collect();
        for name in names {
            filling.add(self, &name, cost, budget);
        }
        let mut odd = Vec::new();
        for view in views {
            let values = placeholder_of(view.field).map(|placeholder| self.rules.odd(placeholder)).unwrap_or_default();
            odd.extend(values);
        }
        for value in odd.into_iter().filter(|value| !known.contains(value)) {
            for number in 0..filling.count {
                let value = if number == 0 { value.clone() } else { format!("{value}{number}") };
                filling.add(self, &value, cost, budget);
            }
        }
    }

    fn inline(&self, view: &View) -> impl Iterator<Item = (usize, ListId)> {
        self.facts.text(view.field).inline.iter().copied()
    }

    fn is_entry(&self, views: &[View], value: &str) -> bool {
        views.iter().any(|view| {
            let shown = view.shows(value);
            self.inline(view).any(|(policy, list)| {
                let list = self.space.lists.inline(policy).get(list);
                list.is_some_and(|list| list.contains_text(&shown))
            })
        })
    }

    /// Entries of inline lists: each is looked at, and those alike are left out.
    fn add_entries(&mut self, views: &[View], filling: &mut Filling, cost: usize, budget: &mut Budget) {
        let space = self.space;
        for view in views {
            let lists: Vec<(usize, ListId)> = self.inline(view).collect();
            for (policy, list) in lists {
                for entry in space.lists.entries(policy, list).unwrap_or_default() {
                    if let Some(value) = view.solve(entry) {
                        filling.add(self, value, cost, budget);
                    }
                }
            }
        }
    }

    /// Values that globs and regexes tell apart.
    fn add_words(
        &mut self,
        views: &[View],
        known: &HashSet<String>,
        filling: &mut Filling,
        cost: usize,
        budget: &mut Budget,
    ) {
        let mut needed = Vec::new();
        required(self.focus.who, filling.field, &mut needed);
        let mut tracks = Vec::new();
        for (number, view) in views.iter().enumerate() {
            let mut seen = HashSet::new();
            for matcher in self.facts.text(view.field).matchers.iter().filter(|one| seen.insert(one.anchored())) {
                let needed = number == 0 && needed.iter().any(|needed| ptr::eq(*needed, *matcher));
                match self.space.automaton(matcher, budget) {
                    Some(automaton) => tracks.push(Track {
                        automaton,
                        before: view.before.clone(),
                        behind: view.behind.clone(),
                        needed,
                    }),
                    None => filling.pool.complete = false,
                }
            }
        }
        if tracks.is_empty() {
            return;
        }
        let used: Vec<Placeholder> = views.iter().filter_map(|view| placeholder_of(view.field)).collect();
        // The words of a value with a `/` in it would have to be looked for one by one.
        if used.iter().any(|placeholder| self.rules.spreads(*placeholder)) {
            filling.pool.complete = false;
        }
        let topics = used.iter().any(|placeholder| self.rules.uses(*placeholder));
        let is_known = |word: &str| known.contains(word) || self.is_entry(views, word);
        let wanted = Wanted { count: filling.count, known: &is_known, topics };
        let mut found = budget.within(budget.left() / 4, |budget| walk(&tracks, &wanted, budget));
        if !found.complete {
            // At least some that each matches.
            let each = budget.left() / 8 / tracks.len();
            for track in &mut tracks {
                track.needed = true;
                let alone = budget.within(each, |budget| walk(std::slice::from_ref(track), &wanted, budget));
                found.words.extend(alone.words);
            }
        }
        filling.pool.complete &= found.complete;
        for word in found.words {
            filling.add(self, &word, cost, budget);
        }
    }

    /// The only values that the focus allows, where it names them.
    fn pinned<'f>(&self, who: &'f Who, field: TextField) -> Option<Vec<&'f str>>
    where
        'a: 'f,
    {
        match who {
            Who::Everyone => None,
            Who::Named(named) => self.pinned(&named.who, field),
            Who::During(_, who) => self.pinned(who, field),
            Who::Any(each) => {
                let all: Option<Vec<_>> = each.iter().map(|who| self.pinned(who, field)).collect();
                all.map(|all| all.into_iter().flatten().collect())
            }
            Who::All(conditions) => conditions.iter().find_map(|condition| match condition {
                Condition::Text(of, condition) if *of == field => self.named(condition),
                Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
            }),
        }
    }

    fn named<'f>(&self, condition: &'f TextCondition) -> Option<Vec<&'f str>>
    where
        'a: 'f,
    {
        match condition {
            TextCondition::Equals(template) => template.as_literal().map(|literal| vec![literal]),
            TextCondition::In(list) => {
                let entries = self.space.lists.entries(self.focus.policy, *list)?;
                Some(entries.iter().map(String::as_str).collect())
            }
            TextCondition::Any(each) => {
                let all: Option<Vec<_>> = each.iter().map(|one| self.named(one)).collect();
                all.map(|all| all.into_iter().flatten().collect())
            }
            TextCondition::Matches(_) | TextCondition::Not(_) => None,
        }
    }
}

pub(super) fn placeholder_of(field: TextField) -> Option<Placeholder> {
    field.traits().placeholder
}

/// Globs and regexes that must match the field's value.
fn required<'w>(who: &'w Who, field: TextField, needed: &mut Vec<&'w Matcher>) {
    match who {
        Who::Everyone | Who::Any(_) => {}
        Who::Named(named) => required(&named.who, field, needed),
        Who::During(_, who) => required(who, field, needed),
        Who::All(conditions) => needed.extend(conditions.iter().filter_map(|condition| match condition {
            Condition::Text(of, TextCondition::Matches(matcher)) if *of == field => Some(matcher),
            Condition::Text(..) | Condition::Host(..) | Condition::Port(..) | Condition::Flag(..) => None,
        })),
    }
}

/// A pool that is being filled.
struct Filling {
    field: TextField,
    count: usize,
    /// How many there are of each class.
    taken: HashMap<usize, usize>,
    seen: HashSet<String>,
    pool: Pool,
}

impl Filling {
    fn add(&mut self, texts: &mut Texts<'_, '_>, value: &str, cost: usize, budget: &mut Budget) {
        if !budget.spend(cost + value.len()) {
            self.pool.complete = false;
            return;
        }
        if self.seen.contains(value) {
            return;
        }
        let class = texts.class(self.field, value);
        let taken = self.taken.entry(class).or_default();
        if *taken < self.count {
            *taken += 1;
            self.seen.insert(value.to_owned());
            self.pool.texts.push((value.to_owned(), class));
        }
    }
}
