//! One policy at work, and what it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::counts::Counts;
use super::lobby::Lobby;
use super::login::{Waiting, Way};
use super::outlet::Outlet;
use super::reason::Cause;
use super::reload::short;
use crate::capture::Capture;
use crate::clock::{now_ms, told_ms};
use crate::history::{Asked, Denial, History};
use crate::limits::{Limits, Number};
use crate::log::Log;
use crate::password::{PasswordLogin, Pool};
use crate::process::Recorder;
use crate::source::Sources;
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::decision::{Answer, Decision, DenialReason, Found, Mode, Verdict};
use exhook_policy_core::event::json::DecisionLine;
use exhook_policy_core::event::owned::PackedClient;
use exhook_policy_core::event::{Action, Client, Event, Extra, Password, Peerhost, Shown};
use exhook_policy_core::hook::{Hook, Kind};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::PasswordId;
use exhook_policy_core::policy::{Login, Policy};

/// What every policy is given, one after the other.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The policy file.
    pub(super) file: PathBuf,
    /// Whose events it is told of.
    pub(super) recorder: Recorder,
    pub(super) outlet: Arc<Outlet>,
    /// What was counted, and who is kept out.
    pub(super) limits: Arc<Limits>,
    /// Logins whose answers may have to wait for one another.
    pub(super) lobby: Arc<Lobby>,
    pub(super) log: Log,
}

/// A policy at work. The parts that the next policy needs just so are shared with it.
pub(super) struct Core {
    pub(super) policy: Policy,
    pub(super) hash: String,
    /// The beginning of the hash, as records of what it decided have it.
    known_as: Arc<str>,
    pub(super) counts: Counts,
    pub(super) sources: Sources,
    passwords: Option<Arc<Pool>>,
    pub(super) limits: Arc<Limits>,
    pub(super) lobby: Arc<Lobby>,
    pub(super) history: Option<Arc<History>>,
    pub(super) capture: Option<Arc<Capture>>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) log: Log,
}

impl Core {
    /// Starts what a compiled policy needs, whose text has this hash, in the place of the policy `before`. Waits for lists that are
    /// not there yet, no longer than `patience`.
    pub(super) fn start(
        policy: Policy,
        hash: String,
        around: &Surroundings,
        before: Option<&Core>,
        patience: Duration,
    ) -> Arc<Core> {
        let Surroundings { recorder, outlet, limits, lobby, log, .. } = around;
        let begun = Instant::now();
        let deadline = policy.deadline();
        limits.take(policy.limits());
        let sources = Sources::succeed(before.map(|before| &before.sources), policy.lists(), log, patience);
        let told = Arc::clone(outlet);
        let told = Box::new(move || told.tell());
        let passwords = before.and_then(|before| before.passwords.as_ref());
        let passwords = Pool::succeed(passwords, policy.passwords(), deadline, told, log);
        let capture = before.and_then(|before| before.capture.as_ref());
        let capture = Capture::succeed(capture, policy.capture(), log);
        let history = before.and_then(|before| before.history.as_ref());
        let history = History::succeed(history, policy.history(), recorder, deadline, &outlet.sink, log, limits);
        if let (true, Some(history)) = (limits.is_used(), &history) {
            let known = history.wait_for_bans(patience.saturating_sub(begun.elapsed()));
            if !known {
                log.line(format_args!("the bans of the history are not known yet, and keep nobody out so long"));
            }
        }
        let counts = Counts::of(&policy, before.map(|before| &before.counts));
        let (outlet, limits, lobby, log) = (Arc::clone(outlet), Arc::clone(limits), Arc::clone(lobby), log.clone());
        let known_as = short(&hash).into();
        Arc::new(Core {
            policy,
            hash,
            known_as,
            counts,
            sources,
            passwords,
            limits,
            lobby,
            history,
            capture,
            outlet,
            log,
        })
    }

    /// Whether the answer to a call of this hook may come later.
    pub(super) fn may_wait(&self, hook: Hook) -> bool {
        match hook.kind() {
            Kind::Asks => hook == Hook::ClientAuthenticate && self.passwords.is_some(),
            Kind::Tells => self.history.is_some(),
        }
    }

    /// What waits, by queue.
    pub(super) fn queues(&self) -> BTreeMap<String, u64> {
        let logins = self.passwords.as_ref().map(|pool| ("logins", pool.waiting()));
        let history = self.history.as_ref().map(|history| ("history", history.waiting()));
        let capture = self.capture.as_ref().map(|capture| ("capture", capture.waiting()));
        let waiting = [logins, history, capture].into_iter().flatten();
        waiting.map(|(queue, count)| (queue.to_owned(), count as u64)).collect()
    }

    /// What the history has no row of, by kind; empty where nothing is left out.
    pub(super) fn left_out(&self) -> BTreeMap<String, u64> {
        let left_out = self.history.as_ref().map(|history| history.left_out()).unwrap_or_default();
        left_out
            .by_name()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect()
    }

