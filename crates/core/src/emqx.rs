//! The versions of EMQX that are known, and how each asks.

mod facts;

use std::fmt;
use std::str::FromStr;

pub use facts::{Fact, Has};

/// A version of the broker: `5.8`, or `5.8.3` where the patch release matters.
///
/// A version without a patch release comes before all patch releases of it, so that `version >= since` asks of `5.8`
/// whether every 5.8 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u8,
    minor: u8,
    patch: Option<u8>,
}

/// How the broker asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// It starts the driver itself, and sends Erlang terms through a pipe.
    Port,
    /// It calls a gRPC service of this package.
    Grpc(Package),
}

/// The gRPC packages of `ExHook`; a broker calls `HookProvider` in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// `emqx.exhook.v1`
    V1,
    /// `emqx.exhook.v2`
    V2,
    /// `emqx.exhook.v3`
    V3,
}

/// The lines of releases that were read for what is said of them here, in order.
const KNOWN: [(Version, Transport); 18] = [
    (Version::new(4, 1), Transport::Port),
    (Version::new(4, 2), Transport::Port),
    (Version::new(4, 3), Transport::Grpc(Package::V1)),
    (Version::new(4, 4), Transport::Grpc(Package::V1)),
    (Version::new(5, 0), Transport::Grpc(Package::V2)),
    (Version::new(5, 1), Transport::Grpc(Package::V2)),
    (Version::new(5, 2), Transport::Grpc(Package::V2)),
    (Version::new(5, 3), Transport::Grpc(Package::V2)),
    (Version::new(5, 4), Transport::Grpc(Package::V2)),
    (Version::new(5, 5), Transport::Grpc(Package::V2)),
    (Version::new(5, 6), Transport::Grpc(Package::V2)),
    (Version::new(5, 7), Transport::Grpc(Package::V2)),
    (Version::new(5, 8), Transport::Grpc(Package::V2)),
    (Version::new(5, 9), Transport::Grpc(Package::V3)),
    (Version::new(5, 10), Transport::Grpc(Package::V3)),
    (Version::new(6, 0), Transport::Grpc(Package::V3)),
    (Version::new(6, 1), Transport::Grpc(Package::V3)),
    (Version::new(6, 2), Transport::Grpc(Package::V3)),
];

impl Version {
    /// A line of releases that is known, without a patch release.
    pub const fn new(major: u8, minor: u8) -> Self {
        Version { major, minor, patch: None }
    }

    /// The lines of releases that are known, in order.
    pub fn known() -> impl Iterator<Item = Version> {
        KNOWN.iter().map(|(version, _)| *version)
    }

    /// The line that it is a release of: `5.8` for `5.8.3`.
    #[must_use]
    pub fn line(self) -> Self {
        Version::new(self.major, self.minor)
    }

    /// How it asks.
    pub fn transport(self) -> Transport {
        // Only known versions are made, so that the last stands for none.
        let row = KNOWN.iter().find(|(known, _)| *known == self.line());
        row.map_or(Transport::Grpc(Package::V3), |(_, transport)| *transport)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(f, ".{patch}"),
            None => Ok(()),
        }
    }
}

impl Package {
    /// Its name, as the broker calls it.
    pub fn name(self) -> &'static str {
        match self {
            Package::V1 => "emqx.exhook.v1",
            Package::V2 => "emqx.exhook.v2",
            Package::V3 => "emqx.exhook.v3",
        }
    }
}

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// It is not two or three numbers with dots between them.
    Form(String),
    /// It is a version, but not of a line that is known.
    Unknown(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = Version::known().map(|version| version.to_string()).collect();
        let known = known.join(", ");
        match self {
            ParseError::Form(text) => {
                write!(f, "{text:?} is no version of EMQX, such as 5.8 or 5.8.3; those known are {known}")
            }
            ParseError::Unknown(text) => write!(f, "EMQX {text} is not known here; those known are {known}"),
        }
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() > 3 || !parts.iter().all(is_number) {
            return Err(ParseError::Form(text.to_owned()));
        }
        let unknown = || ParseError::Unknown(text.to_owned());
        let numbers: Vec<u8> = parts.iter().map_while(|part| canonical(part)).collect();
        let version = match (numbers.as_slice(), parts.len()) {
            (&[major, minor], 2) => Version::new(major, minor),
            (&[major, minor, patch], 3) => Version { major, minor, patch: Some(patch) },
            _ => return Err(unknown()),
        };
        if Version::known().any(|known| known == version.line()) { Ok(version) } else { Err(unknown()) }
    }
}

/// A number without zeros before it.
fn canonical(digits: &str) -> Option<u8> {
    let number: u8 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn known_versions_are_read_and_written() {
        for known in Version::known() {
            assert_eq!(parsed(&known.to_string()), known);
            let release: Version = parsed(&format!("{known}.3"));
            assert_eq!((release.line(), release.to_string()), (known, format!("{known}.3")));
        }
        assert_eq!(Version::known().count(), 18);
    }

    #[test]
    fn versions_are_in_order() {
        let order =
            ["4.1", "4.2.14", "4.3", "5.0", "5.0.0", "5.0.26", "5.8", "5.8.3", "5.8.10", "5.9", "5.10", "6.2.2"];
        assert!(order.map(parsed).is_sorted());
        let known: Vec<Version> = Version::known().collect();
        assert!(known.is_sorted());
    }

    #[test]
    fn each_asks_in_its_way() {
        let check = |text, transport| assert_eq!(parsed(text).transport(), transport, "{text}");
        check("4.1", Transport::Port);
        check("4.2.14", Transport::Port);
        check("4.3.0", Transport::Grpc(Package::V1));
        check("4.4", Transport::Grpc(Package::V1));
        check("5.0.0", Transport::Grpc(Package::V2));
        check("5.8.9", Transport::Grpc(Package::V2));
        check("5.9.0", Transport::Grpc(Package::V3));
        check("5.10", Transport::Grpc(Package::V3));
        check("6.2", Transport::Grpc(Package::V3));
        assert_eq!(
            [Package::V1, Package::V2, Package::V3].map(Package::name).join(" "),
            "emqx.exhook.v1 emqx.exhook.v2 emqx.exhook.v3"
        );
    }

    const LIST: &str =
        "those known are 4.1, 4.2, 4.3, 4.4, 5.0, 5.1, 5.2, 5.3, 5.4, 5.5, 5.6, 5.7, 5.8, 5.9, 5.10, 6.0, 6.1, 6.2";

    #[test]
    fn what_is_not_known_is_refused_with_those_that_are() {
        for text in ["3.4.6", "4.0", "7.0", "7", "5", "5.11", "6.3", "05.8", "5.08", "256.0", "5.8.999"] {
            let message = format!("EMQX {text} is not known here; {LIST}");
            assert_eq!(text.parse::<Version>().unwrap_err().to_string(), message);
        }
        for text in ["", "latest", "5.", ".8", "5.x", "v5.8", "5.8.3-rc.1", "5.8.3.1", " 5.8", "-5.8", "+5.8"] {
            let message = format!("{text:?} is no version of EMQX, such as 5.8 or 5.8.3; {LIST}");
            assert_eq!(text.parse::<Version>().unwrap_err().to_string(), message);
        }
    }
}
