//! Durations as people write them: `500ms`, `2s`, `1h30m`, `90d`.

use std::borrow::Cow;
use std::time::Duration as Time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::codes::Code;
use super::decode::{Cx, Decode};
use super::diag::{Diagnostic, quote};
use super::yaml::{Node, Yaml};

/// A duration of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) Time);

/// The units, in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads numbers with units, one after another. `None` where the text is anything else or more than can be counted.
pub fn parse(text: &str) -> Option<Time> {
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c: char| c.is_ascii_digit());
        let (unit, after) = split(after, |c: char| c.is_ascii_alphabetic());
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Time::from_millis(total))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Writes a duration in the largest unit that gives a whole number.
pub fn show(time: Time) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| millis >= *unit && millis.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rev().find(fits).copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

impl Decode for Duration {
    const WHAT: &'static str = "a duration";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        const UNITS_HELP: &str = "the units are ms, s, m, h and d: `500ms`, `2s`, `5m`, `12h`, `90d`";
        let help = match &yaml.node {
            Node::Text(text) => match parse(text) {
                Some(time) => return Some(Duration(time)),
                None => UNITS_HELP.to_owned(),
            },
            Node::Int(number @ 0..) => format!("add the unit: `{number}s` for seconds, `{number}ms` for milliseconds"),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Seq(_) | Node::Map(_) => {
                UNITS_HELP.to_owned()
            }
        };
        let message = match yaml.node {
            Node::Seq(_) | Node::Map(_) => format!("expected a duration, found {}", yaml.kind()),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                format!("{} is no duration", quote(yaml.span.of(cx.text)))
            }
        };
        cx.push(Diagnostic::new(Code::BadDuration, yaml.span, message).help(help));
        None
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
            "examples": ["500ms", "2s", "5m", "12h", "90d"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(parse(text).map(|time| u64::try_from(time.as_millis()).unwrap()), millis, "{text:?}");
    }

    #[test]
    fn numbers_with_units() {
        check("500ms", Some(500));
        check("2s", Some(2000));
        check("5m", Some(300_000));
        check("12h", Some(43_200_000));
        check("90d", Some(7_776_000_000));
        check("1h30m", Some(5_400_000));
        check("0s", Some(0));
        for text in
            ["", "2", "s", "2 s", "-2s", "2.5s", "2S", "2w", "2s ", "s2", "99999999999999999999s", "300000000000000d"]
        {
            check(text, None);
        }
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        for text in ["1ms", "1500ms", "2s", "90s", "5m", "12h", "90d"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(parse("24h").unwrap()), "1d");
        assert_eq!(show(parse("0s").unwrap()), "0ms");
    }
}
