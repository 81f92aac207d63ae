//! Bytes that no broker sends: the driver neither dies of a frame, nor hangs, nor swells.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eetf::Term;

use super::vm::{Place, RULES};
use crate::support::program;
use crate::support::terms::{self, atom, binary, clientinfo, encoded, framed, integer, list, reply, tuple};
use crate::support::wait::PATIENCE;

/// Enough for the driver with its threads and SQLite, too little for any of the frames unfolded.
const MEMORY_KIB: u64 = 96 * 1024;

struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    frames: Receiver<Vec<u8>>,
    /// Who holds it stops the replies from being read.
    reading: Arc<Mutex<()>>,
    // The policy's folder goes last.
    place: Place,
}

impl Driver {
    fn start() -> Self {
        let place = Place::new(RULES, 1);
        let mut child = program::driver(&place.path("bin/python3"), &place.path("policy"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(place.path("logs/console")).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (send, frames) = channel();
        let reading = Arc::new(Mutex::new(()));
        let may_read = Arc::clone(&reading);
        std::thread::spawn(move || {
            let mut length = [0; 4];
            while stdout.read_exact(&mut length).is_ok() {
                drop(may_read.lock().unwrap());
                let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                stdout.read_exact(&mut frame).unwrap();
                if send.send(frame).is_err() {
                    return;
                }
            }
        });
        let mut driver = Driver { stdin: child.stdin.take(), child, frames, reading, place };
        driver.frame(&frame(1, "init", vec![]));
        let init = encoded(&driver.answer());
        let registered = b"on_client_authenticate";
        assert!(init.windows(registered.len()).any(|window| window == registered), "{}", init.escape_ascii());
        driver
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.bytes(&framed(bytes));
    }

    fn answer(&mut self) -> Term {
        let frame = self.frames.recv_timeout(PATIENCE).expect("no answer");
        Term::decode(&frame[..]).unwrap()
    }

    /// Asks two questions whose answers are known. Whatever else was answered before is dropped, since
    /// it was not asked under these ids.
    #[track_caller]
    fn is_well(&mut self, after: &str) {
        for (id, password, expected) in [(1001, "right", "true"), (1002, "wrong", "false")] {
            self.frame(&login(id, password));
            let answered = reply(id, tuple([integer(0), atom(expected)]));
            let end = Instant::now() + PATIENCE;
            while self.answer() != answered {
                assert!(Instant::now() < end, "after {after}: no {expected}");
            }
        }
        let used = self.memory_kib();
        assert!(used > 0 && used < MEMORY_KIB, "after {after}: {used} KiB");
    }

    /// The most that the process ever had in memory; 0 where it has ended.
    fn memory_kib(&self) -> u64 {
        program::memory_kib(self.child.id(), "VmHWM:")
    }

    /// Ends the input; the driver must go, and soon.
    #[track_caller]
    fn goes(mut self, after: &str) -> String {
        self.stdin = None;
        let end = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "after {after}: the driver lingers");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::read_to_string(self.place.path("logs/console")).unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A call of the policy `rules`.
fn frame(id: i32, function: &str, arguments: Vec<Term>) -> Vec<u8> {
    terms::call(id, "rules", function, arguments)
}

fn login(id: i32, password: &str) -> Vec<u8> {
    frame(id, "on_client_authenticate", vec![of_dev_1(password), atom("true")])
}

fn of_dev_1(password: &str) -> Term {
    clientinfo("dev-1", "dev-1", password)
}

/// The start of `{'C', 5, rules, on_client_authenticate, Args}`, up to the arguments.
fn login_head() -> Vec<u8> {
    let mut bytes = vec![131, 104, 5, 100, 0, 1, b'C', 97, 5, 100, 0, 5];
    bytes.extend_from_slice(b"rules");
    bytes.extend_from_slice(&[100, 0, 22]);
    bytes.extend_from_slice(b"on_client_authenticate");
    bytes
}

fn with_args(args: &[u8]) -> Vec<u8> {
    [login_head(), args.to_vec()].concat()
}

/// A million levels of one-element lists.
fn deep() -> Vec<u8> {
    let mut bytes = [108, 0, 0, 0, 1].repeat(1_000_000);
    bytes.push(106);
    bytes.extend(std::iter::repeat_n(106, 1_000_000));
    bytes
}

/// A compressed term of 160 MB in about a megabyte: a binary of zeros, in one block of fixed codes.
fn bomb() -> Vec<u8> {
    let size: u32 = 160 << 20;
    let mut frame = vec![131, 80];
    frame.extend_from_slice(&(size + 5).to_be_bytes());
    frame.extend_from_slice(&[0x78, 0x01]);
    let mut bits = Bits::default();
    bits.push(0b011, 3);
    for literal in [109, 10, 0, 0, 0, 0] {
        bits.code(0x30 + literal, 8);
    }
    for _ in 0..size / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    frame.extend_from_slice(&bits.bytes);
    frame
}

/// Deflate's order of bits: numbers from the low bit on, codes from the high one.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for n in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> n & 1 == 1) << (self.used % 8);
            self.used += 1;
        }
    }

