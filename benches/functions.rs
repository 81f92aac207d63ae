//! The driver's functions, one by one: how long each takes and what it allocates, by the size of what it works on.
//!
//! `cargo bench -p exhook-policy-benches --bench functions` measures all; a word behind `--` picks those whose names hold it. Sizes of a million
//! and policies of 100,000 rules take some seconds to be made.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    unreachable_pub,
    reason = "a benchmark ends by a panic"
)]

#[expect(dead_code, reason = "other benchmarks start a driver with them")]
#[path = "common/frames.rs"]
mod frames;
#[path = "common/policies.rs"]
mod policies;
#[expect(dead_code, reason = "other benchmarks start a driver for it")]
#[path = "common/subjects.rs"]
mod subjects;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};

/// Counts what each function allocates.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The frames of one read: as many as a pipe holds.
fn one_read(call: impl Fn(&mut Vec<u8>, u32, &frames::Client)) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for n in 1.. {
        call(&mut bytes, n, &frames::Client::number(n as usize));
        if bytes.len() > 64 << 10 {
            break;
        }
        last = bytes.len();
    }
    bytes.truncate(last);
    bytes
}

/// From bytes to events.
mod reader {
    use exhook_policy_core::event::Event;
    use exhook_policy_runtime::port::call::Incoming;
    use exhook_policy_runtime::port::frame::{Frames, Packet};

    use super::{Bencher, BytesCount, ItemsCount, black_box, frames, one_read};

    const KINDS: [&str; 4] = ["authenticate", "check_acl", "connected", "disconnected"];

    fn bytes_of(kind: &str) -> Vec<u8> {
        one_read(|out, id, client| match kind {
            "authenticate" => frames::authenticate(out, id, client, "s3cret"),
            "check_acl" => frames::check_acl(out, id, client, "publish", "site/42/room/light"),
            "connected" => frames::connected(out, id, client),
            "disconnected" => frames::disconnected(out, id, client),
            other => unreachable!("{other}"),
        })
    }

    /// The frames of one read, apart from each other.
    pub fn apart(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Frames::new(Packet::Four);
        frames.extend(bytes);
        let mut found = Vec::new();
        while let Some(frame) = frames.next().expect("whole frames") {
            found.push(frame.to_vec());
        }
        found
    }

    /// The event of a frame.
    pub fn event(frame: &[u8]) -> Event<'_> {
        let Ok(Incoming::Call(call)) = Incoming::read(frame) else { panic!("a call") };
        let hook = call.hook().expect("a hook");
        call.event(hook).expect("an event")
    }

    /// Splits one read into frames.
    #[divan::bench]
    fn split(bencher: Bencher<'_, '_>) {
        let bytes = bytes_of("check_acl");
        let mut frames = Frames::new(Packet::Four);
        let count = apart(&bytes).len();
        bencher.counter(ItemsCount::new(count)).counter(BytesCount::of_slice(&bytes)).bench_local(|| {
            frames.extend(&bytes);
            let mut length = 0;
            while let Some(frame) = frames.next().expect("whole frames") {
                length += frame.len();
            }
            length
        });
    }

    /// Reads the terms of one read's frames.
    #[divan::bench(args = KINDS)]
    fn terms(bencher: Bencher<'_, '_>, kind: &str) {
        let bytes = bytes_of(kind);
        let frames = apart(&bytes);
        bencher.counter(ItemsCount::new(frames.len())).counter(BytesCount::of_slice(&bytes)).bench_local(|| {
            for frame in &frames {
                black_box(event(frame));
            }
        });
    }
}

/// What a policy decides, by its size: a thousand questions a round, whose answers lie all over it.
mod decisions {
    use exhook_policy_core::event::Action;
    use exhook_policy_core::policy::Policy;
    use exhook_policy_core::policy::lists::Lists;
    use exhook_policy_runtime::files::policies;
    use exhook_policy_runtime::source;

    use super::subjects::{Asked, Question, Subject};
    use super::{Bencher, ItemsCount, black_box};

    fn compiled(subject: Subject) -> (Policy, Lists) {
        let folder = tempfile::tempdir().expect("a folder");
        subject.write(folder.path());
        let loaded = policies::load(&folder.path().join("rules.yaml")).unwrap_or_else(|report| panic!("{report}"));
        let policy = Policy::compile(loaded.model);
        let (lists, problems) = source::read(policy.lists());
        assert!(problems.is_empty(), "{problems:?}");
        (policy, lists)
    }

