//! Which hooks each broker registered, kept for the next start of a server.
//!
//! A broker asks for its hooks when it loads the provider, and goes on to call these. When the
//! server is restarted, EMQX up to 5.8 does not load the provider again, and EMQX 5.9 and later do
//! so only after the server was away for more than about ten seconds. So what a broker registered
//! is known after a restart only if it was written down.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::trusted::{self, Unusable};
use super::{Folder, name_of};
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::event::Origin;
use exhook_policy_core::handler::CallingBroker;
use exhook_policy_core::hook::{Hook, HookSet};

/// Brokers that are kept. A server has few of them: more are no brokers.
pub const MOST: usize = 1024;
/// What shows a broker, and the command that mends it, have so many bytes at most.
pub const LONGEST_NAME: usize = 512;
/// The longest version, in bytes.
pub const LONGEST_VERSION: usize = 64;

/// What the name of the file ends in.
const ENDING: &str = "brokers";
/// The form of the file.
const FORM: u32 = 1;
/// A file of [`MOST`] brokers has fewer bytes, whatever their names.
const LARGEST: u64 = 16 << 20;

/// What is known of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRecord {
    /// Which broker.
    pub caller: CallingBroker,
    /// The hooks that it registered; `None` where that is not known.
    pub hooks: Option<HookSet>,
    /// Where it was when it was last seen.
    pub presence: Presence,
    /// When it last loaded or unloaded the provider, Unix milliseconds; 0 where it did neither, as
    /// far as is known. It is later than that of each load and unload before, whatever the clock says.
    pub at: i64,
    /// When it was last seen, Unix milliseconds. Of a broker that is connected, this is updated
    /// about once an hour.
    pub seen: i64,
}

/// Where a broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It calls, or could.
    Here,
    /// Its last connection was closed.
    Away,
    /// It unloaded the provider.
    Unloaded,
}

#[derive(Serialize, Deserialize)]
struct BrokersFile {
    version: u32,
    brokers: Vec<RecordedBroker>,
}

#[derive(Serialize, Deserialize)]
struct RecordedBroker {
    /// As people see it. Of most brokers it says all: version 0.5.1 has nothing else.
    broker: String,
    /// Where it does not, as it is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<RecordedNames>,
    emqx: Option<String>,
    hooks: Option<Vec<String>>,
    refused_if_ignored: Vec<String>,
    presence: Presence,
    at: i64,
    seen: i64,
    mend: String,
}

#[derive(Serialize, Deserialize)]
struct RecordedNames {
    cluster: Option<String>,
    node: String,
}

impl RecordedBroker {
    fn of(record: &BrokerRecord) -> Self {
        let BrokerRecord { caller, hooks, presence, at, seen } = record;
        let broker = shown(&caller.broker);
        let is_all = broker_of_shown(&broker).as_ref() == Some(&caller.broker);
        let cut = caller.broker.origin().filter(|_| !is_all);
        let names = |hooks: HookSet| hooks.iter().map(|hook| hook.point().to_owned()).collect();
        RecordedBroker {
            broker,
            names: cut.map(|Origin { cluster, node }| RecordedNames {
                cluster: cluster.map(str::to_owned),
                node: node.to_owned(),
            }),
            emqx: caller.version.clone(),
            hooks: hooks.map(names),
            refused_if_ignored: names(caller.refused_if_ignored),
            presence: *presence,
            at: *at,
            seen: *seen,
            mend: caller.mend.clone(),
        }
    }

    /// Which broker.
    fn broker(&self) -> Option<BrokerId> {
        match &self.names {
            Some(RecordedNames { cluster, node }) => BrokerId::of(Origin { cluster: cluster.as_deref(), node }),
            None => broker_of_shown(&self.broker),
        }
    }

    /// Version 0.5.1 wrote no more of the broker than its beginning. Which one it is cannot be told.
    fn is_cut(&self) -> bool {
        let longest = LONGEST_NAME - 3..=LONGEST_NAME;
        self.names.is_none() && longest.contains(&self.broker.len()) && self.broker().is_none()
    }

    /// `None` where this program did not write it.
    fn into_record(self) -> Option<BrokerRecord> {
        let id = self.broker()?;
        let RecordedBroker { broker, names: _, emqx, hooks, refused_if_ignored, presence, at, seen, mend } = self;
        let is_text = |text: &str, longest| text.len() <= longest && !text.contains(char::is_control);
        let is_ours = is_text(&broker, LONGEST_NAME)
            && is_text(&mend, LONGEST_NAME)
            && emqx.as_ref().is_none_or(|version| is_text(version, LONGEST_VERSION));
        let set = |names: Vec<String>| names.iter().map(|name| Hook::of_point(name)).collect::<Option<HookSet>>();
        // A hook of a later version of this program: what the broker registered is not known here.
        let hooks = hooks.and_then(set);
        let refused_if_ignored = set(refused_if_ignored)?;
        let caller = CallingBroker { broker: id, version: emqx, refused_if_ignored, mend };
        is_ours.then_some(BrokerRecord { caller, hooks, presence, at, seen })
    }
}

