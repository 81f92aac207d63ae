//! The loop between two pipes, with a handler that does what the clientid says.

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
    /// Held while a policy must not load yet.
    gate: Mutex<()>,
    mode: Mode,
    deadline: Duration,
}

struct Fake {
    stage: Arc<Stage>,
    sink: Sink,
}

impl Handler for Fake {
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
                    _ if !stage.good.load(Ordering::SeqCst) => Err("line 1: wrong\nline 2: wrong".to_owned()),
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
        let (found, term) = self.reply();
        // eetf shows {0, 'true'}: the blanks are its own.
        assert_eq!((found, term.to_string().replace(' ', "").as_str()), (id.into(), result));
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

fn state(mode: &str) -> Term {
    tuple(&[atom("exhook_policy"), eetf::FixInteger::from(1).into(), atom(mode)])
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

#[test]
fn init_tells_the_hooks_in_the_brokers_form() {
    let mut host = Host::start();
    host.send(&call(7, "init", &[]));
    let (id, result) = host.reply();
    assert_eq!(id, 7.into());
    let string = |text: &str| eetf::ByteList::from(text).into();
    let everything = list(&[tuple(&[string("topics"), list(&[string("#")])])]);
    let row = |hook, callback, options| tuple(&[string(hook), string("rules"), string(callback), options]);
    let rows = list(&[
        row("client_authenticate", "on_client_authenticate", list(&[])),
        row("message_publish", "on_message_publish", everything),
    ]);
    assert_eq!(result, tuple(&[Id::from(0).0, tuple(&[rows, state("enforce")])]));
    host.send(&call(1, "deinit", &[]));
    host.check(1, "'ok'");
    host.end_saying(READY);
}

#[test]
fn calls_are_answered() {
    let mut host = Host::ready();
    host.send(&[login(1, "allow"), login(2, "deny")].concat());
    host.check(1, "{0,'true'}");
    host.check(2, "{0,'false'}");
    host.end_saying(READY);
}

#[test]
fn an_id_goes_back_as_it_came() {
    let mut host = Host::ready();
    let ids: [&[u8]; 4] = [b"a\x05", b"b\0\0\0\x05", b"o\0\0\0\x01\0\x05", b"h\x01d\0\x01x"];
    for id in ids {
        let mut bytes = login(5, "allow")[4..].to_vec();
        let at = bytes.windows(2).position(|pair| pair == b"a\x05").unwrap();
        bytes.splice(at..at + 2, id.iter().copied());
        let mut framed = Vec::new();
        frame::push(&mut framed, Packet::Four, &[&bytes]).unwrap();
        host.send(&framed);
    }
    for id in ids {
        let id = [&[131], id].concat();
        assert_eq!(host.reply().0.0, Term::decode(&id[..]).unwrap());
    }
    host.end_saying(READY);
}

#[test]
fn what_a_read_made_ready_is_one_write() {
    let mut host = Host::start();
    let mut output = host.output.take().unwrap();
    let mut packet = vec![0; 1 << 16];
    host.send(&call(1, "init", &[]));
    assert!(output.read(&mut packet).unwrap() > 0);
    let calls: Vec<u8> = (1..=20).flat_map(|id| login(id, "allow")).collect();
    host.send(&calls);
    let count = output.read(&mut packet).unwrap();
    let mut frames = Frames::new(Packet::Four);
    frames.extend(&packet[..count]);
    for id in 1..=20 {
        assert_eq!(reply_in(frames.next().unwrap().unwrap()).0, Id::from(id).0);
    }
    assert_eq!(frames.finish(), Ok(()));
    host.end_saying(READY);
}

#[test]
fn ids_that_repeat_are_kept_apart() {
    let mut host = Host::ready();
    host.send(&[login(1, "later"), login(1, "later"), login(1, "later")].concat());
    let (first, sink) = host.later();
    let (second, _) = host.later();
    let (third, _) = host.later();
    sink(&[(second, Answer::Deny)]);
    host.check(1, "{0,'false'}");
    // Once answered, it is answered.
    sink(&[(second, Answer::Allow)]);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    sink(&[(first, Answer::NoOpinion)]);
    host.check(1, "'undefined'");
    sink(&[(third, Answer::Deny), (third, Answer::Allow), (first, Answer::Allow), (99, Answer::Allow)]);
    host.check(1, "{0,'false'}");
    host.end_saying(READY);
}

#[test]
fn the_oldest_call_is_answered_first() {
    let mut host = Host::ready();
    let count = 300;
    for id in 1..=count {
        host.send(&login(id, "later"));
    }
    let mut answers = Vec::new();
    let mut sink = None;
    for _ in 1..=count {
        let (token, to) = host.later();
        answers.push((token, Answer::Allow));
        sink = Some(to);
    }
    answers.reverse();
    sink.unwrap()(&answers);
    for id in 1..=count {
        host.check(id, "{0,'true'}");
    }
    host.end_saying(READY);
}

#[test]
fn a_call_is_answered_at_its_deadline() {
    let mut host = Host::with(Mode::Enforce, SHORT);
    host.init();
    host.send(&[login(1, "later"), created(2, "later"), login(3, "allow")].concat());
    host.check(3, "{0,'true'}");
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    let (token, sink) = host.later();
    sink(&[(token, Answer::Allow)]);
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate was not answered within 100ms: denied\n\
         a call of on_session_created was not answered within 100ms: left to the broker\n"
    ));
}