    fn measure(bencher: Bencher<'_, '_>, subject: Subject, question: Question) {
        let (policy, lists) = compiled(subject);
        let asked: Vec<Asked> = subject.questions(question);
        bencher.counter(ItemsCount::new(asked.len())).bench_local(|| {
            for asked in &asked {
                let client = asked.asking();
                match question {
                    Question::Authenticate => drop(black_box(policy.authenticate(&client, &lists))),
                    Question::Publish => {
                        black_box(policy.check_acl(&client, Action::Publish, &asked.topic, &lists));
                    }
                    Question::Wildcard => {
                        black_box(policy.check_acl(&client, Action::Subscribe, &asked.topic, &lists));
                    }
                }
            }
        });
    }

    #[divan::bench(args = [10, 1_000, 100_000, 1_000_000])]
    fn login_by_names(bencher: Bencher<'_, '_>, names: usize) {
        measure(bencher, Subject::Names(names), Question::Authenticate);
    }

    #[divan::bench(args = [10, 1_000, 100_000])]
    fn login_by_networks(bencher: Bencher<'_, '_>, networks: usize) {
        measure(bencher, Subject::Networks(networks), Question::Authenticate);
    }

    #[divan::bench(args = [10, 1_000, 100_000])]
    fn publish(bencher: Bencher<'_, '_>, rules: usize) {
        measure(bencher, Subject::Rules(rules), Question::Publish);
    }

    #[divan::bench(args = [10, 1_000, 100_000])]
    fn wildcard_subscribe(bencher: Bencher<'_, '_>, rules: usize) {
        measure(bencher, Subject::Rules(rules), Question::Wildcard);
    }
}

/// What limits cost a login, by how many names are counted already.
mod limits {
    use std::cell::Cell;
    use std::path::Path;

    use exhook_policy_core::event::{Client, Extra, Peerhost};
    use exhook_policy_core::policy::lists::Lists;
    use exhook_policy_core::policy::model::LimitDefs;
    use exhook_policy_core::policy::{Policy, parse};
    use exhook_policy_runtime::clock::Moment;
    use exhook_policy_runtime::limits::{LimitedLogin, Limits};

    use super::{Bencher, ItemsCount, black_box};

    const BY_ONE: &str = "auth: { flapping: { by: clientid, logins: 1000, within: 1d, ban: 5m } }";
    const BY_FOUR: &str = "auth:
  flapping: { by: clientid, logins: 1000, within: 1d, ban: 5m }
  lockout: { by: [peerhost, username, [username, peerhost]], failures: 1000, within: 1d, ban: 5m }";

    fn client(name: &str) -> Client<'_> {
        Client {
            clientid: name,
            username: name,
            peerhost: Peerhost::parse("10.0.0.1"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "emqx@127.0.0.1",
            is_superuser: false,
            anonymous: true,
            extra: Extra::NONE,
        }
    }

    fn measure(bencher: Bencher<'_, '_>, limits: &str, names: usize) {
        let text = format!("version: 1\n{limits}\n");
        let policy = Policy::compile(parse(&text, "rules.yaml", Path::new("")).expect("a policy").model);
        let (limits, lists) = (Limits::default(), Lists::none());
        let defs: &LimitDefs = policy.limits();
        let names: Vec<String> = (0..names).map(|n| format!("device-{n:010}")).collect();
        // Each name comes about once a day.
        let pace = 86_400_000 / u64::try_from(names.len()).expect("a number of names");
        let now = Cell::new(Moment { unix: 1_700_000_000_000, steady: 0 });
        let ask = |name: &str| {
            let client = client(name);
            let login = LimitedLogin { defs, mode: policy.mode(), client: &client, lists: &lists };
            now.set(Moment { steady: now.get().steady + pace, ..now.get() });
            black_box(limits.asked(login, now.get()));
        };
        for name in &names {
            ask(name);
        }
        let mut coming = names.iter().cycle();
        bencher
            .counter(ItemsCount::new(1000_usize))
            .bench_local(|| coming.by_ref().take(1000).for_each(|name| ask(name)));
    }

    #[divan::bench(args = [100, 10_000, 50_000], sample_count = 20)]
    fn asked_by_one(bencher: Bencher<'_, '_>, names: usize) {
        measure(bencher, BY_ONE, names);
    }

    #[divan::bench(args = [100, 10_000, 50_000], sample_count = 20)]
    fn asked_by_four(bencher: Bencher<'_, '_>, names: usize) {
        measure(bencher, BY_FOUR, names);
    }
}

/// A set of topics against one rule's patterns, by how many these are and of which kind; the last one fits.
mod topics {
    use exhook_policy_core::event::Action;
    use exhook_policy_core::text::Identity;
    use exhook_policy_core::topic::{Pattern, Patterns, Request};

