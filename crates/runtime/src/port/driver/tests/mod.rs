//! The loop between two pipes, with a handler that does what the clientid says.

mod answers;
mod flow;
mod loading;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use eetf::Term;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::port::frame;
use exhook_policy_core::answer_sink::Sink;
use exhook_policy_core::event::{BrokerLoaded, Event};
use exhook_policy_core::handler::{BrokerRegistry, CallObserver, Decider, IsChanged};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

/// What a test and its handlers share.
struct Stage {
    /// Tokens of calls that wait for the test to answer them, and the way to do so.
    later: Sender<(Token, Sink)>,
    loads: AtomicUsize,
    finished: AtomicUsize,
    /// Whether a policy loads.
    good: AtomicBool,
    /// What a policy that does not load says was in force before.
    was: Mutex<Option<Mode>>,
    /// How it tells that it has changed since.
    is_changed: Mutex<Option<IsChanged>>,
    told: Mutex<Vec<RegisteredHooks>>,
    /// Brokers of which the policy learned that they call, and no more.
    calls: Mutex<Vec<CallingBroker>>,
    /// How many calls were answered so, as the policy was told.
    counted: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Held while a policy must not load yet.
    gate: Mutex<()>,
    mode: Mode,
    deadline: Duration,
}

struct Fake {
    stage: Arc<Stage>,
    sink: Sink,
}

impl Decider for Fake {
    fn hooks(&self) -> Vec<Hook> {
        vec![Hook::ClientAuthenticate, Hook::MessagePublish]
    }

    fn mode(&self) -> Mode {
        self.stage.mode
    }

    fn deadline(&self) -> Duration {
        self.stage.deadline
    }

    fn handle(&self, event: &Event<'_>, token: Token) -> Option<Answer> {
        match event.clientid() {
            "allow" => Some(Answer::Allow),
            "deny" => Some(Answer::Deny),
            "later" => {
                self.stage.later.send((token, Arc::clone(&self.sink))).unwrap();
                None
            }
            "fault" => panic!("a fault"),
            other => panic!("no such client, {other}"),
        }
    }

    fn error_answer(&self, kind: Kind) -> Answer {
        if kind == Kind::Asks && self.stage.mode == Mode::Enforce { Answer::Deny } else { Answer::NoOpinion }
    }

