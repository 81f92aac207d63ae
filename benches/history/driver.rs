//! The history of the driver in a closed loop: an answer brings the next event.

use std::fmt;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use exhook_policy_core::decision::Answer;
use exhook_policy_core::event::{Client, Event, Extra, Peerhost};
use exhook_policy_core::policy::model::{HistoryDef, Record, Sync};
use exhook_policy_runtime::history::History;
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::{Process, Recorder, Serves};
use tempfile::TempDir;

use crate::ROUNDS;
use crate::cpu;
use crate::rows::{Part, Report, Row, Spread};
use crate::workload::{CALLERS, Script, Step, Workload, name};

const EVENTS: usize = 400_000;
/// Under callgrind, which is fifty times slower.
const COUNTED: usize = 20_000;
/// Events at a low rate, one each.
const SINGLE: usize = 400;
const PAUSE: Duration = Duration::from_millis(5);

/// What a run took.
pub(crate) struct Figures {
    events: usize,
    answers: usize,
    wall: Duration,
    reader: Duration,
    writer: Duration,
}

impl Figures {
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.events as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} us CPU an event (reader {:.2}, writer {:.2}), {:.0} events/s, {} events a commit",
            self.each(self.reader + self.writer),
            self.each(self.reader),
            self.each(self.writer),
            1e6 / self.each(self.wall),
            self.events / self.answers.max(1),
        )
    }
}

/// The driver's side of the answers.
#[derive(Default)]
struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    rung: Condvar,
}

impl Mailbox {
    fn wait(&self, into: &mut Vec<u64>) {
        let mut tokens = self.tokens.lock().unwrap();
        while tokens.is_empty() {
            tokens = self.rung.wait(tokens).unwrap();
        }
        into.clear();
        into.append(&mut tokens);
    }
}

struct Rig {
    history: History,
    mailbox: Arc<Mailbox>,
    names: Vec<String>,
    _dir: TempDir,
}

impl Rig {
    fn start(names: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let record =
            Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
        let database = dir.path().join("history.db");
        let def = HistoryDef { database, keep: Some(Duration::from_secs(90 * 86_400)), sync: Sync::Normal, record };
        let mailbox: Arc<Mailbox> = Arc::default();
        let told = Arc::clone(&mailbox);
        let sink = move |answers: &[(u64, Answer)]| {
            let mut tokens = told.tokens.lock().unwrap();
            let was_empty = tokens.is_empty();
            tokens.extend(answers.iter().map(|(token, _)| token));
            drop(tokens);
            if was_empty {
                told.rung.notify_one();
            }
        };
        let recorder = Recorder {
            serves: Serves::Parent { slot: "python3".to_owned(), process: Process { pid: 1, started: 1 } },
            alive: Arc::new(|_| true),
            ..Recorder::of_this_process("python3")
        };
        let log = Log::to(std::io::stderr());
        let history = History::start(&def, recorder, Duration::from_secs(60), Arc::new(sink), &log);
        Rig { history, mailbox, names: (0..names).map(name).collect(), _dir: dir }
    }

