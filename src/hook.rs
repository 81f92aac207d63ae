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
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $point:literal, $kind:ident;)*) => {
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

hooks! {
    /// A CONNECT packet arrived.
    ClientConnect, "client_connect", "client.connect", Tells;
    /// A CONNACK is about to be sent.
    ClientConnack, "client_connack", "client.connack", Tells;
    /// A client is connected.
    ClientConnected, "client_connected", "client.connected", Tells;
    /// A connection ended.
    ClientDisconnected, "client_disconnected", "client.disconnected", Tells;
    /// May a client log in?
    ClientAuthenticate, "client_authenticate", "client.authenticate", Asks;
    /// May a client publish or subscribe?
    ClientCheckAcl, "client_check_acl", "client.check_acl", Asks;
    /// A SUBSCRIBE packet arrived.
    ClientSubscribe, "client_subscribe", "client.subscribe", Tells;
    /// An UNSUBSCRIBE packet arrived.
    ClientUnsubscribe, "client_unsubscribe", "client.unsubscribe", Tells;
    /// A session was created.
    SessionCreated, "session_created", "session.created", Tells;
    /// A session was resumed.
    SessionResumed, "session_resumed", "session.resumed", Tells;
    /// An old session was discarded.
    SessionDiscarded, "session_discarded", "session.discarded", Tells;
    /// An old session was taken over.
    SessionTakenOver, "session_takeovered", "session.takeovered", Tells;
    /// A subscription was added.
    SessionSubscribed, "session_subscribed", "session.subscribed", Tells;
    /// A subscription was removed.
    SessionUnsubscribed, "session_unsubscribed", "session.unsubscribed", Tells;
    /// A session ended.
    SessionTerminated, "session_terminated", "session.terminated", Tells;
    /// A message was published.
    MessagePublish, "message_publish", "message.publish", Tells;
}

impl Hook {
    /// The hook of which the broker speaks by this name, `client.connected` say.
    pub fn of_point(point: &str) -> Option<Hook> {
        Hook::ALL.iter().copied().find(|hook| hook.point() == point)
    }

    /// The denying kind of a function that is not in the table: a name that ends in `authenticate`
    /// or `check_acl` asks, whatever stands before it.
    pub fn kind_of_unknown(function: &str) -> Kind {
        if function.ends_with("authenticate") || function.ends_with("check_acl") { Kind::Asks } else { Kind::Tells }
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
}
