//! Moments as people write them: `2026-12-01`, `2026-12-01T18:00`, `2026-12-01T18:00+01:00`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};

use super::Zone;

/// What a date without a time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The beginning of the day.
    Begin,
    /// The end of the day.
    End,
}

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is no date.
    Form,
    /// It says neither its zone nor its offset, and nothing else does.
    NoZone,
    /// There is no zone of the name in it.
    UnknownZone,
    /// Its offset is not that of its zone.
    Offset,
}

/// Reads a date, or a date and a time, as Unix milliseconds. It is one of the zone unless it says its own, as an offset
/// (`+01:00` or `Z`) or as a name behind it (`[Europe/Berlin]`). A time that the zone's clock leaves out is taken by the
/// offset before that, so that 02:30 is 03:30; one that it shows twice is the first.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str, zone: Option<&Zone>, edge: Edge) -> Result<i64, Wrong> {
    let pieces = Pieces::parse(text).map_err(|_| Wrong::Form)?;
    let own = match pieces.to_time_zone_with(&jiff::tz::TimeZoneDatabase::bundled()) {
        Ok(own) => own.filter(|_| pieces.time_zone_annotation().is_some()),
        Err(_) => return Err(Wrong::UnknownZone),
    };
    let day = match (pieces.time(), edge) {
        (Some(_), _) | (None, Edge::Begin) => pieces.date(),
        (None, Edge::End) => pieces.date().tomorrow().map_err(|_| Wrong::Form)?,
    };
    let time = DateTime::from_parts(day, pieces.time().unwrap_or_default());
    if let Some(offset) = pieces.to_numeric_offset() {
        let at = offset.to_timestamp(time).map_err(|_| Wrong::Form)?;
        // `Z` says when it is and no offset, so it contradicts no zone (RFC 9557).
        let is_zulu = matches!(pieces.offset(), Some(PiecesOffset::Zulu));
        let fits = is_zulu || own.is_none_or(|zone| zone.to_offset(at) == offset);
        return if fits { Ok(at.as_millisecond()) } else { Err(Wrong::Offset) };
    }
    let zone = own.as_ref().or(zone.map(|zone| &zone.zone)).ok_or(Wrong::NoZone)?;
    zone.to_timestamp(time).map(Timestamp::as_millisecond).map_err(|_| Wrong::Form)
}

impl Wrong {
    /// What is said of the text.
    pub fn message(self) -> &'static str {
        match self {
            Wrong::Form => "is no date and no time",
            Wrong::NoZone => "does not say in which zone",
            Wrong::UnknownZone => "has a zone that does not exist",
            Wrong::Offset => "has an offset that its zone does not have then",
        }
    }

    /// What to do about it where nothing else says the zone.
    pub fn help(self) -> &'static str {
        match self {
            Wrong::Form | Wrong::NoZone | Wrong::UnknownZone => {
                "write it like 2026-12-01T18:00+01:00, 2026-12-01T17:00Z or 2026-12-01T18:00[Europe/Berlin]"
            }
            Wrong::Offset => "take one of the two away",
        }
    }
}
