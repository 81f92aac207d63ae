//! What a policy does over all clients and topics: finitely many questions that stand for every
//! question.
//!
//! Nothing here decides. What a policy answers is asked of the [`Policy`] itself, so no result can
//! disagree with it; what is worked out here is which questions are enough. Therefore:
//!
//! - that something happens is said with a [`Witness`], a question that the policy was asked;
//! - that something never happens is said only where the questions were complete: every real
//!   question is treated as one of them is. [`Samples::complete`] and
//!   [`Representatives::complete`](exhook_policy_core::topic::Representatives) say whether they
//!   are;
//! - every step of the work is taken out of one [`Budget`], which counts steps and no time, so the
//!   same policy has the same result on every machine. Where it ends, nothing is complete.
//!
//! # Terms
//!
//! - *Kind of client* ([`ClientKind`]): the clients that a rule of one of the policies is about.
//! - *Focus*: the kind of client that is looked at just now; the others are the kinds that it is
//!   compared with.
//! - *Sample* ([`Sample`]): a client with a value in every field, which stands for all clients of
//!   the focus that these kinds and the topic patterns treat alike.
//! - *Question* ([`ClientQuestion`]): a login, a publish to a topic name or a subscription to a
//!   topic filter.
//! - *Witness* ([`Witness`]): a sample and the question that it asked, shown in words and as JSON.
//! - *Complete*: every real client or question is treated as one of those that were found.
//! - *External list*: a list from a file or a database. Whether it holds a value is open, and each
//!   sample says what it assumes. Inline lists are as they are written.
//! - *Comparison*: what a condition compares a field with: a text, a glob, a regex, a list, an
//!   address or a port.
//! - *Occurrence*: a field that a condition compares with the clientid or the username through a
//!   placeholder.
//! - *Class*: values of one field that all conditions, or all topic patterns, treat alike.
//! - *Partial client*: a client of which only some fields have a value yet.
//!
//! # How `check` goes from a policy to findings
//!
//! 1. [`findings::report`] compiles the policy and makes an [`AnalysisContext`] of it: the lists,
//!    and the classes of clientids and usernames that the topic patterns tell apart.
//! 2. Each file of `findings` looks for one mistake. It takes the rules that may share a client and
//!    a topic (`findings::rule_index`), and asks for samples of a kind of client
//!    ([`AnalysisContext::samples_about`]).
//! 3. `sample_search` takes the conditions of these kinds apart (`comparisons`, `occurrences`),
//!    gets values for each field (`text_values`, `peerhost_values`), and puts clients together from
//!    them, one field after the other. What the focus rules out is dropped at once, and of clients
//!    that are alike from there on one is kept.
//! 4. The finding asks the policy about each sample and about topics that stand for all, and makes
//!    a warning of an answer that shows the mistake, or of the fact that no answer does.
//!
//! # How `diff` goes from two policies to differences
//!
//! 1. [`mod@diff`] makes one [`AnalysisContext`] of both policies.
//! 2. `diff::common_rules` leaves out the rules that both have in the same order; every other rule
//!    is a focus.
//! 3. For each focus, samples are searched as above, and [`logins`] and [`topics`] put questions of
//!    each sample to both policies.
//! 4. Where the answers differ, `diff::changes` keeps the difference with its first witness.
//!    `diff::notes` adds what is no decision: lists, limits, history, and the like.
//!
//! # Modules, in the order in which data flows
//!
//! Each uses only those above it; `tests/it/tidy.rs` checks that.
//!
//! | module | what it holds |
//! |---|---|
//! | `fields` | the fields of a client, and sets of them |
//! | `client_kind` | the clients that a rule of one of the policies is about |
//! | `lists` | the lists of all policies, and which of them are the same |
//! | `sample`, `witness` | one client, one question, in words and as JSON |
//! | `placeholders` | texts with one placeholder, and when two of them are equal |
//! | `automata` | globs and regexes as automata, and words that they tell apart |
//! | `topic_classes` | classes of clientids and usernames that topic patterns treat alike |
//! | `context` | the policies with all that every search needs |
//! | `comparisons` | what the conditions compare each field with |
//! | `occurrences` | where the clientid and the username occur in other fields |
//! | `text_values`, `peerhost_values` | values of a field, at least one of each class |
//! | `sample_search` | the clients that stand for all |
//! | `questions` | puts questions of samples to policies |
//! | [`findings`], [`mod@diff`] | the results |
//!
//! [`Policy`]: exhook_policy_core::policy::Policy

mod automata;
mod client_kind;
mod comparisons;
mod context;
pub mod diff;
mod fields;
pub mod findings;
mod lists;
mod occurrences;
mod peerhost_values;
mod placeholders;
mod questions;
mod sample;
mod sample_search;
mod text_values;
mod topic_classes;
mod witness;

pub use client_kind::ClientKind;
pub use context::AnalysisContext;
pub use exhook_policy_core::topic::Budget;
pub use questions::{logins, topics};
pub use sample::{Sample, Samples};
pub use witness::{ClientQuestion, PasswordAnswer, Witness};

#[cfg(test)]
mod tests;