    use super::{Bencher, black_box};

    const IDENTITY: Identity<'static> = Identity { clientid: "device-0000000042", username: "device-0000000042" };
    const SIZES: [usize; 3] = [1, 10, 100];

    fn filters(count: usize) -> Patterns {
        let filter = |n| Pattern::filter(&format!("site/{}/${{clientid}}/+/#", count - n)).expect("a filter");
        Patterns::new((0..count).map(filter).collect())
    }

    fn globs(count: usize) -> Patterns {
        let glob = |n| Pattern::glob(&format!("site/{}/${{clientid}}/*/**", count - n)).expect("a glob");
        Patterns::new((0..count).map(glob).collect())
    }

    fn regexes(count: usize) -> Patterns {
        let regex = |n| Pattern::regex(&format!("site/{}/${{clientid}}/[^/]*/.*", count - n)).expect("a regex");
        Patterns::new((0..count).map(regex).collect())
    }

    fn cover(bencher: Bencher<'_, '_>, patterns: &Patterns, action: Action, topic: &str) {
        let ask = || {
            let request = Request::parse(action, black_box(topic)).expect("a topic");
            patterns.cover(&request, IDENTITY)
        };
        assert!(ask(), "{topic}");
        bencher.bench_local(ask);
    }

    fn touch(bencher: Bencher<'_, '_>, patterns: &Patterns) {
        let ask =
            || patterns.touch(&Request::parse(Action::Subscribe, black_box("site/1/#")).expect("a topic"), IDENTITY);
        assert!(ask());
        bencher.bench_local(ask);
    }

    const TOPIC: &str = "site/1/device-0000000042/up/temperature";
    const FILTER: &str = "site/1/device-0000000042/up/+";

    #[divan::bench(args = SIZES)]
    fn publish_to_filters(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &filters(count), Action::Publish, TOPIC);
    }

    #[divan::bench(args = SIZES)]
    fn publish_to_globs(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &globs(count), Action::Publish, TOPIC);
    }

    #[divan::bench(args = SIZES)]
    fn publish_to_regexes(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &regexes(count), Action::Publish, TOPIC);
    }

    #[divan::bench(args = SIZES)]
    fn wildcard_in_filters(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &filters(count), Action::Subscribe, FILTER);
    }

    #[divan::bench(args = SIZES)]
    fn wildcard_in_globs(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &globs(count), Action::Subscribe, FILTER);
    }

    #[divan::bench(args = SIZES)]
    fn wildcard_in_regexes(bencher: Bencher<'_, '_>, count: usize) {
        cover(bencher, &regexes(count), Action::Subscribe, FILTER);
    }

    #[divan::bench(args = SIZES)]
    fn wildcard_denied_by_filters(bencher: Bencher<'_, '_>, count: usize) {
        touch(bencher, &filters(count));
    }

    #[divan::bench(args = SIZES)]
    fn wildcard_denied_by_globs(bencher: Bencher<'_, '_>, count: usize) {
        touch(bencher, &globs(count));
    }
}

/// Look-ups in a list, half of which are in vain.
mod lists {
    use std::net::IpAddr;

    use exhook_policy_core::policy::lists::{List, Uses};

    use super::{Bencher, ItemsCount, black_box, policies};

    const LOOKUPS: usize = 1000;

    fn list(uses: Uses, entries: impl Iterator<Item = String>) -> List {
        let entries: Vec<String> = entries.collect();
        List::build(uses, (1..).zip(entries.iter().map(String::as_str))).expect("a list")
    }

    #[divan::bench(args = [10, 1_000, 100_000, 1_000_000])]
    fn names(bencher: Bencher<'_, '_>, count: usize) {
        let list = list(Uses { text: true, networks: false }, policies::names(count));
        // A stride that is prime to the sizes, so that neighbours are not asked for one after the other.
        let asked: Vec<String> = (0..LOOKUPS).map(|n| format!("device-{:010}", n * 7919 % (2 * count))).collect();
        bencher
            .counter(ItemsCount::new(LOOKUPS))
            .bench_local(|| asked.iter().filter(|name| list.contains_text(black_box(name))).count());
    }

    #[divan::bench(args = [10, 1_000, 100_000])]
    fn networks(bencher: Bencher<'_, '_>, count: usize) {
        let list = list(Uses { text: false, networks: true }, policies::networks(count));
        let all: Vec<String> = policies::networks(2 * count).collect();
        let address = |n: usize| {
            let network = all[n * 7919 % all.len()].as_str();
            let host = network.trim_end_matches("0/24").trim_end_matches("/64").to_owned() + "7";
            host.parse::<IpAddr>().expect("an address")
        };
        let asked: Vec<IpAddr> = (0..LOOKUPS).map(address).collect();
        bencher
            .counter(ItemsCount::new(LOOKUPS))
            .bench_local(|| asked.iter().filter(|address| list.contains_address(black_box(**address))).count());
    }

