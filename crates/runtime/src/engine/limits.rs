//! Logins that are refused whatever the rules say, because too many came or failed before.

use super::core::Core;
use crate::clock::Moment;
use crate::limits::{LimitOutcome, LimitedLogin, Number, Turn, Why};
use crate::password;
use exhook_policy_core::decision::{Decision, Verdict};
use exhook_policy_core::event::Client;
use exhook_policy_core::policy::lists::Lists;

impl Core {
    /// Counts a login that is asked for; the limit that refuses it, which comes before any password
    /// is looked at.
    pub(super) fn refused_at_once(&self, client: &Client<'_>, lists: &Lists) -> Option<Why> {
        let login = self.limited(client, lists)?;
        self.carry_out(self.limits.asked(login, Moment::now()))
    }

    /// The password of a login is about to be checked. Its number, if others may have to wait for
    /// it, and it for others.
    pub(super) fn begin(&self, client: &Client<'_>, lists: &Lists) -> Option<Number> {
        self.limits.begin(self.limited(client, lists)?, self.policy.deadline(), Moment::now())
    }

    /// Counts a login for which a password source was asked. Gives the limit that refuses it
    /// instead of `decision` if a ban began meanwhile, when the login gets its answer, and whether
    /// answers to others may be ready.
    pub(super) fn concluded(
        &self,
        client: &Client<'_>,
        number: Option<Number>,
        outcome: &password::PasswordOutcome,
        decision: Decision<'_>,
    ) -> (Option<Why>, Turn, bool) {
        let lists = self.sources.lists();
        let Some(login) = self.limited(client, &lists) else { return (None, Turn::Now, false) };
        let failed = match outcome {
            password::PasswordOutcome::Wrong(_) | password::PasswordOutcome::Unknown => {
                decision.verdict == Verdict::Deny && decision != Decision::ERROR
            }
            password::PasswordOutcome::KnownWrong(_) => true,
            // The fault is not the client's.
            password::PasswordOutcome::Right(_) | password::PasswordOutcome::Failed(_) => false,
        };
        let outcome = self.limits.concluded(login, number, failed, Moment::now());
        let (turn, others) = (outcome.turn, outcome.others);
        (self.carry_out(outcome), turn, others)
    }

    /// A login is dropped that was not concluded.
    pub(super) fn abandoned(&self, number: Number) {
        self.lobby.leave(number);
        if self.limits.abandoned(number, Moment::now()) {
            self.answer_others();
        }
    }

    /// Answers the logins whose answers are ready.
    pub(super) fn answer_others(&self) {
        loop {
            let (ready, there_may_be_more) = self.limits.ready(Moment::now());
            for (number, refused) in ready {
                if let Some(waiting) = self.lobby.leave(number) {
                    waiting.answer(refused);
                }
            }
            if !there_may_be_more {
                return;
            }
        }
    }

    fn limited<'a>(&'a self, client: &'a Client<'a>, lists: &'a Lists) -> Option<LimitedLogin<'a>> {
        let defs = self.policy.limits();
        (!defs.is_empty()).then(|| LimitedLogin { defs, mode: self.policy.mode(), client, lists })
    }

    /// Logs and stores what begins.
    fn carry_out(&self, outcome: LimitOutcome) -> Option<Why> {
        let LimitOutcome { refused, begun, full, turn: _, others: _ } = outcome;
        if let Some((why, full)) = full {
            self.log.line(format_args!("{}: {full}", why.as_str()));
        }
        if !begun.is_empty() {
            let lines = self.policy.log();
            if lines.denials || lines.decisions {
                for ban in &begun {
                    self.log.line(format_args!("{ban}"));
                }
            }
            if let Some(history) = &self.history {
                history.banned(begun);
            }
        }
        refused
    }
}
