//! What happened when an event asked, beside what would happen now.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::past;
use super::{ExplainArgs, Explained, ExplainedQuestion};
use crate::cli::world::World;
use exhook_policy_core::decision::{Decision, DenialReason, FLAPPING, LOCKOUT, Mode, Verdict};
use exhook_policy_core::event::json::Decided;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::places::Places;
use exhook_policy_core::policy::{self, Loaded, Policy};
use exhook_policy_runtime::state::{Folder, hash_of, texts};

/// A decision that an event tells, and the policy that made it as far as that is kept.
pub(super) struct Happened {
    question: ExplainedQuestion,
    decided: Decided,
    by: PolicyThen,
    /// The policy was in audit mode; `None` where that is not known.
    was_audited: Option<bool>,
}

/// What is known of the policy that decided.
enum PolicyThen {
    /// The event does not tell which it was.
    NotTold,
    /// The policy that is asked now.
    Same,
    /// Its text is not kept, or cannot be used any more.
    Lost,
    /// Its text.
    Kept(Box<PolicyOfThen>),
}

struct PolicyOfThen {
    policy: Policy,
    world: World,
    /// For places in it: the policy's file, which is another now.
    name: String,
    text: String,
    places: Places,
}

impl Happened {
    /// `None` if the event does not tell what was decided. `text` and `now`: those of
    /// the policy that is asked now, its mode is `now`.
    pub(super) fn of(args: &ExplainArgs, question: &ExplainedQuestion, text: &str, now: Mode) -> Option<Self> {
        let decided = question.decided.clone()?;
        let client = OwnedClient::from(&question.client.as_client());
        let question = ExplainedQuestion { client, asked: question.asked.clone(), decided: Some(decided.clone()) };
        let by = match decided.policy.as_deref() {
            None => PolicyThen::NotTold,
            Some(hash) if !hash.is_empty() && hash_of(text.as_bytes()).starts_with(hash) => PolicyThen::Same,
            Some(hash) => {
                PolicyOfThen::recall(args, hash).map_or(PolicyThen::Lost, |then| PolicyThen::Kept(Box::new(then)))
            }
        };
        let mode = match &by {
            PolicyThen::NotTold | PolicyThen::Lost => None,
            PolicyThen::Same => Some(now),
            PolicyThen::Kept(then) => Some(then.policy.mode()),
        };
        let was_audited = mode.map(|mode| mode == Mode::Audit);
        Some(Happened { question, decided, by, was_audited })
    }

    pub(super) fn human(&self, now: &Explained<'_>, all: bool) -> String {
        let mut out = format!("What happened{}\n\n{}\n", self.when(), self.sentence());
        match &self.by {
            PolicyThen::NotTold => out.push_str("The event does not tell which policy decided.\n"),
            PolicyThen::Same => out.push_str("The policy is the same now.\n"),
            PolicyThen::Lost => {
                out.push_str(
                    "The text of that policy is not kept, or cannot be used any more, so its rules cannot be shown.\n",
                );
            }
            PolicyThen::Kept(then) => {
                let then = then.explained(&self.question);
                out.push_str("By the text of that policy, which is kept, and the lists as they are now:\n\n");
                out.push_str(&then.human(all));
                if !self.is_same(then.trace.decision) {
                    out.push_str(
                        "\nThat is not what was decided: a list, or what is outside of the rules, was another then.\n",
                    );
                }
            }
        }
        if self.is_by_limit() {
            out.push_str(
                "A limit on logins refused it. Limits are not asked again; what follows is what the rules say.\n",
            );
        }
        out.push_str("\nWhat would happen now\n\n");
        out.push_str(&now.human(all));
        out.push_str(&self.difference(now.trace.decision));
        out
    }

