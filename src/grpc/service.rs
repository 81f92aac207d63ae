//! One call: read, ask, wait no longer than the deadline, answer.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::RuntimeFlavor;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::calls::Calls;
use super::codec::{error_of, fixed, unary};
use super::dialect::{self, Dialect, Method, should_call};
use super::links::Link;
use super::peers::{Peers, uptime_of_text};
use super::request::{Request, by_message};
use super::{answer, proto};
use crate::clock::now_ms;
use crate::decision::{Answer, Mode};
use crate::emqx::Package;
use crate::event::{BrokerLoaded, Origin, Shown};
use crate::handler::{Caller, Handler, Told, Whereabouts};
use crate::hook::{Hook, Kind};
use crate::log::Log;

/// The answer goes out so much before the deadline, or a twentieth of it.
const MARGIN: Duration = Duration::from_millis(20);

/// What a broker says of itself has no more bytes.
const LARGEST_LOADED: usize = 64 << 10;

type Response = http::Response<Body>;

/// Answers all calls. Clones are the same.
pub(super) struct Provider<H> {
    shared: Arc<Shared<H>>,
    health: HealthServer<HealthService>,
}

/// What all calls share.
struct Shared<H> {
    handler: Arc<H>,
    calls: Arc<Calls>,
    peers: Peers,
    /// Costly questions are decided one at a time, and not by a thread that serves connections.
    costly: Semaphore,
    log: Log,
}

impl<H> Clone for Provider<H> {
    fn clone(&self) -> Self {
        Provider { shared: Arc::clone(&self.shared), health: self.health.clone() }
    }
}

impl<H: Handler + Sync> Provider<H> {
    /// `calls` are those whose sink the handler has.
    pub(super) fn new(handler: Arc<H>, calls: Arc<Calls>, health: HealthServer<HealthService>, log: Log) -> Self {
        Provider {
            shared: Arc::new(Shared { handler, calls, peers: Peers::default(), costly: Semaphore::new(1), log }),
            health,
        }
    }
}

impl<H: Handler + Sync> Service<http::Request<Body>> for Provider<H> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.v1.Health/") {
            return self.health.call(request);
        }
        let Some((package, name)) = dialect::parse(path) else {
            return Box::pin(std::future::ready(Ok(Status::unimplemented("there is no such service").into_http())));
        };
        let method = Method::of(name);
        let link = request.extensions().get::<Arc<Link>>().cloned();
        let call = Call { shared: Arc::clone(&self.shared), package, link };
        // Each in a box of its own size: what all of them need is some kilobytes, which are copied.
        match method {
            Method::Hook(hook) => by_message!(hook, Message => Box::pin(call.ask::<Message>(hook, request))),
            Method::Loaded => Box::pin(call.loaded(request)),
            Method::Unloaded => Box::pin(call.unloaded(request)),
            Method::Unknown(kind) => Box::pin(call.unknown(kind, request)),
        }
    }
}

/// A call, and whence it comes.
struct Call<H> {
    shared: Arc<Shared<H>>,
    package: Package,
    link: Option<Arc<Link>>,
}

impl<H: Handler + Sync> Call<H> {
    /// Whatever comes of it, there is an answer by the deadline, and it is no gRPC error.
    async fn ask<M: Request>(self, hook: Hook, request: http::Request<Body>) -> Result<Response, Infallible> {
        let begun = Instant::now();
        let handler = &self.shared.handler;
        let patience = patience(handler.deadline(), request.headers());
        let asked = unary(self.acknowledged(request), M::LARGEST, |message: M| self.decide(hook, message, begun));
        let problem = match in_time(patience, pin!(asked)).await {
            Ok(response) => return Ok(response),
            Err(problem) => format!("{}: {problem}", hook.point()),
        };
        handler.answered(hook, handler.error_answer(hook.kind()), begun.elapsed(), 1);
        // In a box, so that the others need not carry the room for it.
        Ok(Box::pin(self.failed(hook.kind(), &problem)).await)
    }

