//! A small broker: takes MQTT 3.1.1 and 5 on a port of its own, and asks a policy, or does not.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::BytesMut;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::{List, Lists, Uses};
use exhook_policy_core::policy::model::PasswordId;
use exhook_policy_core::policy::{Found, Policy};
use exhook_policy_runtime::files::policies;
use mqttbytes::{Error, QoS, v4, v5};

/// What the broker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Asks the policy, and drops what it denies.
    Enforce,
    /// Asks the policy, and disconnects who asks for what it denies.
    Disconnect,
    /// Asks for logins only.
    LetThrough,
    /// Asks for nothing.
    LetEveryoneIn,
    /// Asks, but for MQTT 3.1.1 alone.
    OnlyV3,
    /// Takes the connection and says nothing.
    Silence,
    /// Answers with what is no MQTT.
    Garbage,
    /// Refuses everyone as if it were overloaded.
    Busy,
    /// Lets clients in, and dies when they ask for a topic.
    Drop,
}

struct Broker {
    does: Does,
    policy: Policy,
    lists: Lists,
    passwords: HashMap<&'static str, &'static str>,
    subscribers: Mutex<Vec<(String, bool, TcpStream)>>,
}

/// Starts a broker, and gives its address. It runs until the test ends.
pub(crate) fn start(does: Does, policy_file: &Path) -> SocketAddr {
    let loaded = policies::load(policy_file).unwrap();
    let fleet = List::build(Uses { text: true, networks: false }, [(1, "dev-1"), (2, "dev-2")]).unwrap();
    let broker = Arc::new(Broker {
        does,
        policy: Policy::compile(loaded.model),
        lists: Lists::new(vec![Some(Arc::new(fleet))]),
        passwords: HashMap::from([("dev-1", "s3cret"), ("dev-2", "0ther"), ("ops", "b0ss")]),
        subscribers: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let broker = Arc::clone(&broker);
            thread::spawn(move || broker.serve(stream.unwrap()));
        }
    });
    address
}

/// One connection.
struct Session {
    stream: TcpStream,
    received: BytesMut,
    v5: bool,
    clientid: String,
    username: String,
}

