//! The server, from its first connection to its end.

use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::calls::WaitingCalls;
use super::drive;
use super::links::Links;
use super::listen::{Renewed, accept};
use super::places::ConnectionPlaces;
use super::service::Provider;
use crate::log::Log;
use exhook_policy_core::answer_sink::Sink;
use exhook_policy_core::handler::{Decider, Handler, Whereabouts};

/// Connections that were accepted and are not yet served.
const ACCEPTED: usize = 64;
/// At the end, calls under way may take so much longer than the deadline.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked for connections that are silent, or take no answers.
const SWEEP: Duration = Duration::from_secs(1);
/// At the end: how often it is looked for connections without a call.
const BEAT: Duration = Duration::from_millis(20);
/// How often it is looked whether a policy is in force.
const LOOK: Duration = Duration::from_millis(500);
/// The services whose health may be asked for; the nameless one is all of it.
const SERVICES: [&str; 4] =
    ["", "emqx.exhook.v1.HookProvider", "emqx.exhook.v2.HookProvider", "emqx.exhook.v3.HookProvider"];

/// Serves on these sockets until the process is told to end, and comes to an end in order: no new connections, answers to
/// the calls under way, and what is queued for the history written.
///
/// `load` makes what answers. While it has no policy in force, the health that is told is that of a service which does not serve.
///
/// # Errors
/// The system gives no threads or signals.
pub fn run<H: Handler + Sync>(
    sockets: Vec<TcpListener>,
    tls: Option<Arc<Renewed>>,
    load: impl FnOnce(Sink) -> H,
    log: &Log,
) -> Result<(), String> {
    let calls = Arc::new(WaitingCalls::default());
    let handler = Arc::new(load(calls.sink()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("grpc")
        .build()
        .map_err(|error| format!("no threads can be started: {error}"))?;
    let served = runtime.block_on(async {
        let reporter = HealthReporter::new();
        report(&reporter, health_of(&*handler)).await;
        let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let (away, ending) = (Arc::clone(&handler), Arc::new(AtomicBool::new(false)));
        let at_end = Arc::clone(&ending);
        let links = Links::new(move |broker| {
            // At the end it is this server that lets go of them.
            if at_end.load(Ordering::Relaxed) {
                return;
            }
            if let Some(origin) = broker.origin() {
                away.broker_away(origin);
            }
            away.whereabouts(broker, Whereabouts::Away);
        });
        let places = ConnectionPlaces::of_process(log.clone());
        let provider = Provider::new(Arc::clone(&handler), calls, health, log.clone());

        let of_calls = provider.clone();
        let (ready, connections) = mpsc::channel(ACCEPTED);
        let mut acceptors = Vec::new();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(socket)?;
            let shared = (Arc::clone(&places), Arc::clone(&links));
            acceptors.push(tokio::spawn(accept(listener, tls.clone(), ready.clone(), shared)));
        }
        drop(ready);
        acceptors.extend(tls.map(|tls| tokio::spawn(tls.watch(log.clone()))));
        let (end, ended) = watch::channel(false);
        let mut server = tokio::spawn(drive::serve(connections, provider, ended));

        let told = told_to_end()?;
        tell(&[NotifyState::Ready]);
        let watched = tokio::spawn(keep_alive());
        let swept = Arc::clone(&places);
        let sweeper = tokio::spawn(async move {
            let mut look = interval(SWEEP);
            loop {
                swept.sweep(look.tick().await.into_std());
                of_calls.sum_up();
            }
        });
        let (told_of, says) = (Arc::clone(&handler), reporter.clone());
        let health_told = tokio::spawn(async move {
            let mut look = interval(LOOK);
            loop {
                look.tick().await;
                report(&says, health_of(&*told_of)).await;
            }
        });
        tokio::select! {
            () = told => {}
            ended = &mut server => {
                let why = ended.map_or_else(|fault| fault.to_string(), |()| "all sockets are closed".to_owned());
                return Err(io::Error::other(why));
            }
        }
        ending.store(true, Ordering::Relaxed);
        tell(&[NotifyState::Stopping]);
        log.line(format_args!("told to end: no new connections are taken"));
        health_told.abort();
        report(&reporter, ServingStatus::NotServing).await;
        acceptors.iter().for_each(JoinHandle::abort);
        let _ = end.send(true);
        drain(server, &places, handler.deadline(), log).await;
        sweeper.abort();
        watched.abort();
        Ok(())
    });
    // What is queued may take seconds, and its answers still go out.
    handler.finish();
    runtime.shutdown_timeout(Duration::from_millis(100));
    served.map_err(|error: io::Error| format!("it cannot be served: {error}"))
}

/// Waits for the answers to the calls under way, and for no connection that has none.
async fn drain(server: JoinHandle<()>, places: &ConnectionPlaces, deadline: Duration, log: &Log) {
    let begun = Instant::now();
    places.end();
    let mut look = interval(BEAT);
    let closed = async {
        loop {
            places.close_idle(begun, look.tick().await.into_std());
        }
    };
    tokio::select! {
        _ = server => {}
        () = closed => {}
        () = sleep(deadline + GRACE) => {
            let unanswered = places.unanswered();
            if unanswered > 0 {
                log.line(format_args!("calls that were not answered: {unanswered}"));
            }
        }
    }
}

fn health_of(decider: &impl Decider) -> ServingStatus {
    if decider.serves() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Ends with the first signal that asks for the end.
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Tells systemd, where that started the program.
fn tell(states: &[NotifyState<'_>]) {
    // Without anybody who listens nothing is to be done.
    let _ = sd_notify::notify(states);
}

/// Tells systemd's watchdog that there are threads to answer calls.
async fn keep_alive() {
    let Some(within) = sd_notify::watchdog_enabled() else { return pending().await };
    let mut beat = interval(within / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
