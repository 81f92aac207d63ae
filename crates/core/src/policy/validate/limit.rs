//! The keys `lockout` and `flapping` of `auth`.

use std::time::Duration as Time;

use super::super::codes::Code;
use super::super::decode::{At, OneOrMany};
use super::super::diag::Diagnostic;
use super::super::duration::Duration;
use super::super::model::{Counted, LimitDef, LimitDefs};
use super::super::raw;
use super::super::span::Span;
use super::super::warn::LimitFacts;
use super::{DAY, SECOND, Validator};

const LONGEST_BAN: Time = Time::from_secs(365 * 86_400);

/// What the two have in common, as it is written.
struct Written {
    by: Option<At<OneOrMany<raw::CountedBy>>>,
    most: Option<u16>,
    within: Option<At<Duration>>,
    ban: Option<At<Duration>>,
    exempt: Option<At<raw::Who>>,
}

impl Validator<'_> {
    /// The limits, and where they stand.
    pub(super) fn limits(
        &mut self,
        lockout: Option<At<raw::Lockout>>,
        flapping: Option<At<raw::Flapping>>,
    ) -> (LimitDefs, Vec<LimitFacts>) {
        let mut facts = Vec::new();
        let lockout = lockout.and_then(|At { key, value, .. }| {
            let raw::Lockout { by, failures, within, ban, exempt, .. } = value;
            let most = failures.map(|failures| failures.value.0);
            self.limit("lockout", key, Written { by, most, within, ban, exempt }, &mut facts)
        });
        let flapping = flapping.and_then(|At { key, value, .. }| {
            let raw::Flapping { by, logins, within, ban, exempt, .. } = value;
            let most = logins.map(|logins| logins.value.0);
            self.limit("flapping", key, Written { by, most, within, ban, exempt }, &mut facts)
        });
        (LimitDefs { lockout, flapping }, facts)
    }

    /// `None` after a problem was reported.
    fn limit(
        &mut self,
        name: &'static str,
        key: Span,
        written: Written,
        facts: &mut Vec<LimitFacts>,
    ) -> Option<LimitDef> {
        let Written { by, most, within, ban, exempt } = written;
        let by = by.map(|by| self.counted(by.value.0));
        let within = within.and_then(|at| self.within("within", Some(&at), SECOND, DAY));
        let ban = ban.and_then(|at| self.within("ban", Some(&at), SECOND, LONGEST_BAN));
        let mut nobody = None;
        let exempt = exempt.and_then(|exempt| {
            let built = self.who(exempt.value)?;
            nobody = built.facts.everyone.then_some(exempt.span);
            Some(built.who)
        });
        facts.push(LimitFacts { name, key, nobody });
        Some(LimitDef { by: by?, most: most?, within: within?, ban: ban?, exempt })
    }

    fn counted(&mut self, by: Vec<raw::CountedBy>) -> Vec<Counted> {
        let mut all: Vec<(Counted, Span)> = Vec::new();
        for raw::CountedBy { span, fields } in by {
            let has = |field| fields.contains(&field);
            let counted = Counted {
                clientid: has(raw::CountedField::Clientid),
                username: has(raw::CountedField::Username),
                peerhost: has(raw::CountedField::Peerhost),
            };
            let different = counted.names().count();
            let first = all.iter().find(|(other, _)| *other == counted).map(|&(_, first)| first);
            if fields.is_empty() {
                continue;
            }
            if different < fields.len() {
                self.cx.push(Diagnostic::new(Code::CountedTwice, span, "a combination names a field twice"));
            } else if let Some(first) = first {
                let message = "this is counted already";
                self.cx.push(Diagnostic::new(Code::CountedTwice, span, message).related(first, "here"));
            }
            all.push((counted, span));
        }
        all.into_iter().map(|(counted, _)| counted).collect()
    }
}
