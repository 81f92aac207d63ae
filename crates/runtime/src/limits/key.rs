//! What is the same of clients that are counted together, with its value.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use exhook_policy_core::event::short::{LONGEST, short};
use exhook_policy_core::event::{Client, Peerhost};
use exhook_policy_core::policy::model::Counted;

/// The values of the fields that are counted by. A clientid is unique within its cluster, so the cluster stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey<T> {
    /// The clientid and the cluster, which is empty where the broker does not tell it.
    pub clientid: Option<(T, T)>,
    /// The user name.
    pub username: Option<T>,
    /// The address.
    pub peerhost: Option<Peer>,
}

/// An address as it is counted: an IPv4 address, or the first 64 bits of an IPv6 address, since whoever has one of these
/// has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        const HALF: u32 = 64;
        match address.to_canonical() {
            IpAddr::V4(v4) => Peer(IpAddr::V4(v4)),
            IpAddr::V6(v6) => Peer(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> HALF << HALF))),
        }
    }
}

impl Peer {
    /// Reads what its `Display` writes, and any address.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("/64") {
            Some(network) => {
                let peer = Peer::from(IpAddr::V6(network.parse().ok()?));
                peer.0.is_ipv6().then_some(peer)
            }
            None => text.parse::<IpAddr>().ok().map(Peer::from),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

impl<'a> LimitKey<&'a str> {
    /// What is counted of this client. `None` where a field has no value by which to tell it from others: an empty name, or
    /// what is no address.
    pub fn of(counted: Counted, client: &Client<'a>) -> Option<Self> {
        let name = |is_counted: bool, name: &'a str| match (is_counted, name) {
            (false, _) => Some(None),
            (true, "") => None,
            (true, name) => Some(Some(name)),
        };
        let peerhost = match (counted.peerhost, client.peerhost) {
            (false, _) => None,
            (true, Peerhost::Addr(address)) => Some(Peer::from(address)),
            (true, Peerhost::Other(_)) => return None,
        };
        let cluster = client.extra.cluster.unwrap_or_default();
        Some(LimitKey {
            clientid: name(counted.clientid, client.clientid)?.map(|clientid| (clientid, cluster)),
            username: name(counted.username, client.username)?,
            peerhost,
        })
    }
}

impl<T: AsRef<str>> LimitKey<T> {
    /// Which fields are counted by.
    pub fn counted(&self) -> Counted {
        Counted {
            clientid: self.clientid.is_some(),
            username: self.username.is_some(),
            peerhost: self.peerhost.is_some(),
        }
    }

    /// The same, with its own texts, as they stand in a database: long ones cut and marked.
    pub fn to_owned(&self) -> LimitKey<Box<str>> {
        let own = |text: &T| Box::from(short(text.as_ref()));
        LimitKey {
            clientid: self.clientid.as_ref().map(|(clientid, cluster)| (own(clientid), own(cluster))),
            username: self.username.as_ref().map(own),
            peerhost: self.peerhost,
        }
    }

    /// Whether all its texts are whole in the database.
    pub(super) fn is_short(&self) -> bool {
        let is_short = |text: &T| text.as_ref().len() <= LONGEST;
        self.clientid.as_ref().is_none_or(|(clientid, cluster)| is_short(clientid) && is_short(cluster))
            && self.username.as_ref().is_none_or(is_short)
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> LimitKey<&str> {
        let clientid = self.clientid.as_ref().map(|(clientid, cluster)| (clientid.as_ref(), cluster.as_ref()));
        LimitKey { clientid, username: self.username.as_ref().map(T::as_ref), peerhost: self.peerhost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Peer::parse(text).map(|peer| peer.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_network_is_one_of_ipv6() {
        check("192.0.2.7", Some("192.0.2.7"));
        check("2001:db8::7", Some("2001:db8::/64"));
        check("2001:db8::/64", Some("2001:db8::/64"));
        check("::ffff:192.0.2.7", Some("192.0.2.7"));
        check("192.0.2.7/64", None);
        check("::ffff:192.0.2.7/64", None);
        check("2001:db8::/32", None);
        check("2001:db8::/64/64", None);
    }
}
