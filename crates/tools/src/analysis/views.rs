//! How placeholders tie the text fields of a client together.
//!
//! A condition like `username: "dev-${clientid}"` lets what the username is compared with tell clientids apart: the
//! clientid is seen there with `dev-` before it. And it ties: the username is this text or it is not.

use super::facts::Facts;
use super::texts::placeholder_of;
use exhook_policy_core::policy::model::TextField;
use exhook_policy_core::text::{Piece, Placeholder};

/// A text field in which a value appears, with a text before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) field: TextField,
    pub(super) before: String,
    pub(super) behind: String,
}

impl View {
    /// The field itself.
    fn of(field: TextField) -> Self {
        View { field, before: String::new(), behind: String::new() }
    }

    /// What stands in the field where this is the value.
    pub(super) fn shows(&self, value: &str) -> String {
        [&*self.before, value, &*self.behind].concat()
    }

    /// The value where this text stands in the field.
    pub(super) fn solve<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)
    }
}

/// How the fields are tied.
#[derive(Debug)]
pub(super) struct Views {
    clientid: Vec<View>,
    username: Vec<View>,
    /// In how many ways the clientid and the username can be the same for some condition.
    ties: usize,
    /// Nothing ties values in a way that is not followed here.
    pub(super) complete: bool,
}

/// The field of a placeholder.
pub(super) fn field_of(placeholder: Placeholder) -> TextField {
    match placeholder {
        Placeholder::Clientid => TextField::Clientid,
        Placeholder::Username => TextField::Username,
    }
}

/// A text with one placeholder in it, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Simple<'t> {
    pub(super) before: &'t str,
    pub(super) placeholder: Placeholder,
    pub(super) behind: &'t str,
}

impl<'t> Simple<'t> {
    pub(super) fn of(mut pieces: impl Iterator<Item = Piece<'t>>) -> Option<Self> {
        let mut next = pieces.next()?;
        let mut before = "";
        if let Piece::Text(text) = next {
            before = text;
            next = pieces.next()?;
        }
        let Piece::Value(placeholder) = next else { return None };
        let behind = match pieces.next() {
            None => "",
            Some(Piece::Text(text)) => text,
            Some(Piece::Value(_)) => return None,
        };
        pieces.next().is_none().then_some(Simple { before, placeholder, behind })
    }
}

/// Whether two texts with placeholders can be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Same {
    Always,
    Never,
    /// Where one value is the other, with a text before and behind it.
    Tied(Tie),
    /// For some values.
    Sometimes,
}

/// The value of one placeholder is that of the other with a text before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) longer: Placeholder,
    pub(super) before: String,
    pub(super) behind: String,
}

/// When two texts are the same.
pub(super) fn same(one: Simple<'_>, other: Simple<'_>) -> Same {
    let before = rests(one.before, other.before, |one, other| one.strip_prefix(other));
    let behind = rests(one.behind, other.behind, |one, other| one.strip_suffix(other));
    let (Some((before, other_before)), Some((behind, other_behind))) = (before, behind) else {
        return Same::Never;
    };
    let (own, others) = (before.len() + behind.len(), other_before.len() + other_behind.len());
    // What is left over of one text is what its value lacks.
    let tie = |longer, before: &str, behind: &str| {
        Same::Tied(Tie { longer, before: before.to_owned(), behind: behind.to_owned() })
    };
    match (one.placeholder == other.placeholder, own, others) {
        (true, 0, 0) => Same::Always,
        (true, own, others) if own != others => Same::Never,
        (false, 0, _) => tie(one.placeholder, other_before, other_behind),
        (false, _, 0) => tie(other.placeholder, before, behind),
        (true | false, _, _) => Same::Sometimes,
    }
}

