//! Where the parts of a policy stand in its text, for whoever finds something in it later.

use super::model::Model;
use super::span::Span;
use crate::decision::Mode;
use crate::topic::Syntax;

/// Where the parts of a policy stand.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The entries of `lists`, in the order of [`ListId`](super::model::ListId), by name.
    pub lists: Vec<(String, Span)>,
    /// The entries of `clients`, by name.
    pub clients: Vec<(String, Span)>,
    /// The entries of `passwords`, in the order of [`PasswordId`](super::model::PasswordId), by name.
    pub passwords: Vec<(String, Span)>,
    /// The section `auth`.
    pub auth: SectionPlaces,
    /// The section `acl`.
    pub acl: SectionPlaces,
}

impl Places {
    /// Those of the rules that are carried out, which are the rules of the compiled policy.
    #[must_use]
    pub fn enforced(&self, model: &Model) -> Self {
        let auth = model.auth.iter().flat_map(|auth| &auth.rules).map(|rule| rule.mode);
        let acl = model.acl.iter().flat_map(|acl| &acl.rules).map(|rule| rule.mode);
        Places { auth: self.auth.enforced(auth), acl: self.acl.enforced(acl), ..self.clone() }
    }
}

impl SectionPlaces {
    fn enforced(&self, modes: impl Iterator<Item = Mode>) -> Self {
        let rules = self.rules.iter().zip(modes).filter(|(_, mode)| *mode == Mode::Enforce);
        SectionPlaces { default: self.default, rules: rules.map(|(rule, _)| rule.clone()).collect() }
    }
}

/// Where the parts of a section stand.
#[derive(Debug, Clone, Default)]
pub struct SectionPlaces {
    /// The word under `default`, where it is said.
    pub default: Option<Span>,
    /// The rules, in the order of the model's.
    pub rules: Vec<RulePlaces>,
}

/// Where the parts of a rule stand.
#[derive(Debug, Clone)]
pub struct RulePlaces {
    /// All of it.
    pub whole: Span,
    /// What to underline where the rule is meant: its id, else its first key or all of it where it is in braces.
    pub head: Span,
    /// Whom the rule is about.
    pub who: Span,
    /// The name of the password source.
    pub password: Option<Span>,
    /// The windows of time in which it matches, in the order of the model's.
    pub windows: Vec<Span>,
    /// The topic patterns of all directions, in the order `topics`, `publish`, `subscribe`.
    pub patterns: Vec<PatternPlace>,
}

/// A topic pattern as it is written.
#[derive(Debug, Clone)]
pub struct PatternPlace {
    /// The key that it stands under.
    pub direction: Direction,
    /// How it is written.
    pub syntax: Syntax,
    /// The pattern itself.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
    /// `${clientid}` stands in it.
    pub clientid: bool,
}

/// Under which key a pattern stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `topics`.
    Both,
    /// `publish`.
    Publish,
    /// `subscribe`.
    Subscribe,
}
