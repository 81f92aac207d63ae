//! The driver on a pair of pipes, without Erlang: what a call takes of the CPU, by the size of the policy.
//!
//! `cargo bench -p exhook-policy-benches --bench frames` prints the figures and writes them to `benches/figures/frames.json`; `-- --rounds 3` measures
//! each so often, and `-- --short` asks less and writes nothing. Beside each figure stands the constant driver's, measured in
//! turn with it, round by round.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unreachable,
    unreachable_pub,
    reason = "a benchmark ends by a panic, and prints"
)]

#[path = "common/constant.rs"]
mod constant;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/policies.rs"]
mod policies;
#[path = "common/port.rs"]
mod port;
#[expect(dead_code, reason = "the page reads what this writes")]
#[path = "common/rows.rs"]
mod rows;
#[expect(dead_code, reason = "other benchmarks ask without a driver")]
#[path = "common/subjects.rs"]
mod subjects;
#[path = "common/worst.rs"]
mod worst;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::frames::Client;
use crate::port::{Place, Port};
use crate::rows::{Part, Report, Row, Spread, thousandth};
use crate::subjects::Question::{Authenticate, Publish, Wildcard};
use crate::subjects::{Asked, Question, Subject, calls};
use crate::worst::Worst;

/// The program that is measured.
const PROGRAM: &str = env!("CARGO_BIN_EXE_exhook-policy-measured");

/// How often each figure is measured, and how much is asked for it.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    /// How much of the CPU one round may take. Slow cases are asked less.
    cpu: Duration,
    /// How many calls a round has at most.
    calls: usize,
}

const WHOLE: Effort = Effort { rounds: 7, cpu: Duration::from_millis(300), calls: 50_000 };
const SHORT: Effort = Effort { rounds: 3, cpu: Duration::from_millis(100), calls: 10_000 };

/// What is asked for, in microseconds of CPU a call.
const GOAL_OF_A_CALL: f64 = 0.5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--constant") {
        return constant::run();
    }
    let short = arguments.iter().any(|argument| argument == "--short");
    let mut effort = if short { SHORT } else { WHOLE };
    if let Some(at) = arguments.iter().position(|argument| argument == "--rounds") {
        effort.rounds = arguments.get(at + 1).and_then(|rounds| rounds.parse().ok()).expect("a number of rounds");
    }
    let mut report = Report::new(effort.rounds);
    small(&mut report, effort);
    growth(&mut report, effort, short);
    loading(&mut report, effort, short);
    worst_cases(&mut report, effort);
    history(&mut report, effort);
    if !short {
        report.write("frames");
    }
    ExitCode::SUCCESS
}

/// A fleet's policy: what a call costs, and a start.
fn small(report: &mut Report, effort: Effort) {
    heading("a call, with 10,000 names and 100 rules: microseconds of CPU");
    let place = place(Subject::Fleet);
    for question in [Authenticate, Publish, Wildcard] {
        let (ours, constant) = side_by_side(&place, &Subject::Fleet.questions(question), effort);
        let goal = (question != Wildcard).then_some(GOAL_OF_A_CALL);
        let row = Row::new(Part::Frames, &question.to_string(), "CPU a call", "us", ours);
        report.push(Row { constant: Some(constant), goal, ..row });
    }

    heading("a start with ten rules: milliseconds until init is answered, and mebibytes then");
    let place = self::place(Subject::Rules(10));
    let (mut ours, mut constant) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds.max(5) {
        ours.push(start(place.driver(&[]), &place));
        constant.push(start(constant_driver(), &place));
    }
    let times = |of: &[Started]| Spread::of_rounds(&of.iter().map(|start| start.seconds * 1000.0).collect::<Vec<_>>());
    let memory = |of: &[Started]| Spread::of_rounds(&of.iter().map(|start| start.memory).collect::<Vec<_>>());
    let goal = times(&constant).median + 3.0;
    let row = Row::new(Part::Frames, "start, 10 rules", "until init is answered", "ms", times(&ours));
    report.push(Row { constant: Some(times(&constant)), goal: Some(thousandth(goal)), ..row });
    let row = Row::new(Part::Frames, "start, 10 rules", "memory", "MiB", memory(&ours));
    report.push(Row { constant: Some(memory(&constant)), goal: Some(8.0), ..row });
}