#[test]
fn in_audit_mode_nothing_is_denied() {
    let mut host = Host::with(Mode::Audit, SHORT);
    host.init();
    host.send(&[login(1, "later"), login(2, "fault"), call(3, "on_client_authenticate", &[])].concat());
    host.send(&call(4, "on_thing_check_acl", &[]));
    for id in [2, 3, 4, 1] {
        host.check(id, "'undefined'");
    }
    assert_eq!(host.end().0, Ok(()));
}

#[test]
fn a_fault_denies_one_call() {
    let mut host = Host::ready();
    host.send(&[login(1, "fault"), created(2, "fault"), login(3, "allow")].concat());
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    host.check(3, "{0,'true'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the driver failed: denied\n\
         a call of on_session_created: the driver failed: left to the broker\n"
    ));
}

#[test]
fn what_cannot_be_read_is_answered_if_it_is_known_whose_it_is() {
    let mut host = Host::ready();
    let whole = login(5, "allow");
    // In the middle of the arguments.
    let mut cut = Vec::new();
    frame::push(&mut cut, Packet::Four, &[&whole[4..whole.len() - 50]]).unwrap();
    // Before the function.
    let mut nameless = Vec::new();
    frame::push(&mut nameless, Packet::Four, &[&whole[4..20]]).unwrap();
    let mut longer = Vec::new();
    frame::push(&mut longer, Packet::Four, &[&whole[4..], b"x"]).unwrap();
    let empty = vec![0; 4];
    let no_call = [0, 0, 0, 2, 131, 106];

    host.send(&[cut.clone(), nameless, empty, no_call.to_vec(), longer].concat());
    host.send(&call(6, "on_session_created", &[atom("x"), state("enforce")]));
    host.send(&login(7, "deny"));
    host.check(5, "{0,'false'}");
    host.check(5, "{0,'false'}");
    host.check(6, "'undefined'");
    host.check(7, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the term is cut off at byte 243: denied\n\
         skipped a frame of 16 bytes: the term is cut off at byte 16\n\
         skipped a frame of 0 bytes: no external term: the first byte is not 131\n\
         skipped a frame of 2 bytes: expected a tuple at byte 1\n\
         a call of on_client_authenticate: 1 bytes follow the term: denied\n\
         a call of on_session_created: expected a list at byte 40: left to the broker\n"
    ));
}

#[test]
fn an_unknown_function_is_answered() {
    let mut host = Host::ready();
    host.send(&[call(1, "on_message_acked", &[]), call(2, "authenticate", &[]), call(3, "x_check_acl", &[])].concat());
    host.check(1, "'undefined'");
    host.check(2, "{0,'false'}");
    host.check(3, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}no such function, on_message_acked: left to the broker\n\
         no such function, authenticate: denied\n\
         no such function, x_check_acl: denied\n"
    ));
}

