//! A login that waits for its password to be checked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::core::{Core, Question};
use crate::decision::{Answer, Decision, Found, Verdict};
use crate::event::owned::PackedClient;
use crate::event::{Client, Shown};
use crate::history::Asked;
use crate::password::{Caller, Outcome};
use crate::policy::Login;
use crate::policy::model::PasswordId;
use crate::reply::Token;

/// A login that waits for a worker.
pub(super) struct Waiting {
    pub(super) core: Arc<Core>,
    pub(super) token: Token,
    pub(super) client: PackedClient,
    pub(super) password_given: bool,
    /// When it came, Unix milliseconds, where somebody wants to know.
    pub(super) at: Option<i64>,
    pub(super) way: Mutex<Way>,
}

/// How far a login has come.
pub(super) struct Way {
    /// The rule whose password is being checked.
    rule: usize,
    /// Where it is looked up.
    source: PasswordId,
    /// What the sources before it said.
    said: Vec<(PasswordId, Found)>,
    /// What the rules behind it decided, where no source knows the user.
    fallen_through: Option<(Verdict, String)>,
}

impl Way {
    /// A login that has come to its first password.
    pub(super) fn at(rule: usize, source: PasswordId) -> Mutex<Self> {
        Mutex::new(Way { rule, source, said: Vec::new(), fallen_through: None })
    }
}

impl Caller for Waiting {
    fn username(&self) -> &str {
        self.client.username()
    }

    fn unknown(&self) -> Option<PasswordId> {
        let mut way = self.way();
        let asked = way.source;
        way.said.push((asked, Found::Unknown));
        match self.core.login_after(way.rule, &self.client.as_client()) {
            Login::Decided(decision) => {
                way.fallen_through = Some((decision.verdict, decision.rule.to_owned()));
                None
            }
            Login::Password { rule, source } => {
                way.rule = rule;
                way.source = source;
                Some(source)
            }
        }
    }

    fn done(&self, outcome: Outcome) {
        let answer = self.conclude(&outcome);
        self.core.outlet.put(self.token, answer);
    }
}

impl Waiting {
    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conclude(&self, outcome: &Outcome) -> Answer {
        let mut way = self.way();
        let Way { rule, source, said, fallen_through } = &mut *way;
        let found = self.found(outcome);
        let policy = &self.core.policy;
        let decision = match (found, &*fallen_through) {
            (Found::Right, _) => policy.password_checked(*rule, true),
            (Found::Wrong, _) => policy.password_checked(*rule, false),
            (Found::Unknown, Some((verdict, rule))) => Decision { verdict: *verdict, rule },
            (Found::Unknown, None) | (Found::Unreadable, _) => Decision::ERROR,
        };
        if found != Found::Unknown {
            said.push((*source, found));
        }
        let client = self.client.as_client();
        let decision = self.core.refused_since(&client, outcome, decision).unwrap_or(decision);
        let question = Question {
            password_given: self.password_given,
            at: self.at,
            said,
            ..Question::now(&client, Asked::Connect)
        };
        self.core.decided(&question, decision)
    }

    fn found(&self, outcome: &Outcome) -> Found {
        match outcome {
            Outcome::Right(_) => Found::Right,
            Outcome::Wrong(_) => Found::Wrong,
            Outcome::Unknown => Found::Unknown,
            Outcome::Failed(failure) => {
                let Client { clientid, username, .. } = self.client.as_client();
                self.core.log.line(format_args!(
                    "login of clientid {} username {} denied: {failure}",
                    Shown(clientid),
                    Shown(username)
                ));
                if failure.is_of_the_hash() { Found::Wrong } else { Found::Unreadable }
            }
        }
    }
}