/// A broker as people see it, without more than [`LONGEST_NAME`] bytes.
pub fn shown(broker: &BrokerId) -> String {
    cut(&broker.to_string(), LONGEST_NAME).to_owned()
}

/// The beginning of a text, at most so many bytes.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The broker that is shown so; `None` where none is.
fn broker_of_shown(text: &str) -> Option<BrokerId> {
    let broker = if let Some(names) = text.strip_prefix("node=\"").and_then(|names| names.strip_suffix('"')) {
        // A quote within a name has a backslash before it.
        let (node, cluster) = names.split_once("\" cluster=\"").map_or((names, None), |(node, k)| (node, Some(k)));
        let cluster = match cluster {
            Some(cluster) => Some(unescaped(cluster)?),
            None => None,
        };
        BrokerId::of(Origin { cluster: cluster.as_deref(), node: &unescaped(node)? })?
    } else if let Some(address) = text.strip_prefix("the broker at ") {
        BrokerId::At(address.parse().ok()?)
    } else {
        BrokerId::Port
    };
    (broker.to_string() == text).then_some(broker)
}

/// A text that `{:?}` escaped, between the quotes.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match (c, if c == '\\' { rest.next()? } else { c }) {
            ('\\', 'n') => '\n',
            ('\\', 'r') => '\r',
            ('\\', 't') => '\t',
            ('\\', '0') => '\0',
            ('\\', 'u') => {
                let digits: String = rest.by_ref().take_while(|c| *c != '}').filter(|c| *c != '{').collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            (_, c) => c,
        };
        plain.push(c);
    }
    Some(plain)
}

/// Keeps the records, on the disk when this returns.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn keep(folder: &Folder, policy: &Path, records: &[BrokerRecord]) -> io::Result<()> {
    let contents = BrokersFile { version: FORM, brokers: records.iter().map(RecordedBroker::of).collect() };
    let mut text = serde_json::to_vec(&contents)?;
    text.push(b'\n');
    folder.put(&name_of(policy, ENDING), &text, true)
}

