//! The fields of a sample, and sets of them.

use exhook_policy_core::policy::model::{ClientField, FlagField, HostField, PortField, TextField};

/// A field of a sample: of its client, or the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SampleField {
    Text(TextField),
    Host(HostField),
    Port(PortField),
    Flag(FlagField),
    /// When the client asks.
    At,
}

impl From<ClientField> for SampleField {
    fn from(field: ClientField) -> Self {
        match field {
            ClientField::Text(field) => SampleField::Text(field),
            ClientField::Host(field) => SampleField::Host(field),
            ClientField::Port(field) => SampleField::Port(field),
            ClientField::Flag(field) => SampleField::Flag(field),
        }
    }
}

impl SampleField {
    fn bit(self) -> u32 {
        let place = match self {
            SampleField::Text(field) => ClientField::Text(field).place(),
            SampleField::Host(field) => ClientField::Host(field).place(),
            SampleField::Port(field) => ClientField::Port(field).place(),
            SampleField::Flag(field) => ClientField::Flag(field).place(),
            SampleField::At => ClientField::ALL.len(),
        };
        1 << place
    }
}

/// Some fields of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FieldSet(u32);

impl FieldSet {
    pub(super) fn insert(&mut self, field: SampleField) {
        self.0 |= field.bit();
    }

    pub(super) fn contains(self, field: SampleField) -> bool {
        self.0 & field.bit() != 0
    }

    pub(super) fn without(self, field: SampleField) -> Self {
        FieldSet(self.0 & !field.bit())
    }

    /// Whether both the clientid and the username are among them.
    pub(super) fn has_identity(self) -> bool {
        self.contains(SampleField::Text(TextField::Clientid)) && self.contains(SampleField::Text(TextField::Username))
    }
}
