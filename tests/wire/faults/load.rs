//! Many clients at once, each with a story that goes on when the call before is answered; and what must be in the database
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::host::{Driver, Reply};
use super::story::{Call, Client, client};
use crate::support::wait::PATIENCE;

/// An answer to a call that was made while another has waited for so long may be outside the promise, which ends at a
/// second.
const PROMISED: Duration = Duration::from_millis(900);

/// As much as a call may take: the policy's deadline, and what a busy machine adds.
pub(crate) const SLOWEST: Duration = Duration::from_secs(3);

/// Nothing waited for the disk.
#[track_caller]
pub(crate) fn all_answered(played: &Played) {
    assert!(played.slowest_decision < SLOWEST, "a login took {:?}", played.slowest_decision);
    assert!(played.slowest_told < SLOWEST, "an event took {:?}", played.slowest_told);
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stays,
    Leaves,
    IsTakenOver,
}

/// One client, and how far it has come.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) clientid: &'static str,
    calls: Vec<Call>,
    sent: usize,
    /// Answered.
    acknowledged: usize,
    /// Answered, and so surely in the database.
    promised: usize,
    sent_at: Instant,
}

impl Story {
    /// The story of a client that nobody has heard of.
    pub(crate) fn next() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let end = [End::Leaves, End::Stays, End::IsTakenOver][number as usize % 3];
        Story::of(format!("read-{}-{number}", std::process::id()).leak(), end)
    }

    fn of(clientid: &'static str, end: End) -> Self {
        let it: Client = client(clientid);
        let mut calls = vec![
            Call::Connect(it),
            Call::Authenticate(it, b"s3cret"),
            Call::Connected(it),
            Call::Created(it),
            Call::Connack(it, "success", None),
            Call::Subscribed(it, None, "down/x", 1),
            Call::Subscribed(it, None, "down/y", 0),
            Call::Publish(it, "up/x"),
            Call::Published(it, "up/x", clientid),
            Call::Unsubscribed(it, None, "down/y"),
        ];
        match end {
            End::Stays => {}
            End::Leaves => calls.extend([Call::Disconnected(it, "normal"), Call::Terminated(it, "normal")]),
            End::IsTakenOver => calls.extend([Call::Connected(it), Call::Discarded(it), Call::Created(it)]),
        }
        Story { clientid, calls, sent: 0, acknowledged: 0, promised: 0, sent_at: Instant::now() }
    }

    /// The next call, where there is one.
    pub(crate) fn send(&mut self) -> Option<Call> {
        let call = *self.calls.get(self.sent)?;
        self.sent += 1;
        self.sent_at = Instant::now();
        Some(call)
    }

    /// The last call is answered. `late`: some other has been waiting for long.
    pub(crate) fn answered(&mut self, late: bool) {
        if self.promised == self.acknowledged && !late {
            self.promised = self.sent;
        }
        self.acknowledged = self.sent;
    }

    /// Whether it is surely to be found in the database.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.count(self.promised, |call| matches!(call, Call::Connected(_))) > 0
    }

    /// Since when its last call waits.
    fn waits_since(&self) -> Option<Instant> {
        (self.acknowledged < self.sent).then_some(self.sent_at)
    }

    fn waits_for_a_decision(&self) -> bool {
        matches!(self.calls[self.sent - 1], Call::Authenticate(..) | Call::Publish(..))
    }

    fn count(&self, until: usize, is: impl Fn(&Call) -> bool) -> usize {
        self.calls[..until].iter().filter(|call| is(call)).count()
    }
}

/// What came of a load.
pub(crate) struct Played {
    pub(crate) stories: Vec<Story>,
    /// The longest that a login or a topic took.
    pub(crate) slowest_decision: Duration,
    /// The longest that what only tells took.
    pub(crate) slowest_told: Duration,
    /// Calls that were not answered when it ended.
    pub(crate) unanswered: usize,
}

impl Played {
    pub(crate) fn acknowledged(&self) -> usize {
        self.stories.iter().map(|story| story.acknowledged).sum()
    }

    /// Answered outside the promise.
    pub(crate) fn early(&self) -> usize {
        self.stories.iter().map(|story| story.acknowledged - story.promised).sum()
    }

    /// From now on everything that was acknowledged must be there: what was outside the promise had the time to be written.
    pub(crate) fn settled(mut self) -> Self {
        self.stories.iter_mut().for_each(|story| story.promised = story.acknowledged);
        self
    }
}

