//! Puts the parts together: an event comes in, the policy decides, the history remembers, an answer goes
//! out.
//!
//! The engine knows no transport. Whatever is ready at once is returned; the rest (logins that wait for a
//! hash, events that wait for their commit) comes through the [`Sink`].

use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::capture::Capture;
use crate::clock::now_ms;
use crate::decision::{Answer, Decision, Found, Mode, Verdict};
use crate::emqx::Fact;
use crate::event::owned::PackedClient;
use crate::event::{Action, BrokerLoaded, Client, Event, Origin, Password, Peerhost, Shown};
use crate::handler::Handler;
use crate::history::{Asked, Denial, History, Recorder};
use crate::hook::{Hook, Kind};
use crate::log::Log;
use crate::password::{Caller, Login as PasswordLogin, Outcome, Pool};
use crate::policy::model::PasswordId;
use crate::policy::{self, Login, Policy};
use crate::reply::{Sink, Token};
use crate::source::Sources;

/// How long the start waits for lists before it goes on without those that are not there yet.
const FIRST_LOAD: Duration = Duration::from_millis(1500);

/// One policy at work.
pub struct Engine {
    core: Arc<Core>,
    passwords: Option<Pool>,
}

/// What worker threads need of the engine.
struct Core {
    policy: Policy,
    sources: Sources,
    history: Option<History>,
    capture: Option<Capture>,
    sink: Sink,
    /// Answers to logins that go into the sink together.
    concluded: Mutex<Vec<(Token, Answer)>>,
    log: Log,
}

impl Engine {
    /// Loads and compiles the policy and starts what it needs. `recorder` says whose events it is about to
    /// be told of.
    ///
    /// # Errors
    /// The diagnostics as `check` prints them, where the policy's text is at fault. Sources that cannot be
    /// read are no error: they are logged and tried again.
    pub fn load(path: &Path, recorder: Recorder, sink: Sink, log: Log) -> Result<Engine, String> {
        // To open a FIFO would keep the broker waiting.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(format!("{}: this is no regular file", path.display()));
        }
        let loaded = policy::load(path).map_err(|report| report.to_string())?;
        if !loaded.warnings.is_empty() {
            log.text(&loaded.warnings.to_string());
        }
        Ok(Engine::start(Policy::compile(loaded.model), recorder, sink, log))
    }

    /// Starts what a compiled policy needs.
    pub fn start(policy: Policy, recorder: Recorder, sink: Sink, log: Log) -> Engine {
        let deadline = policy.deadline();
        let history = policy.history().map(|def| History::start(def, recorder, deadline, Arc::clone(&sink), &log));
        let capture = policy.capture().map(|def| Capture::start(def, &log));
        let sources = Sources::start(policy.lists(), &log, FIRST_LOAD.min(deadline / 2));
        let core = Arc::new(Core { policy, sources, history, capture, sink, concluded: Mutex::default(), log });
        let passwords = (!core.policy.passwords().is_empty()).then(|| {
            let told = Arc::clone(&core);
            Pool::start(core.policy.passwords(), deadline, Box::new(move || told.tell()), core.log.clone())
        });
        Engine { core, passwords }
    }

    /// The hooks that the policy needs to be told of, and no more.
    pub fn hooks(&self) -> Vec<Hook> {
        self.core.policy.hooks()
    }

    /// Whether decisions are carried out.
    pub fn mode(&self) -> Mode {
        self.core.policy.mode()
    }

    /// Every call must be answered within it.
    pub fn deadline(&self) -> Duration {
        self.core.policy.deadline()
    }

    /// Takes note of when a broker was started: what it had open before ended, or what it told meanwhile was missed.
    pub fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        self.core.history.iter().for_each(|history| history.broker_loaded(broker));
    }

    /// The answer to a call of this kind where anything went wrong.
    pub fn error_answer(&self, kind: Kind) -> Answer {
        error_answer(self.mode(), kind)
    }

    /// Takes one event. `None` means that the answer comes later, through the sink.
    pub fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        let core = &*self.core;
        core.log_event(event);
        match event {
            Event::Authenticate { client, password } => self.authenticate(client, *password, token),
            Event::CheckAcl { client, action, topic } => Some(core.check_acl(client, *action, topic)),
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
            | Event::MessagePublish(_) => core.told(event, token),
        }
    }

    fn authenticate(&self, client: &Client<'_>, password: Password<'_>, token: Token) -> Option<Answer> {
        let core = &*self.core;
        let lists = core.sources.lists();
        let question = Question { password_given: password.is_given(), ..Question::now(client, Asked::Connect) };
        match core.policy.authenticate(client, &lists) {
            Login::Decided(decision) => Some(core.decided(&question, decision)),
            Login::Password { rule, source } => {
                let Some(pool) = &self.passwords else {
                    return Some(core.decided(&question, Decision::ERROR));
                };
                pool.submit(self.verification(client, password, token, rule, source));
                None
            }
        }
    }

    /// The work that a worker does for one login: it may come back to the policy for the next rule.
    fn verification(
        &self,
        client: &Client<'_>,
        password: Password<'_>,
        token: Token,
        rule: usize,
        source: PasswordId,
    ) -> PasswordLogin {
        let peerhost = match client.peerhost {
            Peerhost::Addr(addr) => Some(addr),
            Peerhost::Other(_) => None,
        };
        let waiting = Waiting {
            core: Arc::clone(&self.core),
            token,
            client: PackedClient::from(client),
            password_given: password.is_given(),
            at: self.core.capture.is_some().then(now_ms),
            way: Mutex::new(Way { rule, source, said: Vec::new(), fallen_through: None }),
        };
        PasswordLogin {
            caller: Arc::new(waiting),
            password: Zeroizing::new(password.expose().to_vec()),
            peerhost,
            arrived: Instant::now(),
            source,
        }
    }

    /// Takes note that a broker has stopped, or is out of reach.
    pub fn broker_away(&self, origin: Origin<'_>) {
        self.core.history.iter().for_each(|history| history.broker_away(origin));
    }

    /// Ends the work at the end of input: writes what is still queued, within 10 s.
    pub fn finish(&self) {
        let Core { history, capture, .. } = &*self.core;
        // The two write at the same time.
        capture.iter().for_each(Capture::close);
        history.iter().for_each(History::finish);
        capture.iter().for_each(Capture::finish);
    }
}

