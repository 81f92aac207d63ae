//! What stands in for a policy's lists and password sources, so that nothing but two files is read.

use std::collections::HashMap;
use std::sync::Arc;

use super::secret::Secret;
use crate::policy::codes::Code;
use crate::policy::decode::{At, Cx, Named, Text, listed};
use crate::policy::diag::{Diagnostic, Report, quote};
use crate::policy::lists::{List, Lists};
use crate::policy::model::{ListDef, ListSource, PasswordDef, PasswordId};
use crate::policy::{Found, Policy};

/// The `lists` and `passwords` of a test file.
#[derive(Debug)]
pub struct StandIns {
    /// The file, as it was named by the caller.
    pub(super) file: String,
    /// Its text, passwords covered.
    pub(super) shown: String,
    pub(super) lists: Vec<(Text, Vec<Text>)>,
    pub(super) passwords: Vec<(Text, Vec<(Text, Secret)>)>,
}

/// The contents of one policy's lists and password sources, as far as they are known.
#[derive(Debug)]
pub struct Contents {
    lists: Lists,
    /// By [`PasswordId`]; `None` where nothing stands in for the source.
    passwords: Vec<Option<HashMap<String, Secret>>>,
}

impl StandIns {
    pub(super) fn new(
        file: &str,
        shown: &str,
        lists: Option<At<Named<Vec<Text>>>>,
        passwords: Option<At<Named<Named<Secret>>>>,
    ) -> Self {
        let users = |users: Named<Secret>| users.0.into_iter().filter_map(|(name, secret)| Some((name, secret?)));
        StandIns {
            file: file.to_owned(),
            shown: shown.to_owned(),
            lists: named(lists),
            passwords: named(passwords).into_iter().map(|(name, source)| (name, users(source).collect())).collect(),
        }
    }

    /// What the policy's lists and password sources hold by this file. A list that it does not name holds the entries
    /// that the policy itself gives it; where they are in a file or a database, they are unknown. What the policy does
    /// not have is passed over.
    ///
    /// # Errors
    /// Entries that do not fit their use in the policy.
    pub fn contents(&self, policy: &Policy) -> Result<Contents, Box<Report>> {
        let mut cx = Cx::new(&self.shown);
        let contents = self.resolve(policy, &mut cx);
        let failed = cx.found.has_errors();
        if failed { Err(Box::new(Report::new(&self.file, &self.shown, cx.found))) } else { Ok(contents) }
    }

    /// The same, with the errors told to `cx`.
    pub(super) fn resolve(&self, policy: &Policy, cx: &mut Cx<'_>) -> Contents {
        let list = |def: &ListDef| match (self.lists.iter().find(|(name, _)| name.value == def.name), &def.source) {
            (Some((_, entries)), _) => build(def, entries, cx),
            (None, ListSource::Inline(entries)) => {
                List::build(def.uses(), (1..).zip(entries.iter().map(String::as_str))).ok()
            }
            (None, ListSource::File { .. } | ListSource::Sqlite { .. }) => None,
        };
        let lists: Vec<_> = policy.lists().iter().map(list).map(|list| list.map(Arc::new)).collect();
        let source = |def: &PasswordDef| {
            let (_, users) = self.passwords.iter().find(|(name, _)| name.value == def.name)?;
            Some(users.iter().map(|(name, secret)| (name.value.clone(), secret.clone())).collect())
        };
        Contents { lists: Lists::new(lists), passwords: policy.passwords().iter().map(source).collect() }
    }

    /// Tells `cx` what the policy does not have.
    pub(super) fn check_names(&self, policy: &Policy, cx: &mut Cx<'_>) {
        let lists: Vec<&str> = policy.lists().iter().map(|def| def.name.as_str()).collect();
        let sources: Vec<&str> = policy.passwords().iter().map(|def| def.name.as_str()).collect();
        self.lists.iter().for_each(|(name, _)| check_name(name, "list", "lists", &lists, cx));
        self.passwords.iter().for_each(|(name, _)| check_name(name, "password source", "passwords", &sources, cx));
    }
}

/// The entries whose value could be read.
fn named<T>(entries: Option<At<Named<T>>>) -> Vec<(Text, T)> {
    let entries = entries.into_iter().flat_map(|entries| entries.value.0);
    entries.filter_map(|(name, value)| Some((name, value?))).collect()
}

fn build(def: &ListDef, entries: &[Text], cx: &mut Cx<'_>) -> Option<List> {
    match List::build(def.uses(), (0..).zip(entries.iter().map(|entry| entry.value.as_str()))) {
        Ok(list) => Some(list),
        Err(bad) => {
            for (text, bad) in bad.first.iter().filter_map(|bad| Some((entries.get(bad.at)?, bad))) {
                let message = format!("{} {}", quote(&text.value), bad.message);
                cx.push(Diagnostic::new(Code::BadSource, text.span, message));
            }
            None
        }
    }
}

fn check_name(name: &Text, what: &str, section: &str, known: &[&str], cx: &mut Cx<'_>) {
    if known.contains(&name.value.as_str()) {
        return;
    }
    let message = format!("the policy has no {what} {}", quote(&name.value));
    let otherwise = || match known {
        [] => Some(format!("its `{section}` has no entries")),
        known => Some(format!("its `{section}` has {}", listed(known, "and"))),
    };
    cx.push_near(Diagnostic::new(Code::UnknownName, name.span, message), &name.value, known.iter().copied(), otherwise);
}

impl Contents {
    /// The lists, for decisions.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Whether the password source knows the user; `None` where nothing stands in for the source.
    pub fn knows_user(&self, source: PasswordId, username: &str) -> Option<bool> {
        Some(self.source(source)?.contains_key(username))
    }

    /// What the password source says of a login. An empty password is wrong whatever the source
    /// holds, and an entry without a username lets no one in.
    pub fn found(&self, source: PasswordId, username: &str, password: &Secret) -> Found {
        match self.source(source).map(|users| users.get(username)) {
            None => Found::Unreadable,
            Some(None) => Found::Unknown,
            Some(Some(right)) if right == password && !password.is_empty() && !username.is_empty() => Found::Right,
            Some(Some(_)) => Found::Wrong,
        }
    }

    /// The passwords that stand in for this user's, from all sources.
    pub fn passwords_of(&self, username: &str) -> impl Iterator<Item = &Secret> {
        self.passwords.iter().flatten().filter_map(move |users| users.get(username))
    }

    fn source(&self, source: PasswordId) -> Option<&HashMap<String, Secret>> {
        self.passwords.get(source.0)?.as_ref()
    }
}
