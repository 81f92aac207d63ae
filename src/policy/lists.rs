//! The contents of the policy's lists at one moment.

use std::net::IpAddr;
use std::sync::Arc;

use super::model::ListId;

/// The entries of one list.
#[derive(Debug, Default)]
pub struct List {}

impl List {
    /// Whether the text is an entry.
    pub fn contains_text(&self, _text: &str) -> bool {
        todo!()
    }

    /// Whether the address is an entry or inside one.
    pub fn contains_address(&self, _address: IpAddr) -> bool {
        todo!()
    }
}

/// Every list of a policy, by [`ListId`]; `None` where it could not be read yet.
#[derive(Debug, Clone, Default)]
pub struct Lists(Vec<Option<Arc<List>>>);

impl Lists {
    /// The list, or `None` where its source could not be read.
    pub fn get(&self, id: ListId) -> Option<&List> {
        self.0.get(id.0)?.as_deref()
    }
}
