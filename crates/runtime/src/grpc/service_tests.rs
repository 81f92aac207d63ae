//! What becomes of calls whose handler fails them.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_prost::ProstCodec;

use super::calls::WaitingCalls;
use super::links::{Link, Links};
use super::places::ConnectionPlaces;
use super::proto::{self, valued::Value};
use super::service::Provider;
use crate::log::Log;
use exhook_policy_core::answer_sink::{Sink, Token};
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::{Answer, Mode, Weight};
use exhook_policy_core::event::{BrokerLoaded, Event, Origin};
use exhook_policy_core::handler::{BrokerRegistry, CallObserver, Decider, Whereabouts};
use exhook_policy_core::hook::{Hook, Kind};

/// What a handler does with a call.
#[derive(Debug, Clone, Copy)]
struct Does {
    /// Comes through the sink before anything else.
    first: &'static [Answer],
    panics: bool,
    /// Before it is asked.
    panics_before: bool,
    /// Says before it is asked that it will answer at once.
    hurries: bool,
    says: Option<Answer>,
    /// Says before it is asked that a call of this client is costly, and then waits until it may go on.
    costly: Option<(&'static str, &'static Gate)>,
    /// Comes through the sink from another thread, after a while.
    later: (Duration, &'static [Answer]),
    /// To a call of this token and so many more.
    beside: Token,
}

const NOTHING: Does = Does {
    first: &[],
    panics: false,
    panics_before: false,
    hurries: false,
    says: None,
    costly: None,
    later: (SOON, &[]),
    beside: 0,
};
const SOON: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_millis(200);
const TOO_LATE: Duration = Duration::from_millis(300);

/// Opened once, for all.
#[derive(Debug)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

struct Fake {
    sink: Sink,
    mode: Mode,
    does: Does,
    /// What it was told of brokers.
    heard: Arc<Mutex<Vec<(BrokerId, Whereabouts)>>>,
}

impl Decider for Fake {
    fn hooks(&self) -> Vec<Hook> {
        Hook::ALL.to_vec()
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn may_wait(&self, _: Hook) -> bool {
        assert!(!self.does.panics_before, "as it is meant to");
        !self.does.hurries
    }

    fn weight(&self, event: &Event<'_>) -> Weight {
        let Event::CheckAcl { client, .. } = event else { return Weight::Light };
        let is_costly = self.does.costly.is_some_and(|(clientid, _)| clientid == client.clientid);
        if is_costly { Weight::Long } else { Weight::Light }
    }

    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        if let (Weight::Long, Some((_, gate))) = (self.weight(event), self.does.costly) {
            gate.wait();
        }
        let to = |answers: &[Answer]| answers.iter().map(|answer| (token + self.does.beside, *answer)).collect();
        let (after, answers) = self.does.later;
        let (sink, first, later): (_, Vec<_>, Vec<_>) = (Arc::clone(&self.sink), to(self.does.first), to(answers));
        sink(&first);
        thread::spawn(move || {
            thread::sleep(after);
            sink(&later);
        });
        assert!(!self.does.panics, "as it is meant to");
        self.does.says
    }

    fn error_answer(&self, kind: Kind) -> Answer {
        match (self.mode, kind) {
            (Mode::Enforce, Kind::Asks) => Answer::Deny,
            (Mode::Enforce | Mode::Audit, _) => Answer::NoOpinion,
        }
    }

    fn finish(&self) {}
}

impl CallObserver for Fake {}

impl BrokerRegistry for Fake {
    fn whereabouts(&self, broker: &BrokerId, whereabouts: Whereabouts) {
        self.heard.lock().unwrap().push((broker.clone(), whereabouts));
    }

