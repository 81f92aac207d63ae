//! One call: read, ask, wait no longer than the deadline, answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::RuntimeFlavor;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::calls::{WaitingCall, WaitingCalls};
use super::codec::{self, WholeMessage};
use super::dialect::{self, Dialect, Method, should_call};
use super::held::{Carried, HeldByCall, kept, watched};
use super::in_time::{in_time, patience};
use super::lines::BoundedLog;
use super::links::{KnownBroker, Link};
use super::peers::{Peers, uptime_of_text};
use super::request::{HookRequest, by_message};
use super::{answer, proto};
use crate::clock::now_ms;
use crate::log::Log;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::{Answer, Mode, Weight};
use exhook_policy_core::emqx::Package;
use exhook_policy_core::event::{BrokerLoaded, Origin, Shown};
use exhook_policy_core::handler::{CallingBroker, Handler, RegisteredHooks, Whereabouts};
use exhook_policy_core::hook::{Hook, Kind};

/// What a broker says of itself has no more bytes.
const LARGEST_LOADED: usize = 64 << 10;
/// Nor has the name of a service whose health is asked for.
const LARGEST_HEALTH: usize = 1 << 10;

/// Lines a minute about calls that could not be read or answered.
const LINES: u32 = 200;

type HttpResponse = http::Response<Body>;

/// Answers all calls. Clones are the same.
pub(super) struct Provider<H> {
    shared: Arc<ProviderShared<H>>,
    health: HealthServer<HealthService>,
}

/// What all calls share.
struct ProviderShared<H> {
    handler: Arc<H>,
    calls: Arc<WaitingCalls>,
    peers: Peers,
    /// Questions that can take milliseconds are decided one at a time, and not by a thread that serves connections. Those of
    /// usual clients do not wait for those with long texts.
    usual: Semaphore,
    long: Semaphore,
    log: Log,
    /// What is wrong with calls.
    problems: BoundedLog,
}

impl<H> Clone for Provider<H> {
    fn clone(&self) -> Self {
        Provider { shared: Arc::clone(&self.shared), health: self.health.clone() }
    }
}

impl<H: Handler + Sync> Provider<H> {
    /// `calls` are those whose sink the handler has.
    pub(super) fn new(
        handler: Arc<H>,
        calls: Arc<WaitingCalls>,
        health: HealthServer<HealthService>,
        log: Log,
    ) -> Self {
        let problems = BoundedLog::new(log.clone(), LINES, "calls");
        let shared = ProviderShared {
            handler,
            calls,
            peers: Peers::default(),
            usual: Semaphore::new(1),
            long: Semaphore::new(1),
            log,
            problems,
        };
        Provider { shared: Arc::new(shared), health }
    }
}

impl<H: Handler> Provider<H> {
    /// Whether the order in which logins come changes how they are answered.
    pub(super) fn orders_logins(&self) -> bool {
        self.shared.handler.orders_logins()
    }
}

impl<H> Provider<H> {
    /// Says what was left out of the log, once in a while.
    pub(super) fn sum_up(&self) {
        self.shared.problems.sum_up();
    }
}

impl<H: Handler + Sync> Service<http::Request<Body>> for Provider<H> {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let is_health = path.starts_with("/grpc.health.v1.Health/");
        let (package, name) = match dialect::parse(path) {
            Some(parsed) => parsed,
            None if is_health => (Package::V3, ""),
            None => {
                return Box::pin(std::future::ready(Ok(Status::unimplemented("there is no such service").into_http())));
            }
        };
        let method = Method::of(name);
        let link = request.extensions().get::<Arc<Link>>().cloned();
        let held = link.as_ref().map(|link| HeldByCall::begin(&link.place)).transpose();
        let call = ProviderCall { shared: Arc::clone(&self.shared), package, link, held };
        if is_health {
            return Box::pin(call.health(self.health.clone(), request));
        }
        match method {
            Method::Hook(hook) => by_message!(hook, Message => {
                let patience = patience(self.shared.handler.deadline(), request.headers());
                // Without its headers: it may have to wait.
                Box::pin(call.ask(hook, request.into_body(), patience, MessageReader::of::<Message>()))
            }),
            Method::Loaded => Box::pin(call.loaded(request)),
            Method::Unloaded => Box::pin(call.unloaded(request)),
            Method::Unknown(kind) => Box::pin(std::future::ready(Ok(call.unknown(kind, request.uri().path())))),
        }
    }
}