/// The answer to a call of this kind where anything went wrong.
pub fn error_answer(mode: Mode, kind: Kind) -> Answer {
    match kind {
        Kind::Asks => mode.answer(Verdict::Deny),
        Kind::Tells => Answer::NoOpinion,
    }
}

/// What was asked, for whoever writes down what is decided.
struct Question<'a> {
    client: &'a Client<'a>,
    asked: Asked<'a>,
    /// Of a login: whether it came with a password.
    password_given: bool,
    /// When it came, Unix milliseconds; `None` is now.
    at: Option<i64>,
    /// What the password sources said.
    said: &'a [(PasswordId, Found)],
}

impl<'a> Question<'a> {
    fn now(client: &'a Client<'a>, asked: Asked<'a>) -> Self {
        Question { client, asked, password_given: false, at: None, said: &[] }
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

/// A login that waits for a worker.
struct Waiting {
    core: Arc<Core>,
    token: Token,
    client: PackedClient,
    password_given: bool,
    /// When it came, Unix milliseconds, where somebody wants to know.
    at: Option<i64>,
    way: Mutex<Way>,
}

/// How far a login has come.
struct Way {
    /// The rule whose password is being checked.
    rule: usize,
    /// Where it is looked up.
    source: PasswordId,
    /// What the sources before it said.
    said: Vec<(PasswordId, Found)>,
    /// What the rules behind it decided, where no source knows the user.
    fallen_through: Option<(Verdict, String)>,
}

impl Caller for Waiting {
    fn username(&self) -> &str {
        self.client.username()
    }

    fn unknown(&self) -> Option<PasswordId> {
        let mut way = self.way();
        let asked = way.source;
        way.said.push((asked, Found::Unknown));
        let lists = self.core.sources.lists();
        match self.core.policy.login_after(way.rule, &self.client.as_client(), &lists) {
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
        self.core.concluded().push((self.token, answer));
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

impl Core {
    fn concluded(&self) -> MutexGuard<'_, Vec<(Token, Answer)>> {
        self.concluded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the answers to logins that are ready.
    fn tell(&self) {
        let answers = mem::take(&mut *self.concluded());
        (self.sink)(&answers);
    }

    fn check_acl(&self, client: &Client<'_>, action: Action, topic: &str) -> Answer {
        if let Some(history) = &self.history {
            history.heard(client);
        }
        let decision = self.policy.check_acl(client, action, topic, &self.sources.lists());
        self.decided(&Question::now(client, Asked::Topic(action, topic)), decision)
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

    fn decided(&self, question: &Question<'_>, decision: Decision<'_>) -> Answer {
        let Question { client, asked, at, .. } = *question;
        let mode = self.policy.mode();
        let denied = decision.verdict == Verdict::Deny;
        let lines = self.policy.log();
        if lines.decisions || (denied && lines.denials) {
            self.log_decision(client, asked, decision);
        }
        if let (true, Some(history)) = (denied, &self.history) {
            history.denied(&Denial { client: *client, asked, rule: decision.rule, mode });
        }
        if let Some(capture) = &self.capture {
            let name = |source: &PasswordId| self.policy.passwords().get(source.0).map(|def| def.name.as_str());
            let said = question.said.iter().filter_map(|(source, found)| Some((name(source)?, *found)));
            capture.decided(&question.event(), at.unwrap_or_else(now_ms), decision, said);
        }
        mode.answer(decision.verdict)
    }

    fn log_decision(&self, client: &Client<'_>, asked: Asked<'_>, decision: Decision<'_>) {
        let word = match (self.policy.mode(), decision.verdict) {
            (Mode::Enforce, Verdict::Allow) => "allowed",
            (Mode::Enforce, Verdict::Deny) => "denied",
            (Mode::Audit, Verdict::Allow) => "would allow",
            (Mode::Audit, Verdict::Deny) => "would deny",
            (Mode::Enforce | Mode::Audit, Verdict::Ignore) => "ignored",
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

impl Handler for Engine {
    fn hooks(&self) -> Vec<Hook> {
        Engine::hooks(self)
    }

    fn mode(&self) -> Mode {
        Engine::mode(self)
    }

    fn deadline(&self) -> Duration {
        Engine::deadline(self)
    }

    fn may_wait(&self, hook: Hook) -> bool {
        match hook.kind() {
            Kind::Asks => hook == Hook::ClientAuthenticate && self.passwords.is_some(),
            Kind::Tells => self.core.history.is_some(),
        }
    }

    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        Engine::handle(self, event, token)
    }

    fn brokers_tell_certificates(&self) -> bool {
        let brokers = self.core.policy.brokers();
        !brokers.versions().is_empty() && brokers.all_have(Fact::TellsCertificate)
    }

    fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        Engine::broker_loaded(self, broker);
    }

    fn broker_away(&self, origin: Origin<'_>) {
        Engine::broker_away(self, origin);
    }

    fn error_answer(&self, kind: Kind) -> Answer {
        Engine::error_answer(self, kind)
    }

    fn finish(&self) {
        Engine::finish(self);
    }
}