/// The same questions to policies that grow.
fn growth(report: &mut Report, effort: Effort, short: bool) {
    let mut grow = |case: &str, of: fn(usize) -> Subject, question: Question, sizes: &[usize], times: f64| {
        heading(&format!("{case}, growing: microseconds of CPU a call; the goal is {times} times the first"));
        let mut goal = None;
        for size in sizes.iter().copied().filter(|size| !short || *size <= 10_000) {
            let subject = of(size);
            let place = place(subject);
            let (ours, constant) = side_by_side(&place, &subject.questions(question), effort);
            let row = Row::new(Part::Growth, case, "CPU a call", "us", ours);
            report.push(Row { size: Some(size), constant: Some(constant), goal, ..row });
            goal = goal.or(Some(thousandth(ours.median * times)));
        }
    };
    grow("publish, by rules", Subject::Rules, Publish, &[10, 1_000, 100_000], 2.0);
    grow("wildcard subscribe, by rules", Subject::Rules, Wildcard, &[10, 1_000, 100_000], 3.0);
    grow("authenticate, by names", Subject::Names, Authenticate, &[10, 1_000, 100_000, 1_000_000], 2.5);
    grow("authenticate, by networks", Subject::Networks, Authenticate, &[10, 1_000, 100_000], 2.5);
}

/// What large lists and policies take before the first call.
fn loading(report: &mut Report, effort: Effort, short: bool) {
    heading("loading, beyond what ten of each take");
    let rounds = effort.rounds.min(3);
    let size = |whole: usize| if short { whole / 100 } else { whole };
    for (of, count, goals) in [
        (Subject::Names as fn(usize) -> Subject, size(1_000_000), [1.0, 40.0]),
        (Subject::Networks, size(100_000), [1.0, 40.0]),
        (Subject::Rules, size(100_000), [2.0, 0.0]),
    ] {
        let (small, large) = (place(of(10)), place(of(count)));
        let (mut seconds, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (before, after) = (load(&small, of(10)), load(&large, of(count)));
            seconds.push(after.seconds - before.seconds);
            memory.push(after.memory - before.memory);
        }
        let goal = |goal: f64| (goal > 0.0 && !short).then_some(goal);
        let name = of(count).to_string();
        let row = Row::new(Part::Frames, &name, "loading", "s", Spread::of_rounds(&seconds));
        report.push(Row { goal: goal(goals[0]), ..row });
        let row = Row::new(Part::Frames, &name, "memory", "MiB", Spread::of_rounds(&memory));
        report.push(Row { goal: goal(goals[1]), ..row });
    }
}

/// Where it stops being flat.
fn worst_cases(report: &mut Report, effort: Effort) {
    heading("the worst of each kind: microseconds of CPU a call");
    for Worst { case, size, policy, questions } in worst::all() {
        let place = Place::new();
        fs::write(place.path("policy/rules.yaml"), policy).expect("a policy's folder");
        let (ours, constant) = side_by_side(&place, &questions, effort);
        let row = Row::new(Part::Worst, case, "CPU a call", "us", ours);
        report.push(Row { size: Some(size), constant: Some(constant), ..row });
    }
}

