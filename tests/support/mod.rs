//! What several of the tests need.

pub(crate) mod golden;
pub(crate) mod live;