/// So many clients at once on a driver.
pub(crate) struct Load {
    slots: Vec<Story>,
    played: Played,
    /// What may be left undone of `rate` calls a second.
    rate: Option<u32>,
    begun: Instant,
    made: u32,
}

impl Load {
    pub(crate) fn start(driver: &mut Driver, clients: i32) -> Self {
        let mut slots = Vec::new();
        for id in 1..=clients {
            let mut story = Story::next();
            driver.send(id, &story.send().unwrap());
            slots.push(story);
        }
        let none = Duration::ZERO;
        let played = Played { stories: Vec::new(), slowest_decision: none, slowest_told: none, unanswered: 0 };
        Load { slots, played, rate: None, begun: Instant::now(), made: 0 }
    }

    /// At most so many calls a second. Where nobody has to wait for the disk, clients that never pause would never let it
    /// catch up.
    pub(crate) fn at_most(self, rate: u32) -> Self {
        Load { rate: Some(rate), ..self }
    }

    /// Plays until then, or until the driver is gone.
    pub(crate) fn play(&mut self, driver: &mut Driver, until: Instant) {
        while Instant::now() < until
            && let Ok(reply) = driver.reply_by(until)
        {
            if let Some((id, call)) = self.answered(reply, true) {
                self.made += 1;
                if let Some(rate) = self.rate {
                    let due = self.begun + Duration::from_secs(1) * self.made / rate;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                driver.send(id, &call);
            }
        }
    }

    /// Takes the replies that were on their way when the driver ended.
    pub(crate) fn take(&mut self, replies: &[Reply]) {
        for &reply in replies {
            self.answered(reply, false);
        }
    }

    /// Makes no new calls, and waits for the answers to all that were made.
    #[track_caller]
    pub(crate) fn drain(&mut self, driver: &Driver) {
        let end = Instant::now() + PATIENCE;
        while self.slots.iter().any(|story| story.waits_since().is_some()) {
            match driver.reply_by(end) {
                Ok(reply) => drop(self.answered(reply, false)),
                Err(error) => panic!("calls are not answered: {error}: {}", driver.console()),
            }
        }
    }

    fn answered(&mut self, reply: Reply, goes_on: bool) -> Option<(i32, Call)> {
        let index = usize::try_from(reply.id - 1).ok().filter(|&index| index < self.slots.len())?;
        let oldest = self.slots.iter().filter_map(Story::waits_since).min();
        let late = oldest.is_some_and(|oldest| reply.at.saturating_duration_since(oldest) > PROMISED);
        let story = &mut self.slots[index];
        assert!(story.waits_since().is_some(), "{reply:?} was not asked for, or is the second one");
        let took = reply.at.saturating_duration_since(story.sent_at);
        let slowest = if story.waits_for_a_decision() {
            assert!(reply.allowed.is_some(), "{:?}: {reply:?}", story.calls[story.sent - 1]);
            &mut self.played.slowest_decision
        } else {
            assert_eq!(reply.allowed, None, "{:?}", story.calls[story.sent - 1]);
            &mut self.played.slowest_told
        };
        *slowest = took.max(*slowest);
        story.answered(late);
        if !goes_on {
            return None;
        }
        let call = story.send().or_else(|| {
            let done = std::mem::replace(story, Story::next());
            self.played.stories.push(done);
            story.send()
        });
        call.map(|call| (reply.id, call))
    }

    pub(crate) fn done(mut self) -> Played {
        self.played.unanswered = self.slots.iter().filter(|story| story.waits_since().is_some()).count();
        self.played.stories.extend(self.slots);
        self.played
    }
}

/// Whether everything that was promised is in the database, and nothing twice.
#[track_caller]
pub(crate) fn check(database: &Connection, stories: &[Story]) {
    check_but(database, stories, false);
}

/// As [`check`]. `clock_was_set`: a take-over of just then may not be known for one.
#[track_caller]
pub(crate) fn check_but(database: &Connection, stories: &[Story], clock_was_set: bool) {
    let health: Vec<String> = column(database, "PRAGMA integrity_check");
    assert_eq!(health, ["ok"]);
    let rows = Rows::of(database);
    let mut wrong = Vec::new();
    for story in stories {
        if let Err(what) = rows.check(story, clock_was_set) {
            wrong.push(format!("{what}: {story:?}, {:?}", rows.connections.get(story.clientid)));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} stories:\n{}",
        wrong.len(),
        stories.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
}

fn column<T: rusqlite::types::FromSql>(database: &Connection, sql: &str) -> Vec<T> {
    let mut statement = database.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn each(database: &Connection, sql: &str, mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>) {
    let mut statement = database.prepare(sql).unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        take(row).unwrap();
    }
}

/// A connection: when it ended, and by what.
type Row = (Option<i64>, Option<String>);

#[derive(Default)]
struct Rows {
    connections: BTreeMap<String, Vec<Row>>,
    attempts: BTreeMap<String, Vec<Option<String>>>,
    subscriptions: BTreeSet<(String, String)>,
    /// By payload, which is the clientid.
    messages: BTreeMap<String, usize>,
}

impl Rows {
    fn of(database: &Connection) -> Self {
        let mut rows = Rows::default();
        let Rows { connections, attempts, subscriptions, messages } = &mut rows;
        each(database, "SELECT clientid, disconnected_at, closed_by FROM connections ORDER BY id", |row| {
            connections.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
            Ok(())
        });
        each(database, "SELECT clientid, connack FROM attempts", |row| {
            attempts.entry(row.get(0)?).or_default().push(row.get(1)?);
            Ok(())
        });
        each(database, "SELECT clientid, topic FROM subscriptions", |row| {
            subscriptions.insert((row.get(0)?, row.get(1)?));
            Ok(())
        });
        each(database, "SELECT CAST(payload AS TEXT) FROM messages", |row| {
            *messages.entry(row.get(0)?).or_default() += 1;
            Ok(())
        });
        rows
    }

    fn check(&self, story: &Story, clock_was_set: bool) -> Result<(), String> {
        let within = |what: &str, found: usize, is: &dyn Fn(&Call) -> bool| {
            let (least, most) = (story.count(story.promised, is), story.count(story.sent, is));
            let fits = (least..=most).contains(&found);
            if fits { Ok(()) } else { Err(format!("{found} {what}, and not {least} to {most}")) }
        };
        let none = Vec::new();
        let attempts = self.attempts.get(story.clientid).unwrap_or(&none);
        within("attempts", attempts.len(), &|call| matches!(call, Call::Connect(_)))?;
        let accepted = attempts.iter().filter(|connack| connack.as_deref() == Some("success")).count();
        within("accepted", accepted, &|call| matches!(call, Call::Connack(..)))?;
        let none = Vec::new();
        let connections = self.connections.get(story.clientid).unwrap_or(&none);
        within("connections", connections.len(), &|call| matches!(call, Call::Connected(_)))?;
        let messages = self.messages.get(story.clientid).copied().unwrap_or_default();
        within("messages", messages, &|call| matches!(call, Call::Published(..)))?;
        let closed = |word: &str| connections.iter().filter(|(_, by)| by.as_deref() == Some(word)).count();
        within("that left", closed("event"), &|call| matches!(call, Call::Disconnected(..)))?;
        let told = |call: &Call| matches!(call, Call::Discarded(_));
        let untold = if clock_was_set { closed("superseded").min(story.count(story.sent, told)) } else { 0 };
        within("taken over", closed("takeover") + untold, &told)?;
        let others = connections.len() - closed("event") - closed("takeover") - closed("superseded");
        if others != connections.iter().filter(|(ended, _)| ended.is_none()).count() || others > 1 {
            return Err(format!("{others} are open or ended otherwise"));
        }

        let surely = |is: &dyn Fn(&Call) -> bool| story.count(story.promised, is) > 0;
        let perhaps = |is: &dyn Fn(&Call) -> bool| story.count(story.sent, is) > 0;
        let ended = |call: &Call| matches!(call, Call::Terminated(..) | Call::Discarded(_));
        for topic in ["down/x", "down/y"] {
            let begun = |call: &Call| matches!(call, Call::Subscribed(_, _, of, _) if *of == topic);
            let given_up = |call: &Call| matches!(call, Call::Unsubscribed(_, _, of) if *of == topic) || ended(call);
            let is_there = self.subscriptions.contains(&(story.clientid.to_owned(), topic.to_owned()));
            if !is_there && surely(&begun) && !perhaps(&given_up) {
                return Err(format!("the subscription to {topic} is lost"));
            }
            let again = |call: &Call| {
                matches!(call, Call::Unsubscribed(_, _, of) if *of == topic) || matches!(call, Call::Terminated(..))
            };
            if is_there && (surely(&again) || !perhaps(&begun)) {
                return Err(format!("the subscription to {topic} is there still"));
            }
        }
        Ok(())
    }
}
