//! Events as a transport makes them.

use exhook_policy_core::event::{Client, Extra, Peerhost};

/// A client of the one broker.
pub(crate) fn client<'a>(clientid: &'a str, username: &'a str, peerhost: &'a str) -> Client<'a> {
    Client {
        clientid,
        username,
        peerhost: Peerhost::parse(peerhost),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "emqx@127.0.0.1",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    }
}
