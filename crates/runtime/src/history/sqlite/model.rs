//! A model of brokers, their clients, and what records them: stories that any of these may live
//! through, played to the history on a clock of their own, and what must hold when all is quiet.
//!
//! What the history can know hangs on what it is told. These are its guarantees at rest, that is
//! once nothing was told for a quarter of a minute, for one clientid of a cluster:
//!
//! 1. **Nobody is missing.** A client that is connected, and whose beginning was recorded, has an
//!    open row. Where ports are told, it is that connection's own row.
//! 2. **Nobody is online for sure who is not.** If no connection is there, no row is open, or it is
//!    unsure, or the history cannot have known: the end of the newest recorded connection was lost
//!    on its way while a recorder was at work, and since then nothing was told that may be that end.
//!    A connection that shows a sign of life and looks like the recorded one counts as it. Where no
//!    port is told, a take-over that is told within two seconds of a connection that superseded
//!    another is that other's; if it was not, and the next beginning is lost as well, nobody knows.
//! 3. **What was missed is unsure.** Where the recorder or the broker was away when the newest
//!    connection ended, its row is closed or unsure. The same holds while nobody records.
//! 4. **A complete list settles everything.** After `resync` a row is open only for who is in the
//!    list, and none is unsure. Rows that were sure, and that the list contradicts, are closed too.
//! 5. **Nothing is unsure without need.** Where nothing was lost, doubled or late, and all were
//!    there throughout, no row is unsure, and each end is of its own connection.
//!
//! An end that was lost while a recorder was at work is known at the next connection of the
//! clientid, at the broker's restart, or by `resync`, and not before: nothing tells it from a
//! client that says nothing for long.
//!
//! Brokers that tell no port leave more open, so the story keeps to what they do:
//!
//! - An end of a connection comes no later than ten seconds after the next one of the clientid
//!   came; no later than one, if it was in doubt then whether the older one was still there.
//! - Nothing but the end of a superseded connection comes late, none comes twice with a new
//!   connection in between, and no end comes before its own beginning.
//! - A connection whose beginning was not recorded does not end late.

mod delivery;
mod oracle;
mod story;
mod told_again;
mod world;

use std::env;
use std::ops::ControlFlow;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use story::{BrokerStory, stories};
use world::ModelWorld;

/// Stories in CI, and for each unit of `EXHOOK_POLICY_SOAK`, which is 10 in a soak.
const IN_CI: u32 = 400;
const IN_SOAK: u32 = 10_000;

/// How many stories are told.
fn cases() -> u32 {
    let soak = env::var("EXHOOK_POLICY_SOAK").ok().map(|scale| scale.parse::<u32>().unwrap());
    soak.map_or(IN_CI, |scale| scale.saturating_mul(IN_SOAK))
}

thread_local! {
    /// To open a database takes longer than most stories.
    static WORLD: std::cell::RefCell<Option<ModelWorld>> = const { std::cell::RefCell::new(None) };
}

/// Plays the story; what does not hold at its end.
fn wrong_with(story: &BrokerStory) -> Option<String> {
    WORLD.with_borrow_mut(|world| {
        let world = world.get_or_insert_with(ModelWorld::new);
        match world.play(story) {
            ControlFlow::Break(wrong) => Some(wrong),
            ControlFlow::Continue(()) => None,
        }
    })
}

/// Plays a story as a failure printed it.
#[track_caller]
fn replay(story: &BrokerStory) {
    if let Some(wrong) = wrong_with(story) {
        panic!("{wrong}\n{story}");
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::with_cases(cases()) })]

    /// A failure prints the story as the argument of a `replay`, for `told_again` below.
    #[test]
    fn whatever_brokers_live_through_the_history_knows_what_can_be_known(story in stories()) {
        if let Some(wrong) = wrong_with(&story) {
            return Err(TestCaseError::fail(format!("{wrong}\n{story}")));
        }
    }
}