/// A call, and whence it comes.
struct ProviderCall<H> {
    shared: Arc<ProviderShared<H>>,
    package: Package,
    link: Option<Arc<Link>>,
    /// What it keeps; or why it may keep nothing. Without a connection nothing is counted.
    held: Result<Option<HeldByCall>, &'static str>,
}

/// Asks the handler, as [`ProviderCall::asked`].
type Ask<H> =
    for<'c> fn(&'c ProviderCall<H>, Hook, &WholeMessage, Weight) -> Result<Result<HandlerReply<'c>, Weight>, String>;

/// How a hook's message is read, and how long it may be.
struct MessageReader<H> {
    largest: usize,
    asked: Ask<H>,
}

/// What a handler was asked.
struct HandlerReply<'c> {
    /// `None` while it is to come.
    answer: Option<Answer>,
    waiting: WaitingCall<'c>,
    dialect: Dialect,
    /// What goes back with the answer.
    published: Option<proto::Message>,
}

impl<H: Handler + Sync> MessageReader<H> {
    fn of<M: HookRequest>() -> Self {
        MessageReader { largest: M::LARGEST, asked: ProviderCall::asked::<M> }
    }
}

impl<H: Handler + Sync> ProviderCall<H> {
    /// Whatever comes of it, there is an answer by the deadline, and it is no gRPC error. While it
    /// waits it should be small: there may be thousands of them.
    async fn ask(
        mut self,
        hook: Hook,
        body: Body,
        patience: Duration,
        read: MessageReader<H>,
    ) -> Result<HttpResponse, Infallible> {
        let begun = Instant::now();
        let answered = in_time(patience, pin!(self.decide(hook, body, begun, &read))).await;
        let answer = match answered {
            Ok(answer) => answer,
            Err(problem) => {
                let handler = &self.shared.handler;
                handler.answered(hook, handler.error_answer(hook.kind()), begun.elapsed(), 1);
                self.failed(hook.kind(), &format!("{}: {problem}", hook.point()))
            }
        };
        Ok(self.response(&answer))
    }

    async fn decide(
        &self,
        hook: Hook,
        body: Body,
        begun: Instant,
        read: &MessageReader<H>,
    ) -> Result<proto::Valued, String> {
        let handler = &self.shared.handler;
        let body = self.read(body, read.largest).await?;
        let asked = match (read.asked)(self, hook, &body, Weight::Light)? {
            Ok(asked) => asked,
            // In a box, so that the others need not carry the room for it.
            Err(weight) => Box::pin(self.in_turn(hook, &body, read, weight)).await?,
        };
        let HandlerReply { answer, mut waiting, dialect, published } = asked;
        drop(body);
        let answer = if let Some(answer) = answer {
            answer
        } else {
            self.acknowledge();
            waiting.answer().await.unwrap_or_else(|| handler.error_answer(hook.kind()))
        };
        handler.answered(hook, answer, begun.elapsed(), 1);
        if hook == Hook::MessagePublish {
            return Ok(answer::message(published, dialect));
        }
        Ok(answer::of(answer, hook.kind(), dialect))
    }

