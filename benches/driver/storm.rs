//! 10,000 logins at once, each with a hash to verify, and topic decisions meanwhile.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Settings;
use crate::figures::{Figures, quantile};
use crate::frames::{self, Client};
use crate::pipe::Piped;
use crate::place::{Driver, NAMES, OURS, Place, push_filters, write_lines};
use crate::process::cpu_us;
use crate::vm::Vm;

/// What the clients of `benches/erlang/fleet.erl` send as well.
const PASSWORD: &str = "secret";
const DEADLINE: Duration = Duration::from_secs(2);
/// Between two topic decisions.
const PACE: Duration = Duration::from_millis(1);
/// How many logins go out in one write, between which there may be a topic decision.
const SLICE: usize = 50;
/// Logins before the storm.
const ALONE: usize = 4;
/// The ids of topic decisions follow those of all logins.
const ACL: usize = NAMES + 1;

/// When topics are decided.
pub const PHASES: [&str; 4] = ["undisturbed", "while logins arrive", "while they wait", "while they are denied"];

/// When a call went out, when its answer came and whether that allows.
#[derive(Clone, Copy)]
struct Call {
    sent: Instant,
    answered: Instant,
    allows: bool,
}

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let mut text = String::from(
        "version: 1\npasswords:\n  fleet: { file: fleet.passwd }\n\
         auth:\n  rules:\n    - { id: fleet, allow: { username: \"${clientid}\" }, password: fleet }\n",
    );
    push_filters(&mut text);
    let policy = place.policy("policy", &text);
    passwords(&policy);
    let driver = place.ours(OURS, &policy);
    let mut figures = Figures::new(settings, DEADLINE);
    for _ in 0..settings.rounds {
        piped(&mut figures, &driver, settings.length);
        let mut vm = Vm::start();
        let opened = vm.open(&driver);
        let sample = vm.storm(&opened, 0, NAMES);
        let values = [
            ("allowed", sample.allowed),
            ("denied", sample.denied),
            ("late", sample.late),
            ("slowest_ms", sample.max / 1e3),
        ];
        figures.push("behind Erlang", OURS, &values);
    }
    figures
}

/// One hash stands for all users: to verify it costs each of them the same, and to make 10,000 would take minutes.
fn passwords(policy: &Path) {
    let one = policy.join("one.passwd");
    let mut passwd = Command::new(env!("CARGO_BIN_EXE_exhook-policy-measured"))
        .args(["passwd", "--stdin"])
        .arg(&one)
        .arg("someone")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program");
    writeln!(passwd.stdin.take().expect("a pipe"), "{PASSWORD}").expect("the program reads");
    assert!(passwd.wait().expect("the program").success());
    let line = std::fs::read_to_string(one).expect("an entry");
    let hash = line.trim().split_once(':').expect("an entry").1;
    write_lines(
        &policy.join("fleet.passwd"),
        (0..NAMES + ALONE).map(|n| format!("{}:{hash}", Client::number(n).username)),
    );
}

fn piped(figures: &mut Figures, driver: &Driver, undisturbed: Duration) {
    let mut piped = Piped::start(driver);
    let mut init = Vec::new();
    frames::init(&mut init);
    piped.ask(&init);
    // Users behind all others: for the first the file is read, for the next ones it is only a hash each.
    let alone = |piped: &mut Piped, user| play(piped, &[user], Duration::ZERO).0[0].took().as_secs_f64() * 1e3;
    let [_, hashes @ ..] = std::array::from_fn::<f64, ALONE, _>(|n| alone(&mut piped, NAMES + n));
    let hash_ms = hashes.into_iter().fold(f64::INFINITY, f64::min);
    let quiet = play(&mut piped, &[], undisturbed).1;

    let all: Vec<usize> = (0..NAMES).collect();
    let before = cpu_us(piped.child.id());
    let (logins, topics) = play(&mut piped, &all, DEADLINE);
    let cpu = cpu_us(piped.child.id()) - before;
    let verified: Vec<usize> = all.into_iter().filter(|n| logins[*n].allows).collect();
    let in_time = logins.iter().filter(|call| call.took() <= DEADLINE).count();
    let arrived = logins.iter().map(|call| call.sent).max().expect("logins");
    let slowest = logins.iter().map(Call::took).max().expect("logins");
    let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
    let values = [
        ("answered", logins.len() as f64),
        ("in_time", in_time as f64),
        ("verified", verified.len() as f64),
        ("hash_ms", hash_ms),
        // All cores, for the whole deadline, at nothing else.
        ("hashes_at_most", cores * DEADLINE.as_secs_f64() * 1e3 / hash_ms),
        ("slowest_ms", slowest.as_secs_f64() * 1e3),
        ("arriving_ms", (arrived - logins[0].sent).as_secs_f64() * 1e3),
        ("cpu_ms", cpu / 1e3),
    ];
    figures.push("logins", driver.name, &values);
    let denied = logins.iter().filter(|call| !call.allows && call.answered > arrived).map(|call| call.answered).min();
    let phase = |from: Option<Instant>, to: Option<Instant>| -> Vec<Call> {
        let within = |call: &&Call| from.is_none_or(|from| call.sent > from) && to.is_none_or(|to| call.sent <= to);
        topics.iter().filter(within).copied().collect()
    };
    topic_times(figures, PHASES[0], &quiet);
    topic_times(figures, PHASES[1], &phase(None, Some(arrived)));
    topic_times(figures, PHASES[2], &phase(Some(arrived), denied));
    topic_times(figures, PHASES[3], &phase(denied, None));

    let before = cpu_us(piped.child.id());
    let begin = Instant::now();
    let again = play(&mut piped, &verified, Duration::ZERO).0;
    let took = begin.elapsed();
    let values = [
        ("logins", again.len() as f64),
        ("allowed", again.iter().filter(|call| call.allows).count() as f64),
        ("all_ms", took.as_secs_f64() * 1e3),
        ("cpu_ms", (cpu_us(piped.child.id()) - before) / 1e3),
    ];
    figures.push("verified before", driver.name, &values);
    piped.finish();
}

