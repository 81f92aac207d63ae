//! Values of a text field, of which every other one is treated as one of them is.

use std::collections::{HashMap, HashSet};
use std::ptr;

use super::automata::{AffixedAutomaton, WordRequest, find_words};
use super::client_kind::ClientKind;
use super::comparisons::FieldComparisons;
use super::context::AnalysisContext;
use super::occurrences::{FieldOccurrence, FieldOccurrences};
use super::placeholders::placeholder_of;
use super::topic_classes::TopicClasses;
use exhook_policy_core::policy::model::{Condition, ListId, TextCondition, TextField, Who};
use exhook_policy_core::text::{Matcher, Placeholder};
use exhook_policy_core::topic::Budget;

/// Values of a field.
#[derive(Debug, Default)]
pub(super) struct FieldValues {
    /// Each with the number of its class.
    pub(super) texts: Vec<(String, usize)>,
    pub(super) complete: bool,
}

/// Tells the values of fields apart, and finds some of each class.
pub(super) struct TextClassifier<'a, 'w> {
    pub(super) context: &'a AnalysisContext,
    pub(super) comparisons: &'a FieldComparisons<'w>,
    pub(super) topic_classes: &'a TopicClasses,
    pub(super) occurrences: &'a FieldOccurrences,
    pub(super) focus: ClientKind<'w>,
    classes: HashMap<(TextField, Vec<u32>), usize>,
}

/// Separates the numbers of one occurrence from those of the next.
const END: u32 = u32::MAX;
/// Steps that asking one condition about a value counts for.
const ASK: usize = 4;

impl<'a, 'w> TextClassifier<'a, 'w> {
    pub(super) fn new(
        context: &'a AnalysisContext,
        comparisons: &'a FieldComparisons<'w>,
        topic_classes: &'a TopicClasses,
        occurrences: &'a FieldOccurrences,
        focus: ClientKind<'w>,
    ) -> Self {
        TextClassifier { context, comparisons, topic_classes, occurrences, focus, classes: HashMap::new() }
    }

    /// The class of a value: values of one class differ only in how they are related to other
    /// fields.
    pub(super) fn class(&mut self, field: TextField, value: &str) -> usize {
        let mut key = Vec::new();
        for occurrence in self.occurrences.of_field(field) {
            let shown = occurrence.text_with(value);
            self.comparisons.text(occurrence.field).holding(&shown, &self.context.lists, &mut key);
            key.push(END);
            if let Some(placeholder) = placeholder_of(occurrence.field) {
                key.push(self.topic_classes.class_of(placeholder, &shown));
            }
        }
        // Placeholders stand for no empty value.
        key.push(u32::from(value.is_empty()));
        let next = self.classes.len();
        *self.classes.entry((field, key)).or_insert(next)
    }

    /// Values of the field, so many of each class.
    pub(super) fn field_values(&mut self, field: TextField, count: usize, budget: &mut Budget) -> FieldValues {
        let occurrences = self.occurrences.of_field(field);
        let mut builder = FieldValuesBuilder {
            field,
            count,
            taken: HashMap::new(),
            seen: HashSet::new(),
            field_values: FieldValues::default(),
        };
        builder.field_values.complete = true;
        let cost = ASK
            * (1 + occurrences.iter().map(|occurrence| self.comparisons.text(occurrence.field).asked()).sum::<usize>());
        if let Some(only_values) = self.only_values(self.focus.who, field) {
            for value in only_values {
                builder.add(self, value, cost, budget);
            }
            return builder.field_values;
        }
        let mut known: HashSet<String> = HashSet::new();
        for occurrence in &occurrences {
            let literals = self.comparisons.text(occurrence.field).literals.iter();
            known.extend(literals.filter_map(|literal| occurrence.value_in(literal)).map(str::to_owned));
            let special = placeholder_of(occurrence.field)
                .map_or(&[][..], |placeholder| self.topic_classes.special_values(placeholder));
            known.extend(special.iter().filter_map(|value| occurrence.value_in(value)).map(str::to_owned));
        }
        known.insert(String::new());
        let mut ordered: Vec<&String> = known.iter().collect();
        ordered.sort_unstable_by_key(|value| (value.is_empty(), value.len(), *value));
        for value in ordered {
            builder.add(self, value, cost, budget);
        }
        self.add_fresh(&occurrences, &known, &mut builder, cost, budget);
        self.add_entries(&occurrences, &mut builder, cost, budget);
        self.add_words(&occurrences, &known, &mut builder, cost, budget);
        builder.field_values
    }

    /// Values that nothing names.
    fn add_fresh(
        &mut self,
        occurrences: &[FieldOccurrence],
        known: &HashSet<String>,
        builder: &mut FieldValuesBuilder,
        cost: usize,
        budget: &mut Budget,
    ) {
        let names = builder.field.traits().examples;
        let first = names.first().copied().unwrap_or_default();
        let numbered = (1..).map(|number: u32| format!("{first}-{number}"));
        let fresh = |name: &String| !known.contains(name) && !self.is_entry(occurrences, name);
        let names: Vec<String> =
            names.iter().map(|name| (*name).to_owned()).chain(numbered).filter(fresh).take(builder.count).collect();
        for name in names {
            builder.add(self, &name, cost, budget);
        }
        let mut odd = Vec::new();
        for occurrence in occurrences {
            let values = placeholder_of(occurrence.field)
                .map(|placeholder| self.topic_classes.unusual_values(placeholder))
                .unwrap_or_default();
            odd.extend(values);
        }
        for value in odd.into_iter().filter(|value| !known.contains(value)) {
            for number in 0..builder.count {
                let value = if number == 0 { value.clone() } else { format!("{value}{number}") };
                builder.add(self, &value, cost, budget);
            }
        }
    }

