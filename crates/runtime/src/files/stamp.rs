//! How a file is told from what it was before, without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Which contents a file has, as far as that can be told without reading it. Links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file that is open, or was looked at.
    pub fn of(metadata: &Metadata) -> Self {
        Stamp {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp of the file that is there now; `None` where none can be seen.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// This, but for when the file's owner, mode or name were changed last.
    #[must_use]
    pub fn whoever_owns_it(self) -> Self {
        Stamp { changed: (0, 0), ..self }
    }

    /// This, or `None` where it may not hold: a file that was written just now may be written again without its time moving on.
    pub fn settled(self, metadata: &Metadata) -> Option<Self> {
        const TICK: Duration = Duration::from_secs(2);
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age >= TICK).then_some(self)
    }
}
