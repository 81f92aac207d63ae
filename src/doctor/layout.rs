//! Which broker's files a folder holds.

use std::io;
use std::path::{Path, PathBuf};

use super::{Etc, Finding, is_there};
use exhook_policy_core::emqx::{Package, Transport, Version};
use exhook_policy_runtime::files::input;

/// How a broker's settings are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// EMQX 4.1 and 4.2: `key = value`, and a plugin that starts drivers.
    Driver,
    /// EMQX 4.3 and 4.4: `key = value`, and a plugin that calls providers.
    Plugin,
    /// From EMQX 5.0 on.
    Hocon,
}

/// What a folder was recognised as.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) layout: Layout,
    /// By which the settings are judged.
    pub(super) version: Version,
    /// How it is known.
    pub(super) finding: Option<Finding>,
}

/// Where packages put what belongs to `/etc/emqx`.
const PACKAGED: (&str, &str) = ("/etc/emqx", "/usr/lib/emqx");

pub(super) fn recognise(etc: &Etc<'_>) -> Recognised {
    let about = "the broker";
    if let Some(version) = etc.version {
        return Recognised { layout: Layout::of(version), version, finding: None };
    }
    let (layout, version) = guess(etc.folder);
    let unknown = |finding: Finding| {
        let finding = finding.fix("--emqx VERSION says as which its settings are judged");
        Recognised { layout, version, finding: Some(finding) }
    };
    match release(etc) {
        Some((file, Ok(Some(Release { line, text })))) => {
            return match text.parse::<Version>() {
                Ok(version) => {
                    let finding = Finding::fine(about, format!("it is EMQX {version}")).at(&file, Some(line));
                    let layout = Layout::of(version);
                    Recognised { layout, version, finding: Some(finding).filter(|_| layout != Layout::Driver) }
                }
                Err(error) => unknown(Finding::unseen(about, error.to_string()).at(&file, Some(line))),
            };
        }
        Some((file, Err(error))) => {
            return unknown(Finding::unseen(about, format!("the file cannot be read: {error}")).at(&file, None));
        }
        Some((_, Ok(None))) | None => {}
    }
    let message = format!("its settings are judged as those of EMQX {version}");
    let finding = Finding::fine(about, message).fix("--emqx VERSION says which it is");
    Recognised { layout, version, finding: Some(finding).filter(|_| layout != Layout::Driver) }
}

impl Layout {
    fn of(version: Version) -> Self {
        match version.transport() {
            Transport::Port => Layout::Driver,
            Transport::Grpc(Package::V1) => Layout::Plugin,
            Transport::Grpc(Package::V2 | Package::V3) => Layout::Hocon,
        }
    }
}

/// A version, in the line of a file.
struct Release {
    line: usize,
    text: String,
}

/// What the broker's start script takes as its version, where the settings are beside it.
fn release(etc: &Etc<'_>) -> Option<(PathBuf, io::Result<Option<Release>>)> {
    let beside = etc.resolve("releases/emqx_vars");
    let packaged = (etc.folder == Path::new(PACKAGED.0)).then(|| Path::new(PACKAGED.1).join("releases/emqx_vars"));
    let file = std::iter::once(beside).chain(packaged).find(|file| is_there(file))?;
    let said = input::read_regular_text(&file, input::MOST).map(|text| version_in(&text));
    Some((file, said))
}

fn version_in(text: &str) -> Option<Release> {
    let (line, value) =
        (1..).zip(text.lines()).find_map(|(line, text)| Some((line, text.strip_prefix("REL_VSN=")?)))?;
    // What a build of one's own appends to a release.
    let value = value.trim_matches(['"', '\'']).trim_start_matches('v');
    let value = value.split_once(['-', '+']).map_or(value, |(release, _)| release).to_owned();
    Some(Release { line, text: value })
}

/// By the files that only some versions have.
fn guess(folder: &Path) -> (Layout, Version) {
    let has = |name: &str| is_there(&folder.join(name));
    if has("plugins/emqx_extension_hook.conf") {
        (Layout::Driver, Version::new(4, 2))
    } else if has("plugins/emqx_exhook.conf") {
        (Layout::Plugin, Version::new(4, 4))
    } else if has("base.hocon")
        || input::read_regular_text(&folder.join("emqx.conf"), input::MOST).is_ok_and(|text| is_hocon(&text))
    {
        (Layout::Hocon, Version::new(5, 8))
    } else {
        (Layout::Driver, Version::new(4, 2))
    }
}

/// Whether a line opens a brace, as none of a `key = value` file does.
fn is_hocon(text: &str) -> bool {
    let code = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    code.into_iter().any(|line| line.contains('{') && !line.contains("{{") || line.ends_with('['))
}