    fn code(&mut self, value: u32, count: u32) {
        for n in (0..count).rev() {
            self.push(value >> n & 1, 1);
        }
    }
}

#[test]
fn frames_that_no_broker_sends_do_no_harm() {
    let huge_list = [108, 255, 255, 255, 255, 106];
    let good = login(5, "right");
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"and more");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an empty frame", vec![]),
        ("a version byte alone", vec![131]),
        ("text", b"Traceback (most recent call last):\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("a list of 2^32-1", [vec![131], huge_list.to_vec()].concat()),
        ("a list of 2^32-1 as the arguments", with_args(&huge_list)),
        ("a list of 2^32-1 as a client", with_args(&[vec![108, 0, 0, 0, 1], huge_list.to_vec(), vec![106]].concat())),
        ("a tuple of 2^32-1", vec![131, 105, 255, 255, 255, 255]),
        ("a map of 2^32-1", with_args(&[116, 255, 255, 255, 255])),
        ("a binary of 2^32-1", with_args(&[109, 255, 255, 255, 255, 1])),
        ("a number of 2^32-1 bytes", with_args(&[111, 255, 255, 255, 255, 0])),
        ("an atom cut off", with_args(&[100, 255, 255, b'x'])),
        ("a million levels", [vec![131], deep()].concat()),
        ("a million levels as the arguments", with_args(&deep())),
        ("a compressed bomb", bomb()),
        ("an unknown tag", with_args(&[1, 2, 3])),
        ("an atom cache reference", with_args(&[82, 0])),
        ("a distribution header", vec![131, 68, 0, 1, 2]),
        ("a float that is none", with_args(&[70, 255, 255, 255, 255, 255, 255, 255, 255])),
        ("bytes behind the term", trailing),
        ("a call without its arguments", login_head()),
        ("ten megabytes of nothing", with_args(&[vec![109, 0, 160, 0, 0], vec![b'x'; 10 << 20]].concat())),
    ];
    let mut driver = Driver::start();
    for (name, frame) in &cases {
        driver.frame(frame);
        driver.is_well(name);
    }
    for length in 0..good.len() {
        driver.frame(&good[..length]);
    }
    driver.is_well("every call cut off");
    let console = driver.goes("the end of input");
    assert!(!console.contains("panicked"), "{console}");
}

#[test]
fn a_call_of_unknown_shape_is_answered_and_logged() {
    let mut driver = Driver::start();
    let odd = [
        list(vec![]),
        atom("undefined"),
        list(vec![of_dev_1("right"), atom("true"), atom("extra"), atom("extra"), atom("extra")]),
        list(vec![list(vec![tuple([atom("clientid"), integer(7)])]), atom("true")]),
        list(vec![list(vec![tuple([atom("clientid"), binary([0xff])])]), atom("true")]),
    ];
    for (n, args) in odd.into_iter().enumerate() {
        let id = 10 + i32::try_from(n).unwrap();
        let shown = format!("{args:?}");
        let call = tuple([atom("C"), integer(id), atom("rules"), atom("on_client_authenticate"), args]);
        driver.frame(&encoded(&call));
        let denied = tuple([integer(0), atom("false")]);
        assert_eq!(driver.answer(), reply(id, denied), "{shown}");
    }
    driver.is_well("calls of unknown shape");
    let console = driver.goes("the end of input");
    assert!(console.contains("client_authenticate"), "{console}");
}

#[test]
fn input_that_is_cut_off_ends_the_driver() {
    let check = |name: &str, bytes: &[u8]| {
        let mut driver = Driver::start();
        driver.bytes(bytes);
        std::thread::sleep(Duration::from_millis(200));
        assert!(driver.memory_kib() < MEMORY_KIB, "{name}: {} KiB", driver.memory_kib());
        driver.goes(name);
    };
    check("nothing", b"");
    check("half a length", &[0, 0]);
    check("half a frame", &[0, 0, 1, 0, 131, 104, 5]);
    check("a frame of 4 GiB", &[255, 255, 255, 255, 131, 104]);
    check("text without frames", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n");
}

#[test]
fn a_broker_that_reads_no_replies_can_go_on_writing() {
    let mut driver = Driver::start();
    let reading = Arc::clone(&driver.reading);
    let stopped = reading.lock().unwrap();
    let args = [of_dev_1(""), atom("publish"), binary(b"dev/dev-1/up/t"), atom("true"), tuple([])];
    let calls: i32 = 20_000;
    let mut stdin = driver.stdin.take().unwrap();
    let (send, written) = channel();
    // Replies to all of these are several times what a pipe holds.
    std::thread::spawn(move || {
        for id in 1..=calls {
            stdin.write_all(&framed(&frame(id, "on_client_check_acl", args.to_vec()))).unwrap();
        }
        send.send(stdin).unwrap();
    });
    driver.stdin = Some(written.recv_timeout(PATIENCE).expect("the driver stopped reading"));
    drop(stopped);
    let allowed = tuple([integer(0), atom("true")]);
    for id in 1..=calls {
        assert_eq!(driver.answer(), reply(id, allowed.clone()));
    }
    driver.is_well("replies that were not read");
}