    #[divan::bench(args = [1_000, 100_000, 1_000_000], sample_count = 10)]
    fn building_of_names(bencher: Bencher<'_, '_>, count: usize) {
        let names: Vec<String> = policies::names(count).collect();
        let uses = Uses { text: true, networks: false };
        bencher
            .counter(ItemsCount::new(count))
            .bench_local(|| List::build(uses, (1..).zip(names.iter().map(String::as_str))).expect("a list"));
    }
}

/// Answers as frames.
mod replies {
    use exhook_policy_core::decision::Answer;
    use exhook_policy_runtime::port::frame::Packet;
    use exhook_policy_runtime::port::reply::{ReplyOutcome, push};

    use super::{Bencher, ItemsCount};

    #[divan::bench]
    fn writing(bencher: Bencher<'_, '_>) {
        let mut out = Vec::new();
        let answers = [Answer::Allow, Answer::Deny, Answer::NoOpinion, Answer::Allow];
        bencher.counter(ItemsCount::new(answers.len())).bench_local(|| {
            out.clear();
            for answer in answers {
                push(&mut out, Packet::Four, &[98, 0, 1, 2, 3], ReplyOutcome::Answer(answer)).expect("a short answer");
            }
            out.len()
        });
    }
}

/// Events as lines.
mod json {
    use exhook_policy_core::event::json::{read, write};

    use super::reader::{apart, event};
    use super::{Bencher, frames};

    fn frame() -> Vec<u8> {
        let mut bytes = Vec::new();
        frames::check_acl(&mut bytes, 1, &frames::Client::number(42), "subscribe", "site/42/+/state");
        apart(&bytes).remove(0)
    }

    #[divan::bench]
    fn writing(bencher: Bencher<'_, '_>) {
        let frame = frame();
        let event = event(&frame);
        bencher.bench_local(|| write(&event, 1_700_000_000_000));
    }

    #[divan::bench]
    fn reading(bencher: Bencher<'_, '_>) {
        let line = write(&event(&frame()), 1_700_000_000_000);
        bencher.bench_local(|| read(&line).expect("an event"));
    }
}

/// Connections that come and go, from the call to the commit.
mod history {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use exhook_policy_core::answer_sink::Sink;
    use exhook_policy_core::policy::model::{HistoryDef, Record, Sync};
    use exhook_policy_runtime::history::History;
    use exhook_policy_runtime::log::Log;
    use exhook_policy_runtime::process::Recorder;

    use super::reader::{apart, event};
    use super::{Bencher, ItemsCount, frames, one_read};

    /// As many calls of a broker are outstanding at a time.
    #[divan::bench(args = [1, 64, 1024], sample_count = 20, sample_size = 1)]
    fn commits(bencher: Bencher<'_, '_>, outstanding: usize) {
        const EVENTS: usize = 4096;
        let folder = tempfile::tempdir().expect("a folder");
        let committed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&committed);
        let sink: Sink = Arc::new(move |answers| {
            count.fetch_add(answers.len() as u64, Ordering::Release);
        });
        let record =
            Record { connections: true, denials: false, attempts: false, subscriptions: false, messages: false };
        let def = HistoryDef { database: folder.path().join("history.db"), keep: None, sync: Sync::Normal, record };
        let log = Log::to(std::io::stderr());
        let history = History::start(&def, Recorder::of_this_process("python3"), Duration::from_secs(60), sink, &log);
        let come = apart(&one_read(frames::connected));
        let go = apart(&one_read(frames::disconnected));
        let pairs = come.len().min(go.len());
        let (come, go) = (&come[..pairs], &go[..pairs]);
        // Each client comes and goes before it comes again.
        let frames: Vec<&Vec<u8>> = come.iter().chain(go).cycle().take(EVENTS).collect();
        let mut token = 0;
        bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
            for frame in &frames {
                token += 1;
                if !history.record(&event(frame), token) {
                    committed.fetch_add(1, Ordering::Release);
                }
                await_commits(&committed, token.saturating_sub(outstanding as u64 - 1));
            }
            await_commits(&committed, token);
        });
        history.finish();
    }

    fn await_commits(committed: &AtomicU64, count: u64) {
        let start = Instant::now();
        while committed.load(Ordering::Acquire) < count {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is committed");
            std::thread::yield_now();
        }
    }
}