    fn finish(&self) {
        self.stage.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl CallObserver for Fake {
    fn answered(&self, hook: Hook, answer: Answer, _: Duration, count: u64) {
        let answer = match answer {
            Answer::Allow => "allow",
            Answer::Deny => "deny",
            Answer::NoOpinion => "no opinion",
        };
        *self.stage.counted.lock().unwrap().entry((hook.name(), answer)).or_default() += count;
    }
}

impl BrokerRegistry for Fake {
    fn hooks_registered(&self, registered: RegisteredHooks) {
        self.stage.told.lock().unwrap().push(registered);
    }

    fn broker_calls(&self, caller: CallingBroker) {
        self.stage.calls.lock().unwrap().push(caller);
    }

    fn broker_loaded(&self, broker: &BrokerLoaded<'_>) {
        panic!("the port tells of no start, {broker:?}")
    }
}

/// The broker's side.
struct Host {
    input: Option<File>,
    replies: Option<Receiver<(Term, Term)>>,
    output: Option<File>,
    later: Receiver<(Token, Sink)>,
    stage: Arc<Stage>,
    driver: JoinHandle<Result<(), Failure>>,
    console: Arc<Mutex<Vec<u8>>>,
    log: Log,
}

struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Host {
    fn start() -> Host {
        Host::with(Mode::Enforce, LONG)
    }

    /// A driver whose policy is in force.
    fn ready() -> Host {
        let mut host = Host::start();
        host.init();
        host
    }

    /// The same, where nobody reads the replies yet.
    fn ready_unread() -> Host {
        let mut host = Host::start();
        host.send(&call(1, "init", &[]));
        host
    }

    fn with(mode: Mode, deadline: Duration) -> Host {
        let (later, tokens) = mpsc::channel();
        let stage = Arc::new(Stage {
            later,
            loads: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            good: AtomicBool::new(true),
            was: Mutex::default(),
            is_changed: Mutex::default(),
            told: Mutex::default(),
            calls: Mutex::default(),
            counted: Mutex::default(),
            gate: Mutex::new(()),
            mode,
            deadline,
        });
        let (input, to_driver) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // Each write is a packet, and a read takes one.
        let (from_driver, output) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).unwrap();
        fcntl_setfl(&output, OFlags::NONBLOCK | OFlags::DIRECT).unwrap();

        let console = Arc::new(Mutex::new(Vec::new()));
        let log = Log::to(Console(Arc::clone(&console)));
        let load: Load<Fake> = {
            let stage = Arc::clone(&stage);
            Arc::new(move |module, sink| {
                stage.loads.fetch_add(1, Ordering::SeqCst);
                drop(stage.gate.lock().unwrap());
                match module {
                    "fault" => panic!("a fault"),
                    _ if !stage.good.load(Ordering::SeqCst) => Err(Refused {
                        reason: "line 1: wrong\nline 2: wrong".to_owned(),
                        was: *stage.was.lock().unwrap(),
                        is_changed: stage.is_changed.lock().unwrap().clone(),
                    }),
                    _ => Ok(Fake { stage: Arc::clone(&stage), sink }),
                }
            })
        };
        let driver = {
            let log = log.clone();
            thread::spawn(move || run_trying(Pipes { input, output }, Packet::Four, load, &log, SHORT))
        };
        Host {
            input: Some(to_driver.into()),
            replies: None,
            output: Some(from_driver.into()),
            later: tokens,
            stage,
            driver,
            console,
            log,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn init(&mut self) {
        self.send(&call(1, "init", &[]));
        let (id, result) = self.reply();
        assert!(id == 1.into() && result.to_string().starts_with("{0,"), "{id:?} {result}");
    }

    /// The next reply, its id and its result.
    #[track_caller]
    fn reply(&mut self) -> (Id, Term) {
        let output = &mut self.output;
        let replies = self.replies.get_or_insert_with(|| read_replies(output.take().unwrap()));
        let (id, result) = replies.recv_timeout(LONG).expect("a reply");
        (Id(id), result)
    }

    #[track_caller]
    fn check(&mut self, id: i32, result: &str) {
        self.check_all(&[(id, result)]);
    }

    /// The next replies, where a slow machine may give them in another order.
    #[track_caller]
    fn check_all(&mut self, expected: &[(i32, &str)]) {
        let mut found: Vec<(String, String)> = Vec::new();
        for _ in expected {
            let (Id(id), result) = self.reply();
            // eetf shows {0, 'true'}: the blanks are its own.
            found.push((id.to_string(), result.to_string().replace(' ', "")));
        }
        found.sort();
        let mut expected: Vec<_> = expected.iter().map(|(id, result)| (id.to_string(), (*result).to_owned())).collect();
        expected.sort();
        assert_eq!(found, expected);
    }

    /// The call that waits for the test to answer it.
    fn later(&self) -> (Token, Sink) {
        self.later.recv_timeout(LONG).expect("a call that is to be answered later")
    }

    /// Ends the input; gives back what the driver made of it and what it said.
    fn end(mut self) -> (Result<(), String>, String) {
        drop(self.input.take());
        let ended = self.driver.join().unwrap().map_err(|failure| failure.to_string());
        if let Some(replies) = self.replies {
            assert_eq!(replies.iter().next(), None, "a reply too many");
        }
        self.log.flush(LONG);
        let console = String::from_utf8(self.console.lock().unwrap().clone()).unwrap();
        (ended, console.replace("exhook-policy: ", ""))
    }

    /// Ends it, and holds what the policy was told of its calls against this.
    #[track_caller]
    fn end_counting(self, expected: &[(&'static str, &'static str, u64)]) {
        let stage = Arc::clone(&self.stage);
        assert_eq!(self.end().0, Ok(()));
        let counted: Vec<_> = stage.counted.lock().unwrap().iter().map(|(of, count)| (of.0, of.1, *count)).collect();
        assert_eq!(counted, expected);
    }

    #[track_caller]
    fn end_saying(self, console: &str) {
        let (ended, said) = self.end();
        assert_eq!(ended, Ok(()));
        assert_eq!(said, console);
    }
}

const READY: &str = "the policy rules is in force, mode enforce\n";

#[derive(Debug, PartialEq)]
struct Id(Term);

impl From<i32> for Id {
    fn from(id: i32) -> Self {
        Id(eetf::FixInteger::from(id).into())
    }
}

fn read_replies(mut output: File) -> Receiver<(Term, Term)> {
    let (replies, found) = mpsc::channel();
    thread::spawn(move || {
        let mut frames = Frames::new(Packet::Four);
        let mut chunk = vec![0; 1 << 16];
        while let Ok(count @ 1..) = output.read(&mut chunk) {
            frames.extend(&chunk[..count]);
            while let Some(frame) = frames.next().unwrap() {
                let _ = replies.send(reply_in(frame));
            }
        }
        frames.finish().unwrap();
    });
    found
}

fn reply_in(frame: &[u8]) -> (Term, Term) {
    let Term::Tuple(reply) = Term::decode(frame).unwrap() else { panic!("{frame:?}") };
    let [kind, id, result]: [Term; 3] = reply.elements.try_into().unwrap();
    assert_eq!(kind, atom("r"));
    (id, result)
}

fn atom(text: &str) -> Term {
    eetf::Atom::from(text).into()
}

fn binary(text: &str) -> Term {
    eetf::Binary::from(text.as_bytes()).into()
}

fn list(elements: &[Term]) -> Term {
    eetf::List::from(elements.to_vec()).into()
}

fn tuple(elements: &[Term]) -> Term {
    eetf::Tuple::from(elements.to_vec()).into()
}

fn clientinfo(clientid: &str) -> Term {
    let port = eetf::FixInteger::from(1883).into();
    let fields = [
        ("node", atom("emqx@127.0.0.1")),
        ("clientid", binary(clientid)),
        ("username", binary("")),
        ("password", binary("s3cret")),
        ("peerhost", binary("127.0.0.1")),
        ("sockport", port),
        ("protocol", atom("mqtt")),
        ("mountpoint", binary("")),
        ("is_superuser", atom("false")),
        ("anonymous", atom("true")),
    ];
    list(&fields.map(|(key, value)| tuple(&[atom(key), value])))
}

/// What the stand-in's `init` tells of its two hooks.
fn state(mode: &str) -> Term {
    let hooks = eetf::FixInteger::from(1 << 4 | 1 << 15);
    tuple(&[atom("exhook_policy"), eetf::FixInteger::from(2).into(), atom(mode), hooks.into()])
}

fn call_of(module: &str, id: Term, function: &str, args: &[Term]) -> Vec<u8> {
    let mut term = Vec::new();
    tuple(&[atom("C"), id, atom(module), atom(function), list(args)]).encode(&mut term).unwrap();
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Packet::Four, &[&term]).unwrap();
    bytes
}

fn call(id: i32, function: &str, args: &[Term]) -> Vec<u8> {
    call_of("rules", Id::from(id).0, function, args)
}

fn login_with(id: i32, clientid: &str, state: Term) -> Vec<u8> {
    call(id, "on_client_authenticate", &[clientinfo(clientid), atom("true"), state])
}

fn login(id: i32, clientid: &str) -> Vec<u8> {
    login_with(id, clientid, state("enforce"))
}

fn created(id: i32, clientid: &str) -> Vec<u8> {
    call(id, "on_session_created", &[clientinfo(clientid), state("enforce")])
}
