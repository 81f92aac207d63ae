//! The reverse questions, answered from the rules: who can do something, and what a client can do.
//!
//! Nobody's lists are read: whether a list holds a client is left open, and lists are named. What
//! is said of topics is asked of the patterns that decide.

mod settle;
mod solve;
mod what_can;
mod who_can;

pub use settle::{Known, Left};
pub use solve::{Way, When};
pub use what_can::{Filled, Login, Topics, WhatCan};
pub use who_can::{Answer, Case, Except, Question, WhoCan};

#[cfg(test)]
mod tests;