    fn broker_loaded(&self, _: &BrokerLoaded<'_>) {}
}

/// Asks in this mode, and gives the answer; and then whether the next call is answered as well.
#[track_caller]
fn check(mode: Mode, does: Does, expected: Answer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async {
        let provider = provider(mode, does);
        [ask(&provider).await, ask(&provider).await]
    });
    let (kind, value) = match expected {
        Answer::Allow => (2, Some(Value::BoolResult(true))),
        Answer::Deny => (2, Some(Value::BoolResult(false))),
        Answer::NoOpinion => (1, None),
    };
    let expected = proto::Valued { r#type: kind, value };
    assert_eq!(answers, [expected.clone(), expected], "{does:?}");
}

fn provider(mode: Mode, does: Does) -> Provider<Fake> {
    provider_that_tells(mode, does, Arc::default())
}

fn provider_that_tells(mode: Mode, does: Does, heard: Arc<Mutex<Vec<(BrokerId, Whereabouts)>>>) -> Provider<Fake> {
    let calls = Arc::new(WaitingCalls::default());
    let handler = Arc::new(Fake { sink: calls.sink(), mode, does, heard });
    let health = HealthServer::new(HealthService::from_health_reporter(HealthReporter::new()));
    Provider::new(handler, calls, health, Log::stderr())
}

async fn ask(provider: &Provider<Fake>) -> proto::Valued {
    ask_for(provider, "").await
}

async fn ask_for(provider: &Provider<Fake>, clientid: &str) -> proto::Valued {
    let mut client = proto::Client::default();
    clientid.clone_into(&mut client.clientid);
    let request = proto::Authorize { clientinfo: Some(client), ..proto::Authorize::default() };
    let path = PathAndQuery::from_static("/emqx.exhook.v2.HookProvider/OnClientAuthorize");
    let codec = ProstCodec::<proto::Authorize, proto::Valued>::default();
    Grpc::new(provider.clone()).unary(tonic::Request::new(request), path, codec).await.unwrap().into_inner()
}

#[test]
fn a_call_is_answered_once_and_in_time_whatever_its_handler_does() {
    use Answer::{Allow, Deny};
    for (does, expected) in [
        (Does { says: Some(Allow), ..NOTHING }, Allow),
        (Does { says: Some(Deny), ..NOTHING }, Deny),
        (Does { later: (SOON, &[Allow]), ..NOTHING }, Allow),
        (Does { first: &[Allow], ..NOTHING }, Allow),
        // Of two, the first counts, and what it says itself.
        (Does { later: (SOON, &[Allow, Deny]), ..NOTHING }, Allow),
        (Does { first: &[Allow], later: (SOON, &[Deny]), ..NOTHING }, Allow),
        (Does { first: &[Deny], says: Some(Allow), ..NOTHING }, Allow),
        // Whoever else is answered.
        (Does { first: &[Allow], beside: 1000, ..NOTHING }, Deny),
        (Does { later: (TOO_LATE, &[Allow]), ..NOTHING }, Deny),
        (NOTHING, Deny),
        (Does { panics: true, ..NOTHING }, Deny),
        (Does { first: &[Allow], panics: true, ..NOTHING }, Deny),
        (Does { says: Some(Allow), panics_before: true, ..NOTHING }, Deny),
    ] {
        check(Mode::Enforce, does, expected);
    }
}

/// As where a policy with the first password source comes into force between two steps of a call.
#[test]
fn a_login_waits_though_its_handler_said_before_that_it_would_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let provider = provider(Mode::Enforce, Does { hurries: true, later: (SOON, &[Answer::Allow]), ..NOTHING });
        let request =
            proto::Authenticate { clientinfo: Some(proto::Client::default()), ..proto::Authenticate::default() };
        let path = PathAndQuery::from_static("/emqx.exhook.v2.HookProvider/OnClientAuthenticate");
        let codec = ProstCodec::<proto::Authenticate, proto::Valued>::default();
        Grpc::new(provider).unary(tonic::Request::new(request), path, codec).await.unwrap().into_inner()
    });
    assert_eq!(answer, proto::Valued { r#type: 2, value: Some(Value::BoolResult(true)) });
}

#[test]
fn a_broker_that_unloads_the_provider_is_told_of() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let heard = Arc::default();
    let place = ConnectionPlaces::new(9, Log::stderr()).take([10, 0, 0, 1].into(), Weak::new()).unwrap();
    let link = Link::new(place, Links::new(|_| {}));
    runtime.block_on(async {
        let provider = provider_that_tells(Mode::Enforce, NOTHING, Arc::clone(&heard));
        let meta = |cluster: &str| proto::Meta {
            node: "n".to_owned(),
            cluster_name: cluster.to_owned(),
            ..Default::default()
        };
        for (package, meta) in [("v2", Some(meta("c"))), ("v3", Some(meta(""))), ("v1", None)] {
            let mut request = tonic::Request::new(proto::Unloaded { meta });
            request.extensions_mut().insert(Arc::clone(&link));
            let path = format!("/emqx.exhook.{package}.HookProvider/OnProviderUnloaded").parse().unwrap();
            let codec = ProstCodec::<proto::Unloaded, proto::Empty>::default();
            Grpc::new(provider.clone()).unary(request, path, codec).await.unwrap();
        }
    });
    let named = |cluster| BrokerId::of(Origin { cluster, node: "n" }).unwrap();
    let expected = [named(Some("c")), named(None), BrokerId::At([10, 0, 0, 1].into())];
    assert_eq!(*heard.lock().unwrap(), expected.map(|broker| (broker, Whereabouts::Unloaded)));
}

#[test]
fn in_audit_mode_a_handler_that_fails_refuses_nobody() {
    check(Mode::Audit, NOTHING, Answer::NoOpinion);
    check(Mode::Audit, Does { panics: true, ..NOTHING }, Answer::NoOpinion);
}

/// More of them than the server has threads for connections.
#[test]
fn costly_questions_hold_up_no_other_connection() {
    static GATE: Gate = Gate { open: Mutex::new(false), opened: Condvar::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let does = Does { says: Some(Answer::Allow), costly: Some(("costly", &GATE)), ..NOTHING };
    let (provider, costly) = runtime.block_on(async {
        let provider = provider(Mode::Enforce, does);
        let asked = (0..5).map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move { ask_for(&provider, "costly").await })
        });
        (provider.clone(), asked.collect::<Vec<_>>())
    });
    let (done, answered) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        for _ in 0..10 {
            done.send(ask_for(&provider, "other").await).unwrap();
        }
    });
    let answers: Vec<_> = (0..10).map(|_| answered.recv_timeout(Duration::from_secs(30))).collect();
    GATE.open();
    let allowed = proto::Valued { r#type: 2, value: Some(Value::BoolResult(true)) };
    assert!(answers.iter().all(|answer| answer.as_ref() == Ok(&allowed)), "{answers:?}");
    // Those that waited longer than the deadline are denied, and all have an answer.
    runtime.block_on(async {
        for one in costly {
            one.await.unwrap();
        }
    });
}
