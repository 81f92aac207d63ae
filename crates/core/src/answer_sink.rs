//! How answers that are not ready at once find their call again.

use std::sync::Arc;

use crate::decision::Answer;

/// A transport's name for one outstanding call. It is never used twice.
pub type Token = u64;

/// Takes answers that became ready after the call was handled, on any thread, without blocking.
/// An answer to a call that was answered already (at its deadline) is dropped.
pub type Sink = Arc<dyn Fn(&[(Token, Answer)]) + Send + Sync>;
