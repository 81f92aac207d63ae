//! The commands. Each is an `Args` struct and one function that gives an exit code: 0 fine; 1 it looked
//! and found something; 2 it could not look.

pub mod check;
pub mod schema;
