//! What can be said of a policy without a broker. All of it is pure, as is the policy itself.
//!
//! - [`convert`]: rules of other brokers as a policy to start from.
//! - [`analysis`]: finitely many questions to a policy that stand for all questions: what its rules
//!   never do, what they do beyond what was meant, and in what two policies differ.
//! - [`access`]: who can do something, and what a client can do, answered from the rules.

pub mod access;
pub mod analysis;
pub mod convert;
