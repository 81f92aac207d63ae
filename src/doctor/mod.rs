//! Looks at a broker's settings for what fails open: what lets clients in, or through, that the policy would refuse.
//!
//! Each check reads what it is given and says what it found; nothing is changed. Settings that a broker takes from its
//! environment or its console are in no file, and are not seen.

mod acl_conf;
mod authn;
mod authz;
mod boot;
mod conf;
mod decides;
mod emqx_conf;
mod exhook_conf;
mod files;
mod hocon;
pub mod launcher;
mod layout;
mod loaded;
mod plugin;
mod probe;
mod rules;
mod server;
mod settings;
mod url;

use std::fmt;
use std::path::{Path, PathBuf};

pub use conf::Conf;
pub use decides::{AnsweredShare, Decides};
pub use files::check_files;
pub use plugin::{Drivers, call_timeout};
pub use probe::probe;
pub use url::Url;

use exhook_policy_core::emqx::{Fact, Has, Transport, Version};
use exhook_policy_runtime::files::input;
use layout::{Layout, Recognised};

use serde::Serialize;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Fine,
    /// Worth a look, and right for some.
    Warning,
    /// It lets clients in or through.
    Problem,
    /// It could not be looked at.
    Unseen,
}

impl FindingState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingState::Fine => "fine",
            FindingState::Warning => "warning",
            FindingState::Problem => "problem",
            FindingState::Unseen => "unseen",
        }
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub state: FindingState,
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
    fn new(state: FindingState, about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { state, about: about.into(), file: None, line: None, message: message.into(), fix: Vec::new() }
    }

    fn fine(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(FindingState::Fine, about, message)
    }

    fn warning(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(FindingState::Warning, about, message)
    }

    fn problem(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(FindingState::Problem, about, message)
    }

    fn unseen(about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(FindingState::Unseen, about, message)
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

/// The files of a broker.
#[derive(Debug)]
pub struct Etc<'a> {
    /// The folder with `emqx.conf`.
    pub folder: &'a Path,
    /// The folder with `loaded_plugins` or `configs`, where it is not where `emqx.conf` says.
    pub data: Option<&'a Path>,
    /// The broker's version, where it is not to be found out.
    pub version: Option<Version>,
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

/// What was found in a broker's settings.
#[derive(Debug)]
pub struct DoctorReport {
    /// All of it, in the order of the files.
    pub found: Vec<Finding>,
    /// The drivers that the settings name.
    pub drivers: Drivers,
    /// How the broker asks about the policy.
    pub transport: Transport,
}

/// What the broker asks about the policy, as it is called in messages.
#[derive(Debug)]
struct PolicyQuestion {
    who: &'static str,
    /// When it is not asked.
    away: &'static str,
}

const DRIVER: PolicyQuestion =
    PolicyQuestion { who: "driver", away: "while the driver is not loaded, starting or late" };
const PROVIDER: PolicyQuestion = PolicyQuestion { who: "provider", away: "until the provider is loaded" };
const OPEN_PROVIDER: PolicyQuestion =
    PolicyQuestion { who: "provider", away: "while the provider is not loaded, fails or is late" };

/// Looks at the settings of a broker.
pub fn check_etc(etc: &Etc<'_>) -> DoctorReport {
    let Recognised { layout, version, finding } = layout::recognise(etc);
    let mut found: Vec<Finding> = finding.into_iter().collect();
    let mut drivers = Vec::new();
    match layout {
        Layout::Driver => {
            let (conf, modules, plugins) = check_conf(etc, &DRIVER, &mut found);
            found.extend(acl_conf::check(etc, conf.as_ref(), modules.as_deref(), &DRIVER));
            let (of_plugin, named) = plugin::check(etc);
            found.extend(of_plugin);
            found.extend(loaded::check_plugins(plugins.as_deref(), etc, loaded::DRIVER_PLUGIN));
            drivers = named;
        }
        Layout::Plugin => {
            let asked = if version.has(Fact::FailsClosed) == Has::No { &OPEN_PROVIDER } else { &PROVIDER };
            let (conf, modules, plugins) = check_conf(etc, asked, &mut found);
            found.extend(acl_conf::check(etc, conf.as_ref(), modules.as_deref(), asked));
            found.extend(exhook_conf::check(etc, version));
            found.extend(loaded::check_plugins(plugins.as_deref(), etc, "emqx_exhook"));
        }
        Layout::Hocon => {
            if let Some(settings) = settings::read(etc, version, &mut found) {
                found.extend(server::check(&settings, etc, version));
                found.extend(authn::check(&settings, etc, version));
                found.extend(boot::check(&settings, etc, version));
                found.extend(authz::check(&settings, etc, version));
            }
        }
    }
    DoctorReport { found, drivers, transport: version.transport() }
}

/// Looks at `emqx.conf` of EMQX 4. Gives it, and where `loaded_modules` and `loaded_plugins` are.
fn check_conf(
    etc: &Etc<'_>,
    asked: &PolicyQuestion,
    found: &mut Vec<Finding>,
) -> (Option<Conf>, Option<PathBuf>, Option<PathBuf>) {
    let main = etc.folder.join("emqx.conf");
    let conf = read_conf(&main, found);
    if let Some(conf) = &conf {
        found.extend(emqx_conf::check(conf, &main, &etc.decides(), asked));
    }
    let modules = loaded::file(etc, conf.as_ref(), loaded::LoadedKind::Modules);
    let plugins = loaded::file(etc, conf.as_ref(), loaded::LoadedKind::Plugins);
    (conf, modules, plugins)
}

/// Says which later version does what this one does not.
fn first_with(finding: Finding, version: Version, fact: Fact, does: &str) -> Finding {
    match version.first_with(fact) {
        Some(later) => finding.fix(format!("EMQX {later} is the first that {does}")),
        None => finding,
    }
}

/// Whether something is there to be read, though it be a pipe or in a folder that cannot be entered:
/// to read it says what is wrong with it.
fn is_there(file: &Path) -> bool {
    !matches!(file.try_exists(), Ok(false))
}

fn read_conf(path: &Path, found: &mut Vec<Finding>) -> Option<Conf> {
    let text = match input::read_regular(path, input::MOST) {
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
