//! What a call keeps of this server, and how much of it a connection may have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

use super::places::{ALL_BYTES, ALL_CALLS, ConnectionPlace};

/// Calls under way on one connection, from their headers until their answers are taken. EMQX has at
/// most one a client that connects, subscribes or publishes, over all its connections. Calls beyond
/// it get the answer that denies, at once.
const CALLS: usize = 16_384;
/// Streams of one connection, as HTTP/2 counts them. A stream beyond it is refused.
pub(super) const STREAMS: u32 = 20_480;
/// Bytes of other calls and their answers that a connection may have kept before a call gets more.
const BYTES: usize = 64 << 20;
/// Bytes of an answer that are not counted.
const SMALL: usize = 64;
/// Streams that watch the health, on one connection and on all.
const WATCHES: usize = 8;
const ALL_WATCHES: usize = 256;

/// Why a call is not read.
const TOO_MANY_CALLS: &str = "more than 16384 calls are under way on this connection";
const TOO_MANY_BYTES: &str = "the other calls of this connection keep more than 64 MiB";

/// A call under way: from its headers until its answer is taken, or its connection is closed.
pub(super) struct HeldByCall {
    place: Arc<ConnectionPlace>,
    bytes: AtomicUsize,
    is_answered: bool,
}

impl HeldByCall {
    /// A call begins.
    ///
    /// # Errors
    /// The connection has too many.
    pub(super) fn begin(place: &Arc<ConnectionPlace>) -> Result<HeldByCall, &'static str> {
        let held = HeldByCall { place: Arc::clone(place), bytes: AtomicUsize::new(0), is_answered: false };
        let here = place.calls.fetch_add(1, Ordering::Relaxed);
        let everywhere = place.all.calls.fetch_add(1, Ordering::Relaxed);
        if here >= CALLS {
            if place.untaken.load(Ordering::Relaxed) >= CALLS / 2 {
                place.close("it goes on to call, and takes none of its answers");
            }
            return Err(TOO_MANY_CALLS);
        }
        if everywhere >= ALL_CALLS {
            place.all.relieve();
        }
        Ok(held)
    }

    /// The call keeps so many bytes in all.
    ///
    /// # Errors
    /// The others of its connection have too many.
    pub(super) fn keep(&self, bytes: usize) -> Result<(), &'static str> {
        let ConnectionPlace { bytes: here, all, .. } = &*self.place;
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes <= before {
            here.fetch_sub(before - bytes, Ordering::Relaxed);
            all.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let others = here.fetch_add(bytes - before, Ordering::Relaxed) - before;
        if all.bytes.fetch_add(bytes - before, Ordering::Relaxed) >= ALL_BYTES {
            all.relieve();
        }
        // What came is kept until the call is answered, which is now.
        if others > BYTES { Err(TOO_MANY_BYTES) } else { Ok(()) }
    }

    /// The call is answered with so many bytes. The answer may have to wait for the peer to take
    /// it.
    pub(super) fn answered(&mut self, bytes: usize) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.place.untaken.fetch_add(1, Ordering::Relaxed);
        }
        // Only an answer that brings a message back is worth counting.
        let _ = self.keep(if bytes > SMALL { bytes } else { 0 });
    }
}