    async fn decide<M: Request>(&self, hook: Hook, message: M, begun: Instant) -> proto::Valued {
        let Shared { handler, calls, log, .. } = &*self.shared;
        let dialect = self.dialect(&message);
        // The policy may be another by the time that the handler is asked. Of what is told, all that an early answer costs then is
        // that it does not wait for its commit; a login would be denied.
        let may_wait = handler.may_wait(hook) || hook == Hook::ClientAuthenticate;
        let mut waiting = if may_wait { calls.begin() } else { calls.pass() };
        let token = waiting.token;
        let asked = message.event(hook, dialect).map(|event| {
            self.is_of(event.origin(), message.meta());
            if handler.may_be_costly(&event) { Asked::Costly } else { Asked::Now(handler.handle(&event, token)) }
        });
        let asked = match asked {
            Ok(Asked::Now(answer)) => Ok(answer),
            Ok(Asked::Costly) => {
                self.acknowledge();
                // The semaphore is never closed.
                let _turn = self.shared.costly.acquire().await;
                aside(|| message.event(hook, dialect).map(|event| handler.handle(&event, token)))
            }
            Err(unreadable) => Err(unreadable),
        };
        // From here on there is no password.
        let published = message.into_message();
        let answer = match asked {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                self.acknowledge();
                waiting.answer().await.unwrap_or_else(|| handler.error_answer(hook.kind()))
            }
            Err(unreadable) => {
                let answer = handler.error_answer(hook.kind());
                log.line(format_args!("a call of {}: {unreadable}: {}", hook.point(), answer.in_words()));
                answer
            }
        };
        handler.answered(hook, answer, begun.elapsed(), 1);
        if hook == Hook::MessagePublish {
            return answer::message(published, dialect);
        }
        answer::of(answer, hook.kind(), dialect)
    }

    /// How the broker that sent this is to be understood. What it said once, without its name, is passed on here.
    fn dialect(&self, message: &impl Request) -> Dialect {
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
    async fn loaded(self, request: http::Request<Body>) -> Result<Response, Infallible> {
        let patience = patience(self.shared.handler.deadline(), request.headers());
        let said = |version: &str, uptime: Option<i64>, meta: Option<&proto::Meta>| {
            std::future::ready(self.told(version, uptime, meta))
        };
        let by_text = |message: proto::LoadedByText| {
            let broker = message.broker.unwrap_or_default();
            said(&broker.version, uptime_of_text(&broker.uptime), message.meta.as_ref())
        };
        let by_number = |message: proto::Loaded| {
            let broker = message.broker.unwrap_or_default();
            said(&broker.version, Some(broker.uptime), message.meta.as_ref())
        };
        let loaded = match self.package {
            Package::V1 => in_time(patience, pin!(unary(request, LARGEST_LOADED, by_text))).await,
            Package::V2 | Package::V3 => in_time(patience, pin!(unary(request, LARGEST_LOADED, by_number))).await,
        };
        let problem = match loaded {
            Ok(response) => return Ok(response),
            Err(problem) => problem,
        };
        self.shared.log.line(format_args!("a broker loads this provider: {problem}"));
        Ok(fixed(self.hooks(self.at_its_address(), None)).await)
    }

    async fn unloaded(self, request: http::Request<Body>) -> Result<Response, Infallible> {
        let Shared { handler, log, .. } = &*self.shared;
        log.line(format_args!("a broker unloads this provider, and will ask no more"));
        let read = |message: proto::Unloaded| {
            let named = message.meta.map(|meta| named(&meta).to_string());
            let broker = named.unwrap_or_else(|| self.at_its_address());
            handler.whereabouts(&broker, Whereabouts::Unloaded);
            std::future::ready(proto::Empty {})
        };
        let patience = patience(handler.deadline(), request.headers());
        match in_time(patience, pin!(unary(request, LARGEST_LOADED, read))).await {
            Ok(response) => Ok(response),
            Err(_) => Ok(fixed(proto::Empty {}).await),
        }
    }

    async fn unknown(self, kind: Kind, request: http::Request<Body>) -> Result<Response, Infallible> {
        let path = request.uri().path();
        Ok(self.failed(kind, &format!("{} of no hook", Shown(path))).await)
    }

    /// `uptime` is in milliseconds.
    fn told(&self, version: &str, uptime: Option<i64>, meta: Option<&proto::Meta>) -> proto::Hooks {
        let Shared { handler, peers, log, .. } = &*self.shared;
        let booted_at = uptime.map(|uptime| now_ms().saturating_sub(uptime));
        if let Some(meta) = meta {
            let origin = named(meta);
            if let Some(link) = &self.link {
                link.is_of(origin);
            }
            if let Some(booted_at) = booted_at {
                handler.broker_loaded(&BrokerLoaded { origin, booted_at });
            }
            log.line(format_args!("{origin}, EMQX {version}, loads this provider"));
            return self.hooks(origin.to_string(), Some(version));
        }
        if let Some(link) = &self.link {
            peers.loaded(link.address, version, booted_at);
        }
        log.line(format_args!("a broker, EMQX {version}, loads this provider"));
        self.hooks(self.at_its_address(), Some(version))
    }

    /// A broker that has not said its name.
    fn at_its_address(&self) -> String {
        self.link.as_ref().map_or_else(|| "a broker".to_owned(), |link| at(link.address))
    }

    /// The hooks that this broker should call.
    fn hooks(&self, broker: String, version: Option<&str>) -> proto::Hooks {
        let Shared { handler, log, .. } = &*self.shared;
        let (hooks, left_out): (Vec<Hook>, Vec<Hook>) =
            handler.hooks().into_iter().partition(|hook| should_call(self.package, *hook, handler.mode()));
        if !left_out.is_empty() {
            log.line(format_args!(
                "it is not told to ask about logins: EMQX before 5.9 would refuse them all, as the policy is in audit mode; \
                 load the provider again once it is enforced"
            ));
        }
        handler.told(Told { caller: self.caller(broker, version), hooks: hooks.iter().copied().collect() });
        let hook = |hook| proto::Hook { name: dialect::name(self.package, hook).to_owned(), topics: Vec::new() };
        proto::Hooks { hooks: hooks.into_iter().map(hook).collect() }
    }

    /// The request, whose sender learns that its beginning has come if the rest is late.
    fn acknowledged(&self, request: http::Request<Body>) -> http::Request<Unhurried> {
        let link = self.link.clone();
        request.map(|body| Unhurried { body, link })
    }

    fn acknowledge(&self) {
        if let Some(link) = &self.link {
            link.acknowledge();
        }
    }

    /// Takes note whose connection this is. What the broker registered, it may have registered with
    /// an earlier process.
    fn is_of(&self, origin: Origin<'_>, meta: Option<&proto::Meta>) {
        let Some(opened) = self.link.as_ref().and_then(|link| link.is_of(origin)) else { return };
        if opened.is_back {
            let (broker, version) = match meta {
                Some(meta) => (named(meta).to_string(), Some(meta.version.as_str())),
                None => (self.at_its_address(), None),
            };
            self.shared.handler.calls(self.caller(broker, version));
        }
    }

    /// A broker of this name, as the handler knows it.
    fn caller(&self, broker: String, version: Option<&str>) -> Caller {
        let mend = match self.package {
            Package::V1 => "emqx_ctl exhook server disable NAME && emqx_ctl exhook server enable NAME",
            Package::V2 | Package::V3 => {
                "disable and enable the server on the page of ExHook in the broker's dashboard, or by two requests \
                 `PUT /api/v5/exhooks/NAME`, one with `enable` false and one with `enable` true"
            }
        };
        let refused = Hook::ALL.iter().copied().filter(|hook| !should_call(self.package, *hook, Mode::Audit));
        Caller {
            broker,
            version: version.filter(|version| !version.is_empty()).map(str::to_owned),
            refused_if_ignored: refused.collect(),
            mend: mend.to_owned(),
        }
    }

    /// The answer to a call of this kind where anything went wrong.
    async fn failed(&self, kind: Kind, problem: &str) -> Response {
        let answer = self.shared.handler.error_answer(kind);
        self.shared.log.line(format_args!("a call of {problem}: {}", answer.in_words()));
        fixed(answer::of(answer, kind, Dialect::of(self.package, None))).await
    }
}