    /// Takes one event. `None` means that the answer comes later, through the sink.
    pub(super) fn handle(self: &Arc<Self>, event: &Event<'_>, token: Token) -> Option<Answer> {
        self.log_event(event);
        match event {
            Event::Authenticate { client, password } => self.authenticate(client, *password, token),
            Event::CheckAcl { client, action, topic } => Some(self.check_acl(client, *action, topic)),
            Event::Connect(_)
            | Event::Connack { .. }
            | Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::Subscribe(_)
            | Event::Unsubscribe(_)
            | Event::SessionCreated(_)
            | Event::SessionResumed(_)
            | Event::SessionDiscarded(_)
            | Event::SessionTakenOver(_)
            | Event::SessionSubscribed { .. }
            | Event::SessionUnsubscribed { .. }
            | Event::SessionTerminated { .. }
            | Event::MessagePublish(_) => self.told(event, token),
        }
    }

    fn authenticate(self: &Arc<Self>, client: &Client<'_>, password: Password<'_>, token: Token) -> Option<Answer> {
        let timed = self.policy.asks_time().then(|| now(client));
        let client = timed.as_ref().unwrap_or(client);
        let lists = self.sources.lists();
        let question =
            Question { password_given: password.is_given(), ..Question::now(client, Asked::Connect, &lists) };
        if let Some(why) = self.refused_at_once(client, &lists) {
            return Some(self.decided(&Question { cause: why.into(), ..question }, why.decision()));
        }
        let (login, doubt) = self.policy.authenticate_doubted(client, &lists);
        match login {
            Login::Decided(decision) => {
                Some(self.decided(&Question { cause: Cause::Rules(doubt), ..question }, decision))
            }
            Login::Password { rule, source } => {
                let Some(pool) = &self.passwords else {
                    return Some(self.decided(&question, Decision::ERROR));
                };
                let number = self.begin(client, &lists);
                pool.submit(self.verification(client, password, token, number, Way::at(rule, source, lists)));
                None
            }
        }
    }

    /// The work that a worker does for one login: it may come back to the policy for the next rule.
    pub(super) fn verification(
        self: &Arc<Self>,
        client: &Client<'_>,
        password: Password<'_>,
        token: Token,
        number: Option<Number>,
        way: Way,
    ) -> PasswordLogin {
        let peerhost = match client.peerhost {
            Peerhost::Addr(addr) => Some(addr),
            Peerhost::Other(_) => None,
        };
        let source = way.source();
        let waiting = Arc::new_cyclic(|this| Waiting {
            this: Weak::clone(this),
            core: Arc::clone(self),
            token,
            number,
            client: PackedClient::from(client),
            password_given: password.is_given(),
            at: self.capture.is_some().then(now_ms),
            way: Mutex::new(way),
        });
        if let Some(number) = number {
            self.lobby.enter(number, &waiting);
        }
        PasswordLogin {
            caller: waiting,
            password: Zeroizing::new(password.expose().to_vec()),
            peerhost,
            arrived: Instant::now(),
            source,
        }
    }

    /// Ends the work: writes what is still queued, within 10 s.
    pub(super) fn finish(&self) {
        // The two write at the same time.
        self.capture.iter().for_each(|capture| capture.close());
        self.history.iter().for_each(|history| history.finish());
        self.capture.iter().for_each(|capture| capture.finish());
    }

    fn check_acl(&self, client: &Client<'_>, action: Action, topic: &str) -> Answer {
        if let Some(history) = &self.history {
            history.heard(client);
        }
        let timed = self.policy.asks_time().then(|| now(client));
        let client = timed.as_ref().unwrap_or(client);
        let lists = self.sources.lists();
        let (decision, doubt) = self.policy.check_acl_doubted(client, action, topic, &lists);
        let question = Question::now(client, Asked::Topic(action, topic), &lists);
        self.decided(&Question { cause: Cause::Rules(doubt), ..question }, decision)
    }

    fn told(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        if let Some(capture) = &self.capture {
            capture.told(event);
        }
        match &self.history {
            Some(history) if history.record(event, token) => None,
            Some(_) | None => Some(Answer::NoOpinion),
        }
    }

