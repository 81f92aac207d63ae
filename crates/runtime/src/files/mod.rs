//! Files, as all parts use them.
//!
//! - [`input`]: they are read within a bound, and without waiting for ever.
//! - [`atomic`]: they are put in the place of others.
//! - [`for_everyone`]: folders and programs that others use.
//! - [`stamp`]: they are seen to change.
//! - [`policies`]: policies and their test files, read.

pub mod atomic;
pub mod for_everyone;
pub mod input;
pub mod policies;
pub mod stamp;