/// Connections that come and go, each answered when it is in the database.
fn history(report: &mut Report, effort: Effort) {
    const OUTSTANDING: usize = 64;
    const GOAL: f64 = 8.0;
    heading("connected and disconnected, 64 outstanding: microseconds of CPU an event");
    let place = Place::new();
    let policy = "version: 1\nlog: []\nhistory:\n  database: history.db\n";
    fs::write(place.path("policy/rules.yaml"), policy).expect("a policy's folder");
    let (mut come, mut go) = (Vec::new(), Vec::new());
    for (id, number) in (1..).zip(0..OUTSTANDING) {
        frames::connected(&mut come, id, &Client::number(number));
        frames::disconnected(&mut go, id, &Client::number(number));
    }
    let mut drivers = start_both(&place);
    let mut figures = [Vec::new(), Vec::new()];
    let pairs = effort.calls / 10 / OUTSTANDING;
    for _ in 0..effort.rounds {
        for (driver, figures) in drivers.iter_mut().zip(&mut figures) {
            let cpu = cpu_of(driver, |driver| {
                for _ in 0..pairs {
                    driver.ask(&come, OUTSTANDING);
                    driver.ask(&go, OUTSTANDING);
                }
            });
            figures.push(cpu / (2 * pairs * OUTSTANDING) as f64);
        }
    }
    let [ours, constant] = end_both(drivers, figures);
    let row = Row::new(Part::Frames, "connected and disconnected", "CPU an event", "us", ours);
    report.push(Row { constant: Some(constant), goal: Some(GOAL), ..row });
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn place(subject: Subject) -> Place {
    let place = Place::new();
    subject.write(&place.path("policy"));
    place
}

/// Microseconds of CPU a call of our driver and of the constant one, in turn.
fn side_by_side(place: &Place, questions: &[Asked], effort: Effort) -> (Spread, Spread) {
    let mut drivers = start_both(place);
    for driver in &mut drivers {
        warm_up(driver, questions);
    }
    let count = drivers.each_mut().map(|driver| {
        let few = cpu_of_calls(driver, questions, 100) / 100.0;
        let fit = effort.cpu.as_secs_f64() * 1e6 / few.max(0.001);
        (fit as usize).clamp(100, effort.calls)
    });
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..effort.rounds {
        for ((driver, count), figures) in drivers.iter_mut().zip(count).zip(&mut figures) {
            figures.push(cpu_of_calls(driver, questions, count) / count as f64);
        }
    }
    let [ours, constant] = end_both(drivers, figures);
    (ours, constant)
}

/// Our driver on the place's policy, and the constant one.
fn start_both(place: &Place) -> [Port; 2] {
    let mut drivers = [
        Port::start(place.driver(&[]), place.path("ours.console")),
        Port::start(constant_driver(), place.path("constant.console")),
    ];
    drivers.iter_mut().for_each(Port::init);
    drivers
}

fn end_both(drivers: [Port; 2], figures: [Vec<f64>; 2]) -> [Spread; 2] {
    for driver in drivers {
        assert!(driver.end().success(), "a driver failed");
    }
    figures.map(|figures| Spread::of_rounds(&figures))
}

fn constant_driver() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("--constant");
    command
}

/// Asks until nothing that reads lists runs any more, and a little of everything once.
fn warm_up(driver: &mut Port, questions: &[Asked]) {
    loop {
        let before = cpu(driver.pid());
        sleep(Duration::from_millis(20));
        if cpu(driver.pid()) == before {
            break;
        }
    }
    let count = questions.len().min(100);
    driver.ask(&calls(questions, count), count);
}

/// Microseconds of CPU that the driver takes for so many calls.
fn cpu_of_calls(driver: &mut Port, questions: &[Asked], count: usize) -> f64 {
    let calls = calls(questions, count);
    cpu_of(driver, |driver| {
        driver.ask(&calls, count);
    })
}

/// Microseconds of CPU that the driver takes while it is asked.
fn cpu_of(driver: &mut Port, ask: impl FnOnce(&mut Port)) -> f64 {
    let before = cpu(driver.pid());
    ask(driver);
    // The last reply is read before its writer has come to rest.
    sleep(Duration::from_millis(2));
    cpu(driver.pid()).saturating_sub(before) as f64 / 1000.0
}

/// Nanoseconds on the CPU of all threads of a process that live. The kernel counts them when a thread comes to rest.
fn cpu(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let of_thread = |thread: &Path| {
        let text = fs::read_to_string(thread.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    threads.filter_map(|thread| of_thread(&thread.ok()?.path())).sum()
}

/// Mebibytes that a process has in memory.
fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// A driver that has just started.
#[derive(Debug, Clone, Copy)]
struct Started {
    seconds: f64,
    /// Mebibytes.
    memory: f64,
}

/// Starts a driver and waits until `init` is answered.
fn start(command: Command, place: &Place) -> Started {
    start_until(command, place, |_| true)
}

/// Starts a driver on a policy of this kind and waits until a call is answered with yes, which takes the lists.
fn load(place: &Place, subject: Subject) -> Started {
    let question = match subject {
        Subject::Rules(_) => Publish,
        Subject::Fleet | Subject::Names(_) | Subject::Networks(_) => Authenticate,
    };
    let calls = calls(&subject.questions(question), 10);
    start_until(place.driver(&[]), place, |driver| driver.ask(&calls, 10).allowed > 0)
}

fn start_until(command: Command, place: &Place, ready: impl Fn(&mut Port) -> bool) -> Started {
    let begin = Instant::now();
    let mut driver = Port::start(command, place.path("start.console"));
    driver.init();
    while !ready(&mut driver) {
        sleep(Duration::from_millis(5));
    }
    let started = Started { seconds: begin.elapsed().as_secs_f64(), memory: resident(driver.pid()) };
    assert!(driver.end().success(), "a driver failed");
    started
}
