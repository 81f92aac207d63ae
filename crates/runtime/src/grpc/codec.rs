//! How a call is carried: one message in, one message out.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::body::Body;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tonic::codegen::http::{HeaderMap, Response};
use zeroize::Zeroizing;

use super::held::{Carried, HeldByCall, until_taken};
use super::places::ConnectionPlace;

/// What stands before a message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// Bytes that are reserved for a message that comes in pieces, whatever length it promises.
const ROOM: usize = 1 << 10;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A body that has come.
pub(super) enum WholeMessage {
    /// In one piece.
    Piece(Bytes),
    /// In several, which are wiped: a password may be among them.
    Pieces(Zeroizing<Vec<u8>>),
}

impl WholeMessage {
    fn bytes(&self) -> &[u8] {
        match self {
            WholeMessage::Piece(bytes) => bytes,
            WholeMessage::Pieces(bytes) => bytes,
        }
    }

    /// The message in it.
    ///
    /// # Errors
    /// The bytes are no such message.
    pub(super) fn message<M: Message + Default>(&self) -> Result<M, String> {
        // What a message keeps is copied, so that a few bytes do not keep all that was read with
        // them.
        M::decode(self.bytes().get(HEAD..).unwrap_or_default()).map_err(|error| error.to_string())
    }

    /// All of it, for another who reads it.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            WholeMessage::Piece(bytes) => bytes,
            WholeMessage::Pieces(bytes) => Bytes::copy_from_slice(&bytes),
        }
    }
}

/// Reads a body to its end: one message of so many bytes at most. `held` counts what came of it,
/// and `place` acknowledges the beginning if the rest is late.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn read(
    mut body: Body,
    largest: usize,
    held: Option<&HeldByCall>,
    mut place: Option<&ConnectionPlace>,
) -> Result<WholeMessage, String> {
    let mut pieces = Zeroizing::new(Vec::new());
    loop {
        let frame = poll_fn(|cx| {
            let frame = http_body::Body::poll_frame(Pin::new(&mut body), cx);
            if frame.is_pending()
                && let Some(place) = place.take()
            {
                place.acknowledge();
            }
            frame
        });
        let Some(frame) = frame.await else { break };
        let frame = frame.map_err(|error| error.message().to_owned())?;
        let Ok(data) = frame.into_data() else { continue };
        if pieces.is_empty() && http_body::Body::is_end_stream(&body) {
            return if is_whole(&data, largest)? { Ok(WholeMessage::Piece(data)) } else { Err(cut_off(data.len())) };
        }
        if pieces.is_empty() {
            pieces.reserve(ROOM.max(data.len()));
        }
        pieces.extend_from_slice(&data);
        is_whole(&pieces, largest)?;
        if let Some(held) = held {
            held.keep(pieces.len())?;
        }
    }
    if is_whole(&pieces, largest)? { Ok(WholeMessage::Pieces(pieces)) } else { Err(cut_off(pieces.len())) }
}

fn cut_off(length: usize) -> String {
    if length == 0 { "the message is missing".to_owned() } else { "the message is cut off".to_owned() }
}

/// Whether these are all the bytes of a message.
fn is_whole(bytes: &[u8], largest: usize) -> Result<bool, String> {
    let Some((&[flag, a, b, c, d], message)) = bytes.split_first_chunk::<HEAD>() else { return Ok(false) };
    if flag != 0 {
        return Err("the message is compressed, or in a frame of an unknown kind".to_owned());
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if length <= largest => {
            if message.len() > length {
                return Err("more than the message came".to_owned());
            }
            Ok(message.len() == length)
        }
        _ => Err(format!("the message has {length} bytes, of {largest} at most")),
    }
}

/// The response with this message. `held` is kept until it is taken.
pub(super) fn response(message: &impl Message, held: Option<HeldByCall>) -> Response<Body> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(HEAD + length);
    bytes.put_u8(0);
    // No answer is longer than the message that it brings back.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A vector has room for all.
    let _ = message.encode(&mut bytes);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, OK);
    let body = Carried { data: Some(until_taken(bytes, held)), trailers: Some(trailers) };
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
