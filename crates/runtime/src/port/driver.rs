//! The loop between the broker and the policy: one thread that reads calls and writes replies, and does
//! nothing that could make it wait.

mod again;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::log::Log;
use exhook_policy_core::answer_sink::Token;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::{Answer, Mode};
use exhook_policy_core::handler::{CallingBroker, Handler, Load, Refused, RegisteredHooks};
use exhook_policy_core::hook::{Hook, HookSet, Kind};

use self::again::PolicyLooks;
use super::call::{Incoming, PortCall};
use super::frame::{Broken, Frames, Packet, wipe};
use super::inbox::Inbox;
use super::output::PortOutput;
use super::pipes::Pipes;
use super::reply::{self, ReplyOutcome};
use super::term::{TermError, unpack};
use super::waiting::{UnansweredCall, UnansweredCalls};

/// How long calls wait for a policy that is being loaded, whose own deadline is not known yet.
const FIRST_DEADLINE: Duration = Duration::from_secs(2);
/// An overdue call is answered so long before its deadline, or a twentieth of it, that the answer is within.
const MARGIN: Duration = Duration::from_millis(50);
/// A policy that did not load is tried again when a call comes this long after.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How long, once the input has ended, an `init` that is under way is waited for.
const LAST_INIT: Duration = Duration::from_secs(5);
/// How long the broker may take to read the last replies.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// The room for compressed terms is given back when it has grown beyond this.
const KEEP: usize = 1 << 20;

/// What has the broker ask for the hooks again. After more than ten exits of drivers in a minute the broker
/// starts none any more: `load` then fails with `already_started`, and `unload` has taken the plugin out of
/// `loaded_plugins`.
const MEND: &str = "emqx_ctl plugins unload emqx_extension_hook && emqx_ctl plugins load emqx_extension_hook (only \
                    while the driver runs; if the broker no longer starts it, restart the broker and unload nothing)";

