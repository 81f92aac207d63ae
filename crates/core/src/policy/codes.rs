//! The one table of what can be wrong with a policy. Codes never change their meaning.

#[macro_use]
mod rows;
mod severity;

pub use severity::Severity;

/// A mistake and the same mended: parts of a policy, without the line that says its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// What raises the code.
    pub bad: &'static str,
    /// What does not.
    pub good: &'static str,
}

impl Code {
    /// The code of this name.
    pub fn of_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

codes! {
    UnreadableFile, "unreadable-file", Error, "The file cannot be read",
        "The policy file, or one of the files that it names, could not be opened or read. The message says why. The driver \
         runs as the broker's user: that user must be able to read the file and to enter every folder on the way to it.";
    NotUtf8, "not-utf-8", Error, "The file is not UTF-8",
        "A policy is UTF-8 text. Some editors save Latin-1 or UTF-16: choose UTF-8 when saving.";
    YamlSyntax, "yaml-syntax", Error, "The text is no YAML",
        "The text breaks the rules of YAML, so nothing of it could be read and no other mistake can be reported yet. The usual \
         cause is a text that must stand in quotes: one that begins with `*`, `&`, `!`, `%`, `@` or a backtick, and one \
         that holds `${...}` inside `[ ]` or `{ }`.",
        bad "acl: { rules: [{ deny: everyone, publish: ops/${clientid} }] }",
        good "acl: { rules: [{ deny: everyone, publish: \"ops/${clientid}\" }] }";
    TooLarge, "too-large", Error, "The file is too large, too deep, or grows too much",
        "Size, depth, number of values and the growth by aliases are bounded, so that no policy file can exhaust the broker's \
         machine. Long lists belong in a file or a database: `lists: { fleet: { file: fleet.txt } }`.";
    BareHash, "bare-hash", Error, "A `#` was read as a comment",
        "In YAML a `#` at the beginning of a word begins a comment, and the rest of the line is gone: `subscribe: #` is \
         empty, and `[dev/ #]` loses its closing bracket. Write topic filters in quotes: `\"#\"`, `\"dev/#\"`.",
        bad "acl: { rules: [{ deny: everyone, topics: [#] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"#\"] }] }";
    NotAString, "not-a-string", Error, "YAML reads a text as something else",
        "YAML reads `007` and `1e3` as numbers and `yes`, `no`, `on`, `off`, `y` and `n` as true or false. A clientid or a \
         topic that looks like one would silently be another one: write it in quotes.",
        bad "lists: { retired: [007, yes] }",
        good "lists: { retired: [\"007\", \"yes\"] }";
    EmptyValue, "empty-value", Error, "A key has no value",
        "A key without a value is read as null, which is never what a policy means. Leave the key out or give it a value. An \
         empty section is written `{}`, an empty list `[]`.",
        bad "auth:",
        good "auth: {}";
    WrongType, "wrong-type", Error, "A value of the wrong kind",
        "Another kind of value stands here than the policy language has in this place: a list where a text is needed, say.",
        bad "lists: { retired: dev-1 }",
        good "lists: { retired: [dev-1] }";
    UnknownKey, "unknown-key", Error, "A key that the policy language does not have",
        "A key that means nothing is most often a slip of the pen, and what it was meant to say would be lost. `exhook-policy \
         schema` prints a JSON Schema with which editors complete and check keys.",
        bad "acl: { rules: [{ deny: everyone, topic: [\"#\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"#\"] }] }";
    DuplicateKey, "duplicate-key", Error, "A key stands twice in one mapping",
        "Only one of the two could count, and it would not be clear which.",
        bad "lists: { retired: [dev-1], retired: [dev-2] }",
        good "lists: { retired: [dev-1, dev-2] }";
    MissingKey, "missing-key", Error, "A key that is needed is missing",
        "The mapping lacks a key without which it says nothing.",
        bad "lists: { paid: { sqlite: devices.db } }",
        good "lists: { paid: { sqlite: devices.db, query: \"SELECT clientid FROM paid\" } }";
    ConflictingKeys, "conflicting-keys", Error, "Keys that exclude each other",
        "Only one of these keys may stand in one mapping: a rule has one effect, a condition one operator, a list one source.",
        bad "auth: { rules: [{ allow: { clientid: a }, deny: { clientid: b } }] }",
        good "auth: { rules: [{ allow: { clientid: a } }, { deny: { clientid: b } }] }";
    UnknownWord, "unknown-word", Error, "A word that is none of those allowed here",
        "Only the words that the message lists may stand here.",
        bad "mode: enforced",
        good "mode: enforce";
    UnsupportedVersion, "unsupported-version", Error, "A version of the policy language that this program does not know",
        "`version` is the version of the policy language. This program knows version 1. A policy of a later version needs a \
         later program.",
        bad "version: 2",
        good "version: 1";
    BadDuration, "bad-duration", Error, "No duration, or one out of bounds",
        "A duration is a number with a unit, `500ms`, `2s`, `5m`, `12h` or `90d`, or several of them, `1h30m`. The message \
         says between which bounds it must be.",
        bad "deadline: 2 seconds",
        good "deadline: 2s";
    BadSize, "bad-size", Error, "No size, or one out of bounds",
        "A size is a whole number with a unit: `512KiB`, `64MiB` or `2GiB`. The message says between which bounds it must be.",
        bad "capture: { file: events.jsonl, max_size: 64 }",
        good "capture: { file: events.jsonl, max_size: 64MiB }";
    BadNumber, "bad-number", Error, "No number, or one out of bounds",
        "A whole number is needed here. The message says between which bounds it must be.",
        bad "capture: { file: events.jsonl, max_files: none }",
        good "capture: { file: events.jsonl, max_files: 4 }";
    BadBroker, "bad-broker", Error, "No version of the broker, or one that is not known",
        "`broker` says which versions of EMQX the policy is for, `\"5.8\"` or `\"5.8.3\"`, or several in a list. The message lists \
         those that are known. Without quotes `5.10` is the number 5.1 to YAML; it is read here as it is written.",
        bad "broker: latest",
        good "broker: 5.10";
    NotTold, "not-told", Error, "A condition on what no broker of the policy tells",
        "Not every version of EMQX tells everything of a client: `cn` and `dn` come with 4.3, `cluster` with 4.3.14, 4.4.3 and 5.0, \
         `peerport` with 5.4. None of those under `broker` tells this. Whether such a condition holds is never known, so a rule \
         that comes to need it denies with the id `error`, whatever it says.",
        bad "broker: \"5.3\"\nauth: { rules: [{ deny: { peerport: 1024 } }] }",
        good "broker: \"5.4\"\nauth: { rules: [{ deny: { peerport: 1024 } }] }";
    BadListener, "bad-listener", Error, "No port of this machine",
        "`metrics.listen` is an address of this machine alone with a port, since whoever reads the metrics learns the ids of the rules and how often \
         each decides, and nobody is asked who they are. A server that scrapes from elsewhere does so by way of the textfile collector, or of a \
         proxy that asks.",
        bad "metrics: { listen: \"0.0.0.0:9465\" }",
        good "metrics: { listen: \"127.0.0.1:9465\" }";
    UnknownName, "unknown-name", Error, "A name that is declared nowhere",
        "A rule or condition names a list, a kind of client or a password source that does not stand under `lists`, `clients` or \
         `passwords`. In a test file: something stands in for a list or a password source that the policy does not have, or a \
         test names a client that does not stand under `clients`.",
        bad "lists: { retired: [dev-1] }\nauth: { rules: [{ deny: { clientid: { in: retird } } }] }",
        good "lists: { retired: [dev-1] }\nauth: { rules: [{ deny: { clientid: { in: retired } } }] }";
    UnknownRule, "unknown-rule", Error, "A test expects a rule that the policy does not have",
        "The id behind `allow`, `deny` or `ignore` is that of the rule that must decide: a rule of `auth` for `authenticate`, one \
         of `acl` for `publish` and `subscribe`. Where no rule decides it is `default`, `invalid-topic` or `error`. A rule \
         without an id is called by its section and place, `acl-3` for the third.";
    ReservedName, "reserved-name", Error, "A name that has a meaning of its own",
        "`everyone` means every client, and the rule ids `default`, `invalid-topic` and `error` stand in records for what no \
         rule decided. In `auth` so do `lockout` and `flapping`, where the section has the key. Choose another name.",
        bad "auth: { rules: [{ id: default, deny: everyone }] }",
        good "auth: { rules: [{ id: nobody, deny: everyone }] }";
    BadName, "bad-name", Error, "A name that cannot be one",
        "A name or id must have at least one character, and none that is invisible: it stands in logs and records.";
    DuplicateId, "duplicate-id", Error, "Two rules of one section have the same id",
        "Records and policy tests say by its id which rule decided, so an id must be unique in its section. A rule without an \
         id is called by its section and place, `acl-3` for the third.",
        bad "auth: { rules: [{ id: a, deny: { clientid: x } }, { id: a, deny: everyone }] }",
        good "auth: { rules: [{ id: a, deny: { clientid: x } }, { id: b, deny: everyone }] }";
    CountedTwice, "counted-twice", Error, "`by` names the same twice",
        "`lockout` and `flapping` count by each entry of `by` on its own, and by a combination where an entry is a list itself: \
         `[peerhost, [username, clientid]]`. The same twice counts nothing more.",
        bad "auth: { flapping: { by: [clientid, clientid], logins: 20, within: 1m, ban: 5m } }\nhistory: { database: history.db }",
        good "auth: { flapping: { by: [clientid, username], logins: 20, within: 1m, ban: 5m } }\nhistory: { database: history.db }";
    ClientCycle, "client-cycle", Error, "A kind of client is defined by itself",
        "An entry of `clients` may name others, but not in a circle.",
        bad "clients: { staff: [{ username: anna }, admins], admins: [staff] }",
        good "clients: { staff: [{ username: anna }, admins], admins: { username: root } }";
    BadPattern, "bad-pattern", Error, "A topic filter, glob or regex that is not well formed",
        "A topic pattern is an MQTT topic filter (`+` and `#` stand alone between slashes, `#` only at the end), a glob or a \
         regex. None may begin with `$share/`, `$queue/`, `$exclusive/` or `$delayed/`: that prefix is taken off before \
         topics are matched.",
        bad "acl: { rules: [{ deny: everyone, topics: [\"ops/#/key\", \"dev+\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [{ glob: \"ops/**/key\" }, \"dev/+\"] }] }";
    BadPlaceholder, "bad-placeholder", Error, "A placeholder that the policy language does not have",
        "`${clientid}` and `${username}` are the only placeholders, and they stand in plain texts and in topic patterns. \
         The name in a certificate is compared with one: `cn: \"${clientid}\"`. \
         `%c` and `%u` are the broker's own spelling, which would be taken literally here.",
        bad "acl: { rules: [{ deny: everyone, topics: [\"dev/%c/#\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"dev/${clientid}/#\"] }] }";
    BadAddress, "bad-address", Error, "No address or network",
        "`peerhost` is compared with addresses (`10.0.0.7`, `2001:db8::7`) and networks (`10.0.0.0/8`, `2001:db8::/32`), and \
         with lists of them. Host names are not looked up.",
        bad "auth: { rules: [{ deny: { peerhost: 10.0.0.* } }] }",
        good "auth: { rules: [{ deny: { peerhost: 10.0.0.0/24 } }] }";
    HostBits, "host-bits", Error, "A network whose address has bits behind the prefix",
        "In `10.1.2.3/8` only the first 8 bits count, so either the address or the length is not what was meant.",
        bad "auth: { rules: [{ deny: { peerhost: 10.1.2.3/8 } }] }",
        good "auth: { rules: [{ deny: { peerhost: 10.0.0.0/8 } }] }";
    BadPort, "bad-port", Error, "No port",
        "A port is a whole number from 1 to 65535.",
        bad "auth: { rules: [{ deny: { sockport: 88830 } }] }",
        good "auth: { rules: [{ deny: { sockport: 8883 } }] }";
    NoEffect, "no-effect", Error, "A rule says neither allow nor deny nor ignore",
        "A rule has exactly one of `allow`, `deny` and `ignore`, with whom it is about.",
        bad "acl: { rules: [{ topics: [\"#\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"#\"] }] }";
    NoTopics, "no-topics", Error, "A rule of `acl` names no topics",
        "A rule of `acl` needs `publish`, `subscribe` or `topics` (both). For all topics write `topics: [\"#\"]`.",
        bad "acl: { rules: [{ deny: everyone }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"#\"] }] }";
    EmptyList, "empty-list", Error, "A list that must have an entry is empty",
        "A rule about nobody, or a condition with no alternative, never matches: an empty `deny` would protect nothing.",
        bad "auth: { rules: [{ deny: [] }] }",
        good "auth: { rules: [{ deny: everyone }] }";
    NoConditions, "no-conditions", Error, "A kind of client without conditions",
        "An empty mapping would mean every client. Where that is meant, write `everyone`.",
        bad "auth: { rules: [{ deny: {} }] }",
        good "auth: { rules: [{ deny: everyone }] }";
    BadDay, "bad-day", Error, "No day of the week",
        "`days` are `mon`, `tue`, `wed`, `thu`, `fri`, `sat` and `sun`, one of them, a range like `mon-fri`, or a list of these. A \
         range may go over the end of the week: `fri-mon`.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { days: weekdays } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { days: mon-fri } }] }";
    BadHours, "bad-hours", Error, "No part of a day",
        "`hours` are two times of the day, `08:00-18:00`, or several of them in a list. Where the second is not after the first, it \
         is one of the next day, and the hours belong to the day on which they begin. The end of the day is `24:00`.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { hours: 8-18 } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { hours: \"08:00-18:00\" } }] }";
    BadTime, "bad-time", Error, "No date, or no time",
        "A time is a date, `2026-12-01`, or a date and a time of day, `2026-12-01T18:00`. It is one of the window's `zone`, unless \
         its offset stands behind it: `2026-12-01T18:00+01:00`, `2026-12-01T17:00Z`. In a test file, where there is no zone, it \
         must, or the zone in brackets: `2026-12-01T18:00[Europe/Berlin]`.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { until: \"31.12.2026\" } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { until: 2226-12-31 } }] }";
    UnknownZone, "unknown-zone", Error, "No time zone of this name",
        "`zone` is a name of the IANA time zone database, which is built in: `Europe/Berlin`, `America/New_York`, `UTC`. An \
         abbreviation like `CEST` is no zone, since it says nothing of the other half of the year. A fixed offset is written \
         `Etc/GMT-2`, which is two hours ahead of UTC.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { days: mon, zone: Berlin } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { days: mon, zone: Europe/Berlin } }] }";
    EmptyWindow, "empty-window", Error, "A window of time that is never open",
        "The window ends before it begins, or has days and hours of which none lies between the two. A rule with it would do \
         nothing.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { from: 2226-12-31, until: 2226-12-01 } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { from: 2226-12-01, until: 2226-12-31 } }] }";
    MisplacedPassword, "misplaced-password", Error, "`password` on a rule that does not allow",
        "Only a rule that allows can ask for a password.",
        bad "passwords: { staff: { file: staff.passwd } }\nauth: { rules: [{ deny: everyone, password: staff }] }",
        good "passwords: { staff: { file: staff.passwd } }\nauth: { rules: [{ allow: everyone, password: staff }] }";
    PasswordInAudit, "password-in-audit", Error, "`password` on a rule in audit mode",
        "A rule with `mode: audit` is tried beside those that answer, and looks no password up: the client has one password, which the \
         rules that are carried out may compare with another source. Try whom the rule is about, without `password`, or put the \
         whole policy into audit mode.",
        bad "passwords: { staff: { file: staff.passwd } }\nauth: { rules: [{ allow: { username: ann }, password: staff, mode: audit }] }",
        good "passwords: { staff: { file: staff.passwd } }\nmode: audit\nauth: { rules: [{ allow: { username: ann }, password: staff }] }";
    ListInAudit, "list-in-audit", Error, "A rule in audit mode needs a list in another form than those that answer",
        "A list is read once for all rules. One that some rule compares with addresses may hold addresses and networks alone, and is unreadable \
         otherwise, to the rules as well that are carried out: so a rule that is only tried would have them deny. A list of its own, \
         of the same file if need be, keeps the two apart.",
        bad "lists: { known: [dev-1] }\nauth: { rules: [{ allow: { clientid: { in: known } } }, { deny: { peerhost: { in: known } }, mode: audit }] }",
        good "lists: { known: [dev-1], places: [10.0.0.0/8] }\nauth: { rules: [{ allow: { clientid: { in: known } } }, { deny: { peerhost: { in: places } }, mode: audit }] }";
    BadQuery, "bad-query", Error, "A query that cannot give what is needed",
        "A password query must have the parameter `:username`, else it would compare every client with the same hash.",
        bad "passwords: { staff: { sqlite: staff.db, query: \"SELECT hash FROM staff\" } }",
        good "passwords: { staff: { sqlite: staff.db, query: \"SELECT hash FROM staff WHERE username = :username\" } }";
    BadPath, "bad-path", Error, "No path",
        "A path names a file, relative to the policy's folder or absolute.";
    UnknownCode, "unknown-code", Error, "No warning has this code",
        "`accept` says which warnings are meant, by the code that stands in brackets behind `warning`.",
        bad "accept: { default-alow: the broker decides }\nauth: { default: allow }",
        good "accept: { default-allow: the broker decides }\nauth: { default: allow }";
    NotAcceptable, "not-acceptable", Error, "A code that cannot be accepted",
        "`accept` is for warnings, about what works and is meant. A policy with an error does not load, and an `accept` that \
         names no warning is taken away.";
    NoReason, "no-reason", Error, "An accepted warning without a reason",
        "Whoever reads the policy later must be able to tell whether a warning is still meant: each code under `accept` needs a \
         reason.",
        bad "accept: { default-allow: \"\" }\nauth: { default: allow }",
        good "accept: { default-allow: a test bench }\nauth: { default: allow }";
    BadSource, "bad-source", Error, "A list or password source has a fault",
        "A source of the policy was read, and something in it cannot be used. Until it can, every decision that needs it denies.";
    BadPasswordEntry, "bad-password-entry", Error, "An entry of a password file lets no one in",
        "The user of this entry is denied whatever the password: the hash is a password in plain text, another program's, cut short, or takes \
         longer than the deadline, the line has no `:` or no username, MQTT forbids the username, or the user has another line. \
         `exhook-policy passwd FILE USER` sets a password. `check` reads every entry of a file, unless `--no-sources` is given, and shows 20; a database cannot be asked for all. \
         The policy loads all the same: the other users of the file log in, and the log of the driver or server has the lines.";

    DefaultAllow, "default-allow", Warning, "What no rule matches is allowed",
        "With `default: allow` every client or topic that the rules forget is let through. Deny by default, and allow what is \
         needed.",
        bad "auth: { default: allow, rules: [{ deny: { clientid: dev-1 } }] }",
        good "auth: { rules: [{ deny: { clientid: dev-1 } }, { allow: { peerhost: 10.0.0.0/8 } }] }";
    DefaultIgnore, "default-ignore", Warning, "What no rule matches is left to the broker",
        "With `default: ignore` the broker goes on as if there were no policy: logins fall to `allow_anonymous`, topics to \
         acl.conf, whose last line allows everything unless it was changed.",
        bad "acl: { default: ignore }",
        good "acl: { default: deny }";
    AllowsEverything, "allows-everything", Warning, "A rule that allows everything to everyone",
        "Such a rule makes all that follow, and the default, meaningless.",
        bad "acl: { rules: [{ allow: everyone, topics: [\"#\"] }] }",
        good "acl: { rules: [{ allow: everyone, topics: [\"public/#\"] }] }";
    NothingEnforced, "nothing-enforced", Warning, "No rule of a section is carried out",
        "Rules in audit mode are tried and decide nothing. Where a section has no others, its `default` decides everything, which is `deny` \
         unless it says otherwise: nobody logs in, or nobody gets a topic. Carry out the rules that allow, set a `default`, or try \
         the whole policy with `mode: audit` at its top, where the broker is told nothing.",
        bad "auth: { rules: [{ allow: { peerhost: 10.0.0.0/8 }, mode: audit }] }",
        good "auth: { rules: [{ allow: { peerhost: 10.0.0.0/8 } }, { deny: { username: bob }, mode: audit }] }";
    Unused, "unused", Warning, "Nothing uses this entry",
        "A list, a kind of client or a password source that no rule uses does nothing. Perhaps a rule names another one.",
        bad "lists: { retired: [dev-1] }\nauth: { rules: [{ allow: { peerhost: 10.0.0.0/8 } }] }",
        good "lists: { retired: [dev-1] }\nauth: { rules: [{ deny: { clientid: { in: retired } } }, { allow: { peerhost: 10.0.0.0/8 } }] }";
    UnverifiedClientid, "unverified-clientid", Warning, "`${clientid}` topics, but nobody verifies the clientid",
        "A client chooses its clientid freely. Topics with `${clientid}` keep clients apart only where a login rule with a \
         password ties the clientid to the verified username, `{ clientid: \"${username}\" }`, or a rule ties it to the client's \
         certificate, which the broker's listener must verify: `{ cn: \"${clientid}\" }`.",
        bad "auth: { rules: [{ allow: { peerhost: 10.0.0.0/8 } }] }\nacl: { rules: [{ allow: everyone, publish: [\"dev/${clientid}/up\"] }] }",
        good "passwords: { devices: { file: devices.passwd } }\nauth: { rules: [{ allow: { clientid: \"${username}\" }, password: devices }] }\nacl: { rules: [{ allow: everyone, publish: [\"dev/${clientid}/up\"] }] }";
    NeverDecides, "never-decides", Warning, "A rule that can never decide",
        "Whatever this rule is about, rules before it decide: the first that matches does. It is left over, stands too late, or is \
         about less than was meant. Take it away, or put it before the rules that the message names.",
        bad "acl: { rules: [{ deny: everyone, topics: [\"ops/#\"] }, { allow: { username: ann }, publish: [ops/log] }] }",
        good "acl: { rules: [{ allow: { username: ann }, publish: [ops/log] }, { deny: everyone, topics: [\"ops/#\"] }] }";
    WindowIsOver, "window-is-over", Warning, "A window of time that will not open again",
        "Its `until` has passed, or no day and hour of it is left before that. A rule whose windows are all over never decides: \
         take it away, or say until when it is meant to go on. `check` goes by the clock of the machine that it runs on.",
        bad "auth: { rules: [{ allow: { username: ann }, when: { until: 2020-12-31 } }] }",
        good "auth: { rules: [{ allow: { username: ann }, when: { until: 2226-12-31 } }] }";
    LateDeny, "late-deny", Warning, "A deny behind the allow that it was meant to cut",
        "The first rule that matches decides, so a rule that denies takes nothing away from a rule before it that allows the same \
         topics, or more, to the same clients. Put the deny first. The other way round, a narrow allow before a wide deny, is how \
         an exception is written, and is not warned about: one for fewer topics, for fewer clients, or for some clients where the \
         deny is about clients in general.",
        bad "acl: { rules: [{ allow: everyone, topics: [\"dev/#\"] }, { deny: everyone, topics: [\"dev/secret/#\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"dev/secret/#\"] }, { allow: everyone, topics: [\"dev/#\"] }] }";
    CrossingTopics, "crossing-topics", Warning, "An allow and a later deny that cross",
        "Some topics are both in a pattern that allows and in a later one that denies, and neither holds all of the other. What \
         they share is allowed, since the first rule that matches decides. If it was meant to be denied, put the deny first.",
        bad "acl: { rules: [{ allow: everyone, publish: [\"dev/+/up\"] }, { deny: everyone, publish: [\"dev/lab/#\"] }] }",
        good "acl: { rules: [{ deny: everyone, publish: [\"dev/lab/#\"] }, { allow: everyone, publish: [\"dev/+/up\"] }] }";
    DeniedAsWritten, "denied-as-written", Warning, "A pattern that nobody can subscribe to as it is written",
        "A subscription is decided as a set: a rule that denies matches where it denies any topic that the filter can receive. So a \
         client that subscribes to this very filter is refused, although single topics in it may be allowed. Narrow the pattern \
         to what is left, so that it says what clients can ask for.",
        bad "acl: { rules: [{ deny: everyone, topics: [\"ops/secret/#\"] }, { allow: everyone, subscribe: [\"ops/#\"] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"ops/secret/#\"] }, { allow: everyone, subscribe: [\"ops/log/#\"] }] }";
    ReachesOtherClients, "reaches-other-clients", Warning, "Clients can reach topics that are another client's own",
        "One rule gives each client a branch of its own by `${clientid}`, and another lets clients of the same kind into the \
         branches of others, for the same action. Use `${clientid}` there too, or name the clients that are meant to reach all. \
         Where it is meant, say so with `accept`.",
        bad "acl: { rules: [{ allow: everyone, subscribe: [\"dev/${clientid}/#\", \"dev/+/cmd\"] }] }",
        good "acl: { rules: [{ allow: everyone, subscribe: [\"dev/${clientid}/#\"] }, { allow: { username: ann }, subscribe: [\"dev/+/cmd\"] }] }";
    MatchesNobody, "matches-nobody", Warning, "Conditions that no client can fulfil",
        "The conditions contradict each other, or one can never hold, so no client is of this kind and a rule about it does \
         nothing.",
        bad "auth: { rules: [{ deny: { clientid: a, username: { not: [a, { not: a }] } } }] }",
        good "auth: { rules: [{ deny: { clientid: a, username: { not: a } } }] }";
    PasswordBypass, "password-bypass", Warning, "Clients can walk around a password rule",
        "A password rule matches only where its source knows the user. A client that gives a username unknown there falls \
         through to the later rule, which lets it in without a password.",
        bad "passwords: { staff: { file: staff.passwd } }\nauth: { rules: [{ allow: everyone, password: staff }, { allow: everyone }] }",
        good "passwords: { staff: { file: staff.passwd } }\nauth: { rules: [{ allow: everyone, password: staff }] }";
    SuperuserInAcl, "superuser-in-acl", Warning, "`is_superuser` in `acl` has no effect",
        "The broker does not ask about the topics of superusers, so in `acl` the flag is always false.",
        bad "acl: { rules: [{ allow: { is_superuser: true }, topics: [\"ops/#\"] }] }",
        good "acl: { rules: [{ allow: { username: root }, topics: [\"ops/#\"] }] }";
    MessagesEnterprise, "messages-enterprise", Warning, "Before 4.3 only the Enterprise edition sends message hooks",
        "The plugin of the community edition calls no message hooks in EMQX 4.1 and 4.2, so the table `messages` stays empty \
         there. From 4.3 on all editions send them: a policy that says so with `broker` is not warned about.";
    NotToldEverywhere, "not-told-everywhere", Warning, "A condition on what some brokers of the policy do not tell",
        "Not every version of EMQX tells everything of a client: `cn` and `dn` come with 4.3, `cluster` with 4.3.14, 4.4.3 and 5.0, \
         `peerport` with 5.4. Where the broker does not tell it, nobody knows whether the condition holds, so a rule that comes \
         to need it denies with the id `error`, whatever it says. Give these brokers a policy of their own, or tell their \
         clients apart before, by `node` say.",
        bad "broker: [\"4.2\", \"5.8\"]\nauth: { rules: [{ allow: { cn: \"${clientid}\" } }] }",
        good "broker: [\"4.4\", \"5.8\"]\nauth: { rules: [{ allow: { cn: \"${clientid}\" } }] }";
    CapturesNothing, "captures-nothing", Warning, "`capture` waits for events that the policy is never told of",
        "`capture` writes what reaches the driver, and asks the broker for nothing more, since every hook holds up its client. \
         Logins come where the policy has `auth`, topics where it has `acl`, connections and sessions where `history` records \
         them or `log` tells them.",
        bad "acl: {}\ncapture: { file: events.jsonl, events: logins }",
        good "acl: {}\ncapture: { file: events.jsonl, events: topics }";
    CountsNothing, "counts-nothing", Warning, "A limit that counts nothing",
        "`lockout` counts logins that were denied after a password source was asked, so it counts none where no rule has `password`; \
         and neither `lockout` nor `flapping` counts anyone where everyone is exempt.",
        bad "auth: { lockout: { by: peerhost, failures: 5, within: 5m, ban: 15m } }\nhistory: { database: history.db }",
        good "auth: { flapping: { by: peerhost, logins: 50, within: 5m, ban: 15m } }\nhistory: { database: history.db }";
    BansForgotten, "bans-forgotten", Warning, "Bans are forgotten at a restart",
        "Whom `lockout` or `flapping` keeps out is written to the history database, read back when the driver or server starts, and \
         shared by all that use the database. Without `history` a restart lets everyone in again, `history bans` has nothing to \
         show, and `history lift` nothing to lift.",
        bad "auth: { flapping: { by: clientid, logins: 20, within: 1m, ban: 5m } }",
        good "auth: { flapping: { by: clientid, logins: 20, within: 1m, ban: 5m } }\nhistory: { database: history.db }";
    GlobNotParent, "glob-not-parent", Warning, "`x/**` does not reach `x` itself",
        "The glob `x/**` matches every topic below `x`, but not `x`. The filter `x/#` matches both.",
        bad "acl: { rules: [{ deny: everyone, topics: [{ glob: \"ops/**\" }] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [\"ops/#\"] }] }";
    DollarNotReached, "dollar-not-reached", Warning, "A pattern that is meant for `$` topics and reaches none",
        "Globs and regexes reach topics that begin with `$` only where their own text begins with it: `$SYS/**`, and in a \
         regex `\\$SYS/.*`, since a bare `$` is the end of the text there. A class, a group or a flag before it hides it, and \
         a rule that denies with such a pattern denies nothing.",
        bad "acl: { rules: [{ deny: everyone, topics: [{ regex: '$SYS/.*' }] }] }",
        good "acl: { rules: [{ deny: everyone, topics: [{ regex: '\\$SYS/.*' }] }] }";
    AdmitsNameless, "admits-nameless", Warning, "A condition lets clients without a name through",
        "An absent username is the empty text, which is different from every name, so `{ not: admin }` holds for clients that \
         give none. Write `{ not: [\"\", admin] }`. A glob or regex that matches the empty text, `*` say, lets them through as \
         well: write `?*`. Where that is meant, say so: `[\"\", { glob: \"op-*\" }]`. The same goes for `cn` and `dn`, which are \
         empty for clients without a certificate.",
        bad "auth: { rules: [{ allow: { username: { not: admin } } }] }",
        good "auth: { rules: [{ allow: { username: { not: [\"\", admin] } } }] }";
    NoEntries, "no-entries", Warning, "A list or password source is empty",
        "A condition `in` an empty list holds for no client, and `not` in it for every client. A password source without users \
         lets nobody in, and leaves every login to later rules. `check` reads files and databases to see this, unless \
         `--no-sources` is given.",
        bad "lists: { retired: [] }\nauth: { rules: [{ deny: { clientid: { in: retired } } }] }",
        good "lists: { retired: [dev-1] }\nauth: { rules: [{ deny: { clientid: { in: retired } } }] }";
    ReadByEveryone, "read-by-everyone", Warning, "Every user of the machine can read password hashes",
        "Hashes can be tried out at leisure by whoever reads them, and short passwords are found. Only the broker's user, or the \
         provider's, has to read a password file or database. `check` looks at files and at every folder above them, unless \
         `--no-sources` is given, and the driver and the server do when they load the policy.";
    WrittenByEveryone, "written-by-everyone", Warning, "Every user of the machine can change what the policy says",
        "Whoever can write the policy, a list or a password source lets in whom they like, and so does whoever can write a folder \
         above it or above a link that leads to it: they put another file or link in its place. In a folder with the sticky bit, such as \
         `/tmp`, they cannot, but they can put a journal beside a database there, which SQLite reads: a database needs a folder \
         of its own. `check` looks at files and at every folder above them, unless `--no-sources` is given, and the driver and the \
         server do when they load the policy.";
    WildcardAsText, "wildcard-as-text", Warning, "A text that is compared byte for byte looks like a pattern",
        "A plain text in a condition or a list is equal to the value or not, and in a topic filter only `+` and `#` are \
         wildcards. A `*` in them means itself, which is hardly ever meant: a rule that denies with it denies nothing.",
        bad "auth: { rules: [{ deny: { username: \"op-*\" } }] }\nacl: { rules: [{ deny: everyone, topics: [\"ops/*\"] }] }",
        good "auth: { rules: [{ deny: { username: { glob: \"op-*\" } } }] }\nacl: { rules: [{ deny: everyone, topics: [\"ops/+\"] }] }";
    RegexInGlob, "regex-in-glob", Warning, "A glob that is written like a regex",
        "In a glob `*` is any text, `?` one character, `[...]` a class and `{a,b}` a choice. `+`, `^`, `$` and `\\d` mean \
         themselves there.",
        bad "auth: { rules: [{ deny: { clientid: { glob: \"dev-[0-9]+\" } } }] }",
        good "auth: { rules: [{ deny: { clientid: { regex: \"dev-[0-9]+\" } } }] }";
    GlobInRegex, "glob-in-regex", Warning, "A regex that is written like a glob or a topic filter",
        "In a regex `*` and `+` repeat what stands before them: `dev-*` is `dev` with any number of dashes, `dev/+` one with any \
         number of slashes. Any text is `.*`, and one level of a topic `[^/]+`.",
        bad "auth: { rules: [{ deny: { clientid: { regex: \"dev-*\" } } }] }",
        good "auth: { rules: [{ deny: { clientid: { glob: \"dev-*\" } } }] }";
    PlainRegex, "plain-regex", Warning, "A regex that is only a text",
        "A regex must match the whole value, so one without any wildcard is equal to it: `admin` does not match `admin-1`. Where \
         it was meant to be searched for, put `.*` around it; where not, a plain text says it better.",
        bad "auth: { rules: [{ deny: { username: { regex: admin } } }] }",
        good "auth: { rules: [{ deny: { username: { regex: \".*admin.*\" } } }] }";
    HalfAnchored, "half-anchored", Warning, "A regex with an anchor at one end and a text at the other",
        "A regex must match the whole value, as if it stood between `^` and `$`. So `^dev-` matches `dev-` and nothing longer, \
         which whoever wrote the `^` cannot have meant.",
        bad "auth: { rules: [{ deny: { clientid: { regex: \"^dev-\" } } }] }",
        good "auth: { rules: [{ deny: { clientid: { regex: \"dev-.*\" } } }] }";
    UnescapedDot, "unescaped-dot", Warning, "A dot that matches any character",
        "In a regex `.` is any character. In an address, a version or the name of a host a dot is meant: `[.]`. Addresses are \
         better compared as such: `peerhost: 10.0.0.0/8`.",
        bad "auth: { rules: [{ deny: { username: { regex: \"gw-[0-9]+@plant.example\" } } }] }",
        good "auth: { rules: [{ deny: { username: { regex: \"gw-[0-9]+@plant[.]example\" } } }] }";
    CostlyPattern, "costly-pattern", Warning, "A pattern that a long text makes costly",
        "What a question may cost is bounded, and beyond the bound it is denied. This pattern is too large for a table, so each \
         character may cost as many steps as it has states. Count less behind `.*`: `dev/[^/]*/b`, not `.*a.{900}b`.",
        bad "acl: { rules: [{ deny: everyone, publish: [{ regex: \".*a.{900}b\" }] }] }",
        good "acl: { rules: [{ deny: everyone, publish: [{ regex: \".*a.+b\" }] }] }";
    EmptyAlternative, "empty-alternative", Warning, "A regex with an empty alternative",
        "A `|` at the beginning or the end of a regex, or two of them side by side, leave an alternative that matches the empty \
         text: an absent username, for example.",
        bad "auth: { rules: [{ deny: { username: { regex: \"op-.*|\" } } }] }",
        good "auth: { rules: [{ deny: { username: { regex: \"op-.*\" } } }] }";
    OddClass, "odd-class", Warning, "A class that holds more than it seems",
        "`[A-z]` runs through the six characters between `Z` and `a`, and in `[a|b]` the `|` is one of the characters.",
        bad "auth: { rules: [{ deny: { clientid: { regex: \"[A-z]+\" } } }] }",
        good "auth: { rules: [{ deny: { clientid: { regex: \"[A-Za-z]+\" } } }] }";
    OuterBlanks, "outer-blanks", Warning, "A blank at the beginning or the end counts",
        "Names, topics and patterns are compared with every character that they have. A text behind `|` in YAML ends in a line end.",
        bad "auth: { rules: [{ deny: { clientid: \"dev-1 \" } }] }",
        good "auth: { rules: [{ deny: { clientid: \"dev-1\" } }] }";
    NoSuchValue, "no-such-value", Warning, "A value that the broker never gives",
        "`protocol` is `mqtt` whatever the transport and the listener, and every `node` is called `NAME@HOST`. A condition on \
         another value never holds, and its `not` always. From EMQX 5.0 on `anonymous` is true of every client.",
        bad "auth: { rules: [{ deny: { protocol: mqtts } }] }",
        good "auth: { rules: [{ deny: { sockport: 8883 } }] }";
    LongDeadline, "long-deadline", Warning, "The deadline is not under the broker's usual time-out",
        "When the broker's `call_timeout`, from EMQX 4.3 on its `request_timeout` (5s unless it was changed), passes before the \
         answer comes, the broker goes on as if there were no policy, and may let the client through. The deadline must be shorter.",
        bad "deadline: 5s",
        good "deadline: 2s";
    CommentAfterPattern, "comment-after-pattern", Warning, "A comment that looks like a part of the topic",
        "In YAML ` #` begins a comment. Where the pattern was meant to go on, write it in quotes; where a comment was meant, put \
         a blank after the `#`.",
        bad "acl:\n  rules:\n    - deny: everyone\n      topics:\n        - ops/ #",
        good "acl:\n  rules:\n    - deny: everyone\n      topics:\n        - \"ops/#\"";
    UnusedAccept, "unused-accept", Warning, "`accept` names a warning that is not there",
        "The `accept` of a rule is about the warnings in that rule, the one at the top of the policy about all others. One that \
         meets none would hide the next warning of its kind: take it away. `check` tells this where it could look for \
         everything that raises the warning, and never of `no-entries`, `read-by-everyone` and `written-by-everyone`: what a list \
         holds and who may read it changes without the policy.",
        bad "accept: { default-allow: a test bench }\nauth: {}",
        good "auth: {}";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Code;

    #[test]
    fn names_are_unique_and_plain() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.name()), "{} stands twice", code.name());
            assert!(
                code.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                code.name()
            );
            assert_eq!(Code::of_name(code.name()), Some(*code));
            assert!(!code.title().ends_with('.'), "{}", code.title());
            assert!(code.explanation().ends_with('.'), "{}", code.explanation());
            for text in [code.title(), code.explanation()] {
                assert!(!text.contains("  ") && !text.contains(['\n', '\t']), "{text}");
            }
        }
        assert_eq!(Code::of_name("no-such-code"), None);
    }
}
