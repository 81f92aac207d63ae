//! Where else the value of a clientid or username occurs: in fields that conditions compare with
//! placeholders.
//!
//! A condition like `username: "dev-${clientid}"` lets what the username is compared with tell
//! clientids apart: the clientid occurs there with `dev-` before it. And it relates the two: the
//! username is this text or it is not.

use super::comparisons::FieldComparisons;
use super::placeholders::{
    PlaceholderRelation, SinglePlaceholder, TemplateEquality, compare_templates, field_of, placeholder_of,
};
use exhook_policy_core::policy::model::TextField;
use exhook_policy_core::text::Placeholder;

/// A text field in which a value appears, with a text before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldOccurrence {
    pub(super) field: TextField,
    pub(super) before: String,
    pub(super) behind: String,
}

impl FieldOccurrence {
    /// The field itself.
    fn of(field: TextField) -> Self {
        FieldOccurrence { field, before: String::new(), behind: String::new() }
    }

    /// What stands in the field where this is the value.
    pub(super) fn text_with(&self, value: &str) -> String {
        [&*self.before, value, &*self.behind].concat()
    }

    /// The value where this text stands in the field.
    pub(super) fn value_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)
    }
}

/// Where the values of clientid and username occur.
#[derive(Debug)]
pub(super) struct FieldOccurrences {
    clientid: Vec<FieldOccurrence>,
    username: Vec<FieldOccurrence>,
    /// In how many ways the clientid and the username can be the same for some condition.
    relations: usize,
    /// Values are related in no way that is not followed here.
    pub(super) complete: bool,
}

impl FieldOccurrences {
    /// `relations` are those that topics make.
    pub(super) fn of(comparisons: &FieldComparisons<'_>, relations: &[PlaceholderRelation]) -> Self {
        let mut occurrences = FieldOccurrences {
            clientid: vec![FieldOccurrence::of(TextField::Clientid)],
            username: vec![FieldOccurrence::of(TextField::Username)],
            relations: 0,
            complete: true,
        };
        for field in TextField::ALL.iter().copied() {
            occurrences.add_templates(field, comparisons);
        }
        for relation in relations {
            occurrences.add_relation(relation.clone());
        }
        occurrences.compose();
        let shared = |other: TextField| {
            let own = &comparisons.text(TextField::Clientid).external;
            comparisons.text(other).external.iter().any(|list| own.contains(list))
        };
        occurrences.relations += usize::from(shared(TextField::Username));
        occurrences
    }

    fn add_templates(&mut self, field: TextField, comparisons: &FieldComparisons<'_>) {
        let text = comparisons.text(field);
        let mut singles: Vec<SinglePlaceholder<'_>> = Vec::new();
        for template in &text.templates {
            let Some(one) = SinglePlaceholder::of(template.pieces()) else {
                // Such a text can be told from all others only where nothing else is said of the
                // field.
                let alone = text.asked() == 0
                    && text.literals.is_empty()
                    && text.external.is_empty()
                    && text.templates.len() == 1
                    && placeholder_of(field).is_none();
                self.complete &= alone;
                self.relations += 1;
                continue;
            };
            if singles.contains(&one) {
                continue;
            }
            for other in &singles {
                match compare_templates(one, *other) {
                    TemplateEquality::Always | TemplateEquality::Never => {}
                    TemplateEquality::Related(relation) => self.add_relation(relation),
                    TemplateEquality::Sometimes => self.complete = false,
                }
            }
            singles.push(one);
        }
        for SinglePlaceholder { before, placeholder, behind } in singles {
            let own = field_of(placeholder);
            if own == field {
                continue;
            }
            let (before, behind) = (before.to_owned(), behind.to_owned());
            match (field, placeholder) {
                (TextField::Clientid, _) => {
                    self.add_relation(PlaceholderRelation { longer: Placeholder::Clientid, before, behind });
                }
                (TextField::Username, _) => {
                    self.add_relation(PlaceholderRelation { longer: Placeholder::Username, before, behind });
                }
                (_, Placeholder::Clientid) => self.clientid.push(FieldOccurrence { field, before, behind }),
                (_, Placeholder::Username) => self.username.push(FieldOccurrence { field, before, behind }),
            }
        }
    }

    fn add_relation(&mut self, PlaceholderRelation { longer, before, behind }: PlaceholderRelation) {
        let occurrence = FieldOccurrence { field: field_of(longer), before, behind };
        let shorter = match longer {
            Placeholder::Clientid => &mut self.username,
            Placeholder::Username => &mut self.clientid,
        };
        if !shorter.contains(&occurrence) {
            self.relations += 1;
            shorter.push(occurrence);
        }
    }

    /// Where the username is made of the clientid, and the mountpoint of the username, the
    /// mountpoint shows the clientid.
    fn compose(&mut self) {
        let through = |own: &[FieldOccurrence], other: &[FieldOccurrence], middle: TextField| -> Vec<FieldOccurrence> {
            let ways = own.iter().filter(|occurrence| occurrence.field == middle);
            let beyond = |occurrence: &&FieldOccurrence| placeholder_of(occurrence.field).is_none();
            ways.flat_map(|way| {
                other.iter().filter(beyond).map(|occurrence| FieldOccurrence {
                    field: occurrence.field,
                    before: [&*occurrence.before, &*way.before].concat(),
                    behind: [&*way.behind, &*occurrence.behind].concat(),
                })
            })
            .collect()
        };
        let clientid = through(&self.clientid, &self.username, TextField::Username);
        let username = through(&self.username, &self.clientid, TextField::Clientid);
        self.clientid.extend(clientid);
        self.username.extend(username);
    }

    /// Where the value of a field appears, first in the field itself.
    pub(super) fn of_field(&self, field: TextField) -> Vec<FieldOccurrence> {
        match placeholder_of(field) {
            Some(Placeholder::Clientid) => self.clientid.clone(),
            Some(Placeholder::Username) => self.username.clone(),
            None => vec![FieldOccurrence::of(field)],
        }
    }

    /// How many values of one kind are needed for the clientid and the username so that some are
    /// not related.
    pub(super) fn values_needed(&self) -> usize {
        self.relations + 1
    }
}