    fn inline(&self, occurrence: &FieldOccurrence) -> impl Iterator<Item = (usize, ListId)> {
        self.comparisons.text(occurrence.field).inline.iter().copied()
    }

    fn is_entry(&self, occurrences: &[FieldOccurrence], value: &str) -> bool {
        occurrences.iter().any(|occurrence| {
            let shown = occurrence.text_with(value);
            self.inline(occurrence).any(|(policy, list)| {
                let list = self.context.lists.inline(policy).get(list);
                list.is_some_and(|list| list.contains_text(&shown))
            })
        })
    }

    /// Entries of inline lists: each is looked at, and those alike are left out.
    fn add_entries(
        &mut self,
        occurrences: &[FieldOccurrence],
        builder: &mut FieldValuesBuilder,
        cost: usize,
        budget: &mut Budget,
    ) {
        let context = self.context;
        for occurrence in occurrences {
            let lists: Vec<(usize, ListId)> = self.inline(occurrence).collect();
            for (policy, list) in lists {
                for entry in context.lists.entries(policy, list).unwrap_or_default() {
                    if let Some(value) = occurrence.value_in(entry) {
                        builder.add(self, value, cost, budget);
                    }
                }
            }
        }
    }

    /// Values that globs and regexes tell apart.
    fn add_words(
        &mut self,
        occurrences: &[FieldOccurrence],
        known: &HashSet<String>,
        builder: &mut FieldValuesBuilder,
        cost: usize,
        budget: &mut Budget,
    ) {
        let mut needed = Vec::new();
        required(self.focus.who, builder.field, &mut needed);
        let mut automata = Vec::new();
        for (number, occurrence) in occurrences.iter().enumerate() {
            let mut seen = HashSet::new();
            for matcher in
                self.comparisons.text(occurrence.field).matchers.iter().filter(|one| seen.insert(one.anchored()))
            {
                let needed = number == 0 && needed.iter().any(|needed| ptr::eq(*needed, *matcher));
                match self.context.automaton(matcher, budget) {
                    Some(automaton) => automata.push(AffixedAutomaton {
                        automaton,
                        before: occurrence.before.clone(),
                        behind: occurrence.behind.clone(),
                        needed,
                    }),
                    None => builder.field_values.complete = false,
                }
            }
        }
        if automata.is_empty() {
            return;
        }
        let used: Vec<Placeholder> =
            occurrences.iter().filter_map(|occurrence| placeholder_of(occurrence.field)).collect();
        // The words of a value with a `/` in it would have to be looked for one by one.
        if used.iter().any(|placeholder| self.topic_classes.takes_several_levels(*placeholder)) {
            builder.field_values.complete = false;
        }
        let topics = used.iter().any(|placeholder| self.topic_classes.uses(*placeholder));
        let is_known = |word: &str| known.contains(word) || self.is_entry(occurrences, word);
        let wanted = WordRequest { count: builder.count, known: &is_known, topics };
        let mut found = budget.within(budget.left() / 4, |budget| find_words(&automata, &wanted, budget));
        if !found.complete {
            // At least some that each matches.
            let each = budget.left() / 8 / automata.len();
            for affixed in &mut automata {
                affixed.needed = true;
                let alone = budget.within(each, |budget| find_words(std::slice::from_ref(affixed), &wanted, budget));
                found.words.extend(alone.words);
            }
        }
        builder.field_values.complete &= found.complete;
        for word in found.words {
            builder.add(self, &word, cost, budget);
        }
    }

    /// The only values that the focus allows, where it names them.
    fn only_values<'f>(&self, who: &'f Who, field: TextField) -> Option<Vec<&'f str>>
    where
        'a: 'f,
    {
        match who {
            Who::Everyone => None,
            Who::Named(named) => self.only_values(&named.who, field),
            Who::During(_, who) => self.only_values(who, field),
            Who::Any(each) => {
                let all: Option<Vec<_>> = each.iter().map(|who| self.only_values(who, field)).collect();
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
                let entries = self.context.lists.entries(self.focus.policy, *list)?;
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

/// Values of a field while they are collected.
struct FieldValuesBuilder {
    field: TextField,
    count: usize,
    /// How many there are of each class.
    taken: HashMap<usize, usize>,
    seen: HashSet<String>,
    field_values: FieldValues,
}

impl FieldValuesBuilder {
    fn add(&mut self, texts: &mut TextClassifier<'_, '_>, value: &str, cost: usize, budget: &mut Budget) {
        if !budget.spend(cost + value.len()) {
            self.field_values.complete = false;
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
            self.field_values.texts.push((value.to_owned(), class));
        }
    }
}
