//! Finitely many questions to a policy that stand for all questions.
//!
//! Guess and check: nothing here decides anything. What a policy says is asked of the [`Policy`] itself, so that no
//! answer can disagree with it; what is worked out here is which questions are enough. So
//!
//! - that something happens is claimed with a [`Witness`], which the policy was asked about;
//! - that something never happens is claimed only where the questions were complete: every real one is treated as
//!   one of them is. [`Samples::complete`] and [`topic::Representatives::complete`](exhook_policy_core::topic::Representatives)
//!   say whether they are;
//! - every step of the work is taken out of one [`Budget`], which counts steps and no time, so that the same policy has
//!   the same answer everywhere. Where it ends, nothing is complete.
//!
//! The way of one question about a kind of client, the *focus*, and the kinds that it is compared with:
//!
//! ```text
//!   Who ── facts ──▶ which values a field is compared with ──┐
//!   Pattern ── roles ──▶ which values of `${clientid}` and ──┤
//!                        `${username}` topics tell apart      ▼
//!                                     texts, words, hosts: a pool of values for each field
//!                                                             │
//!                          search: clients from the pools, those alike merged ──▶ Samples
//! ```
//!
//! - [`Space`]: the policies that are asked, with the lists that they share. Inline lists are as they are written;
//!   whether a list from a file or a database holds a value is free, and each sample says what it assumes. Brokers are
//!   taken to tell every field that some policy asks about.
//! - `facts`: what conditions compare each field with, taken apart; `views`: how placeholders tie fields together.
//! - `roles`: what placeholders make of a value in topics.
//! - `texts`, `words`, `hosts`: values of a field, of which every other one is treated as one of them is. `words`
//!   walks the automata of globs and regexes side by side.
//! - `search`: combinations of these, field by field. What the focus rules out goes at once, and what all kinds treat
//!   alike from there on is merged.
//! - [`Sample`], [`Witness`]: one client, one question, in words and as JSON.
//! - [`logins`], [`topics`]: walk samples and ask.
//! - [`mod@diff`]: two versions of a policy.
//!
//! [`Policy`]: exhook_policy_core::policy::Policy

pub mod diff;
mod facts;
pub mod findings;
mod hosts;
mod questions;
mod roles;
mod sample;
mod search;
mod space;
mod texts;
mod views;
mod witness;
mod words;

pub use exhook_policy_core::topic::Budget;
pub use questions::{logins, topics};
pub use sample::{Sample, Samples};
pub use space::{Kind, Space};
pub use witness::{Asked, PasswordSays, Witness};

#[cfg(test)]
mod tests;
