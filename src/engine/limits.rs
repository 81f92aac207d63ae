//! Logins that are refused whatever the rules say, because too many came or failed before.

use super::core::Core;
use crate::clock::Moment;
use crate::decision::{Decision, Verdict};
use crate::event::Client;
use crate::limits::{Login, Outcome, Why};
use crate::password;
use crate::policy::lists::Lists;

impl Core {
    /// Counts a login that is asked for; what is decided where it is refused, which comes before any password is looked at.
    pub(super) fn refused_at_once(&self, client: &Client<'_>, lists: &Lists) -> Option<Decision<'static>> {
        let login = self.limited(client, lists)?;
        self.carry_out(self.limits.asked(login, Moment::now()))
    }

    /// Counts a login for which a password source was asked; what is decided instead of `decision` where others failed
    /// meanwhile.
    pub(super) fn refused_since(
        &self,
        client: &Client<'_>,
        outcome: &password::Outcome,
        decision: Decision<'_>,
    ) -> Option<Decision<'static>> {
        let lists = self.sources.lists();
        let login = self.limited(client, &lists)?;
        let tried = match outcome {
            password::Outcome::Wrong(_) | password::Outcome::Unknown => true,
            // The fault is not the client's.
            password::Outcome::Right(_) | password::Outcome::Failed(_) => false,
        };
        let failed = tried && decision.verdict == Verdict::Deny && decision != Decision::ERROR;
        self.carry_out(self.limits.concluded(login, failed, Moment::now()))
    }

    fn limited<'a>(&'a self, client: &'a Client<'a>, lists: &'a Lists) -> Option<Login<'a>> {
        let defs = self.policy.limits();
        (!defs.is_empty()).then(|| Login { defs, mode: self.policy.mode(), client, lists })
    }

    /// Logs and stores what begins.
    fn carry_out(&self, outcome: Outcome) -> Option<Decision<'static>> {
        let Outcome { refused, begun, full } = outcome;
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
        refused.map(Why::decision)
    }
}