impl Drop for HeldByCall {
    fn drop(&mut self) {
        let _ = self.keep(0);
        if self.is_answered {
            self.place.untaken.fetch_sub(1, Ordering::Relaxed);
        }
        self.place.finished.fetch_add(1, Ordering::Relaxed);
        self.place.calls.fetch_sub(1, Ordering::Relaxed);
        self.place.all.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of an answer. What its call keeps is kept until they are written to the socket, or given
/// up.
struct AnswerBytes<B> {
    bytes: B,
    _held: HeldByCall,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for AnswerBytes<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// The bytes of the answer to a call.
pub(super) fn until_taken(bytes: impl AsRef<[u8]> + Send + 'static, held: Option<HeldByCall>) -> Bytes {
    let Some(mut held) = held else { return Bytes::from_owner(bytes) };
    held.answered(bytes.as_ref().len());
    Bytes::from_owner(AnswerBytes { bytes, _held: held })
}

/// The body of a request or of an answer.
pub(super) struct Carried {
    pub(super) data: Option<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = self.data.take().map(Frame::data).or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}

/// The body of an answer that another makes.
struct KeptBody {
    body: Body,
    held: Option<HeldByCall>,
}

/// The body of an answer that another makes, for which its call keeps what it has until the answer
/// is taken.
pub(super) fn kept(body: Body, held: Option<HeldByCall>) -> Body {
    Body::new(KeptBody { body, held })
}

impl http_body::Body for KeptBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_ok(|frame| frame.map_data(|data| until_taken(data, self.held.take())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A stream that watches the health.
struct HealthWatch(Arc<ConnectionPlace>);

impl HealthWatch {
    fn begin(place: &Arc<ConnectionPlace>) -> Option<HealthWatch> {
        let here = place.watches.fetch_add(1, Ordering::Relaxed);
        let everywhere = place.all.watches.fetch_add(1, Ordering::Relaxed);
        let watch = HealthWatch(Arc::clone(place));
        (here < WATCHES && everywhere < ALL_WATCHES).then_some(watch)
    }
}

impl Drop for HealthWatch {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
        self.0.all.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response to `Watch`. It ends when this server ends.
struct WatchedBody {
    body: Body,
    _watch: HealthWatch,
    /// Until the end.
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The body of a response to `Watch`, if the connection may have one more of them.
///
/// # Errors
/// The status that says why not.
pub(super) fn watched(body: Body, place: &Arc<ConnectionPlace>) -> Result<Body, Status> {
    let too_many = || {
        let most = format!("a connection may watch {WATCHES} times, all connections {ALL_WATCHES} times: call Check");
        Status::resource_exhausted(most)
    };
    let watch = HealthWatch::begin(place).ok_or_else(too_many)?;
    let mut ending = place.all.ending();
    let ending = Box::pin(async move {
        // Without a sender the server has ended.
        let _ = ending.wait_for(|ends| *ends).await;
    });
    Ok(Body::new(WatchedBody { body, _watch: watch, ending: Some(ending) }))
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        if ending.as_mut().poll(cx).is_ready() {
            self.ending = None;
            let mut trailers = HeaderMap::new();
            let _ = Status::new(Code::Unavailable, "this server ends").add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::grpc::places::ConnectionPlaces;
    use crate::log::Log;

    fn places(count: usize) -> (Arc<ConnectionPlaces>, Vec<Arc<ConnectionPlace>>) {
        let places = ConnectionPlaces::new(100, Log::stderr());
        let taken = (0..count).map(|_| places.take([127, 0, 0, 1].into(), Weak::new()).unwrap()).collect();
        (places, taken)
    }

    #[test]
    fn a_connection_may_have_so_many_calls_under_way() {
        let (all, places) = places(2);
        let held: Vec<_> = (0..CALLS).map(|_| HeldByCall::begin(&places[0]).ok().unwrap()).collect();
        assert_eq!(HeldByCall::begin(&places[0]).err(), Some(TOO_MANY_CALLS));
        assert!(HeldByCall::begin(&places[1]).is_ok());
        // It may wait for all of them.
        assert!(!places[0].is_closing() && all.unanswered() == CALLS);
        let answers: Vec<_> = held.into_iter().map(|held| until_taken(Vec::new(), Some(held))).collect();
        assert_eq!(all.unanswered(), 0);
        // But it takes no answers.
        assert_eq!(HeldByCall::begin(&places[0]).err(), Some(TOO_MANY_CALLS));
        assert!(places[0].is_closing());
        drop(answers);
        assert_eq!((all.calls.load(Ordering::Relaxed), places[0].calls.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn the_connection_with_most_calls_or_bytes_gives_way() {
        let (all, places) = places(6);
        let mut held = Vec::new();
        for number in 0..ALL_CALLS + 100 {
            // The last has a tenth of what the others have.
            let place = &places[if number % 41 == 0 { 5 } else { number % 5 }];
            held.extend(HeldByCall::begin(place).ok());
        }
        let closing =
            |places: &[Arc<ConnectionPlace>]| places.iter().map(|place| place.is_closing()).collect::<Vec<_>>();
        assert_eq!(closing(&places).iter().filter(|closes| **closes).count(), 1);
        assert!(!places[5].is_closing());
        drop(held);
        assert_eq!(all.calls.load(Ordering::Relaxed), 0);

        let open: Vec<_> = places.into_iter().filter(|place| !place.is_closing()).collect();
        let calls: Vec<_> = open.iter().map(|place| HeldByCall::begin(place).ok().unwrap()).collect();
        for (number, call) in calls.iter().enumerate() {
            assert_eq!(call.keep((101 + number) << 20), Ok(()));
        }
        assert_eq!(closing(&open), [false; 5]);
        calls[0].keep(103 << 20).unwrap();
        assert_eq!(closing(&open), [false, false, false, false, true]);
    }

    #[test]
    fn bytes_of_other_calls_are_bounded() {
        let (all, places) = places(2);
        let call = || HeldByCall::begin(&places[0]).ok().unwrap();
        let (large, small) = (call(), call());
        assert_eq!(large.keep(272 << 20), Ok(()));
        assert_eq!(small.keep(1), Err(TOO_MANY_BYTES));
        assert_eq!(large.keep(BYTES), Ok(()));
        assert_eq!(small.keep(BYTES), Ok(()));
        assert_eq!(call().keep(1), Err(TOO_MANY_BYTES));
        assert_eq!(HeldByCall::begin(&places[1]).ok().unwrap().keep(1), Ok(()));
        let answer = until_taken(vec![0; 100], Some(large));
        assert_eq!(all.bytes.load(Ordering::Relaxed), BYTES + 100);
        drop((answer, small));
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_connection_that_takes_no_answers_is_closed_in_time() {
        let (all, places) = places(3);
        let call = |place: &Arc<ConnectionPlace>| HeldByCall::begin(place).ok().unwrap();
        let now = Instant::now();
        let sweep = |seconds| all.sweep(now + Duration::from_secs(seconds));
        for place in &places {
            place.received(24);
        }
        // One takes none, one takes some, and one waits for its answer.
        let stuck = until_taken(Vec::new(), Some(call(&places[0])));
        let slow = until_taken(Vec::new(), Some(call(&places[1])));
        let waits = call(&places[2]);
        for seconds in [1, 20, 30] {
            sweep(seconds);
            drop(until_taken(Vec::new(), Some(call(&places[1]))));
        }
        assert!(places.iter().all(|place| !place.is_closing()));
        sweep(40);
        let closing: Vec<_> = places.iter().map(|place| place.is_closing()).collect();
        assert_eq!(closing, [true, false, false]);
        drop((stuck, slow, waits));
    }
}
