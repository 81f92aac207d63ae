//! The address at which a broker calls a provider.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// `http://HOST:PORT` or `https://HOST:PORT`, as all versions of the broker read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A name or an IPv4 address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Url {
    /// Whether what goes there stays on the broker's machine.
    pub fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "it is not http://HOST:PORT or https://HOST:PORT, with a name or an IPv4 address";
        let (scheme, rest) = text.split_once("://").ok_or(wrong)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong),
        };
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':').ok_or(wrong)?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !host.chars().all(is_host) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Url { tls, host: host.to_owned(), port }),
            Ok(_) | Err(_) => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(bool, &str, u16, bool)>) {
        let url = text.parse::<Url>().ok();
        let read = url.as_ref().map(|url| (url.tls, url.host.as_str(), url.port, url.is_local()));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn addresses_of_providers() {
        check("http://127.0.0.1:9000", Some((false, "127.0.0.1", 9000, true)));
        check("http://127.9.9.9:1/", Some((false, "127.9.9.9", 1, true)));
        check("https://Localhost:65535", Some((true, "Localhost", 65535, true)));
        check("https://policy.example.org:9000", Some((true, "policy.example.org", 9000, false)));
        check("http://127.0.0.1.example.org:9000", Some((false, "127.0.0.1.example.org", 9000, false)));
        for wrong in [
            "",
            "127.0.0.1:9000",
            "tcp://h:1",
            "http://h",
            "http://:9000",
            "http://h:0",
            "http://h:65536",
            "http://h:+1",
            "http://h:",
            "http://u:p@h:1",
            "http://h:1/path",
            "http://[::1]:9000",
            "HTTP://h:1",
        ] {
            check(wrong, None);
        }
        assert_eq!("https://h:1/".parse::<Url>().unwrap().to_string(), "https://h:1");
    }
}
