//! Times as people give and read them: in the zone of the terminal, or in UTC.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};

/// A point in time as the command line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenTime {
    /// Unix milliseconds.
    At(i64),
    /// By a clock of which the command line does not say where it hangs.
    Clock(DateTime),
}

/// In which zone times are read and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShownTimes {
    Utc,
    Zone(TimeZone),
}

impl ShownTimes {
    /// Those of the terminal: the zone that `TZ` names, or the system. If that is not known, UTC.
    pub(super) fn of(utc: bool) -> Self {
        match TimeZone::try_system() {
            Ok(zone) if !utc && !zone.is_unknown() => ShownTimes::Zone(zone),
            Ok(_) | Err(_) => ShownTimes::Utc,
        }
    }

    fn zone(&self) -> TimeZone {
        match self {
            ShownTimes::Utc => TimeZone::UTC,
            ShownTimes::Zone(zone) => zone.clone(),
        }
    }

    /// Unix milliseconds. Where the clock is set back and shows a time twice, the first one; where
    /// it is set forward and does not show it, the moment after.
    pub(super) fn resolve(&self, given: GivenTime) -> i64 {
        match given {
            GivenTime::At(ms) => ms,
            GivenTime::Clock(time) => match time.to_zoned(self.zone()) {
                Ok(time) => time.timestamp().as_millisecond(),
                // At the very end of the calendar.
                Err(_) if time > DateTime::ZERO => i64::MAX,
                Err(_) => i64::MIN,
            },
        }
    }

    /// `2024-05-01 14:00:00` by the clock of the zone, `2024-05-01T12:00:00Z` in UTC.
    pub(super) fn show(&self, ms: i64) -> String {
        match (Timestamp::from_millisecond(ms), self) {
            (Ok(time), ShownTimes::Utc) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            (Ok(time), ShownTimes::Zone(zone)) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            (Err(_), _) => ms.to_string(),
        }
    }

    /// The beginning of the hour of that moment, by the clock of the zone: Unix milliseconds.
    pub(super) fn hour(&self, ms: i64) -> i64 {
        const HOUR: i64 = 3_600_000;
        let offset = Timestamp::from_millisecond(ms).map_or(0, |time| self.zone().to_offset(time).seconds());
        let by_clock = ms.saturating_add(i64::from(offset) * 1000);
        ms.saturating_sub(by_clock.rem_euclid(HOUR))
    }
}

/// As `2024-05-01T12:00:00.000Z`, whatever the terminal's zone is; `None` for what is no time.
pub(super) fn iso(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// A point in time, or how long ago it is.
pub(super) fn parse_time(text: &str) -> Result<GivenTime, String> {
    let wrong =
        || format!("{text:?} is no time; write 2024-05-01, 2024-05-01T12:30:00Z, or 30m, 2h, 7d for so long ago");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(GivenTime::At(time.as_millisecond()));
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(GivenTime::At(ms));
    }
    if let Ok(civil) = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from)) {
        return Ok(GivenTime::Clock(civil));
    }
    text.parse::<jiff::Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .and_then(|ago| Timestamp::now().checked_sub(ago))
        .map(|time| GivenTime::At(time.as_millisecond()))
        .map_err(|_| wrong())
}

/// As [`parse_time`], in UTC where no zone is given: Unix milliseconds.
pub(super) fn parse_utc(text: &str) -> Result<i64, String> {
    parse_time(text).map(|given| ShownTimes::Utc.resolve(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> ShownTimes {
        ShownTimes::Zone(TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn times_are_read_and_shown_by_the_clock_of_the_terminal() {
        let given = parse_time("2024-05-01T14:00").unwrap();
        assert_eq!(berlin().resolve(given), 1_714_564_800_000);
        assert_eq!(ShownTimes::Utc.resolve(given), 1_714_572_000_000);
        assert_eq!(berlin().show(1_714_564_800_500), "2024-05-01 14:00:00");
        assert_eq!(ShownTimes::Utc.show(1_714_564_800_500), "2024-05-01T12:00:00Z");
        assert_eq!(berlin().show(i64::MAX), i64::MAX.to_string());
        assert_eq!(iso(1_714_564_800_500).as_deref(), Some("2024-05-01T12:00:00.500Z"));
        assert_eq!(iso(i64::MAX), None);
    }

    /// Clocks in Berlin were set back at 01:00 UTC on 2024-10-27, and forward on 2024-03-31.
    #[test]
    fn a_time_that_the_clock_shows_twice_or_never_is_one_moment() {
        let at = |text| berlin().resolve(parse_time(text).unwrap());
        assert_eq!(at("2024-10-27T02:30"), parse_utc("2024-10-27T00:30").unwrap());
        assert_eq!(at("2024-03-31T02:30"), parse_utc("2024-03-31T01:30").unwrap());
    }

    #[test]
    fn an_hour_begins_when_the_clock_of_the_zone_says_so() {
        let kathmandu = ShownTimes::Zone(TimeZone::get("Asia/Kathmandu").unwrap());
        let at = parse_utc("2024-05-01T12:20").unwrap();
        assert_eq!(ShownTimes::Utc.hour(at), parse_utc("2024-05-01T12:00").unwrap());
        // 18:05 there.
        assert_eq!(kathmandu.hour(at), parse_utc("2024-05-01T12:15").unwrap());
    }

    #[test]
    fn times_of_the_command_line() {
        assert_eq!(parse_utc("2024-05-01"), Ok(1_714_521_600_000));
        assert_eq!(parse_utc("2024-05-01T12:00"), Ok(1_714_564_800_000));
        assert_eq!(parse_utc("2024-05-01 12:00:00"), Ok(1_714_564_800_000));
        assert_eq!(parse_utc("2024-05-01T14:00:00+02:00"), Ok(1_714_564_800_000));
        assert_eq!(parse_utc("1714564800000"), Ok(1_714_564_800_000));
        // The clock is read after the call, which reads it too.
        let ago = |text| {
            let time = parse_utc(text).unwrap();
            Timestamp::now().as_millisecond() - time
        };
        let hour = ago("1h");
        assert!((3_600_000..3_660_000).contains(&hour), "{hour}");
        let week = ago("7d");
        assert!((604_800_000..604_860_000).contains(&week), "{week}");
        assert_eq!(
            parse_time("soon"),
            Err("\"soon\" is no time; write 2024-05-01, 2024-05-01T12:30:00Z, or 30m, 2h, 7d for so long ago"
                .to_owned())
        );
    }
}
