//! The policy: from the file to decisions.
mod candidates;
pub mod decide;
pub mod lists;
pub mod model;
mod strings;
pub mod who;
