//! Instructions a call, counted by valgrind, which comes to the same on every machine and under every load.
//!
//! `cargo bench -p exhook-policy-counts --profile counts` is what CI runs. It fails where a call takes more instructions
//! than the table allows, or more
//! than the allowed multiple with a policy that is larger. `-- --long` counts the largest policies too.
//!
//! Each row is a difference: the driver, started as a broker starts it, answers the same calls once in one run and twice in
//! another, and what start, loading and end take falls out.

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unreachable,
    unreachable_pub,
    reason = "a benchmark ends by a panic, and prints"
)]

#[path = "../common/constant.rs"]
mod constant;
#[expect(dead_code, reason = "other benchmarks tell of connections")]
#[path = "../common/frames.rs"]
mod frames;
#[path = "../common/policies.rs"]
mod policies;
#[expect(dead_code, reason = "other benchmarks look at the process")]
#[path = "../common/port.rs"]
mod port;
#[path = "../common/subjects.rs"]
mod subjects;

use std::fs;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::port::{Place, Port};
use crate::subjects::Question::{Authenticate, Publish, Wildcard};
use crate::subjects::{Question, Subject, allowed, calls, grouped};

/// The driver that is measured: the program without its commands.
const PROGRAM: &str = env!("CARGO_BIN_EXE_exhook-policy-counted");

/// How many calls make the difference: each question of [`Subject::questions`] once.
const CALLS: usize = 1000;

/// What a call may take: some 15 % more than it took when the number was written. A change that
/// needs more raises it, and says why. That of logins was raised by up to 7 % since they are
/// counted without link-time optimisation.
const CEILINGS: &[(Subject, Question, u64)] = &[
    (Subject::Fleet, Authenticate, 4_900),
    (Subject::Fleet, Publish, 7_000),
    (Subject::Fleet, Wildcard, 22_000),
    (Subject::Rules(10), Publish, 7_000),
    (Subject::Rules(10), Wildcard, 32_000),
    (Subject::Names(10), Authenticate, 4_900),
    (Subject::Networks(10), Authenticate, 5_700),
];

/// How a call may grow with the policy: at most so many times from the first size to the last. The long form alone counts what
/// lies behind the bar.
const GROWTH: &[Growth] = &[
    Growth { of: Subject::Rules, question: Publish, limit: 2.0, sizes: &[10, 1_000, 10_000], long: 100_000 },
    Growth { of: Subject::Rules, question: Wildcard, limit: 3.0, sizes: &[10, 1_000, 10_000], long: 100_000 },
    Growth { of: Subject::Names, question: Authenticate, limit: 2.5, sizes: &[10, 1_000, 100_000], long: 1_000_000 },
    Growth { of: Subject::Networks, question: Authenticate, limit: 2.5, sizes: &[10, 1_000, 100_000], long: 100_000 },
];

struct Growth {
    of: fn(usize) -> Subject,
    question: Question,
    limit: f64,
    sizes: &'static [usize],
    /// The last size of the long form.
    long: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--constant") {
        return constant::run();
    }
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!(
            "valgrind counts the instructions and is not here: apt-get install valgrind, or as your system has it"
        );
        return ExitCode::from(2);
    }
    let subjects = subjects(arguments.iter().any(|argument| argument == "--long"));
    let first = count(&subjects);
    if judge(&first) {
        return ExitCode::SUCCESS;
    }
    // What a driver does by the clock (it looks at its files, and takes itself apart at the end)
    // may fall into one of two runs alone, and then stands in their difference. It does not in most
    // of three.
    eprintln!("counted twice more, for what is done by the clock; the median counts");
    let again = [count(&subjects), count(&subjects)];
    let passes = judge(&median(first, &again));
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same rows, each with the median of what was counted.
fn median(mut counted: Vec<Counted>, again: &[Vec<Counted>; 2]) -> Vec<Counted> {
    for (at, row) in counted.iter_mut().enumerate() {
        let [second, third] = again.each_ref().map(|counted| counted[at].instructions);
        let mut all = [row.instructions, second, third];
        all.sort_unstable();
        row.instructions = all[1];
    }
    counted
}

/// What is counted: each policy with all that is asked of it. `None` is the constant driver.
fn subjects(long: bool) -> Vec<(Option<Subject>, Vec<Question>)> {
    let mut subjects: Vec<(Option<Subject>, Vec<Question>)> = vec![(None, vec![Authenticate, Publish, Wildcard])];
    let mut add = |subject: Subject, question| match subjects.iter_mut().find(|(known, _)| *known == Some(subject)) {
        Some((_, questions)) if questions.contains(&question) => {}
        Some((_, questions)) => questions.push(question),
        None => subjects.push((Some(subject), vec![question])),
    };
    for growth in GROWTH {
        let last = (long && !growth.sizes.contains(&growth.long)).then_some(growth.long);
        for size in growth.sizes.iter().copied().chain(last) {
            add((growth.of)(size), growth.question);
        }
    }
    for (subject, question, _) in CEILINGS {
        add(*subject, *question);
    }
    subjects
}

/// Instructions a call.
struct Counted {
    subject: Option<Subject>,
    question: Question,
    instructions: u64,
}

/// One run of a driver: what it was asked, and what that took.
struct Run {
    /// Logins asked until the lists were there.
    probes: usize,
    instructions: u64,
}

/// A run that is to be made: of which subject, and which of its questions are asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    subject: usize,
    twice: Option<usize>,
}

