//! Where stored hashes are looked up.

use std::sync::Arc;
use std::time::Instant;

use super::file::FileSource;
use super::sqlite::SqliteSource;
use crate::policy::model::{PasswordDef, PasswordSource};

/// What a source says of a user.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It does not know the user.
    Nobody,
    /// What it holds as the user's hash, which may be no hash at all.
    Hash(String),
    /// It holds more than one entry of the user.
    Several,
    /// It holds something other than text.
    NoText,
}

/// A source of stored hashes. It may take its time, and is used from one thread alone.
pub(super) trait Source: Send {
    /// Looks a user up. `end` is when nobody waits for the answer any more.
    ///
    /// # Errors
    /// The source cannot be read; the text says why, for the log.
    fn look_up(&mut self, username: &str, end: Instant) -> Result<Found, String>;

    /// Any hash that it holds, as far as that can be told without asking for one.
    fn sample(&self) -> Option<&str>;

    /// Makes a look-up that takes too long on another thread fail soon. It does not wait.
    fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync>;
}

/// Makes the source that a policy describes. It is read at the first look-up.
pub(super) fn open(def: &PasswordDef) -> Box<dyn Source> {
    match &def.source {
        PasswordSource::File { path } => Box::new(FileSource::new(path.clone())),
        PasswordSource::Sqlite { path, query } => Box::new(SqliteSource::new(path.clone(), query.clone())),
    }
}

/// Something wrong in a password source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line in a password file, from 1.
    pub line: Option<usize>,
    /// What is wrong, in a sentence without a full stop and without the source's name. It shows nothing of a
    /// hash.
    pub message: String,
    /// Whether the source cannot be used at all; otherwise one user cannot log in.
    pub fatal: bool,
}

impl Finding {
    pub(super) fn fatal(message: String) -> Self {
        Finding { line: None, message, fatal: true }
    }
}

/// Reads a source as far as that is possible without knowing its users, and says what is wrong with it.
/// It may wait for a locked database for two seconds.
pub fn check(def: &PasswordDef) -> Vec<Finding> {
    match &def.source {
        PasswordSource::File { path } => super::file::check(path),
        PasswordSource::Sqlite { path, query } => super::sqlite::check(path, query),
    }
}
