//! Looks at a broker's settings for what fails open: what lets clients in, or through, that the policy would refuse.
//!
//! Each check reads what it is given and says what it found; nothing is changed. Settings that a broker takes from its
//! environment or its console are in no file, and are not seen.

mod acl_conf;
mod conf;
mod decides;
mod emqx_conf;
mod files;
pub mod launcher;
mod loaded;
mod plugin;
mod probe;

use std::fmt;
use std::path::{Path, PathBuf};

pub use conf::Conf;
pub use decides::{Decides, Share};
pub use files::check_files;
pub use plugin::{Drivers, call_timeout};
pub use probe::probe;

use serde::Serialize;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Fine,
    /// Worth a look, and right for some.
    Warning,
    /// It lets clients in or through.
    Problem,
    /// It could not be looked at.
    Unseen,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Fine => "fine",
            State::Warning => "warning",
            State::Problem => "problem",
            State::Unseen => "unseen",
        }
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub state: State,
    /// The setting, or what else was looked at.
    pub about: String,
    /// The file that it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What was found, in a sentence without a full stop.
    pub message: String,
    /// What to do: lines for the file, or a command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}

impl Finding {
    fn new(state: State, about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { state, about: about.into(), file: None, line: None, message: message.into(), fix: Vec::new() }
    }

    fn fine(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(State::Fine, about, message)
    }

    fn warning(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(State::Warning, about, message)
    }

    fn problem(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(State::Problem, about, message)
    }

    fn unseen(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(State::Unseen, about, message)
    }

    fn at(mut self, file: &Path, line: Option<usize>) -> Self {
        self.file = Some(file.to_owned());
        self.line = line;
        self
    }

    fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} ", self.state.as_str())?;
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", self.about, self.message)?;
        for line in &self.fix {
            write!(f, "\n           {line}")?;
        }
        Ok(())
    }
}

/// The files of a broker, as EMQX 4.1 and 4.2 lay them out.
#[derive(Debug)]
pub struct Etc<'a> {
    /// The folder with `emqx.conf`.
    pub folder: &'a Path,
    /// The folder with `loaded_plugins`, where it is not where `emqx.conf` says.
    pub data: Option<&'a Path>,
    /// What the policy decides, and its file.
    pub policy: Option<(&'a Decides, &'a Path)>,
}

impl Etc<'_> {
    fn decides(&self) -> Decides {
        self.policy.map_or(Decides::EVERYTHING, |(decides, _)| *decides)
    }

    /// A path of a setting; a relative one is relative to the broker's folder, which is the parent of its etc folder.
    fn resolve(&self, path: &str) -> PathBuf {
        self.folder.parent().unwrap_or(self.folder).join(path)
    }
}

/// Looks at the settings of a broker. Also gives the drivers that they name.
pub fn check_etc(etc: &Etc<'_>) -> (Vec<Finding>, Drivers) {
    let main = etc.folder.join("emqx.conf");
    let mut found = Vec::new();
    let conf = read_conf(&main, &mut found);
    if let Some(conf) = &conf {
        found.extend(emqx_conf::check(conf, &main, &etc.decides()));
    }
    let modules = loaded::file(etc, conf.as_ref(), loaded::Kind::Modules);
    let plugins = loaded::file(etc, conf.as_ref(), loaded::Kind::Plugins);
    found.extend(acl_conf::check(etc, conf.as_ref(), modules.as_deref()));
    let (of_plugin, drivers) = plugin::check(etc);
    found.extend(of_plugin);
    found.extend(loaded::check_plugins(plugins.as_deref(), etc));
    (found, drivers)
}

fn read_conf(path: &Path, found: &mut Vec<Finding>) -> Option<Conf> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            found.push(Finding::unseen("the settings", format!("the file cannot be read: {error}")).at(path, None));
            return None;
        }
    };
    let conf = Conf::parse(&text);
    for &line in &conf.bad {
        let message = "the broker cannot read this line, and will not start";
        found.push(Finding::problem("the settings", message).at(path, Some(line)));
    }
    for (line, included) in &conf.includes {
        let message = format!("{included:?} is included, and not looked at");
        found.push(Finding::unseen("the settings", message).at(path, Some(*line)));
    }
    Some(conf)
}