    fn send(&self, step: Step, token: u64) {
        let clientid = self.names[step.client].as_str();
        let client = Client {
            clientid,
            username: clientid,
            peerhost: Peerhost::parse("10.0.17.42"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "emqx@127.0.0.1",
            is_superuser: false,
            anonymous: false,
            extra: Extra::NONE,
        };
        let event =
            if step.connects { Event::Connected(client) } else { Event::Disconnected { client, reason: "tcp_closed" } };
        assert!(self.history.record(&event, token), "a commit is overdue: {step:?}");
    }

    /// All of these clients connect.
    fn fill(&self, clients: std::ops::Range<usize>) {
        let mut tokens = Vec::new();
        let mut waiting = 0;
        for client in clients {
            self.send(Step { client, connects: true }, client as u64);
            waiting += 1;
            while waiting >= 4_096 {
                self.mailbox.wait(&mut tokens);
                waiting -= tokens.len();
            }
        }
        while waiting > 0 {
            self.mailbox.wait(&mut tokens);
            waiting -= tokens.len();
        }
    }
}

/// One run of so many events. The token of a call is its caller's number: each has one event on its way.
pub(crate) fn run(workload: Workload, events: usize) -> Figures {
    let rig = Rig::start(workload.names + workload.staying);
    rig.fill(if workload.online { 0..workload.names } else { workload.names..workload.names + workload.staying });
    let mut script = Script::of(workload);
    let mut tokens = Vec::new();
    let (mut sent, mut done, mut answers) = (0, 0, 0);
    let (reader, writer) = (cpu(|name| name != "history"), cpu(|name| name == "history"));
    let began = Instant::now();
    for caller in 0..CALLERS.min(events) {
        rig.send(script.next(caller), caller as u64);
        sent += 1;
    }
    while done < events {
        rig.mailbox.wait(&mut tokens);
        answers += 1;
        done += tokens.len();
        for &token in &tokens {
            if sent < events {
                rig.send(script.next(usize::try_from(token).unwrap()), token);
                sent += 1;
            }
        }
    }
    Figures {
        events,
        answers,
        wall: began.elapsed(),
        reader: cpu(|name| name != "history").saturating_sub(reader),
        writer: cpu(|name| name == "history").saturating_sub(writer),
    }
}

/// The first part of the report.
pub(crate) fn events(rows: &mut Report) {
    println!("connected and disconnected, {CALLERS} callers, sync: normal");
    for workload in Workload::ALL {
        let runs: Vec<Figures> = (0..ROUNDS).map(|_| run(workload, EVENTS)).collect();
        let mut push = |what: &str, unit: &str, values: &[f64]| {
            rows.push(Row::new(Part::Events, workload.about, what, unit, Spread::of_rounds(values)));
        };
        let of_runs = |value: &dyn Fn(&Figures) -> f64| runs.iter().map(value).collect::<Vec<_>>();
        push("CPU an event", "us", &of_runs(&|run| run.each(run.reader + run.writer)));
        push("of the reader", "us", &of_runs(&|run| run.each(run.reader)));
        push("of the writer", "us", &of_runs(&|run| run.each(run.writer)));
        push("events a second", "", &of_runs(&|run| 1e6 / run.each(run.wall)));
        // Where others are online to begin with, what they take differs from run to run by more than is looked for.
        if workload.staying == 0 && !workload.online {
            match (instructions(workload, COUNTED), instructions(workload, 2 * COUNTED)) {
                (Some(once), Some(twice)) => println!("  {:.0} instructions an event", (twice - once) / COUNTED as f64),
                (None, _) | (_, None) => println!("  instructions: needs valgrind"),
            }
        }
    }
}

/// The instructions of this program in a run of so many events, by callgrind.
fn instructions(workload: Workload, events: usize) -> Option<f64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["loop", workload.name, &events.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    said.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim().parse().unwrap())
}

/// How long one event waits where no other comes.
pub(crate) fn latency(rows: &mut Report) {
    println!("\none event each {PAUSE:?}, answered when it is committed");
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let times = waited();
        for (values, percent) in rounds.iter_mut().zip([50, 99]) {
            values.push(times[times.len() * percent / 100].as_secs_f64() * 1e6);
        }
    }
    for (values, what) in rounds.iter().zip(["median", "p99"]) {
        let case = format!("one event each {} ms", PAUSE.as_millis());
        rows.push(Row::new(Part::Latency, &case, what, "us", Spread::of_rounds(values)));
    }
}

/// How long each of some single events waits, the shortest first.
fn waited() -> Vec<Duration> {
    let rig = Rig::start(SINGLE);
    rig.fill(0..1);
    let mut tokens = Vec::new();
    let mut times: Vec<Duration> = (1..SINGLE)
        .map(|client| {
            std::thread::sleep(PAUSE);
            let began = Instant::now();
            rig.send(Step { client, connects: true }, 0);
            rig.mailbox.wait(&mut tokens);
            began.elapsed()
        })
        .collect();
    times.sort();
    times
}