/// How long topic decisions took in a phase, of which there may have been none.
fn topic_times(figures: &mut Figures, phase: &str, calls: &[Call]) {
    assert!(calls.iter().all(|call| call.allows), "{phase}");
    let mut times: Vec<f64> = calls.iter().map(|call| call.took().as_secs_f64() * 1e6).collect();
    if !times.is_empty() {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&mut times, part));
        figures.push(phase, OURS, &[("p50_us", p50), ("p99_us", p99), ("max_us", max)]);
    }
}

impl Call {
    fn took(&self) -> Duration {
        self.answered - self.sent
    }
}

/// Sends all logins at once, and topic decisions at a pace for so long, and waits for all answers.
fn play(piped: &mut Piped, logins: &[usize], topics: Duration) -> (Vec<Call>, Vec<Call>) {
    let topics = (topics.as_millis() / PACE.as_millis()) as usize;
    let (input, replies) = (&mut piped.input, &mut piped.replies);
    let begin = Instant::now() + PACE;
    let (sent, answers) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let count = logins.len() + topics;
            (0..count).map(|_| replies.next()).map(|reply| (reply, Instant::now())).collect::<Vec<_>>()
        });
        let mut sent = vec![begin; ACL + topics];
        let mut slices = logins.chunks(SLICE).enumerate().peekable();
        let mut next_topic = 0;
        while slices.peek().is_some() || next_topic < topics {
            let due = begin + PACE * next_topic as u32;
            if next_topic < topics && (slices.peek().is_none() || Instant::now() >= due) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                sent[ACL + next_topic] = Instant::now();
                input.write_all(&topic(next_topic)).expect("the driver reads");
                next_topic += 1;
            } else if let Some((place, slice)) = slices.next() {
                let mut calls = Vec::new();
                for (n, login) in slice.iter().enumerate() {
                    let id = place * SLICE + n + 1;
                    frames::authenticate(&mut calls, id as u32, &Client::number(*login), PASSWORD);
                }
                let now = Instant::now();
                sent[place * SLICE + 1..][..slice.len()].fill(now);
                input.write_all(&calls).expect("the driver reads");
            }
        }
        (sent, reader.join().expect("all answers"))
    });
    let mut calls: Vec<Option<Call>> = vec![None; sent.len()];
    for (reply, answered) in answers {
        let id = reply.id as usize;
        let call = Call { sent: sent[id], answered, allows: reply.allows };
        assert!(calls[id].replace(call).is_none(), "{id} was answered twice");
    }
    let answered = |ids: std::ops::Range<usize>| calls[ids].iter().map(|call| call.expect("an answer")).collect();
    (answered(1..logins.len() + 1), answered(ACL..ACL + topics))
}

fn topic(n: usize) -> Vec<u8> {
    let mut call = Vec::new();
    let site = n * 3 % 99;
    frames::check_acl(
        &mut call,
        (ACL + n) as u32,
        &Client::number(n),
        "publish",
        &format!("site/{site}/kitchen/state"),
    );
    call
}
