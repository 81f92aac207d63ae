//! HTTP/2 on the connections, by hyper. The logins of a connection are begun in the order in which they came.
//!
//! That order counts where logins come at once: `lockout` answers none while earlier guesses are undecided.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::codegen::Service;

use super::held::STREAMS;
use super::links::Link;
use super::listen::GrpcConnection;
use super::service::Provider;
use exhook_policy_core::handler::Handler;

/// What the path of a login ends in.
const LOGIN: &str = "/OnClientAuthenticate";
/// Brokers give up calls by the hundred where something was slow; that is no attack. No broker gives up more at once than it
/// has streams.
const RESETS: usize = STREAMS as usize;
/// Bytes of a call's headers. A broker sends some 300, and a client of another kind a few more.
const HEADERS: u32 = 8 << 10;
/// What a stream may send before it is read. A message may be large, a call is small.
const WINDOW: u32 = 1 << 20;
/// What a connection may send before it is read. h2 closes a connection when its small messages that are not read yet, each
/// counted by what it lacks of 256 bytes, have half of this. All calls of a broker may come at once, and be small.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Serves connections until `ended` is true, and then until the last call under way is answered.
pub(super) async fn serve<H: Handler + Sync>(
    mut connections: mpsc::Receiver<GrpcConnection>,
    provider: Provider<H>,
    mut ended: watch::Receiver<bool>,
) {
    // Each connection has a clone, so that the receiver learns when the last one is closed.
    let (open, mut closed) = mpsc::channel::<Infallible>(1);
    let end = ended.clone();
    loop {
        let connection = tokio::select! {
            connection = connections.recv() => connection,
            _ = ended.wait_for(|ended| *ended) => None,
        };
        let Some(connection) = connection else { break };
        let (provider, end, open) = (provider.clone(), end.clone(), open.clone());
        tokio::spawn(async move {
            drive(connection, provider, end).await;
            drop(open);
        });
    }
    drop(open);
    let _ = closed.recv().await;
}

async fn drive<H: Handler + Sync>(connection: GrpcConnection, provider: Provider<H>, mut ended: watch::Receiver<bool>) {
    let in_order = InOrder::default();
    let calls = ConnectionCalls { provider, link: Arc::clone(connection.link()), in_order: in_order.clone() };
    let served = http2::Builder::new(in_order)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .serve_connection(TokioIo::new(connection), calls);
    let mut served = pin!(served);
    // What is wrong with a connection is its peer's, and ends it.
    tokio::select! {
        _ = &mut served => return,
        _ = ended.wait_for(|ended| *ended) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// The calls of one connection.
struct ConnectionCalls<H> {
    provider: Provider<H>,
    link: Arc<Link>,
    in_order: InOrder,
}

impl<H: Handler + Sync> hyper::service::Service<Request<Incoming>> for ConnectionCalls<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Provider<H> as Service<Request<Body>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_login = request.uri().path().ends_with(LOGIN) && self.provider.orders_logins();
        self.in_order.is_next_login.store(is_login, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&self.link));
        self.provider.clone().call(request)
    }
}

/// Begins each login at once, where it is taken from the connection, and gives it a task of its own only if it has to wait. A
/// runtime that gets a task for each call does not run them in their order. All other calls get a task: any thread may run it.
#[derive(Debug, Clone, Default)]
struct InOrder {
    /// Whether the call that comes next is a login. hyper makes its future and gives it to its executor in one go.
    is_next_login: Arc<AtomicBool>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InOrder {
    fn execute(&self, call: F) {
        if !self.is_next_login.swap(false, Ordering::Relaxed) {
            tokio::spawn(call);
            return;
        }
        let mut call = Box::pin(call);
        match catch_unwind(AssertUnwindSafe(|| begin(call.as_mut()))) {
            // Its task asks again, and says then whom to wake.
            Ok(Poll::Pending) => drop(tokio::spawn(call)),
            // A fault ends this call alone, as it would in a task.
            Ok(Poll::Ready(())) | Err(_) => {}
        }
    }
}

fn begin(call: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn logins_begin_in_their_order_and_end_when_they_can() {
        let (begun, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        for number in 0..100 {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            let in_order = InOrder { is_next_login: Arc::new(AtomicBool::new(true)) };
            in_order.execute(async move {
                begun.lock().unwrap().push(number);
                if number % 2 == 0 {
                    sleep(Duration::from_millis(10)).await;
                }
                assert_ne!(number, 7, "a fault of one call");
                ended.lock().unwrap().push(number);
            });
        }
        assert_eq!(*begun.lock().unwrap(), (0..100).collect::<Vec<_>>());
        let all_end = async {
            while ended.lock().unwrap().len() < 99 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(60), all_end).await.unwrap();
    }
}