    pub(super) fn decided(&self, question: &Question<'_>, decision: Decision<'_>) -> Answer {
        let Question { client, asked, at, cause, .. } = *question;
        self.counts.count(asked, decision);
        let mode = self.policy.mode();
        let reason = cause.reason(decision);
        self.record(question, decision, reason, mode);
        let answer = mode.answer(decision.verdict);
        if let (Asked::Connect, Answer::Allow, Some(history)) = (asked, answer, &self.history) {
            history.let_in(client, decision.rule);
        }
        // Rules have no say in what a limit refuses.
        let is_limit = matches!(asked, Asked::Connect) && self.policy.limits().ids().any(|id| id == decision.rule);
        let would = self.would(question).filter(|(would, _)| !is_limit && would.verdict != decision.verdict);
        if let Some((would, cause)) = would {
            self.record(question, would, cause.reason(would), Mode::Audit);
        }
        if let Some(capture) = &self.capture {
            let name = |source: &PasswordId| self.policy.passwords().get(source.0).map(|def| def.name.as_str());
            let said = question.said.iter().filter_map(|(source, found)| Some((name(source)?, *found)));
            let at = client.extra.at.or(at).unwrap_or_else(now_ms);
            let decided = DecisionLine { decision, reason, policy: Some(&self.known_as) };
            capture.decided(&question.event(), at, decided, said);
        }
        answer
    }

    /// What would be decided if the rules in audit mode were carried out; `None` where there are none. By the lists by which
    /// it was decided: what they say since then is no doing of these rules.
    fn would(&self, question: &Question<'_>) -> Option<(Decision<'_>, Cause)> {
        let trial = self.policy.trial()?;
        let Question { client, lists, .. } = *question;
        match question.asked {
            Asked::Connect => {
                let (decision, doubt) = self.policy.would_login(client, lists, question.said)?;
                let is_unknown = question.said.iter().any(|(_, found)| *found == Found::Unknown);
                let cause = if is_unknown { Cause::of_unknown_user(decision, doubt) } else { Cause::Rules(doubt) };
                Some((decision, cause))
            }
            Asked::Topic(action, topic) => {
                let (decision, doubt) = trial.check_acl_doubted(client, action, topic, lists);
                Some((decision, Cause::Rules(doubt)))
            }
        }
    }

    /// Writes down what was decided, or would have been.
    fn record(&self, question: &Question<'_>, decision: Decision<'_>, reason: Option<DenialReason>, mode: Mode) {
        let Question { client, asked, .. } = *question;
        let denied = reason.is_some();
        let lines = self.policy.log();
        if lines.decisions || (denied && lines.denials) {
            self.log_decision(client, asked, decision, mode);
        }
        if let (Some(reason), Some(history)) = (reason, &self.history) {
            let (rule, policy) = (decision.rule, Arc::clone(&self.known_as));
            history.denied(&Denial { client: *client, asked, rule, reason, policy, mode });
        }
    }

    fn log_decision(&self, client: &Client<'_>, asked: Asked<'_>, decision: Decision<'_>, mode: Mode) {
        let word = match (mode, decision.verdict) {
            (Mode::Enforce, Verdict::Allow) => "allowed",
            (Mode::Enforce, Verdict::Deny) => "denied",
            (Mode::Audit, Verdict::Allow) => "would allow",
            (Mode::Audit, Verdict::Deny) => "would deny",
            (Mode::Enforce, Verdict::Ignore) => "ignored",
            (Mode::Audit, Verdict::Ignore) => "would ignore",
        };
        let rule = decision.rule;
        match asked {
            Asked::Connect => self.log.line(format_args!("{word} connect {client} rule={rule}")),
            Asked::Topic(action, topic) => {
                self.log.line(format_args!("{word} {} {client} topic={} rule={rule}", action.as_str(), Shown(topic)));
            }
        }
    }

    fn log_event(&self, event: &Event<'_>) {
        let lines = self.policy.log();
        let comes_or_goes = matches!(event, Event::Connected(_) | Event::Disconnected { .. });
        if lines.events || (lines.connections && comes_or_goes) {
            self.log.line(format_args!("{event}"));
        }
    }
}

/// The client, asking now.
fn now<'a>(client: &Client<'a>) -> Client<'a> {
    Client { extra: Extra { at: told_ms(), ..client.extra }, ..*client }
}

/// What was asked, for whoever writes down what is decided.
pub(super) struct Question<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) asked: Asked<'a>,
    /// The lists as they were when it came: everything that is said of it is said by these.
    pub(super) lists: &'a Lists,
    /// Of a login: whether it came with a password.
    pub(super) password_given: bool,
    /// When it came, Unix milliseconds; `None` is now.
    pub(super) at: Option<i64>,
    /// What the password sources said.
    pub(super) said: &'a [(PasswordId, Found)],
    /// What the decision rests on.
    pub(super) cause: Cause,
}

impl<'a> Question<'a> {
    pub(super) fn now(client: &'a Client<'a>, asked: Asked<'a>, lists: &'a Lists) -> Self {
        Question { client, asked, lists, password_given: false, at: None, said: &[], cause: Cause::Rules(None) }
    }

    /// The event that asked.
    fn event(&self) -> Event<'a> {
        let client = *self.client;
        match self.asked {
            Asked::Connect => Event::Authenticate { client, password: Password::left_out(self.password_given) },
            Asked::Topic(action, topic) => Event::CheckAcl { client, action, topic },
        }
    }
}

#[cfg(test)]
mod tests;
