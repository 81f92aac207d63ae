//! When a rule matches: by what a clock and a calendar show.
//!
//! A window is asked about one moment. Its days and hours are those that a clock on the wall of its zone shows then: what
//! the clock leaves out when it is put forward is in no window, and what it shows twice when it is put back is in a window
//! both times. Zones are those of the time zone database that is built in, so that a policy means the same everywhere, and
//! nothing is looked up to decide.

pub mod instants;
pub mod moment;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::{Value, json};

use super::who::Holds;

const DAY: i64 = 86_400;
/// Minutes of a day.
const MINUTES: i64 = 1_440;

/// When a rule matches: where any of these windows is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When(Vec<Window>);

/// Some time. All that it says must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// On these days.
    pub days: Days,
    /// In any of these hours; none are the whole day. Those that go over midnight belong to the day on which they begin.
    pub hours: Vec<Hours>,
    /// Whose days and hours.
    pub zone: Zone,
    /// From this moment on, Unix milliseconds.
    pub from: Option<i64>,
    /// Before this moment, Unix milliseconds.
    pub until: Option<i64>,
}

/// Days of the week, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

/// A part of a day, from a minute on and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// The first minute, from 0 to 1439.
    pub from: u16,
    /// The minute before which it ends, from 1 to 1440. Where it is not after `from`, it is one of the next day.
    pub until: u16,
}

/// A time zone, by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl When {
    /// Any of these.
    pub fn new(windows: Vec<Window>) -> Self {
        When(windows)
    }

    /// The windows, in the order of the policy.
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// Whether it is at this moment, Unix milliseconds; where that is not told, it cannot be told.
    pub fn holds(&self, at: Option<i64>) -> Holds {
        at.map_or(Holds::CannotTell, |at| Holds::any(self.0.iter().map(|window| window.holds(at))))
    }

    /// The zone of the first window, in which moments are shown.
    pub fn zone(&self) -> Option<&Zone> {
        self.0.first().map(|window| &window.zone)
    }

    /// As the policy says it, as JSON.
    pub fn json(&self) -> Value {
        match self.0.as_slice() {
            [one] => one.json(),
            each => each.iter().map(Window::json).collect(),
        }
    }
}

impl Window {
    /// Whether it is open at this moment, Unix milliseconds. What lies beyond the year 9999 cannot be told.
    pub fn holds(&self, at: i64) -> Holds {
        if self.from.is_some_and(|from| at < from) || self.until.is_some_and(|until| at >= until) {
            return Holds::No;
        }
        if self.is_always() {
            return Holds::Yes;
        }
        self.zone.local(at).map_or(Holds::CannotTell, |local| self.shows(local).into())
    }

    /// Whether days and hours say nothing.
    fn is_always(&self) -> bool {
        self.days == Days::ALL && self.hours.is_empty()
    }

    /// Whether a clock that shows so many seconds since 1970 is within its days and hours.
    fn shows(&self, local: i64) -> bool {
        let (day, minute) = (local.div_euclid(DAY), local.rem_euclid(DAY) / 60);
        if self.hours.is_empty() {
            return self.days.has(day);
        }
        self.hours.iter().any(|hours| {
            let (from, until) = (i64::from(hours.from), i64::from(hours.until));
            if from < until {
                (from..until).contains(&minute) && self.days.has(day)
            } else {
                (minute >= from && self.days.has(day)) || (minute < until && self.days.has(day - 1))
            }
        })
    }

    fn json(&self) -> Value {
        let moment = |at: i64| self.zone.exactly(at);
        let mut entries = serde_json::Map::new();
        if self.days != Days::ALL {
            entries.insert("days".to_owned(), json!(self.days.ranges()));
        }
        if !self.hours.is_empty() {
            entries.insert("hours".to_owned(), self.hours.iter().map(ToString::to_string).collect());
        }
        entries.extend(self.from.map(|at| ("from".to_owned(), json!(moment(at)))));
        entries.extend(self.until.map(|at| ("until".to_owned(), json!(moment(at)))));
        entries.insert("zone".to_owned(), json!(self.zone.name));
        Value::Object(entries)
    }
}