/// The records that were kept for a policy.
///
/// # Errors
/// There are none, they are damaged, or they are not to be trusted.
pub fn recall(folder: &Folder, policy: &Path) -> Result<Vec<BrokerRecord>, Unusable> {
    let text = trusted::read(folder, &name_of(policy, ENDING), LARGEST)?;
    let damaged = |why: String| Unusable::Unreadable(io::Error::new(io::ErrorKind::InvalidData, why));
    let contents: BrokersFile = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if contents.version != FORM {
        return Err(damaged(format!("its form is {}, and not {FORM}", contents.version)));
    }
    if contents.brokers.len() > MOST {
        return Err(damaged(format!("it has more than {MOST} brokers")));
    }
    let known = contents.brokers.into_iter().filter(|row| !row.is_cut());
    let records = known.map(RecordedBroker::into_record).collect::<Option<_>>();
    records.ok_or_else(|| damaged("it has a broker that this program did not write".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn named(node: &str) -> BrokerId {
        BrokerId::of(Origin { cluster: None, node }).unwrap()
    }

    fn record(node: &str) -> BrokerRecord {
        let caller = CallingBroker {
            broker: named(node),
            version: Some("5.8.8".to_owned()),
            refused_if_ignored: [Hook::ClientAuthenticate].into_iter().collect(),
            mend: "mend it".to_owned(),
        };
        let hooks = Some([Hook::ClientAuthenticate, Hook::SessionTakenOver].into_iter().collect());
        BrokerRecord { caller, hooks, presence: Presence::Here, at: 5, seen: 7 }
    }

    struct Place {
        _dir: tempfile::TempDir,
        folder: Folder,
        policy: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (folder, policy) = (Folder(dir.path().join("state")), dir.path().join("rules.yaml"));
            Place { _dir: dir, folder, policy }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join(name_of(&self.policy, ENDING))
        }

        fn recall(&self) -> Result<Vec<BrokerRecord>, String> {
            recall(&self.folder, &self.policy).map_err(|unusable| unusable.to_string())
        }

        #[track_caller]
        fn check_refused(&self, because: &str) {
            assert_eq!(self.recall().unwrap_err(), because);
        }

        #[track_caller]
        fn check_text(&self, text: &str, because: &str) {
            fs::write(self.file(), text).unwrap();
            self.check_refused(because);
        }
    }

    #[test]
    fn what_was_kept_is_recalled() {
        let place = Place::new();
        place.check_refused("there is none");
        let unknown = BrokerRecord { hooks: None, presence: Presence::Away, at: 0, ..record("two") };
        let nameless = CallingBroker { version: None, ..record("three").caller };
        let unloaded = BrokerRecord { presence: Presence::Unloaded, caller: nameless, ..record("three") };
        let records = [record("one"), unknown, unloaded];
        keep(&place.folder, &place.policy, &records).unwrap();
        assert_eq!(place.recall().unwrap(), records);
        assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(recall(&place.folder, Path::new("/other/rules.yaml")), Err(Unusable::None)));
    }

    /// What version 0.5.1 wrote.
    const RECORDED: &str = include_str!("brokers_0_5_1.json");

    #[test]
    fn the_record_of_an_earlier_version_is_read_and_written_as_it_is() {
        let place = Place::new();
        keep(&place.folder, &place.policy, &[]).unwrap();
        fs::write(place.file(), RECORDED).unwrap();
        let records = place.recall().unwrap();
        let brokers: Vec<_> = records.iter().map(|record| record.caller.broker.clone()).collect();
        let in_cluster = Origin { cluster: Some("emqxcl"), node: "emqx@10.0.0.1" };
        let expected = [
            BrokerId::of(in_cluster).unwrap(),
            named("n\u{e9}\"\\\t\u{1}"),
            BrokerId::At([127, 0, 0, 1].into()),
            BrokerId::At(std::net::Ipv6Addr::LOCALHOST.into()),
        ];
        assert_eq!(brokers, expected);
        let hooks: Vec<_> = records.iter().map(|record| record.hooks.map(|hooks| hooks.iter().count())).collect();
        assert_eq!(hooks, [Some(2), Some(1), None, Some(0)]);
        keep(&place.folder, &place.policy, &records).unwrap();
        assert_eq!(fs::read_to_string(place.file()).unwrap(), RECORDED);
    }

    #[test]
    fn names_that_are_cut_where_people_see_them_are_kept_whole() {
        let place = Place::new();
        let longest = "n".repeat(255);
        let cluster = BrokerId::of(Origin { cluster: Some(&longest), node: &longest }).unwrap();
        let cluster = BrokerRecord { caller: CallingBroker { broker: cluster, ..record("").caller }, ..record("") };
        let records = [cluster, record("one")];
        keep(&place.folder, &place.policy, &records).unwrap();
        assert_eq!(place.recall().unwrap(), records);
        // Version 0.5.1 had only the beginning: it is known of no broker.
        let text = fs::read_to_string(place.file()).unwrap();
        let (before, rest) = text.split_once(",\"names\":{").unwrap();
        fs::write(place.file(), format!("{before}{}", rest.split_once('}').unwrap().1)).unwrap();
        assert_eq!(place.recall().unwrap(), [record("one")]);
    }

    #[test]
    fn a_damaged_foreign_or_large_file_is_refused() {
        let place = Place::new();
        keep(&place.folder, &place.policy, &[record("one")]).unwrap();
        let good = fs::read_to_string(place.file()).unwrap();
        let unreadable = "it cannot be read: ";
        place.check_text("", &format!("{unreadable}EOF while parsing a value at line 1 column 0"));
        place.check_text("{}", &format!("{unreadable}missing field `version` at line 1 column 2"));
        place.check_text(&good.replace(":1,", ":2,"), &format!("{unreadable}its form is 2, and not 1"));
        let strange = format!("{unreadable}it has a broker that this program did not write");
        for shown in ["one", "node=\\\"one\\n\\\"", "node=\\\"o\\\\ne\\\" node=1", &"x".repeat(513)] {
            place.check_text(&good.replace("node=\\\"one\\\"", shown), &strange);
        }
        place.check_text(&good.replace("5.8.8", &"8".repeat(65)), &strange);
        place.check_text(&good.replace("ignored\":[\"client.authenticate", "ignored\":[\"client.nothing"), &strange);
        place.check_text(&" ".repeat(16_777_217), "it has more than 16777216 bytes");
        let row = good.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
        let many = format!("{{\"version\":1,\"brokers\":[{}]}}", vec![row; 1025].join(","));
        place.check_text(&many, &format!("{unreadable}it has more than 1024 brokers"));
        // What a later version knows, and this one does not.
        fs::write(place.file(), good.replace("session.takeovered", "session.later")).unwrap();
        assert_eq!(place.recall().unwrap(), [BrokerRecord { hooks: None, ..record("one") }]);
    }

    #[test]
    fn what_others_may_have_written_is_refused() {
        let place = Place::new();
        keep(&place.folder, &place.policy, &[record("one")]).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        mode(&place.file(), 0o620);
        place.check_refused(&format!("it is not trusted: {} can be written by others", place.file().display()));
        mode(&place.file(), 0o600);
        mode(place.folder.path(), 0o702);
        place.check_refused(&format!("it is not trusted: {} can be written by others", place.folder.path().display()));
    }

    #[test]
    fn the_most_brokers_with_the_longest_names_fit() {
        let place = Place::new();
        let longest = |n: usize| {
            let caller = CallingBroker {
                broker: named(&format!("{n:04}{}", "\u{1}".repeat(Origin::LONGEST - 4))),
                version: Some("\"".repeat(LONGEST_VERSION)),
                refused_if_ignored: Hook::ALL.iter().copied().collect(),
                mend: "\\".repeat(LONGEST_NAME),
            };
            BrokerRecord {
                caller,
                hooks: Some(Hook::ALL.iter().copied().collect()),
                at: i64::MIN,
                seen: i64::MIN,
                ..record("")
            }
        };
        let records: Vec<BrokerRecord> = (0..MOST).map(longest).collect();
        keep(&place.folder, &place.policy, &records).unwrap();
        assert_eq!(place.recall().unwrap(), records);
    }
}