impl Broker {
    fn serve(&self, mut stream: TcpStream) {
        match self.does {
            Does::Silence => while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {},
            Does::Garbage => {
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
            Does::Enforce
            | Does::Disconnect
            | Does::LetThrough
            | Does::LetEveryoneIn
            | Does::OnlyV3
            | Does::Busy
            | Does::Drop => {
                let mut session = Session {
                    stream,
                    received: BytesMut::new(),
                    v5: false,
                    clientid: String::new(),
                    username: String::new(),
                };
                if self.log_in(&mut session) {
                    while self.answer(&mut session).is_some() {}
                }
                // Its subscriptions keep the stream, too.
                let _ = session.stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn log_in(&self, session: &mut Session) -> bool {
        let Some(frame) = session.frame() else { return false };
        // Behind the header and the six bytes of the protocol's name stands its level.
        let header = if frame[1] & 0x80 == 0 { 2 } else { 3 };
        session.v5 = frame[header + 6] == 5;
        let mut frame = BytesMut::from(frame.as_slice());
        let (clientid, username, password) = if session.v5 {
            let v5::Packet::Connect(connect) = v5::read(&mut frame, 1 << 20).unwrap() else { return false };
            let login = connect.login.unwrap_or(v5::Login { username: String::new(), password: String::new() });
            (connect.client_id, login.username, login.password)
        } else {
            let v4::Packet::Connect(connect) = v4::read(&mut frame, 1 << 20).unwrap() else { return false };
            let login = connect.login.unwrap_or(v4::Login { username: String::new(), password: String::new() });
            (connect.client_id, login.username, login.password)
        };
        (session.clientid, session.username) = (clientid, username);
        if self.does == Does::OnlyV3 && session.v5 {
            let _ = session.stream.write_all(&[0x20, 2, 0, 1]);
            return false;
        }
        let code = if self.does == Does::Busy {
            (3, 0x89)
        } else if self.lets_in(session, &password) {
            (0, 0)
        } else {
            (5, 0x87)
        };
        let answer: &[u8] = if session.v5 { &[0x20, 3, 0, code.1, 0] } else { &[0x20, 2, 0, code.0] };
        session.stream.write_all(answer).is_ok() && code.0 == 0
    }

    fn lets_in(&self, session: &Session, password: &str) -> bool {
        if self.does == Does::LetEveryoneIn {
            return true;
        }
        let found = |_: PasswordId| match self.passwords.get(session.username.as_str()) {
            None => Found::Unknown,
            Some(right) if *right == password => Found::Right,
            Some(_) => Found::Wrong,
        };
        self.policy.login(&session.client(), &self.lists, found).verdict == Verdict::Allow
    }

    fn lets_through(&self, session: &Session, action: Action, topic: &str) -> bool {
        matches!(self.does, Does::LetEveryoneIn | Does::LetThrough)
            || self.policy.check_acl(&session.client(), action, topic, &self.lists).verdict == Verdict::Allow
    }

    fn answer(&self, session: &mut Session) -> Option<()> {
        let frame = session.frame()?;
        let mut frame = BytesMut::from(frame.as_slice());
        let (packet, v5) = (frame[0] >> 4, session.v5);
        match packet {
            12 => session.stream.write_all(&[0xd0, 0]).ok(),
            14 => None,
            _ if self.does == Does::Drop => None,
            3 => {
                let (pkid, topic, payload) = if v5 {
                    let v5::Packet::Publish(publish) = v5::read(&mut frame, 1 << 20).unwrap() else { return None };
                    (publish.pkid, publish.topic, publish.payload)
                } else {
                    let v4::Packet::Publish(publish) = v4::read(&mut frame, 1 << 20).unwrap() else { return None };
                    (publish.pkid, publish.topic, publish.payload)
                };
                let allowed = self.lets_through(session, Action::Publish, &topic);
                if allowed {
                    self.deliver(&topic, &payload);
                }
                let [high, low] = pkid.to_be_bytes();
                let code = if allowed { 0 } else { 0x87 };
                session.reply(self.does, allowed, &[0x40, 2, high, low], &[0x40, 3, high, low, code])
            }
            8 => {
                let (pkid, filter) = if v5 {
                    let v5::Packet::Subscribe(subscribe) = v5::read(&mut frame, 1 << 20).unwrap() else { return None };
                    (subscribe.pkid, subscribe.filters[0].path.clone())
                } else {
                    let v4::Packet::Subscribe(subscribe) = v4::read(&mut frame, 1 << 20).unwrap() else { return None };
                    (subscribe.pkid, subscribe.filters[0].path.clone())
                };
                let allowed = self.lets_through(session, Action::Subscribe, &filter);
                if allowed {
                    let stream = session.stream.try_clone().unwrap();
                    self.subscribers.lock().unwrap().push((filter, v5, stream));
                }
                let [high, low] = pkid.to_be_bytes();
                let (v3_code, v5_code) = if allowed { (0, 0) } else { (0x80, 0x87) };
                session.reply(self.does, allowed, &[0x90, 3, high, low, v3_code], &[0x90, 4, high, low, 0, v5_code])
            }
            10 => {
                let [high, low] = [frame[2], frame[3]];
                session.reply(self.does, true, &[0xb0, 2, high, low], &[0xb0, 4, high, low, 0, 0])
            }
            other => panic!("packet {other}"),
        }
    }

    /// To those who are subscribed to just this topic: an observer is.
    fn deliver(&self, topic: &str, payload: &[u8]) {
        for (filter, v5, stream) in self.subscribers.lock().unwrap().iter_mut() {
            if filter == topic {
                let mut bytes = BytesMut::new();
                if *v5 {
                    v5::Publish::new(topic, QoS::AtMostOnce, payload).write(&mut bytes).unwrap();
                } else {
                    v4::Publish::new(topic, QoS::AtMostOnce, payload).write(&mut bytes).unwrap();
                }
                // Who has gone sees nothing.
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

impl Session {
    fn client(&self) -> Client<'_> {
        Client {
            clientid: &self.clientid,
            username: &self.username,
            peerhost: Peerhost::Addr(self.stream.peer_addr().unwrap().ip()),
            sockport: self.stream.local_addr().unwrap().port(),
            protocol: "mqtt",
            mountpoint: "",
            node: "stand-in@127.0.0.1",
            is_superuser: false,
            anonymous: false,
            extra: Extra::NONE,
        }
    }

    fn reply(&mut self, does: Does, allowed: bool, v3: &[u8], v5: &[u8]) -> Option<()> {
        if does == Does::Disconnect && !allowed {
            if self.v5 {
                let _ = self.stream.write_all(&[0xe0, 2, 0x87, 0]);
            }
            return None;
        }
        self.stream.write_all(if self.v5 { v5 } else { v3 }).ok()
    }

    /// The next packet, with its header.
    fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            match mqttbytes::check(self.received.iter(), 1 << 20) {
                Ok(header) => return Some(self.received.split_to(header.frame_length()).to_vec()),
                Err(Error::InsufficientBytes(_)) => {
                    let mut bytes = [0; 4096];
                    match self.stream.read(&mut bytes) {
                        Ok(0) | Err(_) => return None,
                        Ok(read) => self.received.extend_from_slice(&bytes[..read]),
                    }
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}
