//! A client that costs little: calls are made once as bytes, and of the answers no more is read than whether they are a yes.
//! A gRPC library's client would take more of two cores than the servers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use exhook_policy_runtime::grpc::proto;
use prost::Message;
use rustix::event::{PollFd, PollFlags, poll};

use crate::subjects::{Asked, Question};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The answer that lets a client through, behind its length.
const YES: &[u8] = &[0, 0, 0, 0, 4, 0x08, 2, 0x18, 1];

/// The kinds of frame that come.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A call as bytes, but for the number of its stream.
pub struct Request {
    headers: Vec<u8>,
    data: Vec<u8>,
}

impl Request {
    pub fn of(asked: &Asked) -> Self {
        let meta = proto::Meta {
            node: "emqx@127.0.0.1".to_owned(),
            version: "5.8.3".to_owned(),
            cluster_name: "emqxcl".to_owned(),
        };
        let mut clientinfo = proto::Client::default();
        clientinfo.node.clone_from(&meta.node);
        clientinfo.clientid.clone_from(&asked.client.clientid);
        clientinfo.username.clone_from(&asked.client.username);
        clientinfo.peerhost.clone_from(&asked.client.peerhost);
        clientinfo.sockport = 1883;
        "mqtt".clone_into(&mut clientinfo.protocol);
        clientinfo.peerport = 40_000;
        let authorize = |clientinfo, subscribe| {
            let topic = asked.topic.clone();
            proto::Authorize { clientinfo: Some(clientinfo), r#type: subscribe, topic, meta: Some(meta.clone()) }
                .encode_to_vec()
        };
        let (method, message) = match asked.question {
            Question::Authenticate => {
                clientinfo.password = b"s3cret".to_vec();
                let call = proto::Authenticate { clientinfo: Some(clientinfo), meta: Some(meta.clone()) };
                ("OnClientAuthenticate", call.encode_to_vec())
            }
            Question::Publish => ("OnClientAuthorize", authorize(clientinfo, 0)),
            Question::Wildcard => ("OnClientAuthorize", authorize(clientinfo, 1)),
        };
        Request { headers: headers(&format!("/emqx.exhook.v2.HookProvider/{method}")), data: data(&message) }
    }

    fn push(&self, out: &mut Vec<u8>, stream: u32) {
        push_frame(out, HEADERS, END_HEADERS, stream, &self.headers);
        push_frame(out, DATA, END_STREAM, stream, &self.data);
    }
}

/// The block of headers that the broker sends.
fn headers(path: &str) -> Vec<u8> {
    // :method POST and :scheme http stand in the protocol's own table.
    let mut block = vec![0x83, 0x86];
    let push = |block: &mut Vec<u8>, text: &str| {
        assert!(text.len() < 127, "a length of one byte");
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    };
    // :path is the fourth of that table; its value is not kept.
    block.push(0x04);
    push(&mut block, path);
    for (name, value) in [
        (":authority", "127.0.0.1:9000"),
        ("te", "trailers"),
        ("content-type", "application/grpc+proto"),
        ("grpc-timeout", "5S"),
        ("user-agent", "grpc-erlang"),
    ] {
        block.push(0x00);
        push(&mut block, name);
        push(&mut block, value);
    }
    block
}

/// A message behind its mark of compression and its length.
fn data(message: &[u8]) -> Vec<u8> {
    let mut data = vec![0];
    data.extend((message.len() as u32).to_be_bytes());
    data.extend_from_slice(message);
    data
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Callers that call again when they are answered, over some connections.
pub struct Load {
    connections: Vec<Connection>,
    /// How many calls each connection has under way.
    each: usize,
    next: usize,
}

/// What came of some time of it.
#[derive(Default)]
pub struct Ran {
    pub calls: usize,
    pub allowed: usize,
    pub seconds: f64,
    latencies: Vec<f32>,
}

impl Ran {
    /// Microseconds within which this part of the calls was answered.
    pub fn latency(&mut self, part: f64) -> f64 {
        self.latencies.sort_by(f32::total_cmp);
        let at = (self.latencies.len() as f64 * part) as usize;
        f64::from(self.latencies[at.min(self.latencies.len() - 1)])
    }
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    next_stream: u32,
    /// The streams that are not answered, and since when.
    waiting: Vec<(u32, Instant)>,
}

impl Load {
    pub fn start(address: SocketAddr, connections: usize, callers: usize) -> Self {
        let connections: Vec<_> = (0..connections).map(|_| Connection::open(address)).collect();
        let each = callers / connections.len();
        Load { connections, each, next: 0 }
    }

    /// Calls for so long, and then waits for what is under way.
    pub fn run(&mut self, requests: &[Request], length: Duration) -> Ran {
        let mut ran = Ran::default();
        let begun = Instant::now();
        let end = begun + length;
        for connection in &mut self.connections {
            for _ in 0..self.each {
                connection.call(&requests[self.next % requests.len()]);
                self.next += 1;
            }
        }
        while self.connections.iter().any(|connection| !connection.waiting.is_empty()) {
            self.wait();
            let over = Instant::now() >= end;
            for connection in &mut self.connections {
                let answered = connection.read(&mut ran);
                for _ in 0..if over { 0 } else { answered } {
                    connection.call(&requests[self.next % requests.len()]);
                    self.next += 1;
                }
                connection.write();
            }
        }
        ran.seconds = begun.elapsed().as_secs_f64();
        ran
    }

    fn wait(&mut self) {
        self.connections.iter_mut().for_each(Connection::write);
        let flags = |connection: &Connection| {
            if connection.output.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
        };
        let mut fds: Vec<PollFd<'_>> =
            self.connections.iter().map(|connection| PollFd::new(&connection.stream, flags(connection))).collect();
        poll(&mut fds, None).expect("poll");
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        let mut output = PREFACE.to_vec();
        push_frame(&mut output, SETTINGS, 0, 0, &[]);
        // So much may come that nothing need be said of it later.
        push_frame(&mut output, WINDOW, 0, 0, &(i32::MAX - 65_535).to_be_bytes());
        Connection { stream, input: Vec::new(), output, next_stream: 1, waiting: Vec::new() }
    }

    fn call(&mut self, request: &Request) {
        request.push(&mut self.output, self.next_stream);
        self.waiting.push((self.next_stream, Instant::now()));
        self.next_stream += 2;
    }

    fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server is gone: {error}"),
            }
        }
    }

    /// Takes what came, and says how many calls it answered.
    fn read(&mut self, ran: &mut Ran) -> usize {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("the server is gone: {error}"),
        }
        let mut at = 0;
        let mut answered = 0;
        while let Some(head) = self.input.get(at..at + 9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.input.get(at + 9..at + 9 + length) else { break };
            at += 9 + length;
            match kind {
                DATA => ran.allowed += usize::from(payload == YES),
                HEADERS if flags & END_STREAM != 0 => {
                    answered += 1;
                    let place = self.waiting.iter().position(|(waiting, _)| *waiting == stream).expect("a call");
                    let (_, since) = self.waiting.swap_remove(place);
                    ran.latencies.push(since.elapsed().as_secs_f32() * 1e6);
                }
                SETTINGS if flags & ACK == 0 => push_frame(&mut self.output, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => {
                    let payload = payload.to_vec();
                    push_frame(&mut self.output, PING, ACK, 0, &payload);
                }
                RESET | GO_AWAY => panic!("the server gives up: {payload:?}"),
                _ => {}
            }
        }
        self.input.drain(..at);
        ran.calls += answered;
        answered
    }
}