    pub(super) fn json(&self, now: &Explained<'_>) -> Value {
        let mut told = now.json();
        let (text, explanation) = match &self.by {
            PolicyThen::NotTold => ("not-told", Value::Null),
            PolicyThen::Same => ("same", Value::Null),
            PolicyThen::Lost => ("not-kept", Value::Null),
            PolicyThen::Kept(then) => ("kept", then.explained(&self.question).json()),
        };
        let Decided { verdict, rule, passwords, reason, policy } = &self.decided;
        let passwords: Vec<Value> =
            passwords.iter().map(|(source, found)| json!({ "source": source, "said": found.as_str() })).collect();
        let happened = json!({
            "at": self.question.client.extra.at,
            "verdict": verdict.as_str(),
            "rule": rule,
            "reason": reason.map(DenialReason::as_str),
            "policy": policy,
            "audit": self.was_audited,
            "passwords": passwords,
            "text": text,
            "explanation": explanation,
        });
        if let Value::Object(told) = &mut told {
            told.insert("happened".to_owned(), happened);
            told.insert("differs".to_owned(), (!self.is_same(now.trace.decision)).into());
        }
        told
    }

    /// When it was, for the title.
    fn when(&self) -> String {
        let at = self.question.client.extra.at.and_then(|at| Timestamp::from_millisecond(at).ok());
        at.map(|at| format!(", at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default()
    }

    fn sentence(&self) -> String {
        let Decided { verdict, rule, reason, policy, .. } = &self.decided;
        let reason = reason.map(|reason| format!(": {}", reason.in_words())).unwrap_or_default();
        let policy = policy.as_ref().map(|policy| format!(" (policy {})", policy.escape_debug())).unwrap_or_default();
        let (words, rule) = (self.question.words(), rule.escape_debug());
        let mut said = match (self.was_audited, verdict) {
            (Some(true), Verdict::Allow | Verdict::Deny) => {
                format!(
                    "the policy was in audit mode, and the broker decided by itself. It would have been {} {words}, \
                     by `{rule}`{reason}{policy}.",
                    past(*verdict)
                )
            }
            (Some(true | false) | None, Verdict::Allow | Verdict::Deny | Verdict::Ignore) => {
                format!("{} {words}, by `{rule}`{reason}{policy}.", past(*verdict))
            }
        };
        if let Some(first) = said.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        if self.was_audited.is_none() && *verdict != Verdict::Ignore {
            said.push_str(" Whether that was in audit mode, where the broker decides by itself, is not known.");
        }
        said
    }

    fn is_same(&self, decision: Decision<'_>) -> bool {
        (decision.verdict, decision.rule) == (self.decided.verdict, &self.decided.rule)
    }

    fn is_by_limit(&self) -> bool {
        [LOCKOUT, FLAPPING].contains(&&*self.decided.rule)
    }

    /// Whether then and now differ, and where.
    fn difference(&self, now: Decision<'_>) -> String {
        let then = &self.decided;
        let rule = then.rule.escape_debug();
        if self.is_same(now) {
            "\nNow as then: the same rule decides, and says the same.\n".to_owned()
        } else if now.verdict == then.verdict {
            format!("\nNow as then {}, but by another rule: `{rule}` then, `{}` now.\n", past(now.verdict), now.rule)
        } else {
            format!(
                "\nThis differs: {} by `{rule}` then, {} by `{}` now.\n",
                past(then.verdict),
                past(now.verdict),
                now.rule
            )
        }
    }
}

impl PolicyOfThen {
    fn recall(args: &ExplainArgs, hash: &str) -> Option<Self> {
        let bytes = texts::recall(&Folder::of(&args.policy, args.state.as_deref()), hash)?;
        let name = format!("policy {hash}");
        let folder = args.policy.parent().unwrap_or(std::path::Path::new(""));
        // A version of this program since then may read it otherwise, or not any more.
        let Loaded { model, warnings, places } = policy::parse_bytes(&bytes, &name, folder).ok()?;
        let places = places.enforced(&model);
        let text = warnings.text().to_owned();
        let policy = Policy::compile(model);
        let world = args.world.world(&policy).ok()?;
        Some(PolicyOfThen { policy, world, name, text, places })
    }

    fn explained<'a>(&'a self, question: &'a ExplainedQuestion) -> Explained<'a> {
        Explained::new(&self.policy, question, &self.world, &self.name, &self.text, &self.places)
    }
}