#[test]
fn messages_are_ignored() {
    let mut host = Host::ready();
    let mut term = Vec::new();
    tuple(&[atom("M"), atom("hello")]).encode(&mut term).unwrap();
    let mut message = Vec::new();
    frame::push(&mut message, Packet::Four, &[&term]).unwrap();
    host.send(&[message, login(1, "allow")].concat());
    host.check(1, "{0,'true'}");
    host.end_saying(READY);
}

#[test]
fn a_module_that_is_not_in_force_is_denied() {
    let mut host = Host::ready();
    let args = [clientinfo("allow"), atom("true"), state("audit")];
    host.send(&call_of("other", Id::from(1).0, "on_client_authenticate", &args));
    host.check(1, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the policy rules is in force, not other: denied\n"
    ));
}

#[test]
fn without_init_the_module_of_the_call_is_loaded() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[login(1, "allow"), login(2, "later"), login(1, "deny")].concat());
    host.send(&call(9, "deinit", &[]));
    // What needs no policy does not wait for it.
    host.check(9, "'ok'");
    drop(gate);
    host.check(1, "{0,'true'}");
    host.check(1, "{0,'false'}");
    let (token, sink) = host.later();
    sink(&[(token, Answer::Allow)]);
    host.check(2, "{0,'true'}");
    assert_eq!(stage.loads.load(Ordering::SeqCst), 1);
    host.end_saying(READY);
}

#[test]
fn while_the_policy_is_loading_the_first_deadline_holds() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[login(1, "allow"), login_with(2, "allow", state("audit")), created(3, "allow")].concat());
    host.send(&call(4, "init", &[]));
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    host.check(3, "'undefined'");
    drop(gate);
    // It has no deadline of its own.
    assert_eq!(host.reply().0, 4.into());
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    assert_eq!(host.end().0, Ok(()));
}

#[test]
fn a_policy_that_does_not_load_denies() {
    let mut host = Host::start();
    host.stage.good.store(false, Ordering::SeqCst);
    host.send(&[call(1, "init", &[]), login(2, "allow")].concat());
    let (id, result) = host.reply();
    assert_eq!((id, result), (1.into(), tuple(&[Id::from(1).0, binary("line 1: wrong\nline 2: wrong")])));
    host.check(2, "{0,'false'}");
    host.send(&[login_with(3, "allow", state("audit")), login_with(4, "allow", state("x"))].concat());
    host.check(3, "'undefined'");
    host.check(4, "{0,'false'}");
    host.end_saying("line 1: wrong\nline 2: wrong\nthe policy rules is not in force\n");
}

#[test]
fn a_policy_that_did_not_load_is_tried_again() {
    let mut host = Host::start();
    host.stage.good.store(false, Ordering::SeqCst);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    thread::sleep(2 * SHORT);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    host.stage.good.store(true, Ordering::SeqCst);
    thread::sleep(2 * SHORT);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    // What is wrong is said once.
    host.end_saying(&format!("line 1: wrong\nline 2: wrong\nthe policy rules is not in force\n{READY}"));
}

#[test]
fn a_fault_while_loading_is_a_policy_that_does_not_load() {
    let mut host = Host::start();
    host.send(&call_of("fault", Id::from(1).0, "init", &[]));
    let reason = binary("the driver failed while it loaded the policy");
    assert_eq!(host.reply(), (1.into(), tuple(&[Id::from(1).0, reason])));
    host.end_saying("the driver failed while it loaded the policy\nthe policy fault is not in force\n");
}

#[test]
fn init_again_loads_again() {
    let mut host = Host::ready();
    host.send(&login(5, "later"));
    let (token, sink) = host.later();
    host.send(&[call(6, "init", &[]), login(7, "allow")].concat());
    assert_eq!(host.reply().0, 6.into());
    host.check(7, "{0,'true'}");
    // Calls of the policy before are answered still.
    sink(&[(token, Answer::Deny)]);
    host.check(5, "{0,'false'}");
    assert_eq!(host.stage.loads.load(Ordering::SeqCst), 2);
    assert_eq!(host.stage.finished.load(Ordering::SeqCst), 1);
    host.end_saying(&READY.repeat(2));
}

