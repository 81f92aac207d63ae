//! A recorded story as bytes of HTTP/2, over the eight connections of a broker's pool. The server
//! answers each stream with the recorded message.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::recorded::{bytes, place};
use crate::support::history::Kept as _;
use crate::support::recordings::recorded;
use crate::support::wait::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// What a server sent on a connection, as far as it was read.
#[derive(Debug, Default)]
struct Answers {
    unread: Vec<u8>,
    /// The messages of each stream, with their lengths before them.
    messages: BTreeMap<u32, Vec<u8>>,
    /// How many streams have ended.
    ended: usize,
}

impl Answers {
    fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Some((head, rest)) = self.unread.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if rest.len() < length {
                return;
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if head[3] == DATA {
                self.messages.entry(stream).or_default().extend_from_slice(&rest[..length]);
            }
            self.ended += usize::from([DATA, HEADERS].contains(&head[3]) && head[4] & END_STREAM != 0);
            self.unread.drain(..9 + length);
        }
    }
}

/// A connection, what came on it, and what was recorded so far.
struct Replayed {
    stream: TcpStream,
    found: Answers,
    expected: Answers,
}

impl Replayed {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Replayed { stream, found: Answers::default(), expected: Answers::default() }
    }

    /// Waits for as many answers as were recorded.
    async fn catch_up(&mut self) {
        while self.found.ended < self.expected.ended {
            let mut room = [0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut room)).await;
            let count = read.unwrap_or_else(|_| panic!("no answer")).unwrap();
            assert!(count > 0, "the server closed the connection");
            self.found.read(&room[..count]);
        }
    }
}

#[tokio::test]
async fn the_bytes_of_a_pool_of_connections_are_answered() {
    let place = place();
    let server = place.serve();
    let text = fs::read_to_string(recorded("5.8.8").join("tcp.txt")).unwrap();
    let mut pool: BTreeMap<&str, Replayed> = BTreeMap::new();
    let mut compared = 0;
    for line in text.lines() {
        let [_, number, way, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        if !pool.contains_key(number) {
            pool.insert(number, Replayed::connect(server.address).await);
        }
        let connection = pool.get_mut(number).unwrap();
        match (way, hex) {
            (">", "end") => connection.stream.shutdown().await.unwrap(),
            (">", hex) => connection.stream.write_all(&bytes(hex)).await.unwrap(),
            ("<", "end") => {
                assert_eq!(connection.found.messages, connection.expected.messages, "connection {number}");
                compared += connection.found.messages.len();
            }
            ("<", hex) => {
                connection.expected.read(&bytes(hex));
                connection.catch_up().await;
            }
            _ => panic!("{line:?}"),
        }
    }
    assert_eq!((pool.len(), compared), (8, 36));
    let rows = place.rows("SELECT clientid, proto_ver, closed_by, reason FROM connections ORDER BY id");
    let expected = [
        "\"dev-1\" 5 \"takeover\" \"takeovered\"",
        "\"op-1\" 4 \"event\" \"tcp_closed\"",
        "\"dev-1\" 5 \"event\" \"normal\"",
    ];
    assert_eq!(rows, expected);
    server.end().await;
}
