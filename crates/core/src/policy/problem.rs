//! What can be wrong with the files and databases that a policy names, told by whoever reads them.

use std::fmt;
use std::path::PathBuf;

/// What a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The policy itself.
    Policy,
    /// An entry of `lists`.
    List,
    /// An entry of `passwords`.
    Passwords,
}

/// How bad a problem of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFault {
    /// The source cannot be used.
    Unusable,
    /// It can be used, but for an entry that lets no one in.
    BadEntry,
    /// It can be used, and holds nothing.
    Empty,
    /// Every user of the machine can read it, and it holds secrets.
    ReadByEveryone,
    /// Every user of the machine can write it, or put another in its place.
    WrittenByEveryone,
}

/// Something wrong with a source that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProblem {
    /// What the source holds.
    pub kind: SourceKind,
    /// How bad it is.
    pub fault: SourceFault,
    /// Its key in the policy; empty for the policy itself.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The line of the file, from 1, where the problem is about one.
    pub line: Option<usize>,
    /// What is wrong, in a sentence without a full stop. It never holds a hash or a password.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        match self.kind {
            SourceKind::Policy => write!(f, " {}", self.message),
            SourceKind::List => write!(f, " list `{}`: {}", self.name, self.message),
            SourceKind::Passwords => write!(f, " passwords `{}`: {}", self.name, self.message),
        }
    }
}