/// Why the loop ended before its input did.
#[derive(Debug)]
pub enum Failure {
    /// The input is no stream of frames.
    Broken(Broken),
    /// The descriptors do not work.
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(broken) => write!(f, "{broken}"),
            Failure::Io(error) => write!(f, "the pipes of the broker do not work: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

/// Answers calls until the input ends, and then what is still owed.
///
/// # Errors
/// The input is no stream of frames, or ends within one. What is owed is answered all the same.
pub fn run<H: Handler>(pipes: Pipes, packet: Packet, load: Load<H>, log: &Log) -> Result<(), Failure> {
    run_trying(pipes, packet, load, log, TRY_AGAIN)
}

/// As [`run`]; a policy that did not load is tried again when a call comes that long after.
fn run_trying<H: Handler>(
    pipes: Pipes,
    packet: Packet,
    load: Load<H>,
    log: &Log,
    try_again: Duration,
) -> Result<(), Failure> {
    let Pipes { input, output } = pipes;
    let mut driver = Driver {
        output: PortOutput::new(output, packet),
        inbox: Inbox::new()?,
        load,
        try_again,
        policy: Policy::Unknown,
        calls: UnansweredCalls::default(),
        inits: Vec::new(),
        handed_back: None,
        deadline: FIRST_DEADLINE,
        log: log.clone(),
        answers: Vec::new(),
        at_once: [[0; 3]; Hook::ALL.len()],
        untold: [[(0, Duration::ZERO); 3]; Hook::ALL.len()],
        room: Vec::new(),
        said_closed: false,
    };
    let mut frames = Frames::new(packet);
    let ended = driver.serve(&input, &mut frames);
    if ended.is_err() {
        // The broker must not be held up by the end of a driver that has lost its place in the input.
        discard(input);
    }
    driver.wind_up();
    ended
}

struct Driver<H> {
    output: PortOutput,
    inbox: Arc<Inbox<H>>,
    load: Load<H>,
    try_again: Duration,
    policy: Policy<H>,
    calls: UnansweredCalls,
    /// Calls of `init` that wait for the policy, with their ids. They have no deadline: a late answer does
    /// no harm, and any other would leave the broker without the policy.
    inits: Vec<(Token, Box<[u8]>)>,
    /// The hooks that a driver before this one told the broker, as the broker says.
    handed_back: Option<HookSet>,
    deadline: Duration,
    log: Log,
    /// Kept for its capacity.
    answers: Vec<(Token, Answer)>,
    /// How many calls of each hook were answered so as soon as they were read, since the last round.
    at_once: [[u64; 3]; Hook::ALL.len()],
    /// How many calls waited and were answered so while there was no policy to be told of it, and how long that took altogether.
    untold: [[(u64, Duration); 3]; Hook::ALL.len()],
    room: Vec<u8>,
    said_closed: bool,
}

enum Policy<H> {
    /// No call has named the module yet.
    Unknown,
    /// On its way, on another thread. Calls that came in the meantime are kept as they came.
    Loading { module: String, kept: VecDeque<(Token, Zeroizing<Vec<u8>>)>, before: Option<Refused> },
    /// In force.
    Ready { module: String, handler: H },
    /// It did not load at that time, and is looked at from then on.
    Failed { module: String, refused: Refused, at: Instant, looks: PolicyLooks },
}

impl<H: Handler> Driver<H> {
    /// One round for each time that something happens: read, ask, answer.
    fn serve(&mut self, input: &OwnedFd, frames: &mut Frames) -> Result<(), Failure> {
        loop {
            let due = [self.calls.due(self.patience()), self.look_due()].into_iter().flatten().min();
            if self.wait(Some(input), due)? {
                match frames.read_from(input) {
                    Ok(0) => return frames.finish().map_err(Failure::Broken),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
                let arrived = Instant::now();
                while let Some(frame) = frames.next().map_err(Failure::Broken)? {
                    if self.frame(frame, arrived) {
                        frames.wipe();
                    }
                }
                self.settle();
                self.tell_of(arrived);
            } else {
                self.settle();
            }
            self.look_again();
        }
    }

    /// Once the input has ended: answers what is owed, and lets the policy finish.
    fn wind_up(&mut self) {
        let patience = Instant::now() + LAST_INIT;
        self.settle();
        while !(self.calls.is_empty() && (self.inits.is_empty() || Instant::now() >= patience)) {
            // A broker that is gone takes no answers.
            if self.is_deserted() {
                break;
            }
            let due = self.calls.due(self.patience()).unwrap_or(patience);
            if self.wait(None, Some(due)).is_err() {
                break;
            }
            self.settle();
        }
        if let Policy::Ready { handler, .. } = &self.policy {
            if catch_unwind(AssertUnwindSafe(|| handler.finish())).is_err() {
                self.log.line(format_args!("the policy failed while it came to its end"));
            }
            self.settle();
        }
        let patience = Instant::now() + LAST_WRITE;
        while self.output.is_waiting() && Instant::now() < patience && self.wait(None, Some(patience)).is_ok() {
            self.output.send();
        }
    }

    /// Waits until there is something to do, or until `due`. Gives back whether there is input.
    fn wait(&mut self, input: Option<&OwnedFd>, due: Option<Instant>) -> io::Result<bool> {
        let timeout = due.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
        });
        let mut fds: SmallVec<[PollFd<'_>; 3]> = SmallVec::new();
        fds.push(PollFd::from_borrowed_fd(self.inbox.bell(), PollFlags::IN));
        if let Some(input) = input {
            fds.push(PollFd::new(input, PollFlags::IN));
        }
        if self.output.is_waiting() {
            fds.push(PollFd::from_borrowed_fd(self.output.fd(), PollFlags::OUT));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let rang = fds.first().is_some_and(|bell| !bell.revents().is_empty());
        let readable = input.is_some() && fds.get(1).is_some_and(|input| !input.revents().is_empty());
        if rang {
            self.inbox.heard();
        }
        Ok(readable)
    }

    /// Whether nobody is left to read replies.
    fn is_deserted(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.output.fd(), PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP;
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        self.output.closed().is_some() || (polled.is_ok() && fds.iter().any(|fd| fd.revents().intersects(gone)))
    }

    /// Takes what other threads brought, answers what is overdue, and writes.
    fn settle(&mut self) {
        let mut answers = mem::take(&mut self.answers);
        let loaded = self.inbox.take(&mut answers);
        for (token, answer) in answers.drain(..) {
            if let Some(call) = self.calls.take(token) {
                self.reply(token, &call.id, ReplyOutcome::Answer(answer));
                self.answered(call.hook, answer, call.arrived);
            }
        }
        self.answers = answers;
        if let Policy::Ready { handler, .. } = &self.policy {
            // Another policy may be in force by now.
            self.deadline = handler.deadline();
        }
        if let Some(loaded) = loaded {
            self.loaded(loaded);
        }
        self.overdue(Instant::now());
        self.output.send();
        if let Some(error) = self.output.closed()
            && !mem::replace(&mut self.said_closed, true)
        {
            self.log.line(format_args!("the broker takes no more replies: {error}"));
        }
    }

    /// How long a call may wait.
    fn patience(&self) -> Duration {
        self.deadline.saturating_sub(MARGIN.min(self.deadline / 20))
    }

    fn overdue(&mut self, now: Instant) {
        while let Some((token, call)) = self.calls.take_overdue(self.patience(), now) {
            if let Policy::Loading { kept, .. } = &mut self.policy
                && kept.front().is_some_and(|(kept, _)| *kept == token)
            {
                kept.pop_front();
            }
            let answer = self.error_answer(call.hook.kind(), call.state);
            self.log.line(format_args!(
                "a call of on_{} was not answered within {:?}: {}",
                call.hook.name(),
                self.deadline,
                answer.in_words()
            ));
            self.reply(token, &call.id, ReplyOutcome::Answer(answer));
            self.answered(call.hook, answer, call.arrived);
        }
    }

    /// A call that waited has its answer.
    fn answered(&mut self, hook: Hook, answer: Answer, arrived: Instant) {
        let took = arrived.elapsed();
        if let Policy::Ready { handler, .. } = &self.policy {
            handler.answered(hook, answer, took, 1);
        } else if let Some((count, total)) =
            self.untold.get_mut(hook as usize).and_then(|of| of.get_mut(answer as usize))
        {
            *count += 1;
            *total = total.saturating_add(took);
        }
    }

    /// The calls that were read then, and needed not wait, have their answers. So have those that there was nobody to be told of.
    fn tell_of(&mut self, arrived: Instant) {
        let Policy::Ready { handler, .. } = &self.policy else { return };
        let took = arrived.elapsed();
        for ((hook, at_once), untold) in Hook::ALL.iter().zip(&mut self.at_once).zip(&mut self.untold) {
            let answers = [Answer::Allow, Answer::Deny, Answer::NoOpinion].into_iter();
            for ((answer, at_once), untold) in answers.zip(at_once).zip(untold) {
                if *at_once > 0 {
                    handler.answered(*hook, answer, took, mem::take(at_once));
                }
                if untold.0 > 0 {
                    let (count, total) = mem::take(untold);
                    // The bounds of the times are far apart, so that the mean says enough.
                    handler.answered(*hook, answer, total / u32::try_from(count).unwrap_or(u32::MAX), count);
                }
            }
        }
    }

    /// One frame from the broker. Whatever is in it, the next one is read. Gives back whether it may hold a password.
    fn frame(&mut self, frame: &[u8], arrived: Instant) -> bool {
        let mut room = mem::take(&mut self.room);
        let (term, unpacked) = unpack(frame, &mut room);
        let has_password = match Incoming::read(term) {
            Ok(Incoming::Call(call)) => self.call(&call, term, unpacked, arrived),
            Ok(Incoming::Message) => false,
            Err(error) => {
                let error = unpacked.err().unwrap_or(error);
                self.log.line(format_args!("skipped a frame of {} bytes: {error}", frame.len()));
                true
            }
        };
        wipe(Some(&mut room));
        room.clear();
        room.shrink_to(KEEP);
        self.room = room;
        has_password
    }

    fn call(&mut self, call: &PortCall<'_>, term: &[u8], unpacked: Result<(), TermError>, arrived: Instant) -> bool {
        let token = self.calls.next_token();
        let hook = call.hook();
        match call.function.name() {
            b"init" => self.init(call, token),
            b"deinit" => self.reply_at_once(token, call, ReplyOutcome::Ok),
            _ => match (hook, unpacked) {
                (Some(hook), Ok(())) => self.hook(hook, call, token, term, arrived),
                (Some(hook), Err(error)) => self.unreadable(call, hook, token, &error),
                (None, _) => {
                    let function = call.function.to_text();
                    let answer =
                        self.error_answer(Hook::kind_of_unknown(&function), call.state().map(|state| state.mode));
                    self.log.line(format_args!("no such function, {function}: {}", answer.in_words()));
                    self.reply_at_once(token, call, ReplyOutcome::Answer(answer));
                }
            },
        }
        hook.is_none_or(|hook| hook == Hook::ClientAuthenticate)
    }

    fn init(&mut self, call: &PortCall<'_>, token: Token) {
        if let Policy::Loading { module, .. } = &self.policy
            && !call.module.equals(module)
        {
            let reason = reply::failure(&format!("the policy {module} is being loaded"));
            self.reply_at_once(token, call, ReplyOutcome::Term(&reason));
            return;
        }
        self.calls.pass();
        self.inits.push((token, call.id.into()));
        if !matches!(self.policy, Policy::Loading { .. }) {
            self.start_loading(&call.module.to_text());
        }
    }

    fn hook(&mut self, hook: Hook, call: &PortCall<'_>, token: Token, term: &[u8], arrived: Instant) {
        match &self.policy {
            Policy::Unknown => {
                self.handed_back = call.state().and_then(|state| state.hooks);
                self.start_loading(&call.module.to_text());
            }
            Policy::Failed { at, .. } if at.elapsed() >= self.try_again => self.start_loading(&call.module.to_text()),
            Policy::Failed { .. } | Policy::Loading { .. } | Policy::Ready { .. } => {}
        }
        match &mut self.policy {
            Policy::Loading { kept, .. } => {
                kept.push_back((token, Zeroizing::new(term.to_vec())));
                let state = call.state().map(|state| state.mode);
                self.calls.push(UnansweredCall { id: call.id.into(), hook, arrived, state });
            }
            Policy::Ready { .. } => match self.ask(hook, call, token) {
                Some(answer) => {
                    self.count(hook, answer);
                    self.reply_at_once(token, call, ReplyOutcome::Answer(answer));
                }
                None => self.calls.push(UnansweredCall { id: call.id.into(), hook, arrived, state: None }),
            },
            Policy::Unknown | Policy::Failed { .. } => {
                let answer = self.error_answer(hook.kind(), call.state().map(|state| state.mode));
                self.count(hook, answer);
                self.reply_at_once(token, call, ReplyOutcome::Answer(answer));
            }
        }
    }

    /// A call has its answer as soon as it was read. Without a policy nobody is told yet.
    fn count(&mut self, hook: Hook, answer: Answer) {
        if let Some(count) = self.at_once.get_mut(hook as usize).and_then(|of| of.get_mut(answer as usize)) {
            *count += 1;
        }
    }

    /// Asks the policy that is in force.
    fn ask(&mut self, hook: Hook, call: &PortCall<'_>, token: Token) -> Option<Answer> {
        let Policy::Ready { module, handler } = &self.policy else {
            return Some(self.error_answer(hook.kind(), call.state().map(|state| state.mode)));
        };
        let problem = if call.module.equals(module) {
            let asked = || call.event(hook).map(|event| handler.handle(&event, token));
            match catch_unwind(AssertUnwindSafe(asked)) {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the driver failed".to_owned(),
            }
        } else {
            format!("the policy {module} is in force, not {}", call.module)
        };
        let answer = handler.error_answer(hook.kind());
        self.log.line(format_args!("a call of on_{}: {problem}: {}", hook.name(), answer.in_words()));
        Some(answer)
    }

    fn unreadable(&mut self, call: &PortCall<'_>, hook: Hook, token: Token, error: &TermError) {
        let answer = self.error_answer(hook.kind(), call.state().map(|state| state.mode));
        self.log.line(format_args!("a call of {}: {error}: {}", call.function, answer.in_words()));
        self.count(hook, answer);
        self.reply_at_once(token, call, ReplyOutcome::Answer(answer));
    }

    /// The answer where it cannot be told: to deny, unless the policy is in audit mode, or was when the
    /// state that the broker gives back was made.
    fn error_answer(&self, kind: Kind, state: Option<Mode>) -> Answer {
        let was = match &self.policy {
            Policy::Failed { refused, .. } | Policy::Loading { before: Some(refused), .. } => refused.was,
            Policy::Unknown | Policy::Loading { before: None, .. } | Policy::Ready { .. } => None,
        };
        // A file that others might write can close, and cannot open.
        let state = if was == Some(Mode::Enforce) { was } else { state };
        match (&self.policy, kind, state) {
            (Policy::Ready { handler, .. }, kind, _) => handler.error_answer(kind),
            (_, Kind::Asks, Some(Mode::Enforce) | None) => Answer::Deny,
            (_, Kind::Asks, Some(Mode::Audit)) | (_, Kind::Tells, _) => Answer::NoOpinion,
        }
    }

    fn start_loading(&mut self, module: &str) {
        let loading = |before| Policy::Loading { module: module.to_owned(), kept: VecDeque::new(), before };
        let old = match mem::replace(&mut self.policy, Policy::Unknown) {
            Policy::Ready { handler, .. } => {
                self.policy = loading(None);
                Some(handler)
            }
            Policy::Failed { refused, .. } => {
                self.policy = loading(Some(refused));
                None
            }
            Policy::Unknown | Policy::Loading { .. } => {
                self.policy = loading(None);
                None
            }
        };
        let (inbox, load, name) = (Arc::clone(&self.inbox), Arc::clone(&self.load), module.to_owned());
        let work = move || {
            let sink = inbox.sink();
            let result = catch_unwind(AssertUnwindSafe(|| {
                if let Some(old) = old {
                    old.finish();
                }
                load(&name, sink)
            }));
            let failed = |_| Err("the driver failed while it loaded the policy".to_owned().into());
            inbox.loaded(result.unwrap_or_else(failed));
        };
        if let Err(error) = thread::Builder::new().name("load".to_owned()).spawn(work) {
            self.inbox.loaded(Err(format!("no thread to load the policy on: {error}").into()));
        }
    }

    /// The policy has come, or will not.
    fn loaded(&mut self, result: Result<H, Refused>) {
        let Policy::Loading { module, kept, before } = mem::replace(&mut self.policy, Policy::Unknown) else {
            return;
        };
        let outcome = match result {
            Ok(handler) => {
                let mode = handler.mode();
                let hooks = handler.hooks();
                self.deadline = handler.deadline();
                if !handler.is_last_good() {
                    self.log.line(format_args!("the policy {module} is in force, mode {}", mode.as_str()));
                }
                let outcome = reply::hooks(&module, &hooks, mode);
                let told = if self.inits.is_empty() { self.handed_back } else { Some(hooks.iter().copied().collect()) };
                let caller = CallingBroker {
                    broker: BrokerId::Port,
                    version: None,
                    refused_if_ignored: HookSet::EMPTY,
                    mend: MEND.to_owned(),
                };
                match told {
                    Some(hooks) => handler.hooks_registered(RegisteredHooks { caller, hooks }),
                    // The state is of another driver, or of a version that did not keep them.
                    None => handler.broker_calls(caller),
                }
                self.policy = Policy::Ready { module, handler };
                outcome
            }
            Err(refused) => {
                let reason = &refused.reason;
                // Of the same fault, found again for a mere call, the console has heard.
                if before.is_none_or(|before| before.reason != *reason) || !self.inits.is_empty() {
                    self.log.text(reason);
                    self.log.line(format_args!("the policy {module} is not in force"));
                }
                let outcome = reply::failure(reason);
                let now = Instant::now();
                self.policy = Policy::Failed { module, refused, at: now, looks: PolicyLooks::begun(now) };
                outcome
            }
        };
        for (token, id) in mem::take(&mut self.inits) {
            self.reply(token, &id, ReplyOutcome::Term(&outcome));
        }
        for (token, term) in kept {
            self.asked_before(token, &term);
        }
    }

    /// A call that came while the policy was loading, and is not overdue.
    fn asked_before(&mut self, token: Token, term: &[u8]) {
        let Ok(Incoming::Call(call)) = Incoming::read(term) else { return };
        let Some(hook) = call.hook() else { return };
        if let Some(answer) = self.ask(hook, &call, token)
            && let Some(waiting) = self.calls.take(token)
        {
            self.reply(token, &waiting.id, ReplyOutcome::Answer(answer));
            self.answered(hook, answer, waiting.arrived);
        }
    }

    fn reply_at_once(&mut self, token: Token, call: &PortCall<'_>, outcome: ReplyOutcome<'_>) {
        self.calls.pass();
        self.reply(token, call.id, outcome);
    }

    fn reply(&mut self, token: Token, id: &[u8], outcome: ReplyOutcome<'_>) {
        let mut written = self.output.reply(token, id, outcome);
        if written.is_err() && matches!(outcome, ReplyOutcome::Term(_)) {
            let reason = reply::failure("the answer is too long for this --packet");
            written = self.output.reply(token, id, ReplyOutcome::Term(&reason));
        }
        if written.is_err() {
            self.log.line(format_args!("an answer is too long for this --packet, and cannot be given"));
        }
    }
}

/// Reads to the end, and forgets it.
fn discard(input: OwnedFd) {
    let read = move || {
        let mut input = std::fs::File::from(input);
        let _ = io::copy(&mut input, &mut io::sink());
    };
    // Without a thread the broker has to wait for our end, which comes soon.
    let _ = thread::Builder::new().name("discard".to_owned()).spawn(read);
}
