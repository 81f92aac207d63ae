//! A kind of client: the clients that a rule of one of the policies is about.

use exhook_policy_core::policy::model::Who;

/// A kind of client of one of the policies of an [`AnalysisContext`](super::AnalysisContext).
#[derive(Debug, Clone, Copy)]
pub struct ClientKind<'w> {
    /// The place of the policy.
    pub policy: usize,
    /// The clients that it is about.
    pub who: &'w Who,
}

impl<'w> From<&'w Who> for ClientKind<'w> {
    /// A kind of the first policy.
    fn from(who: &'w Who) -> Self {
        ClientKind { policy: 0, who }
    }
}
