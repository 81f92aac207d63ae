//! Where stored hashes are looked up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::file::FileSource;
use super::hash::StoredHash;
use super::sqlite::SqliteSource;
use exhook_policy_core::policy::model::{PasswordDef, PasswordSource};

/// What a source says of a user.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum SourceAnswer {
    /// It does not know the user.
    Nobody,
    /// What it holds as the user's hash, which may be no hash at all.
    Hash(String),
    /// It holds more than one entry of the user.
    Several,
    /// It holds something other than text.
    NoText,
    /// It does not know the user, and perhaps only because it is being changed; the text says so.
    Unsure(String),
}

/// A source of stored hashes. It may take its time, and is used from one thread alone.
pub(super) trait Source: Send {
    /// Looks a user up. `end` is when nobody waits for the answer any more.
    ///
    /// # Errors
    /// The source cannot be read; the text says why, for the log.
    fn look_up(&mut self, username: &str, end: Instant) -> Result<SourceAnswer, String>;

    /// Reads what can be read before the first look-up.
    fn prepare(&mut self) {}

    /// Takes note of a hash that it gave and that guesses at other users may cost.
    fn note(&mut self, _hash: &Arc<StoredHash>) {}

    /// The hash that takes longest of those that it is known to hold and that guesses at other users
    /// may cost.
    fn costliest(&self) -> Option<Arc<StoredHash>>;

    /// Its entries that let no one in, for the log, if these are others than at the last call.
    fn bad_entries(&mut self) -> Option<String> {
        None
    }

    /// Makes a look-up that takes too long on another thread fail soon. It does not wait.
    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync>;
}

/// The costliest hash that a source gave and that was noted. Clones share it.
#[derive(Clone, Default)]
pub(super) struct CostliestHash(Arc<Mutex<Option<Arc<StoredHash>>>>);

impl CostliestHash {
    pub(super) fn note(&self, hash: &Arc<StoredHash>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.time() < hash.time()) {
            *known = Some(Arc::clone(hash));
        }
    }

    pub(super) fn costliest(&self) -> Option<Arc<StoredHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes the source that a policy describes, for logins that have so much time. `seen` is what an
/// earlier policy saw of the same source.
pub(super) fn open(def: &PasswordDef, deadline: Duration, seen: CostliestHash) -> Box<dyn Source> {
    match &def.source {
        PasswordSource::File { path } => Box::new(FileSource::new(path.clone(), deadline)),
        PasswordSource::Sqlite { path, query } => Box::new(SqliteSource::new(path.clone(), query.clone(), seen)),
    }
}
