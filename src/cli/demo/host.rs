//! The broker's end: starts the driver by the broker's command line, and checks that each call is answered
//! once.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::port::term::{Head, Reader};

/// The broker's own patience with one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after the last call a second answer to one would still be noticed.
const SETTLE: Duration = Duration::from_millis(200);

pub(super) struct DemoHost {
    child: Child,
    stdin: Option<ChildStdin>,
    replies: Receiver<Vec<u8>>,
    console: Receiver<String>,
    outstanding: BTreeSet<u8>,
    calls: usize,
    faults: Vec<String>,
}

/// A decision as the driver's log tells it.
pub(super) struct LoggedDecision {
    pub(super) word: String,
    pub(super) rule: String,
    pub(super) allowed: bool,
}

/// How it went.
pub(super) struct DemoEnd {
    pub(super) calls: usize,
    pub(super) faults: Vec<String>,
}

enum Reply {
    Allow,
    Deny,
    Other,
}

fn failed(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

impl DemoHost {
    pub(super) fn start(program: &Path, policy: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["-u", "-m", "erlport.cli", "--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"])
            .env("PYTHONPATH", policy)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (to_replies, replies) = channel();
        let (to_console, console) = channel();
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            thread::spawn(move || read_frames(stdout, &to_replies));
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if to_console.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(DemoHost { child, stdin, replies, console, outstanding: BTreeSet::new(), calls: 0, faults: Vec::new() })
    }

    /// Loads the policy, as the plugin does, and tells which hooks the driver registers for.
    pub(super) fn init(&mut self, frame: &[u8]) -> io::Result<Vec<Hook>> {
        self.send(1, frame)?;
        let reply = self.reply()?;
        self.outstanding.clear();
        let hooks: Vec<Hook> = Hook::ALL.iter().copied().filter(|hook| holds_name(&reply, hook.name())).collect();
        if hooks.is_empty() {
            let said: Vec<String> = self.console.try_iter().collect();
            return Err(failed(format!("the driver did not load the policy\n{}", said.join("\n"))));
        }
        Ok(hooks)
    }

    pub(super) fn send(&mut self, id: u8, frame: &[u8]) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(failed("the driver is gone")) };
        let length = u32::try_from(frame.len()).map_err(|_| failed("a frame is too long"))?;
        let sent = stdin.write_all(&length.to_be_bytes()).and_then(|()| stdin.write_all(frame));
        // A broken pipe here is the driver's. One at the output of the demo is no fault.
        sent.map_err(|error| failed(format!("the driver takes no calls: {error}")))?;
        self.calls += 1;
        self.outstanding.insert(id);
        Ok(())
    }

    /// Waits until a call may have this id: until every call of this id and above is answered.
    pub(super) fn settle(&mut self, id: u8) -> io::Result<()> {
        while self.outstanding.range(id..).next().is_some() {
            let (answered, reply) = self.answer()?;
            if !matches!(reply, Reply::Other) {
                self.faults.push(format!("call {answered} was told a decision"));
            }
        }
        Ok(())
    }

    /// Waits for the answer to a question: whether it was allowed.
    pub(super) fn decision(&mut self, id: u8) -> io::Result<bool> {
        loop {
            match self.answer()? {
                (answered, Reply::Allow) if answered == id => return Ok(true),
                (answered, Reply::Deny) if answered == id => return Ok(false),
                (answered, Reply::Other) if answered != id => {}
                (answered, _) => return Err(failed(format!("the answer to call {answered} makes no sense"))),
            }
        }
    }

    /// The log's line on the decision that was just answered.
    pub(super) fn decided(&mut self) -> io::Result<LoggedDecision> {
        loop {
            let line = self.console.recv_timeout(CALL_TIMEOUT).map_err(|_| failed("the driver logged no decision"))?;
            let text = line.strip_prefix("exhook-policy: ").unwrap_or(&line);
            let word = text.split(' ').next().unwrap_or_default();
            let allowed = word == "allowed";
            match text.rsplit_once(" rule=") {
                Some((_, rule)) if allowed || word == "denied" => {
                    return Ok(LoggedDecision { word: word.to_owned(), rule: rule.to_owned(), allowed });
                }
                _ => writeln!(io::stderr(), "{line}")?,
            }
        }
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    fn answer(&mut self) -> io::Result<(u8, Reply)> {
        let frame = self.reply()?;
        let (id, reply) = read_reply(&frame).ok_or_else(|| failed("the driver answered something strange"))?;
        if !self.outstanding.remove(&id) {
            self.faults.push(format!("an answer to call {id}, which was not outstanding"));
        }
        Ok((id, reply))
    }

    fn reply(&mut self) -> io::Result<Vec<u8>> {
        self.replies.recv_timeout(CALL_TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Timeout => failed("a call was not answered within 5 s"),
            RecvTimeoutError::Disconnected => failed("the driver died"),
        })
    }

    /// Unloads the driver, as the broker does at its end.
    pub(super) fn finish(mut self) -> io::Result<DemoEnd> {
        while let Ok(frame) = self.replies.recv_timeout(SETTLE) {
            let id = read_reply(&frame).map(|(id, _)| id);
            self.faults.push(format!("an answer too many, to call {id:?}"));
        }
        self.stdin = None;
        let status = self.child.wait()?;
        if !status.success() {
            self.faults.push(format!("the driver ended with {status}"));
        }
        Ok(DemoEnd { calls: self.calls, faults: std::mem::take(&mut self.faults) })
    }
}

impl Drop for DemoHost {
    fn drop(&mut self) {
        // Of use only where an error ended the demo early.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_frames(mut stdout: impl Read, frames: &Sender<Vec<u8>>) {
    let mut length = [0; 4];
    while stdout.read_exact(&mut length).is_ok() {
        let mut frame = Vec::new();
        let read = (&mut stdout).take(u32::from_be_bytes(length).into()).read_to_end(&mut frame);
        if read.is_err() || frames.send(frame).is_err() {
            return;
        }
    }
}

/// `{r, Id, {0, true}}` and the like.
fn read_reply(frame: &[u8]) -> Option<(u8, Reply)> {
    let mut term = Reader::versioned(frame).ok()?;
    if term.tuple().ok()? != 3 || !term.atom().ok()?.is("r") {
        return None;
    }
    let id = term.integer_of("an id").ok()?;
    let Head::Tuple(2) = term.head().ok()? else { return Some((id, Reply::Other)) };
    if term.integer().ok()? != 0 {
        return None;
    }
    Some((id, if term.boolean().ok()? { Reply::Allow } else { Reply::Deny }))
}

/// Whether a list of characters that says this stands in the term.
fn holds_name(frame: &[u8], name: &str) -> bool {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
    let text = [&[107], &length[..], name.as_bytes()].concat();
    frame.windows(text.len()).any(|window| window == text)
}
