//! Texts with one placeholder, and when two of them are the same text.

use exhook_policy_core::policy::model::TextField;
use exhook_policy_core::text::{Piece, Placeholder};

/// The field of a placeholder.
pub(super) fn field_of(placeholder: Placeholder) -> TextField {
    match placeholder {
        Placeholder::Clientid => TextField::Clientid,
        Placeholder::Username => TextField::Username,
    }
}

/// The placeholder that stands for a field.
pub(super) fn placeholder_of(field: TextField) -> Option<Placeholder> {
    field.traits().placeholder
}

/// A text with one placeholder in it, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SinglePlaceholder<'t> {
    pub(super) before: &'t str,
    pub(super) placeholder: Placeholder,
    pub(super) behind: &'t str,
}

impl<'t> SinglePlaceholder<'t> {
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
        pieces.next().is_none().then_some(SinglePlaceholder { before, placeholder, behind })
    }
}

/// Whether two texts with placeholders can be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateEquality {
    Always,
    Never,
    /// Where one value is the other, with a text before and behind it.
    Related(PlaceholderRelation),
    /// For some values.
    Sometimes,
}

/// The value of one placeholder is that of the other with a text before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlaceholderRelation {
    pub(super) longer: Placeholder,
    pub(super) before: String,
    pub(super) behind: String,
}

impl PlaceholderRelation {
    pub(super) fn holds(&self, clientid: &str, username: &str) -> bool {
        let (longer, shorter) = match self.longer {
            Placeholder::Clientid => (clientid, username),
            Placeholder::Username => (username, clientid),
        };
        let rest = longer.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.behind));
        rest == Some(shorter)
    }
}

/// When two texts are the same.
pub(super) fn compare_templates(one: SinglePlaceholder<'_>, other: SinglePlaceholder<'_>) -> TemplateEquality {
    let before = rests(one.before, other.before, |one, other| one.strip_prefix(other));
    let behind = rests(one.behind, other.behind, |one, other| one.strip_suffix(other));
    let (Some((before, other_before)), Some((behind, other_behind))) = (before, behind) else {
        return TemplateEquality::Never;
    };
    let (own, others) = (before.len() + behind.len(), other_before.len() + other_behind.len());
    // What is left over of one text is what its value lacks.
    let relation = |longer, before: &str, behind: &str| {
        TemplateEquality::Related(PlaceholderRelation { longer, before: before.to_owned(), behind: behind.to_owned() })
    };
    match (one.placeholder == other.placeholder, own, others) {
        (true, 0, 0) => TemplateEquality::Always,
        (true, own, others) if own != others => TemplateEquality::Never,
        (false, 0, _) => relation(one.placeholder, other_before, other_behind),
        (false, _, 0) => relation(other.placeholder, before, behind),
        (true | false, _, _) => TemplateEquality::Sometimes,
    }
}

/// What is left of each without what they have in common; `None` where neither has the other at its
/// end.
fn rests<'t>(
    one: &'t str,
    other: &'t str,
    strip: fn(&'t str, &'t str) -> Option<&'t str>,
) -> Option<(&'t str, &'t str)> {
    strip(one, other).map(|rest| (rest, "")).or_else(|| strip(other, one).map(|rest| ("", rest)))
}
