//! Files: read within a bound, put in the place of others, and seen to change.

pub mod atomic;
pub mod input;
pub mod policies;
pub mod stamp;
