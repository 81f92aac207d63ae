//! `kill -9` under load: what was acknowledged is there, and nothing twice.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::broker::Broker;
use super::dialect::named;
use super::host::Driver;
use super::load::{Load, Story, check};
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::history::Kept as _;
use crate::support::random::Random;
use crate::support::scale::{scale, times};
use crate::support::wait::PATIENCE;

/// The policy that all of it is recorded with. It says little, and its deadline is never the reason of an answer.
fn rules() -> String {
    rules_in_silence() + "deadline: 30s\n"
}

#[test]
fn a_killed_driver_loses_nothing_that_was_acknowledged() {
    /// Rounds on one database.
    const ROUNDS: u32 = 24;
    let mut random = Random::new("kill a driver");
    // A thousand in a soak.
    let databases = if scale() == 1 { 1 } else { times(5, 42) };
    for _ in 0..databases {
        let place = Place::new(&rules());
        // Whatever comes later, there is a database.
        Driver::start(&place).ask(&Call::Connected(client("read-first")));
        let (mut stories, mut early) = (Vec::new(), 0);
        let mut round = 0;
        while round < ROUNDS || acknowledged(&stories) <= 100 {
            assert!(round < 10 * ROUNDS, "only {} clients were acknowledged", acknowledged(&stories));
            let mut driver = Driver::start(&place);
            let mut load = Load::start(&mut driver, 48);
            let killed_after = Duration::from_millis(random.below(400) as u64);
            thread::scope(|scope| {
                let pid = Pid::from_child(&driver.child);
                scope.spawn(move || {
                    thread::sleep(killed_after);
                    kill_process(pid, Signal::KILL).unwrap();
                });
                load.play(&mut driver, Instant::now() + PATIENCE);
            });
            load.take(&driver.kill());
            let played = load.done();
            early += played.early();
            stories.extend(played.stories);
            if round % 2 == 1 {
                // The next driver finds the files first.
                let mut next = Driver::start(&place);
                next.ask(&Call::Connected(client("read-next")));
                next.kill();
            }
            check(&place.database(), &stories);
            round += 1;
        }
        println!("{} clients acknowledged, {early} answers outside the promise", acknowledged(&stories));
    }
}

#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    const CLIENTS: usize = 24;
    let place = Place::new(&rules());
    let mut random = Random::new("kill a server");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut stories = Vec::new();
    let (mut round, rounds) = (0, times(6, 300));
    // On a busy machine little is acknowledged in a round.
    while round < rounds || acknowledged(&stories) <= 100 {
        assert!(round < 10 * rounds, "only {} clients were acknowledged", acknowledged(&stories));
        round += 1;
        let server = place.serve();
        let broker = runtime.block_on(async { Broker::at(named("v2a"), server.address) });
        let waits: Mutex<Vec<Option<Instant>>> = Mutex::new(vec![None; CLIENTS]);
        let ended: Mutex<Vec<Story>> = Mutex::default();
        let client = async |slot: usize| {
            loop {
                let mut story = Story::next();
                while let Some(call) = story.send() {
                    waits.lock().unwrap()[slot] = Some(Instant::now());
                    if broker.try_call(call).await.is_err() {
                        ended.lock().unwrap().push(story);
                        return;
                    }
                    let oldest = waits.lock().unwrap().iter().flatten().min().copied();
                    story.answered(oldest.is_some_and(|oldest| oldest.elapsed() > Duration::from_millis(900)));
                    waits.lock().unwrap()[slot] = None;
                }
                ended.lock().unwrap().push(story);
            }
        };
        let killed_after = Duration::from_millis(100 + random.below(500) as u64);
        runtime.block_on(async {
            broker.load().await.unwrap();
            let killer = async {
                tokio::time::sleep(killed_after).await;
                server.signal(Signal::KILL);
            };
            let all = futures(CLIENTS, client);
            tokio::join!(killer, all);
        });
        drop(server);
        stories.extend(ended.into_inner().unwrap());
        check(&place.database(), &stories);
    }
}

/// How many clients are surely in the database.
fn acknowledged(stories: &[Story]) -> usize {
    stories.iter().filter(|story| story.is_acknowledged()).count()
}

/// All of them at once, on this thread.
async fn futures<F: Future<Output = ()>>(count: usize, each: impl Fn(usize) -> F) {
    let mut all: Vec<_> = (0..count).map(|slot| Box::pin(each(slot))).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
