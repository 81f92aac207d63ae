//! Finitely many moments that stand for all: at each one the windows are open or closed as at every moment up to the next.
//!
//! Between two moments at which a window begins or ends for good, and a zone changes its clock, all windows are the same
//! week after week. So one week of each such stretch is enough, and of stretches in which the same windows may be open
//! and all clocks differ alike only one.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{DAY, Days, MINUTES, When, Window, Zone};
use crate::policy::who::Holds;

const DAY_MS: i64 = DAY * 1_000;
const WEEK: i64 = 7 * DAY_MS;
/// After so many years the days of the week are those of the same dates again, but for years like 2100.
const CYCLE: i64 = 28 * 365 * DAY_MS + 7 * DAY_MS;
/// The year 2090, up to which some zones have rules for single years.
const SETTLED: i64 = 3_786_912_000_000;
/// A window that is open in no such time is open never.
const LONG: i64 = 2 * 366 * DAY_MS;

/// Moments from this one on, of which every later one is treated as one of them is, and whether they are all of these.
/// `spend` takes steps out of the work that is left, or says that none is.
pub fn instants(whens: &[&When], from: i64, mut spend: impl FnMut(usize) -> bool) -> (Vec<i64>, bool) {
    let windows: Vec<&Window> = whens.iter().flat_map(|when| when.windows()).collect();
    let cuts = cuts(&windows, from);
    let end = cuts.iter().copied().chain([from, SETTLED]).max().unwrap_or(from).saturating_add(CYCLE);
    let weight = windows.iter().map(|window| 1 + window.hours.len()).sum();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut weeks = HashSet::new();
    for (start, next) in stretches(&windows, &cuts, from, end) {
        if !spend(weight) {
            return (found, false);
        }
        let open = cuts.partition_point(|cut| *cut <= start);
        let offsets: Vec<Option<i64>> = windows.iter().map(|window| window.zone.offset(start)).collect();
        let stretch = (open, offsets);
        if weeks.contains(&stretch) {
            continue;
        }
        for at in changes(&windows, start, next.min(start.saturating_add(WEEK))) {
            if !spend(weight) {
                return (found, false);
            }
            let holds: Vec<Holds> = whens.iter().map(|when| when.holds(Some(at))).collect();
            if seen.insert(holds) {
                found.push(at);
            }
        }
        if next >= start.saturating_add(WEEK) {
            weeks.insert(stretch);
        }
    }
    (found, true)
}

impl Window {
    /// Whether it is open at some moment.
    pub fn opens(&self) -> bool {
        let (Some(from), Some(until)) = (self.from, self.until) else { return true };
        let end = until.min(from.saturating_add(LONG));
        let stretches = stretches(&[self], &[], from, end);
        stretches.into_iter().any(|(start, next)| {
            changes(&[self], start, next.min(end)).into_iter().any(|at| self.holds(at) == Holds::Yes)
        })
    }

    /// Whether it is not open at this moment nor at any later one.
    pub fn is_over(&self, at: i64) -> bool {
        self.until.is_some_and(|until| until <= at)
            || (self.until.is_some() && !Window { from: Some(self.from.unwrap_or(at).max(at)), ..self.clone() }.opens())
    }

    /// The minutes of a day at which it may open or close.
    fn minutes(&self) -> impl Iterator<Item = i64> {
        let midnight = (self.days != Days::ALL).then_some(0);
        let hours = self.hours.iter().flat_map(|hours| [i64::from(hours.from), i64::from(hours.until) % MINUTES]);
        midnight.into_iter().chain(hours)
    }
}

/// When windows begin and end for good, after this moment.
fn cuts(windows: &[&Window], from: i64) -> Vec<i64> {
    let mut cuts: Vec<i64> = windows.iter().flat_map(|window| [window.from, window.until]).flatten().collect();
    cuts.retain(|cut| *cut > from);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// From when to when all clocks differ alike, and no window begins or ends for good.
fn stretches(windows: &[&Window], cuts: &[i64], from: i64, end: i64) -> Vec<(i64, i64)> {
    let mut starts = vec![from];
    starts.extend(cuts);
    let mut zones: Vec<&Zone> = Vec::new();
    for window in windows {
        if !zones.contains(&&window.zone) {
            zones.push(&window.zone);
        }
    }
    for zone in zones {
        starts.extend(clock_changes(&zone.zone, from, end));
    }
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([i64::MAX]);
    starts.iter().copied().zip(ends).collect()
}

/// When a zone puts its clock forward or back.
fn clock_changes(zone: &TimeZone, from: i64, end: i64) -> Vec<i64> {
    let Ok(from) = Timestamp::from_millisecond(from) else { return Vec::new() };
    let changes = zone.following(from).map(|change| change.timestamp().as_millisecond());
    changes.take_while(|at| *at < end).collect()
}

/// The beginning of a stretch, and when windows may open or close in it before `end`.
fn changes(windows: &[&Window], start: i64, end: i64) -> Vec<i64> {
    let mut changes = vec![start];
    let mut known = HashSet::new();
    for window in windows {
        let Some(offset) = window.zone.offset(start) else { continue };
        let offset = offset * 1_000;
        let first = (start + offset).div_euclid(DAY_MS);
        let last = (end + offset).div_euclid(DAY_MS);
        for minute in window.minutes().filter(|minute| known.insert((offset, *minute))) {
            let at = (first..=last).map(|day| day * DAY_MS + minute * 60_000 - offset);
            changes.extend(at.filter(|at| (start..end).contains(at)));
        }
    }
    changes.sort_unstable();
    changes.dedup();
    changes
}