#[test]
fn two_inits_at_once_are_both_answered() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[call(1, "init", &[]), call(1, "init", &[])].concat());
    host.send(&call_of("other", Id::from(2).0, "init", &[]));
    let reason = binary("the policy rules is being loaded");
    assert_eq!(host.reply(), (2.into(), tuple(&[Id::from(1).0, reason])));
    drop(gate);
    assert_eq!((host.reply().0, host.reply().0), (1.into(), 1.into()));
    host.end_saying(READY);
}

#[test]
fn calls_are_taken_while_nobody_takes_the_replies() {
    let mut host = Host::ready_unread();
    let calls = 20_000;
    let some: Vec<u8> = (1..=100).flat_map(|id| login(id, "deny")).collect();
    for _ in 0..calls / 100 {
        // Far more than fits into the pipes.
        host.send(&some);
    }
    assert_eq!(host.reply().0, 1.into());
    for _ in 0..calls / 100 {
        for id in 1..=100 {
            host.check(id, "{0,'false'}");
        }
    }
    host.end_saying(READY);
}

#[test]
fn calls_are_taken_when_the_replies_have_nowhere_to_go() {
    let mut host = Host::start();
    drop(host.output.take());
    let some: Vec<u8> = (1..=100).flat_map(|id| login(id, "deny")).collect();
    for _ in 0..100 {
        host.send(&some);
    }
    let (ended, said) = host.end();
    assert_eq!(ended, Ok(()));
    assert_eq!(said.matches("the broker takes no more replies: Broken pipe").count(), 1, "{said}");
}

#[test]
fn an_end_with_nothing_owed_is_at_once() {
    let host = Host::ready();
    let stage = Arc::clone(&host.stage);
    let start = Instant::now();
    host.end_saying(READY);
    assert!(start.elapsed() < LAST_WRITE);
    assert_eq!(stage.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_owed_at_the_end_is_answered() {
    let mut host = Host::ready();
    host.send(&[login(1, "later"), login(2, "allow")].concat());
    host.check(2, "{0,'true'}");
    let (token, sink) = host.later();
    drop(host.input.take());
    thread::sleep(SHORT);
    assert!(!host.driver.is_finished());
    sink(&[(token, Answer::Allow)]);
    host.check(1, "{0,'true'}");
    host.end_saying(READY);
}

#[test]
fn nothing_is_owed_to_a_broker_that_is_gone() {
    let mut host = Host::start();
    host.send(&login(1, "later"));
    host.later();
    drop(host.output.take());
    let start = Instant::now();
    assert_eq!(host.end().0, Ok(()));
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn an_init_is_answered_after_the_end() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&call(1, "init", &[]));
    drop(host.input.take());
    thread::sleep(SHORT);
    drop(gate);
    assert_eq!(host.reply().0, 1.into());
    host.end_saying(READY);
}

#[test]
fn input_that_is_no_stream_of_frames_ends_the_driver() {
    let mut host = Host::ready();
    host.send(&login(1, "later"));
    let (token, sink) = host.later();
    host.send(b"\xFF\xFF\xFF\xFF");
    // What comes behind is taken off the broker's hands.
    host.send(&vec![0; 1 << 20]);
    sink(&[(token, Answer::Allow)]);
    host.check(1, "{0,'true'}");
    let (ended, said) = host.end();
    assert_eq!(
        ended.unwrap_err(),
        "the input is no stream of frames: it announces 4294967295 bytes where 1073741824 are the most"
    );
    assert_eq!(said, READY);
}

#[test]
fn input_that_ends_within_a_frame_ends_the_driver() {
    let mut host = Host::ready();
    host.send(&[&login(1, "allow")[..], &[0, 0, 1, 0, 131]].concat());
    host.check(1, "{0,'true'}");
    assert_eq!(host.end().0.unwrap_err(), "the input ended within a frame, 5 bytes into 260");
}
