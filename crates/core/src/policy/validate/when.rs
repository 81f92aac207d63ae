//! When a rule matches: days, hours, zones and moments read.

use std::sync::Arc;

use crate::policy::codes::Code;
use crate::policy::decode::{At, OneOrMany, Placed, Text, listed};
use crate::policy::diag::{Diagnostic, nearest, quote};
use crate::policy::raw;
use crate::policy::span::Span;
use crate::policy::when::moment::{self, Edge, Wrong};
use crate::policy::when::{Days, Hours, When, Window, Zone};

use super::Validator;

/// The most windows of one rule: each is asked at each question that comes to the rule.
const MOST_WINDOWS: usize = 100;
/// The most days, and the most parts of a day, of one window.
const MOST_ENTRIES: usize = 100;

/// When a rule matches, and where its windows stand.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) when: Option<Arc<When>>,
    pub(super) places: Vec<Span>,
}

impl Validator<'_> {
    /// When a rule matches; always, where it does not say. It means nothing after a problem was reported.
    pub(super) fn when(&mut self, raw: Option<At<OneOrMany<raw::Window>>>) -> Built {
        let Some(raw) = raw else { return Built::default() };
        self.at_most(MOST_WINDOWS, raw.value.0.len(), raw.span, "a rule", "windows of time");
        let places = raw.value.0.iter().map(Placed::span).collect();
        let windows = raw.value.0.into_iter().take(MOST_WINDOWS).map(|window| self.window(window)).collect();
        Built { when: Some(Arc::new(When::new(windows))), places }
    }

    fn window(&mut self, raw: raw::Window) -> Window {
        let span = raw.span();
        for list in [&raw.days, &raw.hours].into_iter().flatten() {
            self.at_most(MOST_ENTRIES, list.value.0.len(), list.span, "a window of time", "days or hours");
        }
        let zone = raw.zone.map_or_else(|| Some(Zone::utc()), |name| self.zone(&name.value));
        let mut sound = zone.is_some();
        let zone = zone.unwrap_or_else(Zone::utc);
        let days: Vec<Option<Days>> =
            raw.days.iter().flat_map(|days| &days.value.0).map(|text| self.days(text)).collect();
        let hours: Vec<Option<Hours>> =
            raw.hours.iter().flat_map(|hours| &hours.value.0).take(MOST_ENTRIES).map(|text| self.hours(text)).collect();
        let from = raw.from.as_ref().map(|from| self.moment(&from.value, &zone, Edge::Begin));
        let until = raw.until.as_ref().map(|until| self.moment(&until.value, &zone, Edge::End));
        sound &= days.iter().all(Option::is_some) && hours.iter().all(Option::is_some);
        sound &= from != Some(None) && until != Some(None);
        let window = Window {
            days: days.into_iter().flatten().reduce(Days::and).unwrap_or(Days::ALL),
            hours: hours.into_iter().flatten().collect(),
            zone,
            from: from.flatten(),
            until: until.flatten(),
        };
        if !sound {
            return window;
        }
        if let (Some(from), Some(until)) = (raw.from, raw.until)
            && window.until <= window.from
        {
            let message = format!("{} is not after `from`", quote(&until.value.value));
            let diagnostic = Diagnostic::new(Code::EmptyWindow, until.span, message);
            self.cx.push(diagnostic.related(from.span, "it begins here"));
        } else if !window.opens() {
            let message = "none of these days and hours is between `from` and `until`";
            self.cx.push(Diagnostic::new(Code::EmptyWindow, span, message));
        }
        window
    }

    fn at_most(&mut self, most: usize, count: usize, span: Span, of: &str, what: &str) {
        if count > most {
            let message = format!("{of} has {count} {what}, and {most} are the most");
            self.cx.push(Diagnostic::new(Code::TooLarge, span, message));
        }
    }

    fn zone(&mut self, name: &Text) -> Option<Zone> {
        if let Some(zone) = Zone::of_name(&name.value) {
            return Some(zone);
        }
        let message = format!("there is no time zone {}", quote(&name.value));
        let diagnostic = Diagnostic::new(Code::UnknownZone, name.span, message);
        let names = Zone::names();
        let wanted = name.value.replace(' ', "_").to_lowercase();
        let city = names.iter().find(|zone| zone.to_lowercase().rsplit('/').next() == Some(wanted.as_str()));
        let near = city.map(String::as_str).or_else(|| nearest(&name.value, names.iter().map(String::as_str)));
        self.cx.push(match near {
            Some(near) => diagnostic.help(format!("did you mean {}?", quote(near))),
            None => diagnostic.help("a zone has the name of a place, `Europe/Berlin`, or is `UTC`"),
        });
        None
    }

    fn days(&mut self, text: &Text) -> Option<Days> {
        let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
        let (first, last) = (first.trim(), last.trim());
        let place = |name: &str| Days::NAMES.iter().position(|day| *day == name);
        let wrong = match (place(first), place(last)) {
            (Some(first), Some(last)) => return Some(Days::range(first, last)),
            (None, _) => first,
            (Some(_), None) => last,
        };
        let message = format!("{} is no day of the week", quote(wrong));
        let diagnostic = Diagnostic::new(Code::BadDay, text.span, message);
        let short: String = wrong.to_lowercase().chars().take(3).collect();
        let meant = Days::NAMES.into_iter().find(|day| *day == short);
        self.cx.push(match meant {
            Some(meant) => diagnostic.help(format!("did you mean {}?", quote(meant))),
            None => diagnostic
                .help(format!("the days are {}, and ranges of them like `mon-fri`", listed(&Days::NAMES, "and"))),
        });
        None
    }

    fn hours(&mut self, text: &Text) -> Option<Hours> {
        let mut minutes = text.value.split('-').map(minute);
        let (from, until) = match (minutes.next().flatten(), minutes.next().flatten(), minutes.next()) {
            (Some(from), Some(until), None) if from < 1_440 => (from, until),
            (_, _, _) => {
                let message = format!("{} is no part of a day", quote(&text.value));
                let help = "write it like `08:00-18:00`, or `22:00-06:00` over midnight; the end of the day is `24:00`";
                self.cx.push(Diagnostic::new(Code::BadHours, text.span, message).help(help));
                return None;
            }
        };
        if from == until {
            let message = format!("{} ends where it begins", quote(&text.value));
            let help = "the whole day is `00:00-24:00`, or no `hours` at all";
            self.cx.push(Diagnostic::new(Code::BadHours, text.span, message).help(help));
            return None;
        }
        // Midnight is the end of a day here.
        Some(Hours { from, until: if until == 0 { 1_440 } else { until } })
    }

    fn moment(&mut self, text: &Text, zone: &Zone, edge: Edge) -> Option<i64> {
        match moment::parse(&text.value, Some(zone), edge) {
            Ok(at) => Some(at),
            Err(wrong) => {
                let message = format!("{} {}", quote(&text.value), wrong.message());
                let help = match wrong {
                    Wrong::Form => "write a date like `2026-12-01`, or a date and a time like `2026-12-01T18:00`",
                    Wrong::NoZone | Wrong::UnknownZone | Wrong::Offset => wrong.help(),
                };
                self.cx.push(Diagnostic::new(Code::BadTime, text.span, message).help(help));
                None
            }
        }
    }
}

/// The minute of the day that `HH:MM` says, up to the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str, most: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &u16| digits && *number <= most)
    };
    let (hours, minutes) = (number(hours, 24)?, number(minutes, 59)?);
    (hours < 24 || minutes == 0).then_some(hours * 60 + minutes)
}
