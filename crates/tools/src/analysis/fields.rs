//! The fields of a client, and sets of them.

use exhook_policy_core::policy::model::{Condition, TextField};

/// A field of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ClientField {
    Text(TextField),
    Peerhost,
    Sockport,
    Peerport,
    IsSuperuser,
    Anonymous,
    /// When the client asks.
    At,
}

impl ClientField {
    pub(super) const TEXTS: [TextField; 8] = [
        TextField::Clientid,
        TextField::Username,
        TextField::Protocol,
        TextField::Mountpoint,
        TextField::Node,
        TextField::Cluster,
        TextField::Cn,
        TextField::Dn,
    ];

    /// The field that the condition is on.
    pub(super) fn of(condition: &Condition) -> Self {
        match condition {
            Condition::Text(field, _) => ClientField::Text(*field),
            Condition::Peerhost(_) => ClientField::Peerhost,
            Condition::Sockport(_) => ClientField::Sockport,
            Condition::Peerport(_) => ClientField::Peerport,
            Condition::IsSuperuser(_) => ClientField::IsSuperuser,
            Condition::Anonymous(_) => ClientField::Anonymous,
        }
    }

    fn bit(self) -> u16 {
        match self {
            ClientField::Text(TextField::Clientid) => 1,
            ClientField::Text(TextField::Username) => 1 << 1,
            ClientField::Text(TextField::Protocol) => 1 << 2,
            ClientField::Text(TextField::Mountpoint) => 1 << 3,
            ClientField::Text(TextField::Node) => 1 << 4,
            ClientField::Peerhost => 1 << 5,
            ClientField::Sockport => 1 << 6,
            ClientField::IsSuperuser => 1 << 7,
            ClientField::Anonymous => 1 << 8,
            ClientField::Text(TextField::Cluster) => 1 << 9,
            ClientField::Text(TextField::Cn) => 1 << 10,
            ClientField::Text(TextField::Dn) => 1 << 11,
            ClientField::Peerport => 1 << 12,
            ClientField::At => 1 << 13,
        }
    }
}

/// Some fields of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FieldSet(u16);

impl FieldSet {
    pub(super) fn insert(&mut self, field: ClientField) {
        self.0 |= field.bit();
    }

    pub(super) fn contains(self, field: ClientField) -> bool {
        self.0 & field.bit() != 0
    }

    pub(super) fn without(self, field: ClientField) -> Self {
        FieldSet(self.0 & !field.bit())
    }

    /// Whether both the clientid and the username are among them.
    pub(super) fn has_identity(self) -> bool {
        self.contains(ClientField::Text(TextField::Clientid)) && self.contains(ClientField::Text(TextField::Username))
    }
}