    /// Asks a question that can take long when no other one of its kind is being decided.
    async fn in_turn<'c>(
        &'c self,
        hook: Hook,
        body: &WholeMessage,
        read: &MessageReader<H>,
        weight: Weight,
    ) -> Result<HandlerReply<'c>, String> {
        self.acknowledge();
        // A login may begin where its connection is read. The other calls of that connection must not wait for it.
        tokio::task::yield_now().await;
        let turns = if weight == Weight::Usual { &self.shared.usual } else { &self.shared.long };
        // The semaphores are never closed.
        let _turn = turns.acquire().await;
        let asked = aside(|| (read.asked)(self, hook, body, Weight::Long))?;
        asked.map_err(|_| "was not decided".to_owned())
    }

    /// Asks the handler, unless the question weighs more than `most`: then nothing is asked. This does not wait, so that
    /// what it needs is on the stack.
    fn asked<M: HookRequest>(
        &self,
        hook: Hook,
        body: &WholeMessage,
        most: Weight,
    ) -> Result<Result<HandlerReply<'_>, Weight>, String> {
        let ProviderShared { handler, calls, problems, .. } = &*self.shared;
        let message: M = body.message()?;
        let dialect = self.dialect(&message);
        let event = message.event(hook, dialect);
        if let Ok(event) = &event
            && let weight = handler.weight(event)
            && weight > most
        {
            return Ok(Err(weight));
        }
        // The policy may be another by the time that the handler is asked. Of what is told, all that an early answer costs then is
        // that it does not wait for its commit; a login would be denied.
        let may_wait = handler.may_wait(hook) || hook == Hook::ClientAuthenticate;
        let waiting = if may_wait { calls.begin() } else { calls.pass() };
        let token = waiting.token;
        let asked = event.map(|event| {
            self.is_of(event.origin(), message.meta());
            handler.handle(&event, token)
        });
        // From here on there is no password.
        let published = message.into_message();
        let answer = match asked {
            Ok(answer) => answer,
            Err(unreadable) => {
                let answer = handler.error_answer(hook.kind());
                problems.line(format_args!("a call of {}: {unreadable}: {}", hook.point(), answer.in_words()));
                Some(answer)
            }
        };
        // Only where it is sent back is it kept.
        let published = published.filter(|_| dialect.go_on().is_some());
        Ok(Ok(HandlerReply { answer, waiting, dialect, published }))
    }

    /// Reads the body of the call.
    async fn read(&self, body: Body, largest: usize) -> Result<WholeMessage, String> {
        let held = self.held.as_ref().map_err(|problem| (*problem).to_owned())?;
        codec::read(body, largest, held.as_ref(), self.link.as_ref().map(|link| &*link.place)).await
    }

    /// The response with this message.
    fn response(&mut self, message: &impl prost::Message) -> HttpResponse {
        codec::response(message, std::mem::replace(&mut self.held, Ok(None)).ok().flatten())
    }

    /// The health, which is asked for and watched; a request whose body never comes is not waited
    /// for.
    async fn health(
        mut self,
        mut service: HealthServer<HealthService>,
        request: http::Request<Body>,
    ) -> Result<HttpResponse, Infallible> {
        let is_watch = request.uri().path().ends_with("/Watch");
        let patience = patience(self.shared.handler.deadline(), request.headers());
        let (parts, body) = request.into_parts();
        let asked = async {
            let data = Some(self.read(body, LARGEST_HEALTH).await?.into_bytes());
            let body = Body::new(Carried { data, trailers: None });
            let Ok(response) = service.call(http::Request::from_parts(parts, body)).await;
            Ok(response)
        };
        let response = match in_time(patience, Box::pin(asked)).await {
            Ok(response) => response,
            Err(problem) => return Ok(Status::resource_exhausted(problem).into_http()),
        };
        let held = std::mem::replace(&mut self.held, Ok(None)).ok().flatten();
        let (parts, body) = response.into_parts();
        let body = match (is_watch, &self.link) {
            (true, Some(link)) => watched(body, &link.place),
            (true | false, _) => Ok(kept(body, held)),
        };
        Ok(body.map_or_else(Status::into_http, |body| http::Response::from_parts(parts, body)))
    }

    /// How the broker that sent this is to be understood. What it said once, without its name, is passed on here.
    fn dialect(&self, message: &impl HookRequest) -> Dialect {
        let said = message.meta().map(|meta| meta.version.as_str());
        match (self.package, said, &self.link) {
            (Package::V1, None, Some(link)) => {
                let node = message.node().filter(|node| !node.is_empty());
                let (dialect, booted_at) = self.shared.peers.recall(link, node);
                if let (Some(booted_at), Some(node)) = (booted_at, node) {
                    let origin = Origin { cluster: None, node };
                    self.shared.handler.broker_loaded(&BrokerLoaded { origin, booted_at });
                }
                match dialect {
                    Dialect::Old { .. } => {
                        Dialect::Old { tells_certificates: self.shared.handler.brokers_tell_certificates() }
                    }
                    Dialect::Oldest { .. } | Dialect::V1 | Dialect::V2 => dialect,
                }
            }
            (Package::V1 | Package::V2 | Package::V3, said, _) => Dialect::of(self.package, said),
        }
    }

    /// The broker loads this provider, and is told its hooks.
    async fn loaded(mut self, request: http::Request<Body>) -> Result<HttpResponse, Infallible> {
        let patience = patience(self.shared.handler.deadline(), request.headers());
        let hooks = match in_time(patience, pin!(self.read(request.into_body(), LARGEST_LOADED))).await {
            Ok(body) => self.loaded_by(&body),
            Err(problem) => Err(problem),
        };
        let hooks = hooks.unwrap_or_else(|problem| {
            self.shared.log.line(format_args!("a broker loads this provider: {problem}"));
            self.hooks(None, None)
        });
        Ok(self.response(&hooks))
    }

    fn loaded_by(&self, body: &WholeMessage) -> Result<proto::Hooks, String> {
        match self.package {
            Package::V1 => {
                let message: proto::LoadedByText = body.message()?;
                // Without it nothing is said of the uptime; an empty one is of less than a second.
                let uptime = message.broker.as_ref().and_then(|broker| uptime_of_text(&broker.uptime));
                let broker = message.broker.unwrap_or_default();
                Ok(self.told(&broker.version, uptime, message.meta.as_ref()))
            }
            Package::V2 | Package::V3 => {
                let message: proto::Loaded = body.message()?;
                let uptime = message.broker.as_ref().map(|broker| broker.uptime).filter(|uptime| *uptime >= 0);
                let broker = message.broker.unwrap_or_default();
                Ok(self.told(&broker.version, uptime, message.meta.as_ref()))
            }
        }
    }

    async fn unloaded(mut self, request: http::Request<Body>) -> Result<HttpResponse, Infallible> {
        let ProviderShared { handler, log, .. } = &*self.shared;
        let patience = patience(handler.deadline(), request.headers());
        let read = in_time(patience, pin!(self.read(request.into_body(), LARGEST_LOADED))).await;
        let message: Result<proto::Unloaded, String> = read.and_then(|body| body.message());
        let meta = message.as_ref().ok().and_then(|message| message.meta.as_ref());
        let broker = meta.and_then(|meta| BrokerId::of(named(meta))).or_else(|| self.at_its_address());
        match &broker {
            Some(broker) => log.line(format_args!("{broker} unloads this provider, and will ask no more")),
            None => log.line(format_args!("a broker unloads this provider, and will ask no more")),
        }
        // Without a message it is not known which of those at its address it is.
        if let (Ok(_), Some(broker)) = (&message, &broker) {
            handler.whereabouts(broker, Whereabouts::Unloaded);
        }
        Ok(self.response(&proto::Empty {}))
    }

    fn unknown(mut self, kind: Kind, path: &str) -> HttpResponse {
        let answer = self.failed(kind, &format!("{} of no hook", Shown(path)));
        self.response(&answer)
    }

    /// `uptime` is in milliseconds.
    fn told(&self, version: &str, uptime: Option<i64>, meta: Option<&proto::Meta>) -> proto::Hooks {
        let ProviderShared { handler, peers, log, .. } = &*self.shared;
        let booted_at = uptime.map(|uptime| now_ms().saturating_sub(uptime));
        self.prove();
        if let Some(meta) = meta {
            let origin = named(meta);
            if let Some(booted_at) = booted_at {
                handler.broker_loaded(&BrokerLoaded { origin, booted_at });
            }
            log.line(format_args!("{origin}, EMQX {version}, loads this provider"));
            return self.hooks(Some(origin), Some(version));
        }
        if let Some(link) = &self.link {
            peers.loaded(link.address, version, booted_at);
        }
        log.line(format_args!("a broker, EMQX {version}, loads this provider"));
        self.hooks(None, Some(version))
    }

    /// A broker that has not said its name. Without a connection it is not known which.
    fn at_its_address(&self) -> Option<BrokerId> {
        self.link.as_ref().map(|link| BrokerId::At(link.address))
    }

    /// A broker loads the provider: how the handler is to know it. Where the connection does not
    /// keep its name, that is not at all, as it could not be said later that the broker is gone.
    fn loader(&self, origin: Option<Origin<'_>>) -> Option<BrokerId> {
        let link = self.link.as_ref();
        match origin {
            Some(origin) if link.is_none_or(|link| link.is_of(origin) != KnownBroker::Unkept) => BrokerId::of(origin),
            Some(origin) if !origin.is_too_long() => None,
            Some(_) | None => {
                if let Some(link) = link {
                    link.is_of_a_nameless_broker();
                }
                self.at_its_address()
            }
        }
    }

    /// The hooks that this broker should call.
    fn hooks(&self, origin: Option<Origin<'_>>, version: Option<&str>) -> proto::Hooks {
        let ProviderShared { handler, log, .. } = &*self.shared;
        let (hooks, left_out): (Vec<Hook>, Vec<Hook>) =
            handler.hooks().into_iter().partition(|hook| should_call(self.package, *hook, handler.mode()));
        if !left_out.is_empty() {
            log.line(format_args!(
                "it is not told to ask about logins: EMQX before 5.9 would refuse them all, as the policy is in audit mode; \
                 load the provider again once it is enforced"
            ));
        }
        if let Some(broker) = self.loader(origin) {
            handler.hooks_registered(RegisteredHooks {
                caller: self.caller(broker, version),
                hooks: hooks.iter().copied().collect(),
            });
        }
        let hook = |hook| proto::Hook { name: dialect::name(self.package, hook).to_owned(), topics: Vec::new() };
        proto::Hooks { hooks: hooks.into_iter().map(hook).collect() }
    }

    /// A broker calls by this connection.
    fn prove(&self) {
        if let Some(link) = &self.link {
            link.place.prove();
        }
    }

    fn acknowledge(&self) {
        if let Some(link) = &self.link {
            link.acknowledge();
        }
    }

    /// Takes note whose connection this is. What the broker registered, it may have registered with
    /// an earlier process.
    fn is_of(&self, origin: Origin<'_>, meta: Option<&proto::Meta>) {
        self.prove();
        if self.link.as_ref().is_some_and(|link| link.is_of(origin) == KnownBroker::Back) {
            let (broker, version) = match meta {
                Some(meta) => (BrokerId::of(named(meta)), Some(meta.version.as_str())),
                None => (self.at_its_address(), None),
            };
            if let Some(broker) = broker {
                self.shared.handler.broker_calls(self.caller(broker, version));
            }
        }
    }

    /// A broker as the handler knows it.
    fn caller(&self, broker: BrokerId, version: Option<&str>) -> CallingBroker {
        let mend = match self.package {
            Package::V1 => "emqx_ctl exhook server disable NAME && emqx_ctl exhook server enable NAME",
            Package::V2 | Package::V3 => {
                "disable and enable the server on the page of ExHook in the broker's dashboard, or by two requests \
                 `PUT /api/v5/exhooks/NAME`, one with `enable` false and one with `enable` true"
            }
        };
        let refused = Hook::ALL.iter().copied().filter(|hook| !should_call(self.package, *hook, Mode::Audit));
        CallingBroker {
            broker,
            version: version.filter(|version| !version.is_empty()).map(str::to_owned),
            refused_if_ignored: refused.collect(),
            mend: mend.to_owned(),
        }
    }

    /// The answer to a call of this kind where anything went wrong.
    fn failed(&self, kind: Kind, problem: &str) -> proto::Valued {
        let answer = self.shared.handler.error_answer(kind);
        self.shared.problems.line(format_args!("a call of {problem}: {}", answer.in_words()));
        answer::of(answer, kind, Dialect::of(self.package, None))
    }
}

/// Does what can take milliseconds. Another thread serves the connections of this one in the meantime.
fn aside<R>(work: impl FnOnce() -> R) -> R {
    // Tests alone have one thread.
    let has_others = tokio::runtime::Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if has_others { tokio::task::block_in_place(work) } else { work() }
}

/// Which broker sends this.
fn named(meta: &proto::Meta) -> Origin<'_> {
    Origin { cluster: Some(meta.cluster_name.as_str()).filter(|name| !name.is_empty()), node: &meta.node }
}
