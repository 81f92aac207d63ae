//! The policy engine of exhook-policy: a policy is read, checked and compiled, and decides. Nothing here does input or
//! output, reads a clock or starts a thread.
//!
//! A policy is read and checked, made ready, and asked:
//!
//! ```
//! use std::path::Path;
//!
//! use exhook_policy_core::decision::Verdict;
//! use exhook_policy_core::event::Action;
//! use exhook_policy_core::event::owned::OwnedClient;
//! use exhook_policy_core::policy::lists::Lists;
//! use exhook_policy_core::policy::{self, Policy};
//!
//! let text = r#"
//! version: 1
//! acl:
//!   default: deny
//!   rules:
//!     - { id: own-topics, allow: everyone, publish: ["devices/${clientid}/#"] }
//! "#;
//! // Files that the policy names are looked for in the folder; they are read by the caller, into `Lists`.
//! let loaded = policy::parse(text, "rules.yaml", Path::new(".")).map_err(|report| report.to_string())?;
//! let policy = Policy::compile(loaded.model);
//! let client = OwnedClient::named("dev-1");
//! let decide = |topic| policy.check_acl(&client.as_client(), Action::Publish, topic, &Lists::default());
//! let own = decide("devices/dev-1/up");
//! assert_eq!((own.verdict, own.rule), (Verdict::Allow, "own-topics"));
//! let others = decide("devices/dev-2/up");
//! assert_eq!((others.verdict, others.rule), (Verdict::Deny, "default"));
//! # Ok::<(), String>(())
//! ```
//!
//! The modules, in the order in which data flows:
//!
//! - [`emqx`]: the versions of the broker, and how each asks.
//! - [`hook`], [`event`]: the broker's hooks, one row each, and what a call of each says; [`event::json`] writes it as
//!   a line and reads it back.
//! - [`text`], [`topic`]: what the policy's patterns mean: texts with placeholders, globs, regexes, and topics as sets.
//! - [`policy`]: one YAML file. Raw file → validated [`policy::model::Model`] → compiled [`policy::Policy`], which
//!   decides.
//! - [`decision`], [`answer_sink`]: what was decided, what is answered, and how a late answer finds its call.
//! - [`broker_id`]: which broker asks.
//! - [`handler`]: what a transport needs of what answers.
//! - [`suite`]: tests of a policy, and what stands in for its sources.
//!
//! What holds everywhere:
//!
//! - **Deciding is pure.** [`policy::PolicyRules`] reads no file, no clock and no environment, and it cannot fail: where it
//!   cannot tell, the decision is [`decision::Decision::ERROR`], which denies.
//! - **No password** is in a `Debug` or an error: [`event::Password`] cannot be printed.
//! - **Nothing of a transport** is in [`event`] or [`decision`].

// Some of the tests stand in files that other crates include.
#[cfg(test)]
extern crate self as exhook_policy_core;

pub mod answer_sink;
pub mod broker_id;
pub mod decision;
pub mod emqx;
pub mod event;
pub mod handler;
pub mod hook;
pub mod policy;
pub mod suite;
pub mod text;
pub mod topic;
