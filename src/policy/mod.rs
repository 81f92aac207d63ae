//! The policy: from the file to decisions.
pub mod lists;
pub mod model;
