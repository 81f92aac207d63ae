//! Decisions that differ on recorded events.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::cli::world::{World, WorldArgs};
use crate::replay::{Comparison, EventPlace, ReplaySide};
use exhook_policy_core::event::owned::OwnedEvent;
use exhook_policy_core::policy::Policy;
use exhook_policy_runtime::files::input;
use exhook_policy_tools::analysis::diff::{Difference, QuestionKind, differ};

/// What differs on the events.
#[derive(Debug, Default)]
pub(super) struct EventDifferences {
    /// The events that were read.
    pub(super) events: Comparison,
    /// With how many questions are answered so, and the first of them.
    pub(super) groups: BTreeMap<Difference, DifferenceGroup>,
}

#[derive(Debug)]
pub(super) struct DifferenceGroup {
    pub(super) count: u64,
    pub(super) place: EventPlace,
    pub(super) event: OwnedEvent,
}

/// Puts the events of the files to both policies; the error is for stderr.
pub(super) fn compare(files: &[PathBuf], args: &WorldArgs, policies: [&Policy; 2]) -> Result<EventDifferences, String> {
    let [old, new] = policies;
    let (old_world, new_world) = (world(args, old)?, world(args, new)?);
    let old_found = |source, username: &str, given| old_world.found(source, username, given);
    let new_found = |source, username: &str, given| new_world.found(source, username, given);
    let sides = [
        ReplaySide { policy: old, lists: old_world.lists(), found: &old_found },
        ReplaySide { policy: new, lists: new_world.lists(), found: &new_found },
    ];
    let mut found = EventDifferences::default();
    for file in files {
        let name = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
        let added = if file == Path::new("-") {
            found.add(&name, io::stdin().lock(), sides)
        } else {
            input::stream(file).and_then(|input| found.add(&name, BufReader::new(input), sides))
        };
        added.map_err(|error| format!("error: {name}: {error}"))?;
    }
    Ok(found)
}

fn world(args: &WorldArgs, policy: &Policy) -> Result<World, String> {
    let world = args.world(policy).map_err(|report| report.to_string())?;
    for problem in &world.problems {
        // A reader that closed stderr does not want to know.
        let _ = writeln!(io::stderr(), "warning: {problem}; what needs it is denied");
    }
    Ok(world)
}

impl EventDifferences {
    fn add(&mut self, name: &str, input: impl BufRead, sides: [ReplaySide<'_>; 2]) -> io::Result<()> {
        let policies = sides.map(|side| side.policy);
        let EventDifferences { events, groups } = self;
        events.add(name, input, sides, |place, event, decisions| {
            let question = if let OwnedEvent::CheckAcl { action, .. } = &event {
                QuestionKind::from(*action)
            } else {
                QuestionKind::Connect
            };
            if let Some(difference) = differ(policies, question, decisions) {
                let group = groups.entry(difference).or_insert(DifferenceGroup { count: 0, place, event });
                group.count += 1;
            }
        })
    }
}