/// What is left of each without what they have in common; `None` where neither has the other at its end.
fn rests<'t>(
    one: &'t str,
    other: &'t str,
    strip: fn(&'t str, &'t str) -> Option<&'t str>,
) -> Option<(&'t str, &'t str)> {
    strip(one, other).map(|rest| (rest, "")).or_else(|| strip(other, one).map(|rest| ("", rest)))
}

impl Views {
    /// `ties` are those that topics make.
    pub(super) fn of(facts: &Facts<'_>, ties: &[Tie]) -> Self {
        let mut views = Views {
            clientid: vec![View::of(TextField::Clientid)],
            username: vec![View::of(TextField::Username)],
            ties: 0,
            complete: true,
        };
        for field in TextField::ALL.iter().copied() {
            views.add_templates(field, facts);
        }
        for tie in ties {
            views.tie(tie.clone());
        }
        views.compose();
        let shared = |other: TextField| {
            let own = &facts.text(TextField::Clientid).elsewhere;
            facts.text(other).elsewhere.iter().any(|list| own.contains(list))
        };
        views.ties += usize::from(shared(TextField::Username));
        views
    }

    fn add_templates(&mut self, field: TextField, facts: &Facts<'_>) {
        let text = facts.text(field);
        let mut simple: Vec<Simple<'_>> = Vec::new();
        for template in &text.templates {
            let Some(one) = Simple::of(template.pieces()) else {
                // Such a text can be told from all others only where nothing else is said of the field.
                let alone = text.asked() == 0
                    && text.literals.is_empty()
                    && text.elsewhere.is_empty()
                    && text.templates.len() == 1
                    && placeholder_of(field).is_none();
                self.complete &= alone;
                self.ties += 1;
                continue;
            };
            if simple.contains(&one) {
                continue;
            }
            for other in &simple {
                match same(one, *other) {
                    Same::Always | Same::Never => {}
                    Same::Tied(tie) => self.tie(tie),
                    Same::Sometimes => self.complete = false,
                }
            }
            simple.push(one);
        }
        for Simple { before, placeholder, behind } in simple {
            let own = field_of(placeholder);
            if own == field {
                continue;
            }
            let (before, behind) = (before.to_owned(), behind.to_owned());
            match (field, placeholder) {
                (TextField::Clientid, _) => self.tie(Tie { longer: Placeholder::Clientid, before, behind }),
                (TextField::Username, _) => self.tie(Tie { longer: Placeholder::Username, before, behind }),
                (_, Placeholder::Clientid) => self.clientid.push(View { field, before, behind }),
                (_, Placeholder::Username) => self.username.push(View { field, before, behind }),
            }
        }
    }

    fn tie(&mut self, Tie { longer, before, behind }: Tie) {
        let view = View { field: field_of(longer), before, behind };
        let shorter = match longer {
            Placeholder::Clientid => &mut self.username,
            Placeholder::Username => &mut self.clientid,
        };
        if !shorter.contains(&view) {
            self.ties += 1;
            shorter.push(view);
        }
    }

    /// Where the username is made of the clientid, and the mountpoint of the username, the mountpoint shows the clientid.
    fn compose(&mut self) {
        let through = |own: &[View], other: &[View], middle: TextField| -> Vec<View> {
            let ways = own.iter().filter(|view| view.field == middle);
            let beyond = |view: &&View| placeholder_of(view.field).is_none();
            ways.flat_map(|way| {
                other.iter().filter(beyond).map(|view| View {
                    field: view.field,
                    before: [&*view.before, &*way.before].concat(),
                    behind: [&*way.behind, &*view.behind].concat(),
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
    pub(super) fn of_field(&self, field: TextField) -> Vec<View> {
        match placeholder_of(field) {
            Some(Placeholder::Clientid) => self.clientid.clone(),
            Some(Placeholder::Username) => self.username.clone(),
            None => vec![View::of(field)],
        }
    }

    /// How many values of one kind are needed for the clientid and the username so that some are not tied.
    pub(super) fn untied(&self) -> usize {
        self.ties + 1
    }
}
