//! A login that waits for its password to be checked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::core::{Core, Question};
use super::reason::Cause;
use crate::history::Asked;
use crate::limits::{Number, Turn, Why};
use crate::password::{Caller, PasswordOutcome};
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::decision::{Decision, DenialReason, Found, Verdict};
use exhook_policy_core::event::owned::PackedClient;
use exhook_policy_core::event::{Client, Shown};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::PasswordId;
use exhook_policy_core::policy::{Doubt, Login};

/// A login that waits for a worker, or for the logins before it.
pub(super) struct Waiting {
    pub(super) this: Weak<Waiting>,
    pub(super) core: Arc<Core>,
    pub(super) token: Token,
    /// Its place among the logins that count for `lockout`, if it counts.
    pub(super) number: Option<Number>,
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
    /// The lists as they were when it came.
    lists: Arc<Lists>,
    /// What the sources before it said.
    said: Vec<(PasswordId, Found)>,
    /// What the rules behind it decided, where no source knows the user.
    fallen_through: Option<(Verdict, String, Option<Doubt>)>,
    stage: LoginStage,
}

enum LoginStage {
    Checking,
    /// It is decided, and its answer waits for the logins before it.
    Decided(Verdict, String, Cause),
    Answered,
}

impl Way {
    /// A login that has come to its first password, by these lists.
    pub(super) fn at(rule: usize, source: PasswordId, lists: Arc<Lists>) -> Self {
        Way { rule, source, lists, said: Vec::new(), fallen_through: None, stage: LoginStage::Checking }
    }

    /// Where the password is looked up.
    pub(super) fn source(&self) -> PasswordId {
        self.source
    }
}

impl Caller for Waiting {
    fn username(&self) -> &str {
        self.client.username()
    }

    fn bytes(&self) -> usize {
        self.client.as_client().bytes()
    }

    fn unknown(&self) -> Option<PasswordId> {
        let mut way = self.way();
        let asked = way.source;
        way.said.push((asked, Found::Unknown));
        let (login, doubt) = self.core.policy.login_after_doubted(way.rule, &self.client.as_client(), &way.lists);
        match login {
            Login::Decided(decision) => {
                way.fallen_through = Some((decision.verdict, decision.rule.to_owned(), doubt));
                None
            }
            Login::Password { rule, source } => {
                way.rule = rule;
                way.source = source;
                Some(source)
            }
        }
    }

    fn is_counted(&self) -> bool {
        self.number.is_some()
    }

    fn done(&self, outcome: PasswordOutcome) {
        if self.conclude(&outcome) {
            self.core.answer_others();
        }
    }
}

impl Drop for Waiting {
    /// The others must not wait for a login that came to no end.
    fn drop(&mut self) {
        if let Some(number) = self.number
            && !matches!(self.way().stage, LoginStage::Answered)
        {
            self.core.abandoned(number);
        }
    }
}

impl Waiting {
    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, and answers if no other login has to be waited for. Whether answers to others may
    /// be ready.
    fn conclude(&self, outcome: &PasswordOutcome) -> bool {
        let mut way = self.way();
        if matches!(way.stage, LoginStage::Answered) {
            return false;
        }
        let found = self.found(outcome);
        let policy = &self.core.policy;
        let fallen_through = way.fallen_through.take();
        let by_password = Cause::of_password(outcome, self.password_given);
        let (decision, cause) = match (found, &fallen_through) {
            (Found::Right, _) => (policy.password_checked(way.rule, true), by_password),
            (Found::Wrong, _) => (policy.password_checked(way.rule, false), by_password),
            (Found::Unknown, Some((verdict, rule, doubt))) => {
                let decision = Decision { verdict: *verdict, rule };
                (decision, Cause::of_unknown_user(decision, *doubt))
            }
            (Found::Unknown, None) => (Decision::ERROR, Cause::Known(DenialReason::Internal)),
            (Found::Unreadable, _) => (Decision::ERROR, by_password),
        };
        if found != Found::Unknown {
            let source = way.source;
            way.said.push((source, found));
        }
        let (refused, turn, others) = self.core.concluded(&self.client.as_client(), self.number, outcome, decision);
        match (turn, self.number, self.this.upgrade()) {
            (Turn::Later, Some(number), Some(this)) => {
                way.stage = LoginStage::Decided(decision.verdict, decision.rule.to_owned(), cause);
                self.core.lobby.stay(number, this);
            }
            (Turn::Later | Turn::Never, ..) => {
                self.complain(&"too many logins wait for the ones before them");
                self.put(&mut way, Decision::ERROR, Cause::Known(DenialReason::TooMany));
            }
            (Turn::Now, ..) => match refused {
                Some(why) => self.put(&mut way, why.decision(), why.into()),
                None => self.put(&mut way, decision, cause),
            },
        }
        others
    }

    /// Answers a login that had to wait. `refused` says by which limit it is refused; this may come
    /// while its password is being checked.
    pub(super) fn answer(&self, refused: Option<Why>) {
        let mut way = self.way();
        let decided = std::mem::replace(&mut way.stage, LoginStage::Checking);
        match (decided, refused) {
            (LoginStage::Answered, _) => way.stage = LoginStage::Answered,
            (LoginStage::Checking | LoginStage::Decided(..), Some(why)) => {
                self.put(&mut way, why.decision(), why.into());
            }
            (LoginStage::Decided(verdict, rule, cause), None) => {
                self.put(&mut way, Decision { verdict, rule: &rule }, cause);
            }
            (LoginStage::Checking, None) => {
                self.put(&mut way, Decision::ERROR, Cause::Known(DenialReason::Internal));
            }
        }
    }

    fn put(&self, way: &mut Way, decision: Decision<'_>, cause: Cause) {
        way.stage = LoginStage::Answered;
        if let Some(number) = self.number {
            self.core.lobby.leave(number);
        }
        let client = self.client.as_client();
        let question = Question {
            password_given: self.password_given,
            at: self.at,
            said: &way.said,
            cause,
            ..Question::now(&client, Asked::Connect, &way.lists)
        };
        let answer = self.core.decided(&question, decision);
        self.core.outlet.put(self.token, answer);
    }

    fn complain(&self, why: &dyn std::fmt::Display) {
        let Client { clientid, username, .. } = self.client.as_client();
        self.core.log.line(format_args!(
            "login of clientid {} username {} denied: {why}",
            Shown(clientid),
            Shown(username)
        ));
    }

    fn found(&self, outcome: &PasswordOutcome) -> Found {
        match outcome {
            PasswordOutcome::Right(_) => Found::Right,
            PasswordOutcome::Wrong(_) => Found::Wrong,
            PasswordOutcome::Unknown => Found::Unknown,
            PasswordOutcome::Failed(failure) | PasswordOutcome::KnownWrong(failure) => {
                self.complain(failure);
                if failure.is_of_the_hash() { Found::Wrong } else { Found::Unreadable }
            }
        }
    }
}