/// A question that was asked.
enum Asked {
    /// With what the handler said.
    Now(Option<Answer>),
    /// It is not decided yet, so that other calls need not wait for it.
    Costly,
}

/// Does what can take milliseconds. Another thread serves the connections of this one in the meantime.
fn aside<R>(work: impl FnOnce() -> R) -> R {
    match tokio::runtime::Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        // Tests alone have one thread.
        _ => work(),
    }
}

/// Which broker sends this.
fn named(meta: &proto::Meta) -> Origin<'_> {
    Origin { cluster: Some(meta.cluster_name.as_str()).filter(|name| !name.is_empty()), node: &meta.node }
}

/// A broker that has not said its name, in words.
pub(super) fn at(address: IpAddr) -> String {
    format!("the broker at {address}")
}

/// The response, if it comes in time and is no error; otherwise what is wrong. A fault in this program is one, too.
async fn in_time(patience: Duration, response: impl Future<Output = Response> + Unpin) -> Result<Response, String> {
    match timeout_at(Instant::now() + patience, Caught(response)).await {
        Ok(Some(response)) => match error_of(&response) {
            None => Ok(response),
            Some(error) => Err(error.message().to_owned()),
        },
        Ok(None) => Err("this program failed".to_owned()),
        Err(_) => Err(format!("was not answered within {patience:?}")),
    }
}

