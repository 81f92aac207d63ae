//! `loaded_plugins` and `loaded_modules`: what the broker starts with.

use std::path::{Path, PathBuf};

use super::{AnsweredShare, Conf, Etc, Finding, is_there};
use exhook_policy_runtime::files::input;
use exhook_policy_tools::convert::{ErlangValue, Term, consult};

/// Where packages put the files.
const PACKAGED: &str = "/var/lib/emqx";

/// The plugin of EMQX 4.1 and 4.2 that starts drivers.
pub(super) const DRIVER_PLUGIN: &str = "emqx_extension_hook";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadedKind {
    Plugins,
    Modules,
}

impl LoadedKind {
    fn name(self) -> &'static str {
        match self {
            LoadedKind::Plugins => "loaded_plugins",
            LoadedKind::Modules => "loaded_modules",
        }
    }

    /// The setting that says where it is.
    fn key(self) -> &'static str {
        match self {
            LoadedKind::Plugins => "plugins.loaded_file",
            LoadedKind::Modules => "modules.loaded_file",
        }
    }
}

/// The file, where there is one.
pub(super) fn file(etc: &Etc<'_>, conf: Option<&Conf>, kind: LoadedKind) -> Option<PathBuf> {
    let set = conf.and_then(|conf| conf.get(kind.key())).map(|setting| etc.resolve(&setting.value));
    let usual = [etc.resolve("data"), PathBuf::from(PACKAGED)].map(|folder| folder.join(kind.name()));
    let places = etc.data.map_or_else(|| set.into_iter().chain(usual).collect(), |data| vec![data.join(kind.name())]);
    places.into_iter().find(|place| is_there(place))
}

/// The names in a file, as of [`names`].
pub(super) fn read(file: &Path) -> Result<Vec<(usize, String)>, String> {
    input::read_regular_text(file, input::MOST).map_err(|error| error.to_string()).and_then(|text| names(&text))
}

/// What is loaded, in order, with its line. A name alone is loaded, `{name, false}` is not.
fn names(text: &str) -> Result<Vec<(usize, String)>, String> {
    let terms = consult(text).map_err(|problem| format!("line {}: {}", problem.line, problem.message))?;
    let name = |term: &Term| match &term.value {
        ErlangValue::Atom(name) => Some((term.line, name.clone())),
        ErlangValue::Tuple(members) => match members.as_slice() {
            [Term { value: ErlangValue::Atom(name), .. }, Term { value: ErlangValue::Atom(loaded), .. }]
                if loaded == "true" =>
            {
                Some((term.line, name.clone()))
            }
            _ => None,
        },
        ErlangValue::Text(_) | ErlangValue::Integer(_) | ErlangValue::List(_) => None,
    };
    Ok(terms.iter().filter_map(name).collect())
}

/// Whether the plugin that asks about the policy is loaded at the broker's start, and what else decides beside it.
pub(super) fn check_plugins(file: Option<&Path>, etc: &Etc<'_>, plugin: &str) -> Vec<Finding> {
    let about = "the plugin";
    let Some(file) = file else {
        let message = "no file loaded_plugins was found, which says whether the plugin is loaded at the broker's start";
        return vec![Finding::unseen(about, message).fix("--data DIR says where it is")];
    };
    let names = match read(file) {
        Ok(names) => names,
        Err(error) => return vec![Finding::unseen(about, format!("the file cannot be read: {error}")).at(file, None)],
    };
    let mut found = Vec::new();
    let ours = names.iter().position(|(_, name)| name == plugin);
    if let Some((line, _)) = ours.and_then(|at| names.get(at)) {
        let message = format!("{plugin} is loaded at the broker's start");
        found.push(Finding::fine(about, message).at(file, Some(*line)));
    } else {
        let message = format!("{plugin} is not loaded at the broker's start: the policy is not asked for anything");
        let finding = Finding::problem(about, message).at(file, None).fix(format!("emqx_ctl plugins load {plugin}"));
        let is_driver = plugin == DRIVER_PLUGIN;
        let again = "if that fails with already_started, restart the broker, and then run it";
        found.push(if is_driver { finding.fix(again) } else { finding });
    }
    for (at, (line, name)) in names.iter().enumerate() {
        if !name.starts_with("emqx_auth_") {
            continue;
        }
        let superusers = "no topic is asked for of those whom it makes superusers";
        let finding = if etc.decides().logins == AnsweredShare::None {
            Finding::warning(name.clone(), superusers)
        } else {
            let order = match ours {
                Some(ours) if at > ours => "it is asked where the policy has no opinion",
                _ => "it is asked before the policy, and whom it lets in, the policy is not asked about",
            };
            let unload = format!("emqx_ctl plugins unload {name}");
            Finding::warning(name.clone(), format!("{order}; {superusers}")).fix(unload)
        };
        found.push(finding.at(file, Some(*line)));
    }
    found
}
