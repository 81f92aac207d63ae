//! The settings of EMQX 5 and later: the files that they are in, put over each other as the broker does it.

use std::path::{Path, PathBuf};

use super::hocon::{self, HoconKind, HoconObject, HoconPlace, HoconValue};
use super::{Etc, Finding, is_there};
use exhook_policy_core::emqx::{Fact, Has, Version};
use exhook_policy_runtime::files::input;

/// Where packages put the broker's data.
const PACKAGED: &str = "/var/lib/emqx";

/// All files together.
#[derive(Debug)]
pub(super) struct BrokerSettings {
    files: Vec<PathBuf>,
    root: HoconValue,
    /// The file to write to, and in which what is not set anywhere would stand.
    main: PathBuf,
}

impl BrokerSettings {
    pub(super) fn get(&self, path: &[&str]) -> Option<&HoconValue> {
        self.root.get(path)
    }

    /// What a finding about a value is at: the value's place, or the file in which it is missing.
    pub(super) fn at(&self, finding: Finding, value: Option<&HoconValue>) -> Finding {
        match value.and_then(|value| Some((self.files.get(value.at.file)?, value.at.line))) {
            Some((file, line)) => finding.at(file, Some(line)),
            None => finding.at(&self.main, None),
        }
    }
}

/// Reads the files of a broker; `None` where its `emqx.conf` cannot be read.
pub(super) fn read(etc: &Etc<'_>, version: Version, found: &mut Vec<Finding>) -> Option<BrokerSettings> {
    let main = etc.folder.join("emqx.conf");
    let mut files = Vec::new();
    let of_main = read_file(&main, &mut files, found)?;
    let configs = configs(etc, &of_main);
    if configs.is_none() {
        let message = "no folder `data` was found, in which the dashboard's changes are";
        found.push(Finding::unseen("the settings", message).fix("--data DIR says where it is"));
    }
    let in_configs = |name: &str| configs.as_deref().map(|configs| configs.join(name));
    // A file of older releases, which goes on to come first where there is one.
    let over = in_configs("cluster-override.conf").filter(|file| is_there(file));
    let is_old = version.has(Fact::ClusterHocon) == Has::No || over.is_some();
    let (before, after) = if is_old {
        (Vec::new(), vec![over, in_configs("local-override.conf")])
    } else {
        let base = (version.has(Fact::BaseHocon) != Has::No).then(|| etc.folder.join("base.hocon"));
        (vec![base, in_configs("cluster.hocon")], Vec::new())
    };
    let mut root = HoconObject::new();
    let mut of_main = Some(of_main);
    for file in before.into_iter().map(Some).chain([None]).chain(after.into_iter().map(Some)) {
        let members = match file {
            Some(file) => file.filter(|file| is_there(file)).and_then(|file| read_file(&file, &mut files, found)),
            None => of_main.take(),
        };
        hocon::merge(&mut root, members.unwrap_or_default());
    }
    Some(BrokerSettings { files, root: HoconValue { at: HoconPlace::default(), kind: HoconKind::Object(root) }, main })
}

fn read_file(path: &Path, files: &mut Vec<PathBuf>, found: &mut Vec<Finding>) -> Option<HoconObject> {
    let about = "the settings";
    let text = match input::read_regular(path, input::MOST) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            found.push(Finding::unseen(about, format!("the file cannot be read: {error}")).at(path, None));
            return None;
        }
    };
    match hocon::parse(&text, files.len()) {
        Ok(document) => {
            files.push(path.to_owned());
            for (line, included) in document.includes {
                let message = format!("{included:?} is included, and not looked at");
                found.push(Finding::unseen(about, message).at(path, Some(line)));
            }
            Some(document.root)
        }
        Err(problem) => {
            let message = format!("it is not understood: {}", problem.message);
            found.push(Finding::unseen(about, message).at(path, Some(problem.line)));
            None
        }
    }
}

/// The folder in which the broker keeps what was set while it ran.
fn configs(etc: &Etc<'_>, main: &HoconObject) -> Option<PathBuf> {
    let set = main.get("node").and_then(|node| node.get(&["data_dir"])).and_then(HoconValue::text);
    let usual = [etc.resolve("data"), PathBuf::from(PACKAGED)];
    let places = match etc.data {
        Some(data) => vec![data.to_owned()],
        None => set.map(|set| etc.resolve(set)).into_iter().chain(usual).collect(),
    };
    places.into_iter().find(|place| place.is_dir()).map(|place| place.join("configs"))
}