/// Ends with `None` where the future panics.
struct Caught<F>(F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let future = Pin::new(&mut self.0);
        catch_unwind(AssertUnwindSafe(|| future.poll(cx))).map_or(Poll::Ready(None), |polled| polled.map(Some))
    }
}

/// A body that acknowledges what came when it has to wait for the first time.
struct Unhurried {
    body: Body,
    link: Option<Arc<Link>>,
}

impl http_body::Body for Unhurried {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending()
            && let Some(link) = self.link.take()
        {
            link.acknowledge();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// How long a call may wait: within the policy's deadline, and within the broker's.
fn patience(deadline: Duration, headers: &http::HeaderMap) -> Duration {
    let timeout = headers.get("grpc-timeout").and_then(|value| timeout(value.to_str().ok()?));
    let longest = timeout.map_or(deadline, |timeout| deadline.min(timeout));
    longest.saturating_sub(MARGIN.min(longest / 20))
}

/// The value of `grpc-timeout`: at most eight digits and a unit.
fn timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_patience(header: Option<&'static str>, expected: Duration) {
        let mut headers = http::HeaderMap::new();
        if let Some(header) = header {
            headers.insert("grpc-timeout", http::HeaderValue::from_static(header));
        }
        assert_eq!(patience(Duration::from_secs(2), &headers), expected, "{header:?}");
    }

    #[test]
    fn the_answer_comes_within_both_deadlines() {
        check_patience(None, Duration::from_millis(1980));
        check_patience(Some("5S"), Duration::from_millis(1980));
        check_patience(Some("1S"), Duration::from_millis(980));
        check_patience(Some("100m"), Duration::from_millis(95));
        check_patience(Some("1000u"), Duration::from_micros(950));
        check_patience(Some("0m"), Duration::ZERO);
        for nothing in ["", "m", "5", "5x", "é", "99999999999S", "-1S"] {
            check_patience(Some(nothing).filter(|text| text.is_ascii()), Duration::from_millis(1980));
        }
        check_patience(Some("99999999H"), Duration::from_millis(1980));
    }
}