fn count(subjects: &[(Option<Subject>, Vec<Question>)]) -> Vec<Counted> {
    let places: Vec<Place> = subjects.iter().map(|(subject, _)| place(*subject)).collect();
    // The largest are last of their kind; begun first, none is left to one core at the end.
    let jobs = subjects.iter().enumerate().rev().flat_map(|(subject, (_, questions))| {
        let twice = (0..questions.len()).map(Some);
        twice.chain([None]).map(move |twice| Job { subject, twice })
    });
    let queue = Mutex::new(jobs);
    let runs = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(job) = queue.lock().expect("a queue").next() else { return };
            let (subject, questions) = &subjects[job.subject];
            let run = run(&places[job.subject], *subject, questions, job.twice);
            runs.lock().expect("runs").push((job, run));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let runs: Vec<(Job, Run)> = runs.into_inner().expect("runs");
    let of = |subject, twice| {
        let job = Job { subject, twice };
        &runs.iter().find(|(made, _)| *made == job).expect("a run of each").1
    };
    let mut counted = Vec::new();
    for (at, (subject, questions)) in subjects.iter().enumerate() {
        let once = of(at, None);
        for (n, question) in questions.iter().enumerate() {
            let twice = of(at, Some(n));
            let more = (CALLS + twice.probes).saturating_sub(once.probes);
            let instructions = twice.instructions.saturating_sub(once.instructions) / more as u64;
            counted.push(Counted { subject: *subject, question: *question, instructions });
        }
    }
    counted
}

fn place(subject: Option<Subject>) -> Place {
    let place = Place::new();
    if let Some(subject) = subject {
        subject.write(&place.path("policy"));
    }
    place
}

/// One run: each question once, and those of one kind twice.
///
/// The calls come through a pipe, as from a broker, and only after `init` was answered: calls that come while the policy is
/// being loaded are kept and answered later, which takes other instructions. They are written all at once into a pipe that holds
/// them, and valgrind is many times slower than that, so the driver always reads as much as it can take, and the number of
/// its reads does not change from run to run.
fn run(place: &Place, subject: Option<Subject>, questions: &[Question], twice: Option<usize>) -> Run {
    let name = twice.map_or("once".to_owned(), |n| format!("twice-{n}"));
    let counts = place.path(&format!("{name}.callgrind"));
    let valgrind = ["valgrind", "--tool=callgrind", "--dump-line=no"].map(str::to_owned);
    let under: Vec<String> =
        valgrind.into_iter().chain([format!("--callgrind-out-file={}", counts.display())]).collect();
    let command = if subject.is_some() {
        place.driver(&under)
    } else {
        let mut command = Command::new(&under[0]);
        command.args(&under[1..]).arg(std::env::current_exe().expect("this program")).arg("--constant");
        command
    };
    let mut port = Port::start(command, place.path(&format!("{name}.console")));
    port.init();
    let probes = subject.map_or(0, |subject| await_lists(&mut port, subject));
    for (n, question) in questions.iter().enumerate() {
        let asked = subject.unwrap_or(Subject::Fleet).questions(*question);
        let expected = subject.map_or(CALLS, |_| allowed(&place.path("policy"), &asked));
        for _ in 0..if twice == Some(n) { 2 } else { 1 } {
            let answers = port.ask(&calls(&asked, CALLS), CALLS);
            let subject = subject.map_or("the constant driver".to_owned(), |subject| subject.to_string());
            assert_eq!(answers.allowed, expected, "{subject}, {question}: of {CALLS} calls so many are allowed");
        }
    }
    let status = port.end();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(&counts).expect("valgrind's counts");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let instructions = total.and_then(|total| total.trim().parse().ok());
    Run { probes, instructions: instructions.unwrap_or_else(|| panic!("no total in {}", counts.display())) }
}

/// Asks for a login until it is allowed: under valgrind a large list takes longer than the driver waits for it at its start.
fn await_lists(port: &mut Port, subject: Subject) -> usize {
    let first = &subject.questions(Authenticate)[..1];
    for asked in 1..1000 {
        if port.ask(&calls(first, 1), 1).allowed == 1 {
            return asked;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("{subject}: the lists are not read");
}

/// Prints what was counted and holds it to the tables; whether all of it is within them.
fn judge(counted: &[Counted]) -> bool {
    let (mut passed, mut failed) = (0, 0);
    let mut verdict = |holds: bool| {
        *(if holds { &mut passed } else { &mut failed }) += 1;
        if holds { "" } else { "  TOO MUCH" }
    };
    println!("{:<30} {:<20} {:>12} {:>12} {:>16}", "policy", "call", "instructions", "ceiling", "growth (limit)");
    for Counted { subject, question, instructions } in counted {
        let ceiling = CEILINGS.iter().find(|(s, q, _)| Some(*s) == *subject && q == question).map(|(_, _, most)| *most);
        let growth = GROWTH.iter().find(|growth| {
            growth.question == *question
                && growth.sizes.iter().skip(1).chain([&growth.long]).any(|size| Some((growth.of)(*size)) == *subject)
        });
        let growth = growth.and_then(|growth| {
            let first = Some((growth.of)(growth.sizes[0]));
            let first = counted.iter().find(|c| c.subject == first && c.question == *question)?;
            Some((*instructions as f64 / first.instructions as f64, growth.limit))
        });
        let name = subject.map_or("constant driver".to_owned(), |subject| subject.to_string());
        let mut end = String::new();
        if let Some(most) = ceiling {
            end += verdict(*instructions <= most);
        }
        if let Some((times, limit)) = growth {
            end += verdict(times <= limit);
        }
        let row = format!(
            "{name:<30} {:<20} {:>12} {:>12} {:>16}{end}",
            question.to_string(),
            grouped(*instructions),
            ceiling.map(grouped).unwrap_or_default(),
            growth.map(|(times, limit)| format!("{times:.2} ({limit})")).unwrap_or_default(),
        );
        println!("{}", row.trim_end());
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}
