//! Sizes of files as people write them: `512KiB`, `64MiB`, `2GiB`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::codes::Code;
use super::decode::{Cx, Decode};
use super::diag::{Diagnostic, quote};
use super::yaml::{Node, Yaml};

/// A size of the file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// The units, in bytes.
const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads a number with its unit. `None` where the text is anything else or more than can be counted.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse::<u64>().ok()?.checked_mul(*unit))?
}

/// Writes a size in the largest unit that gives a whole number.
pub(crate) fn show(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match UNITS.iter().rev().find(fits) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

impl Decode for Size {
    const WHAT: &'static str = "a size";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        const UNITS_HELP: &str = "the units are KiB, MiB and GiB: `512KiB`, `64MiB`, `2GiB`";
        let help = match &yaml.node {
            Node::Text(text) => match parse(text) {
                Some(bytes) => return Some(Size(bytes)),
                None => UNITS_HELP.to_owned(),
            },
            Node::Int(number @ 0..) => format!("add the unit: `{number}MiB`"),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Seq(_) | Node::Map(_) => {
                UNITS_HELP.to_owned()
            }
        };
        let message = match yaml.node {
            Node::Seq(_) | Node::Map(_) => format!("expected a size, found {}", yaml.kind()),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
                format!("{} is no size", quote(yaml.span.of(cx.text)))
            }
        };
        cx.push(Diagnostic::new(Code::BadSize, yaml.span, message).help(help));
        None
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(KiB|MiB|GiB)$",
            "examples": ["512KiB", "64MiB", "2GiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[track_caller]
    fn check(text: &str, bytes: Option<u64>) {
        assert_eq!(parse(text), bytes, "{text:?}");
    }

    #[test]
    fn a_number_with_its_unit() {
        check("512KiB", Some(512 << 10));
        check("64MiB", Some(64 << 20));
        check("2GiB", Some(2 << 30));
        check("0MiB", Some(0));
        for text in ["", "MiB", "64", "64MB", "64M", "64mib", "64 MiB", "+1MiB", "-1MiB", "1.5GiB", "1GiB1MiB"] {
            check(text, None);
        }
        check("99999999999999999999KiB", None);
        check("17179869184GiB", None);
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        for text in ["1KiB", "1500KiB", "64MiB", "3GiB"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(1024 << 20), "1GiB");
        assert_eq!(show(0), "0 bytes");
    }
}
