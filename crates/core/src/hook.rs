//! The hooks of the broker: one row each.

/// What the broker does with the answer to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer decides, and every failure to answer lets the client through.
    Asks,
    /// The broker waits for the answer and ignores it.
    Tells,
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $point:literal $(=> $newer_point:literal)?,
       $method:literal $(=> $newer_method:literal)?, $kind:ident;)*) => {
        /// A hook of the broker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Hook {
            $($(#[$doc])* $variant,)*
        }

        impl Hook {
            /// Every hook, in the order of the table.
            pub const ALL: &'static [Hook] = &[$(Hook::$variant,)*];

            /// The name by which the broker registers the hook. The callback is `on_` and this name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Hook::$variant => $name,)*
                }
            }

            /// The broker's own name of it, by which its documentation, events as JSON and policies call it.
            pub fn point(self) -> &'static str {
                match self {
                    $(Hook::$variant => $point,)*
                }
            }

            /// The name by which EMQX 5.0 and later know it.
            pub fn newer_point(self) -> &'static str {
                match self {
                    $(Hook::$variant => newest(&[$point $(, $newer_point)?]),)*
                }
            }

            /// The hook of which a gRPC method with this name tells, `OnClientConnected` say.
            pub fn of_method(method: &str) -> Option<Hook> {
                match method {
                    $($method $(| $newer_method)? => Some(Hook::$variant),)*
                    _ => None,
                }
            }

            /// The hook whose callback has this name, `on_client_connected` say.
            pub fn of_callback(function: &[u8]) -> Option<Hook> {
                match function {
                    $(_ if function == concat!("on_", $name).as_bytes() => Some(Hook::$variant),)*
                    _ => None,
                }
            }

            /// Whether the answer decides.
            pub fn kind(self) -> Kind {
                match self {
                    $(Hook::$variant => Kind::$kind,)*
                }
            }
        }
    };
}

