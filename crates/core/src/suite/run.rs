//! Asking the policy, and which of its rules that takes.

use std::collections::HashSet;

use super::{Case, Question, Suite};
use crate::decision::{DEFAULT, Decision, Mode};
use crate::event::owned::OwnedClient;
use crate::policy::model::Who;
use crate::policy::trace::{Outcome, Trace};
use crate::policy::{Policy, PolicyRules};

impl Suite {
    /// What the policy says to a case.
    pub fn decide(&self, case: &Case) -> Decision<'_> {
        self.answer_of(self.asked(case), &case.client, &case.question)
    }

    /// The rules that a case is about: as they are, or with its rules in audit mode carried out.
    fn asked(&self, case: &Case) -> &PolicyRules {
        self.policy.trial().filter(|_| case.would).unwrap_or(self.policy.rules())
    }

    /// What the policy says to a client.
    pub fn answer(&self, client: &OwnedClient, question: &Question) -> Decision<'_> {
        self.answer_of(self.policy.rules(), client, question)
    }

    fn answer_of<'p>(&self, policy: &'p PolicyRules, client: &OwnedClient, question: &Question) -> Decision<'p> {
        let client = client.as_client();
        let lists = self.contents.lists();
        match question {
            Question::Authenticate(password) => {
                policy.login(&client, lists, |source| self.contents.found(source, client.username, password))
            }
            Question::Acl(action, topic) => policy.check_acl(&client, *action, topic, lists),
        }
    }

    /// The same, and how it came about.
    pub fn trace(&self, case: &Case) -> Trace<'_> {
        let policy = self.asked(case);
        let client = case.client.as_client();
        let lists = self.contents.lists();
        match &case.question {
            Question::Authenticate(password) => {
                policy.trace_login(&client, lists, |source| self.contents.found(source, client.username, password))
            }
            Question::Acl(action, topic) => policy.trace_acl(&client, *action, topic, lists),
        }
    }
}

/// For want of what it could not be told what is decided.
#[derive(Debug, Default)]
pub struct Wanting<'p> {
    /// The names of lists that nothing stands in for.
    pub lists: Vec<&'p str>,
    /// The names of password sources that nothing stands in for.
    pub sources: Vec<&'p str>,
    /// The fields of the client that are not told.
    pub fields: Vec<&'static str>,
}

/// For want of what it could not be told what is decided.
pub fn wanting<'p>(trace: &Trace<'p>) -> Wanting<'p> {
    match trace.tried.last().map(|tried| &tried.outcome) {
        Some(Outcome::CannotTell { lists, fields }) => {
            Wanting { lists: lists.clone(), fields: fields.clone(), ..Wanting::default() }
        }
        Some(Outcome::UnreadablePasswords(source)) => Wanting { sources: vec![source], ..Wanting::default() },
        Some(
            Outcome::OtherAction(_)
            | Outcome::NotWho(_)
            | Outcome::NotCovered { .. }
            | Outcome::NotTouched { .. }
            | Outcome::Part { .. }
            | Outcome::Limited { .. }
            | Outcome::UnknownUser(_)
            | Outcome::WrongPassword(_)
            | Outcome::Decided { .. },
        )
        | None => Wanting::default(),
    }
}

/// A section of a policy that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Logins.
    Auth,
    /// Topics.
    Acl,
}

impl Section {
    /// `auth` or `acl`, as the policy spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Auth => "auth",
            Section::Acl => "acl",
        }
    }

    fn of(question: &Question) -> Self {
        match question {
            Question::Authenticate(_) => Section::Auth,
            Question::Acl(..) => Section::Acl,
        }
    }
}

/// A rule of a policy, or the default of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'p> {
    /// Where it stands.
    pub section: Section,
    /// Its id, or [`DEFAULT`].
    pub id: &'p str,
    /// Its line in the policy, from 1; `None` for a default.
    pub line: Option<usize>,
}

/// Which rules of a policy decided a case. The default of each section counts as a rule, since a test that nothing is
/// let in by accident asks for it; that of `auth` does not count behind a rule that every login ends at.
#[derive(Debug)]
pub struct Coverage<'p> {
    rules: Vec<Rule<'p>>,
    decided: HashSet<(Section, String)>,
}

impl<'p> Coverage<'p> {
    /// Of no case yet.
    pub fn of(policy: &'p Policy) -> Self {
        // Rules in audit mode decide in cases that say what would be.
        let policy = policy.trial().unwrap_or(policy.rules());
        let auth = policy.auth_rules();
        let ends = auth
            .iter()
            .any(|rule| rule.password.is_none() && matches!(rule.who, Who::Everyone) && rule.mode == Mode::Enforce);
        let default = |section| Rule { section, id: DEFAULT, line: None };
        let mut rules: Vec<Rule<'p>> = Vec::new();
        rules.extend(auth.iter().map(|rule| Rule { section: Section::Auth, id: &rule.id, line: Some(rule.line) }));
        rules.extend(policy.auth_default().filter(|_| !ends).map(|_| default(Section::Auth)));
        let acl = policy.acl_rules().iter();
        rules.extend(acl.map(|rule| Rule { section: Section::Acl, id: &rule.id, line: Some(rule.line) }));
        rules.extend(policy.acl_default().map(|_| default(Section::Acl)));
        Coverage { rules, decided: HashSet::new() }
    }

    /// Notes that the rule decided a case.
    pub fn add(&mut self, case: &Case, decision: Decision<'_>) {
        let section = Section::of(&case.question);
        if self.rules.iter().any(|rule| (rule.section, rule.id) == (section, decision.rule)) {
            self.decided.insert((section, decision.rule.to_owned()));
        }
    }

    /// How many rules there are.
    pub fn total(&self) -> usize {
        self.rules.len()
    }

    /// How many of them decided a case.
    pub fn decided(&self) -> usize {
        self.decided.len()
    }

    /// Those that decided none, in the order of the policy.
    pub fn missing(&self) -> Vec<Rule<'p>> {
        let missing = |rule: &&Rule<'_>| !self.decided.contains(&(rule.section, rule.id.to_owned()));
        self.rules.iter().filter(missing).copied().collect()
    }

    /// The share that decided a case, in percent, rounded down. A policy without rules is covered.
    pub fn percent(&self) -> usize {
        self.decided().saturating_mul(100).checked_div(self.total()).unwrap_or(100)
    }
}
