//! The broker's end of the port: a driver of its own, and any number of calls under way.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use eetf::{Term, Tuple};
use rustix::process::{Pid, Signal, kill_process};

use super::port::arguments;
use super::server::Place;
use super::story::Call;
use crate::support::program;
use crate::support::terms::{self, atom, framed};
use crate::support::wait::PATIENCE;
use crate::support::wait::until_some;

/// A running driver, whose broker is this process.
pub(crate) struct Driver {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    replies: Receiver<Reply>,
    /// Who holds it stops the replies from being read.
    pub(crate) reading: Arc<Mutex<()>>,
    console: PathBuf,
}

/// A reply to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reply {
    pub(crate) id: i32,
    /// `None` is no opinion.
    pub(crate) allowed: Option<bool>,
    /// When it was read.
    pub(crate) at: Instant,
}

/// The command that starts a driver on the policy of this place, as a broker starts it.
pub(crate) fn command(place: &Place) -> Command {
    let mut command = program::driver(&place.path("python3"), &place.path(""));
    command.current_dir(place.path(""));
    command
}

/// A call in its frame.
pub(crate) fn frame(id: i32, module: &str, call: &Call) -> Vec<u8> {
    let function = format!("on_{}", call.hook().replacen('.', "_", 1));
    let mut arguments = arguments(call);
    arguments.push(atom("state"));
    frame_of(id, module, &function, arguments)
}

pub(crate) fn frame_of(id: i32, module: &str, function: &str, arguments: Vec<Term>) -> Vec<u8> {
    framed(&terms::call(id, module, function, arguments))
}

impl Driver {
    /// Starts one whose console is a file.
    pub(crate) fn start(place: &Place) -> Self {
        Driver::start_as(place, command(place))
    }

    pub(crate) fn start_as(place: &Place, mut command: Command) -> Self {
        let number = place.next_number();
        let console = place.path(&format!("{number}.console"));
        command.stderr(File::create(&console).unwrap());
        Driver::spawn(command, console)
    }

    /// Starts a command whose stderr is chosen already.
    pub(crate) fn spawn(mut command: Command, console: PathBuf) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, replies) = channel();
        let reading = Arc::new(Mutex::new(()));
        let may_read = Arc::clone(&reading);
        thread::spawn(move || {
            while let Some(frame) = next_frame(&mut stdout) {
                drop(may_read.lock().unwrap());
                if let Some((id, allowed)) = reply_in(&frame)
                    && send.send(Reply { id, allowed, at: Instant::now() }).is_err()
                {
                    return;
                }
            }
        });
        Driver { stdin: child.stdin.take(), child, replies, reading, console }
    }

    /// Calls the policy `rules`. A driver that is gone is called in vain.
    pub(crate) fn send(&mut self, id: i32, call: &Call) {
        self.write(&frame(id, "rules", call));
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            // It fails where nobody reads it any more, which the replies that do not come tell.
            let _ = stdin.write_all(bytes);
        }
    }

    /// The next reply that comes until then.
    pub(crate) fn reply_by(&self, end: Instant) -> Result<Reply, RecvTimeoutError> {
        self.replies.recv_timeout(end.saturating_duration_since(Instant::now()))
    }

    /// The reply to this call, others aside.
    #[track_caller]
    pub(crate) fn reply_to(&self, id: i32) -> Reply {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.reply_by(end) {
                Ok(reply) if reply.id == id => return reply,
                Ok(_) => {}
                Err(error) => panic!("no reply to {id}: {error}: {}", self.console()),
            }
        }
    }

    /// Calls, and gives the answer and how long it took.
    #[track_caller]
    pub(crate) fn ask(&mut self, call: &Call) -> (Option<bool>, Duration) {
        const ID: i32 = 1_000_000;
        let begun = Instant::now();
        self.send(ID, call);
        let Reply { allowed, at, .. } = self.reply_to(ID);
        (allowed, at - begun)
    }

    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Waits for a line with this text in it.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.console().contains(text) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.console());
            assert!(Instant::now() < end, "no line with {text:?}: {}", self.console());
            sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, and gives the replies that were on their way.
    pub(crate) fn kill(mut self) -> Vec<Reply> {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
        self.replies.iter().collect()
    }

    /// Ends its input, waits for its end, and gives the replies that still came.
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<Reply>, String) {
        self.stdin = None;
        let console = self.console.clone();
        let status = until_some(
            || self.child.try_wait().unwrap(),
            || format!("it does not end: {}", String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default())),
        );
        (status, self.replies.iter().collect(), self.console())
    }

    /// What the process has in memory now, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        program::memory_kib(self.child.id(), "VmRSS:")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next_frame(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// The id of a reply and what it says, of those to calls that ask or tell.
fn reply_in(frame: &[u8]) -> Option<(i32, Option<bool>)> {
    let Ok(term) = Term::decode(frame) else {
        // An id goes back as it came, and one that nobody sends may be none.
        assert!(frame.starts_with(b"\x83h\x03w\x01r"), "no reply: {frame:?}");
        return None;
    };
    let Term::Tuple(Tuple { elements }) = term else { panic!("no reply: {term}") };
    let [Term::Atom(r), Term::FixInteger(id), result] = &elements[..] else { return None };
    assert_eq!(r.name, "r");
    let allowed = match result {
        Term::Tuple(Tuple { elements }) => match &elements[..] {
            [Term::FixInteger(zero), Term::Atom(word)] if zero.value == 0 => Some(word.name == "true"),
            _ => return None,
        },
        Term::Atom(word) if word.name == "undefined" || word.name == "ok" => None,
        other => panic!("{other} is no answer"),
    };
    Some((id.value, allowed))
}
