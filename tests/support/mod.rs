//! What several of the tests need.

pub(crate) mod answers;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod golden;
pub(crate) mod history;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod passwords;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod recordings;
pub(crate) mod scale;
pub(crate) mod terms;
pub(crate) mod wait;
