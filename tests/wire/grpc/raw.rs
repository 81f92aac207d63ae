//! HTTP/2 by bytes: a peer that keeps no rule of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::wait::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The reason of a reset that refuses a stream.
const REFUSED: [u8; 4] = [0, 0, 0, 7];
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the message of an answer ends in that says yes: its field 3 is true.
const YES: [u8; 2] = [3 << 3, 1];

/// A setting of HTTP/2: what a peer may send to a new stream before it is read.
pub(crate) const INITIAL_WINDOW: u16 = 4;

/// A connection.
pub(crate) struct Raw {
    stream: TcpStream,
    next: u32,
    read: Vec<u8>,
}

/// What a server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Answers whose headers came.
    pub(crate) begun: usize,
    pub(crate) answers: usize,
    /// Answers that say yes.
    pub(crate) allowed: usize,
    /// Streams, as HTTP/2 refuses them.
    pub(crate) refused: usize,
    pub(crate) is_closed: bool,
    is_greeted: bool,
}

impl Raw {
    /// A connection that says nothing yet.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Raw { stream: TcpStream::connect(address).await.unwrap(), next: 1, read: Vec::new() }
    }

    /// A connection with these settings.
    pub(crate) async fn greeted(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Raw::connect(address).await;
        let settings = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        // The connection has a window too; each stream has its own.
        let window = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &settings.collect::<Vec<_>>()), &window].concat();
        raw.write(&bytes).await;
        // Nothing may be sent beyond the server's window, which comes behind its settings.
        raw.see(PATIENCE, |seen| seen.is_greeted || seen.is_closed).await;
        raw
    }

    /// Begins so many calls, with this body if there is one. False if the server closed the connection meanwhile.
    pub(crate) async fn calls(&mut self, count: usize, path: &str, body: Option<&[u8]>) -> bool {
        let block = block(path);
        let mut left = count;
        while left > 0 {
            let mut bytes = Vec::new();
            let some = left.min(100);
            left -= some;
            for _ in 0..some {
                bytes.extend(frame(HEADERS, END_HEADERS, self.next, &block));
                bytes.extend(body.map(|body| frame(DATA, END_STREAM, self.next, body)).unwrap_or_default());
                self.next += 2;
            }
            if !self.write(&bytes).await {
                return false;
            }
        }
        true
    }

    /// Makes a call with each of these bodies, all in one write.
    pub(crate) async fn burst(&mut self, path: &str, bodies: impl IntoIterator<Item = Vec<u8>>) -> bool {
        let block = block(path);
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend(frame(HEADERS, END_HEADERS, self.next, &block));
            bytes.extend(frame(DATA, END_STREAM, self.next, &body));
            self.next += 2;
        }
        self.write(&bytes).await
    }

    /// A call whose headers go on and on. False if the server closed the connection meanwhile.
    pub(crate) async fn endless_headers(&mut self, path: &str, count: usize) -> bool {
        let mut bytes = frame(HEADERS, 0, self.next, &block(path));
        let more = literal(0, &["x", &"y".repeat(100)]);
        for _ in 0..count {
            bytes.extend(frame(CONTINUATION, 0, self.next, &more));
        }
        self.write(&bytes).await
    }

    /// Writes while it can, and drops what comes.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        let (mut read, mut write) = self.stream.split();
        let mut room = vec![0; 64 << 10];
        let mut rest = bytes;
        timeout(PATIENCE, async {
            while !rest.is_empty() {
                tokio::select! {
                    sent = write.write(rest) => match sent {
                        Ok(count) => rest = &rest[count..],
                        Err(_) => return false,
                    },
                    came = read.read(&mut room) => match came {
                        Ok(count @ 1..) => self.read.extend_from_slice(&room[..count]),
                        Ok(0) | Err(_) => return false,
                    },
                }
            }
            true
        })
        .await
        .unwrap()
    }

    /// Reads until this was seen, or nothing comes for so long.
    pub(crate) async fn see(&mut self, longest: Duration, enough: impl Fn(Seen) -> bool) -> Seen {
        let end = Instant::now() + longest;
        let mut seen = Seen::default();
        loop {
            let mut at = 0;
            while let Some((head, rest)) = self.read[at..].split_first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if rest.len() < length {
                    break;
                }
                seen.allowed += usize::from(head[3] == DATA && rest[..length].ends_with(&YES));
                let is_end = head[4] & END_STREAM != 0;
                seen.begun += usize::from(head[3] == HEADERS && !is_end);
                match head[3] {
                    DATA | HEADERS if is_end => seen.answers += 1,
                    RESET if rest[..length] == REFUSED => seen.refused += 1,
                    GOAWAY => seen.is_closed = true,
                    WINDOW_UPDATE => seen.is_greeted = true,
                    _ => {}
                }
                at += 9 + length;
            }
            self.read.drain(..at);
            let mut room = vec![0; 64 << 10];
            if enough(seen) {
                return seen;
            }
            match timeout_at(end, self.stream.read(&mut room)).await {
                Ok(Ok(count @ 1..)) => self.read.extend_from_slice(&room[..count]),
                Ok(Ok(0) | Err(_)) => return Seen { is_closed: true, ..seen },
                Err(_) => return seen,
            }
        }
    }

    /// Whether the server closes the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.see(PATIENCE, |seen| seen.is_closed).await.is_closed
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header of which HPACK's table has the name with this number, or both parts.
fn literal(index: u8, texts: &[&str]) -> Vec<u8> {
    let mut bytes = if index < 15 { vec![index] } else { vec![15, index - 15] };
    for text in texts {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The headers of a call.
fn block(path: &str) -> Vec<u8> {
    let (post, http) = (0x83, 0x86);
    let texts = [literal(4, &[path]), literal(1, &["broker"]), literal(31, &["application/grpc"])];
    [&[post, http], &texts.concat()[..], &literal(0, &["te", "trailers"])].concat()
}
