//! The broker's `key = value` files, as its reader of settings (cuttlefish) takes them.

use std::collections::BTreeMap;
use std::time::Duration;

/// A file of settings.
#[derive(Debug, Default)]
pub struct Conf {
    settings: BTreeMap<String, Setting>,
    /// The lines that are no settings, from 1.
    pub bad: Vec<usize>,
    /// The files that are included, with the lines that say so.
    pub includes: Vec<(usize, String)>,
}

/// The value that counts for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Everything behind the `=`, less the blanks around it: a `#` in it does not begin a comment.
    pub value: String,
    /// Where it stands, from 1.
    pub line: usize,
}

impl Conf {
    /// Reads the text of a file. Of several lines with one key, the last counts.
    pub fn parse(text: &str) -> Self {
        let mut conf = Conf::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_matches([' ', '\t', '\r']);
            let placeholder = text.starts_with("{{") && text.ends_with("}}");
            if text.is_empty() || text.starts_with('#') || placeholder {
                continue;
            }
            if let Some(file) = text.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
                conf.includes.push((line, file.trim().to_owned()));
                continue;
            }
            match text.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if is_key(key) && !value.is_empty() => {
                    conf.settings.insert(key.to_owned(), Setting { value: value.to_owned(), line });
                }
                Some(_) | None => conf.bad.push(line),
            }
        }
        conf
    }

    /// What the file says of a key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// All keys with their values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(key, setting)| (key.as_str(), setting))
    }
}

/// Words with dots between them.
fn is_key(key: &str) -> bool {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "@/:_-\\".contains(c);
    key.split('.').all(|word| !word.is_empty() && word.chars().all(in_word))
}

/// Reads a duration as the broker does: `5s`, `500ms`, `1h30m`, `1.5m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("f", 1_209_600.0), ("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0), ("ms", 0.001), ("m", 60.0), ("s", 1.0)];
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        let amount = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(amount).ok()?)?;
        rest = after.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_broker_reads_them() {
        let text = "## a comment\n\nallow_anonymous = true\n  acl_nomatch=deny  \r\n\
                    allow_anonymous = false # closed\nnode.name = emqx@127.0.0.1\n\
                    no setting\nx =\na b = c\n{{ template }}\ninclude other.conf\nlistener.tcp.internal\t=\t0.0.0.0:1";
        let conf = Conf::parse(text);
        let read: Vec<_> = conf.iter().map(|(key, setting)| (key, setting.value.as_str(), setting.line)).collect();
        let expected = [
            ("acl_nomatch", "deny", 4),
            ("allow_anonymous", "false # closed", 5),
            ("listener.tcp.internal", "0.0.0.0:1", 12),
            ("node.name", "emqx@127.0.0.1", 6),
        ];
        assert_eq!(read, expected);
        assert_eq!(conf.bad, [7, 8, 9]);
        assert_eq!(conf.includes, [(11, "other.conf".to_owned())]);
    }

    #[track_caller]
    fn lasts(text: &str, millis: Option<u64>) {
        assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_have_units() {
        lasts("5s", Some(5_000));
        lasts("500ms", Some(500));
        lasts("1h30m", Some(5_400_000));
        lasts("1.5m", Some(90_000));
        lasts("1f", Some(1_209_600_000));
        for wrong in ["", "5", "s", "5 s", "-1s", "5s # long", "1.2.3s", "99999999999999999999w"] {
            lasts(wrong, None);
        }
    }
}
