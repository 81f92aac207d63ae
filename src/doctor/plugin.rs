//! `emqx_extension_hook.conf`: which driver is started, on which policy, and for how long it is waited.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::conf::{Conf, duration};
use super::emqx_conf::unknown_value;
use super::{Decides, Etc, Finding, read_conf};
use crate::launch;
use exhook_policy_core::decision::Mode;

/// The names of drivers that the plugin accepts and this program answers to.
const DRIVERS: [&str; 2] = ["python3", "java"];
/// What the plugin does where the file does not say.
const DEFAULT_MODULE: &str = "main";
const DEFAULT_TIMEOUT: &str = "5s";
/// The broker's usual `call_timeout`.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What should be between the driver's deadline and the broker's time-out.
const MARGIN: Duration = Duration::from_secs(3);
/// What must be.
const LEAST_MARGIN: Duration = Duration::from_secs(1);

/// The drivers that the broker starts.
pub type Drivers = Vec<&'static str>;

/// The `call_timeout` that goes with a deadline.
pub fn call_timeout(deadline: Duration) -> Duration {
    USUAL_TIMEOUT.max(deadline + MARGIN)
}

pub(super) fn check(etc: &Etc<'_>) -> (Vec<Finding>, Drivers) {
    let file = etc.folder.join("plugins/emqx_extension_hook.conf");
    let mut found = Vec::new();
    let Some(conf) = read_conf(&file, &mut found) else { return (found, Vec::new()) };
    let about = "exhook.drivers";
    let Some(setting) = conf.get(about) else {
        let message = "it is not set, so that the plugin starts no driver";
        found.push(Finding::problem(about, message).at(&file, None).fix("exhook.drivers = python3"));
        return (found, Vec::new());
    };
    let names: Vec<&str> = setting.value.split(',').map(str::trim).collect();
    let drivers: Drivers = DRIVERS.into_iter().filter(|driver| names.contains(driver)).collect();
    for name in names.iter().filter(|name| !DRIVERS.contains(name)) {
        let message = format!("the broker starts {name:?} too, which is no name of this driver");
        found.push(Finding::warning(about, message).at(&file, Some(setting.line)));
    }
    if drivers.is_empty() {
        let message = "it names neither python3 nor java, so that the policy is not asked";
        found.push(Finding::problem(about, message).at(&file, Some(setting.line)).fix("exhook.drivers = python3"));
    }
    for driver in &drivers {
        found.push(policy(etc, &conf, &file, driver));
        found.push(timeout(etc, &conf, &file, driver));
    }
    (found, drivers)
}

/// Whether the driver finds the policy, and the one that is meant.
fn policy(etc: &Etc<'_>, conf: &Conf, file: &Path, driver: &str) -> Finding {
    let key = format!("exhook.drivers.{driver}.path");
    let module_key = format!("exhook.drivers.{driver}.init_module");
    let module = conf.get(&module_key).map_or(DEFAULT_MODULE, |setting| &setting.value);
    let wanted = etc.policy.map(|(_, policy)| fs::canonicalize(policy).unwrap_or_else(|_| policy.to_owned()));
    let fix = |finding: Finding| match &wanted {
        Some(wanted) => finding
            .fix(format!("{key} = {}", wanted.parent().unwrap_or(wanted).display()))
            .fix(format!("{module_key} = {}", wanted.file_stem().unwrap_or_default().display())),
        None => finding,
    };
    let Some(path) = conf.get(&key) else {
        let message = "it is not set, so that the driver finds no policy, and the plugin does not load";
        return fix(Finding::problem(key.clone(), message).at(file, None));
    };
    let line = Some(path.line);
    match launch::find_policy(module, &[etc.resolve(&path.value)]) {
        Err(problem) => {
            fix(Finding::problem(key.clone(), format!("the plugin does not load: {problem}")).at(file, line))
        }
        Ok(found) => match &wanted {
            Some(wanted) if fs::canonicalize(&found).ok().as_ref() != Some(wanted) => {
                let message = format!("the driver loads {}, and not {}", found.display(), wanted.display());
                fix(Finding::problem(key.clone(), message).at(file, line))
            }
            Some(_) | None => {
                Finding::fine(key.clone(), format!("the driver loads {}", found.display())).at(file, line)
            }
        },
    }
}

/// Whether the broker waits for longer than the driver takes.
fn timeout(etc: &Etc<'_>, conf: &Conf, file: &Path, driver: &str) -> Finding {
    let key = format!("exhook.drivers.{driver}.call_timeout");
    let setting = conf.get(&key);
    let value = setting.map_or(DEFAULT_TIMEOUT, |setting| &setting.value);
    let line = setting.map(|setting| setting.line);
    let decides = etc.policy.map(|(decides, _)| decides);
    patience(&key, value, duration(value), decides, Late::LetThrough).at(file, line)
}

/// What the broker does with what takes longer than it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    LetThrough,
    Refused,
}

/// What the broker does where a provider fails, as it should be.
pub(super) fn failed_action(about: &str, key: &str, value: &str, mode: Mode) -> Finding {
    match (value, mode) {
        ("deny", Mode::Enforce) => Finding::fine(about, "where the provider fails or is late, the broker refuses"),
        ("deny", Mode::Audit) => {
            let message = "where the provider fails or is late, the broker refuses, though the policy is in audit mode";
            Finding::warning(about, message).fix(format!("{key} = ignore"))
        }
        ("ignore", Mode::Enforce) => {
            let message = "it is `ignore`: where the provider fails or is late, the broker's own settings decide";
            Finding::problem(about, message).fix(format!("{key} = deny"))
        }
        ("ignore", Mode::Audit) => {
            let message =
                "the broker's own settings decide until the policy leaves audit mode: close it together with that";
            Finding::fine(about, message)
        }
        (other, _) => unknown_value(about, other, &["deny", "ignore"]),
    }
}

/// Whether a time-out of the broker goes with the policy's deadline.
pub(super) fn patience(
    key: &str,
    value: &str,
    timeout: Option<Duration>,
    decides: Option<&Decides>,
    late: Late,
) -> Finding {
    let Some(timeout) = timeout else {
        return Finding::problem(key, format!("{value:?} is no duration, so that the broker will not start"));
    };
    let Some(decides) = decides else {
        return Finding::fine(key, format!("the broker waits {value} for an answer"));
    };
    let deadline = decides.deadline;
    let fix = format!("{key} = {}s", call_timeout(deadline).as_secs());
    let waits = format!("the broker waits {value} for an answer, the policy's deadline is {deadline:?}");
    if timeout <= deadline {
        let finding = match late {
            Late::LetThrough => Finding::problem(key, format!("{waits}: what takes longer is let through")),
            Late::Refused => Finding::warning(key, format!("{waits}: what takes longer is refused")),
        };
        finding.fix(fix)
    } else if timeout < deadline + LEAST_MARGIN {
        Finding::warning(key, format!("{waits}, which leaves little time for the way")).fix(fix)
    } else {
        Finding::fine(key, waits)
    }
}