/// The windows, joined by `or`.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, window) in self.0.iter().enumerate() {
            if count > 0 {
                f.write_str(" or ")?;
            }
            window.fmt(f)?;
        }
        Ok(())
    }
}

/// `mon-fri 08:00-18:00 from 2026-12-01 00:00 (Europe/Berlin)`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.days != Days::ALL {
            parts.push(self.days.ranges().join(", "));
        }
        if !self.hours.is_empty() {
            parts.push(self.hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        parts.extend(self.from.map(|at| format!("from {}", self.zone.shown(at))));
        parts.extend(self.until.map(|at| format!("until {}", self.zone.shown(at))));
        write!(f, "{} ({})", parts.join(" "), self.zone.name)
    }
}

impl Days {
    /// The whole week.
    pub const ALL: Days = Days(0b111_1111);
    /// What the policy calls them, from Monday on.
    pub const NAMES: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    /// The days from one to another, which may lie in the next week. Monday is 0.
    pub fn range(first: usize, last: usize) -> Self {
        let length = (last + 7 - first) % 7 + 1;
        Days((0..length).fold(0, |days, day| days | 1 << ((first + day) % 7)))
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, others: Days) -> Self {
        Days(self.0 | others.0)
    }

    /// Whether the day so many days after the first of January 1970, a Thursday, is one of them.
    fn has(self, day: i64) -> bool {
        self.0 & 1 << (day + 3).rem_euclid(7) != 0
    }

    /// `mon-fri`, `sun`: as the policy says them.
    fn ranges(self) -> Vec<String> {
        let named = |day: usize| self.0 & 1 << day != 0;
        let mut ranges = Vec::new();
        let mut days = Days::NAMES.iter().enumerate().filter(|(day, _)| named(*day)).peekable();
        while let Some((mut day, first)) = days.next() {
            let mut last = first;
            while let Some((next, name)) = days.next_if(|(next, _)| *next == day + 1) {
                (day, last) = (next, name);
            }
            ranges.push(if first == last { (*first).to_owned() } else { format!("{first}-{last}") });
        }
        ranges
    }
}

/// `08:00-18:00`.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hours { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl Zone {
    /// The zone of this name, in whatever case; `None` where there is none.
    pub fn of_name(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())?;
        Some(Zone { name: zone.iana_name()?.to_owned(), zone })
    }

    /// UTC.
    pub fn utc() -> Self {
        Zone { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The names of all zones.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
    }

    /// Its name in the time zone database.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn offset(&self, at: i64) -> Option<i64> {
        let at = Timestamp::from_millisecond(at).ok()?;
        Some(i64::from(self.zone.to_offset(at).seconds()))
    }

    /// What a clock shows at this moment, in seconds since 1970.
    fn local(&self, at: i64) -> Option<i64> {
        Some(at.div_euclid(1_000) + self.offset(at)?)
    }

    fn format(&self, at: i64, format: &str) -> String {
        match Timestamp::from_millisecond(at) {
            Ok(at) => at.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => format!("{at} ms"),
        }
    }

    /// `2026-12-01 08:00`, what a clock and a calendar show.
    pub fn shown(&self, at: i64) -> String {
        self.format(at, "%Y-%m-%d %H:%M")
    }

    /// `2026-12-01T08:00:00+01:00`.
    pub fn exactly(&self, at: i64) -> String {
        self.format(at, "%Y-%m-%dT%H:%M:%S%:z")
    }

    /// `2026-12-01 08:00 (tue, Europe/Berlin)`.
    pub fn told(&self, at: i64) -> String {
        format!("{} ({}, {})", self.shown(at), self.format(at, "%a").to_lowercase(), self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