fn newest(names: &[&'static str]) -> &'static str {
    names.last().copied().unwrap_or_default()
}

// The name on the port, the broker's own name, and the gRPC method; behind `=>`, what EMQX 5.0 made of a name.
hooks! {
    /// A CONNECT packet arrived.
    ClientConnect, "client_connect", "client.connect", "OnClientConnect", Tells;
    /// A CONNACK is about to be sent.
    ClientConnack, "client_connack", "client.connack", "OnClientConnack", Tells;
    /// A client is connected.
    ClientConnected, "client_connected", "client.connected", "OnClientConnected", Tells;
    /// A connection ended.
    ClientDisconnected, "client_disconnected", "client.disconnected", "OnClientDisconnected", Tells;
    /// May a client log in?
    ClientAuthenticate, "client_authenticate", "client.authenticate", "OnClientAuthenticate", Asks;
    /// May a client publish or subscribe?
    ClientCheckAcl, "client_check_acl", "client.check_acl" => "client.authorize", "OnClientCheckAcl" => "OnClientAuthorize", Asks;
    /// A SUBSCRIBE packet arrived.
    ClientSubscribe, "client_subscribe", "client.subscribe", "OnClientSubscribe", Tells;
    /// An UNSUBSCRIBE packet arrived.
    ClientUnsubscribe, "client_unsubscribe", "client.unsubscribe", "OnClientUnsubscribe", Tells;
    /// A session was created.
    SessionCreated, "session_created", "session.created", "OnSessionCreated", Tells;
    /// A session was resumed.
    SessionResumed, "session_resumed", "session.resumed", "OnSessionResumed", Tells;
    /// An old session was discarded.
    SessionDiscarded, "session_discarded", "session.discarded", "OnSessionDiscarded", Tells;
    /// An old session was taken over.
    SessionTakenOver, "session_takeovered", "session.takeovered" => "session.takenover", "OnSessionTakeovered" => "OnSessionTakenover", Tells;
    /// A subscription was added.
    SessionSubscribed, "session_subscribed", "session.subscribed", "OnSessionSubscribed", Tells;
    /// A subscription was removed.
    SessionUnsubscribed, "session_unsubscribed", "session.unsubscribed", "OnSessionUnsubscribed", Tells;
    /// A session ended.
    SessionTerminated, "session_terminated", "session.terminated", "OnSessionTerminated", Tells;
    /// A message was published.
    MessagePublish, "message_publish", "message.publish", "OnMessagePublish", Tells;
}

impl Hook {
    /// The hook of which the broker speaks by this name, `client.connected` say.
    pub fn of_point(point: &str) -> Option<Hook> {
        Hook::ALL.iter().copied().find(|hook| hook.point() == point)
    }

    /// The denying kind of a function or method that is not in the table: a name that ends as one that asks does
    /// asks too, whatever stands before it.
    pub fn kind_of_unknown(name: &str) -> Kind {
        let ends = ["authenticate", "check_acl", "authorize", "Authenticate", "CheckAcl", "Authorize"];
        if ends.iter().any(|end| name.ends_with(end)) { Kind::Asks } else { Kind::Tells }
    }
}

/// Some of the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HookSet(u32);

impl HookSet {
    /// None of them.
    pub const EMPTY: HookSet = HookSet(0);

    /// The set as a number, for whoever keeps it: a bit for each row of the table, the lowest first.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The set of such a number. Bits that no hook has are left out.
    pub fn of_bits(bits: u32) -> Self {
        Hook::ALL.iter().copied().filter(|hook| bits & HookSet::bit(*hook) != 0).collect()
    }

    /// Whether the hook is one of them.
    pub fn contains(self, hook: Hook) -> bool {
        self.0 & HookSet::bit(hook) != 0
    }

    /// Those that are not in the other set.
    #[must_use]
    pub fn without(self, other: HookSet) -> Self {
        HookSet(self.0 & !other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: HookSet) -> Self {
        HookSet(self.0 & other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The hooks, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL.iter().copied().filter(move |hook| self.contains(*hook))
    }

    fn bit(hook: Hook) -> u32 {
        1 << hook as u32
    }
}

impl FromIterator<Hook> for HookSet {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        HookSet(hooks.into_iter().fold(0, |bits, hook| bits | HookSet::bit(hook)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_find_their_hook() {
        for hook in Hook::ALL {
            assert_eq!(hook.point(), hook.name().replacen('_', ".", 1));
            assert_eq!(Hook::of_point(hook.point()), Some(*hook));
            assert_eq!(Hook::of_callback(format!("on_{}", hook.name()).as_bytes()), Some(*hook));
        }
        assert_eq!(Hook::of_point("client_connected"), None);
    }

    #[test]
    fn methods_are_named_after_the_broker_s_names() {
        for hook in Hook::ALL {
            for point in [hook.point(), hook.newer_point()] {
                let words = point.split(['.', '_']).map(|word| {
                    let (first, rest) = word.split_at(1);
                    first.to_uppercase() + rest
                });
                let method = format!("On{}", words.collect::<String>());
                assert_eq!(Hook::of_method(&method), Some(*hook), "{method}");
                assert_eq!(Hook::kind_of_unknown(&format!("{method}2")), Kind::Tells);
                assert_eq!(Hook::kind_of_unknown(&method), hook.kind(), "{method}");
            }
        }
        assert_eq!(Hook::of_method("OnProviderLoaded"), None);
    }

    #[test]
    fn a_set_of_hooks_is_kept_as_a_number() {
        let all: HookSet = Hook::ALL.iter().copied().collect();
        assert_eq!((all.bits(), all.iter().count()), (0xffff, Hook::ALL.len()));
        let one: HookSet = [Hook::ClientConnack].into_iter().collect();
        assert_eq!((one.bits(), HookSet::of_bits(0xffff_0002)), (2, one));
        assert!(one.contains(Hook::ClientConnack) && !one.contains(Hook::ClientConnect));
        assert_eq!((all.without(one).and(one), all.and(one)), (HookSet::EMPTY, one));
        assert!(HookSet::EMPTY.is_empty() && !one.is_empty());
    }
}
