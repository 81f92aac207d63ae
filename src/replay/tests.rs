//! Files of both kinds, and what a policy makes of them.

use std::io::{BufReader, Read};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use exhook_policy_core::event::json;
use exhook_policy_core::hook::Hook;
use exhook_policy_core::policy;

fn items(bytes: &[u8]) -> Vec<(u64, Entry)> {
    // Small pieces, as a pipe gives them.
    let input = BufReader::with_capacity(7, bytes);
    let items = Events::new("f", input).unwrap().map(Result::unwrap);
    items.map(|item| (item.place.number, item.entry)).collect()
}

/// The entries, each in a few words.
fn shown(bytes: &[u8]) -> Vec<String> {
    let words = |entry: Entry| match entry {
        Entry::Told(told) => format!("{} {}", told.event.hook().point(), told.event.as_event().clientid()),
        Entry::Dropped(count) => format!("dropped {count}"),
        Entry::Other => "other".to_owned(),
        Entry::Unreadable(why) => why,
    };
    items(bytes).into_iter().map(|(number, entry)| format!("{number} {}", words(entry))).collect()
}

const LINE: &str = r#"{"hook":"client.connected","client":{"clientid":"c"}}"#;

#[test]
fn lines_are_read_whatever_their_ends_are() {
    assert_eq!(shown(b""), Vec::<String>::new());
    assert_eq!(shown(b"\n \n"), Vec::<String>::new());
    let connected = |number: u64| format!("{number} client.connected c");
    assert_eq!(shown(LINE.as_bytes()), [connected(1)]);
    assert_eq!(shown(format!("\u{feff}{LINE}\r\n\n{LINE}\n").as_bytes()), [connected(1), connected(3)]);
    assert_eq!(shown(format!("{LINE}\n{{\"dropped\":7}}\n").as_bytes()), [connected(1), "2 dropped 7".to_owned()]);
}

#[test]
fn a_line_that_cannot_be_read_stops_no_other() {
    let mut file = format!("{LINE}\nhello\n").into_bytes();
    file.extend(b"{\"\xFF\":1}\n");
    file.extend(vec![b'x'; json::LONGEST + 3]);
    file.extend(format!("\n{LINE}\n{{\"hook\":\"client.conn").into_bytes());
    assert_eq!(
        shown(&file),
        [
            "1 client.connected c",
            "2 expected value at column 1",
            "3 it is not UTF-8",
            "4 it has more than 4194304 bytes",
            "5 client.connected c",
            "6 EOF while parsing a string at column 20",
        ]
    );
    // One that is just long enough is read as far as it goes.
    let longest = vec![b' '; json::LONGEST + 1];
    assert!(matches!(&items(&longest)[..], []));
}

/// A frame around a term of the external format.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn frames_are_told_by_their_beginning() {
    // {'r', 1, ok}, an answer; {'M', ok}, a message; {'x'}, nothing that anyone sends.
    let answer = frame(b"\x83h\x03d\0\x01ra\x01d\0\x02ok");
    let message = frame(b"\x83h\x02d\0\x01Md\0\x02ok");
    let strange = frame(b"\x83h\x01d\0\x01x");
    let file = [&answer[..], &message, &strange, b"\0\0\0\x09\x83h"].concat();
    assert_eq!(
        shown(&file),
        ["1 other", "2 other", "3 expected a call at byte 7", "4 the input ended within a frame, 6 bytes into 13",]
    );
}

#[test]
fn recorded_ports_are_read_with_nothing_left_over() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/captures");
    for version in ["4.1.5", "4.2.14"] {
        for (part, events, others) in [("ordinary.bin", 259, 1), ("long.bin", 608, 1)] {
            let bytes = std::fs::read(folder.join(version).join(part)).unwrap();
            let items = items(&bytes);
            let told = items.iter().filter(|(_, entry)| matches!(entry, Entry::Told(_))).count();
            let other = items.iter().filter(|(_, entry)| *entry == Entry::Other).count();
            assert_eq!((told, other, items.len()), (events, others, events + others), "{version} {part}");
        }
    }
}

#[test]
fn a_file_that_fails_ends_there() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let text = format!("{LINE}\n{LINE}");
    let mut events = Events::new("f", BufReader::new(text.as_bytes().chain(Failing))).unwrap();
    assert!(matches!(events.next(), Some(Ok(_))));
    assert!(matches!(events.next(), Some(Err(_))));
    assert!(events.next().is_none());
}

const POLICY: &str = "
version: 1
passwords: { first: { file: first.passwd }, second: { file: second.passwd } }
auth:
  rules:
    - { id: one, allow: { clientid: c }, password: first }
    - { id: two, allow: everyone, password: second }
    - { id: guest, allow: { clientid: guest } }
acl:
  rules:
    - { id: own, allow: everyone, publish: 'a/${clientid}' }
    - { id: never, deny: everyone, subscribe: '#' }
";

fn policy(text: &str) -> Policy {
    Policy::compile(policy::parse(text, "rules.yaml", Path::new("")).unwrap().model)
}

fn login(clientid: &str, rest: &str) -> String {
    format!(r#"{{"hook":"client.authenticate","client":{{"clientid":"{clientid}"}}{rest}}}"#)
}

/// What a policy says of one line, with every password that the line does not tell of taken for right.
#[track_caller]
fn check_decision(line: &str, expected: &str, assumed: bool) {
    let policy = policy(POLICY);
    let lists = Lists::default();
    let side = ReplaySide { policy: &policy, lists: &lists, found: &|_, _, _| Found::Right };
    let Ok(json::Line::Told(told)) = json::read_line(line) else { panic!("{line}") };
    let outcome = side.decide(&told);
    let decision = outcome.map(|outcome| OwnedDecision::from(outcome.decision).to_string());
    assert_eq!(decision.as_deref(), Some(expected), "{line}");
    assert_eq!(outcome.map(|outcome| outcome.assumed), Some(assumed), "{line}");
}

#[test]
fn a_login_is_decided_by_what_its_sources_said() {
    let said = |passwords: &str| {
        login("c", &format!(r#","decision":{{"verdict":"allow","rule":"x","passwords":{{{passwords}}}}}"#))
    };
    check_decision(&login("c", ""), "allow by `one`", true);
    check_decision(&login("d", ""), "allow by `two`", true);
    check_decision(&said(r#""first":"right""#), "allow by `one`", false);
    check_decision(&said(r#""first":"wrong""#), "deny by `one`", false);
    check_decision(&said(r#""first":"unreadable""#), "deny by `error`", false);
    check_decision(&said(r#""first":"unknown","second":"wrong""#), "deny by `two`", false);
    check_decision(&said(r#""first":"unknown","second":"unknown""#), "deny by `default`", false);
    // The second was not asked then.
    check_decision(&said(r#""first":"unknown""#), "allow by `two`", true);
    check_decision(&said(""), "allow by `one`", true);
}

#[test]
fn a_topic_needs_nothing_more() {
    let line = r#"{"hook":"client.check_acl","client":{"clientid":"c"},"action":"publish","topic":"a/c"}"#;
    check_decision(line, "allow by `own`", false);
}

fn acl(clientid: &str, topic: &str, decision: &str) -> String {
    format!(
        r#"{{"hook":"client.check_acl","client":{{"clientid":"{clientid}"}},"action":"publish","topic":"{topic}"{decision}}}"#
    )
}

#[test]
fn everything_is_counted() {
    let was = |verdict: &str, rule: &str| format!(r#","decision":{{"verdict":"{verdict}","rule":"{rule}"}}"#);
    let lines = [
        LINE.to_owned(),
        login("c", ""),
        login("guest", r#","decision":{"verdict":"allow","rule":"guest","passwords":{"second":"unknown"}}"#),
        acl("c", "a/c", &was("allow", "own")),
        acl("c", "a/d", &was("allow", "own")),
        acl("c", "a/d", &was("deny", "not-yours")),
        acl("c", "a/+", ""),
        "{}".to_owned(),
        r#"{"dropped":3}"#.to_owned(),
    ];
    let policy = policy(POLICY);
    let lists = Lists::default();
    let side = ReplaySide { policy: &policy, lists: &lists, found: &|_, _, _| Found::Right };
    let mut summary = ReplaySummary::default();
    let decided = Events::new("f", lines.join("\n").as_bytes())
        .unwrap()
        .filter_map(|item| summary.add(&item.unwrap(), side))
        .count();
    assert_eq!((decided, summary.events, summary.questions), (6, 7, 6));
    assert_eq!((summary.assumed, summary.dropped, summary.compared, summary.other_rule), (1, 3, 4, 1));
    assert_eq!(summary.told.into_iter().collect::<Vec<_>>(), [(Hook::ClientConnected, 1)]);
    let unreadable: Vec<_> = summary.unreadable.first.iter().map(|(place, why)| format!("{place}: {why}")).collect();
    assert_eq!(unreadable, ["f:8: `hook` is missing"]);
    let changed: Vec<_> =
        summary.changed.first.iter().map(|it| format!("{}: {} -> {}", it.place, it.old, it.new)).collect();
    assert_eq!(changed, ["f:5: allow by `own` -> deny by `default`"]);
}

#[test]
fn rows_follow_the_policy_and_then_come_the_others() {
    let lines = [
        login("c", ""),
        login("c", r#","decision":{"verdict":"deny","rule":"one","passwords":{"first":"wrong"}}"#),
        acl("c", "a/c", ""),
        acl("c", "a/c", ""),
        acl("c", "b", ""),
        acl("c", "a/+", ""),
    ];
    let policy = policy(POLICY);
    let lists = Lists::default();
    let side = ReplaySide { policy: &policy, lists: &lists, found: &|_, _, _| Found::Right };
    let mut summary = ReplaySummary::default();
    for item in Events::new("f", lines.join("\n").as_bytes()).unwrap() {
        summary.add(&item.unwrap(), side);
    }
    let rows: Vec<_> = summary
        .rows(&policy)
        .into_iter()
        .map(|row| {
            let verdict = row.verdict.map_or("-", Verdict::as_str);
            format!("{} {} {:?} {verdict} {}", row.section, row.rule, row.line, row.count)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "auth one Some(6) allow 1",
            "auth one Some(6) deny 1",
            "auth two Some(7) - 0",
            "auth guest Some(8) - 0",
            "acl own Some(11) allow 2",
            "acl never Some(12) - 0",
            "acl default None deny 1",
            "acl invalid-topic None deny 1",
        ]
    );
}

#[test]
fn two_policies_differ_where_their_verdicts_do() {
    let (old, new) = (policy(POLICY), policy(&POLICY.replace("id: own", "id: mine").replace("a/$", "b/$")));
    let lists = Lists::default();
    let found = |_: PasswordId, _: &str, given: bool| if given { Found::Right } else { Found::Wrong };
    let side = |policy| ReplaySide { policy, lists: &lists, found: &found };
    let lines = [acl("c", "a/c", ""), acl("c", "x", ""), acl("c", "b/c", ""), login("c", ""), "?".to_owned()];
    let mut comparison = Comparison::default();
    let mut changed = Vec::new();
    let each = |place: EventPlace, _: OwnedEvent, [old, new]: [Decision<'_>; 2]| {
        if old.verdict != new.verdict {
            changed.push(format!("{place}: {} -> {}", OwnedDecision::from(old), OwnedDecision::from(new)));
        }
    };
    comparison.add("f", lines.join("\n").as_bytes(), [side(&old), side(&new)], each).unwrap();
    assert_eq!(changed, ["f:1: allow by `own` -> deny by `default`", "f:3: deny by `default` -> allow by `mine`"]);
    assert_eq!((comparison.questions, comparison.assumed, comparison.unreadable.count), (4, 1, 1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200), as_frame in any::<bool>()) {
        let bytes = if as_frame { frame(&[&[131][..], &bytes].concat()) } else { bytes };
        prop_assert!(items(&bytes).len() <= bytes.len());
    }
}

#[test]
fn what_a_limit_refused_is_not_what_rules_decided() {
    let line = |asked: &str, rule: &str| {
        format!(r#"{{{asked},"client":{{"clientid":"c"}},"decision":{{"rule":"{rule}","verdict":"deny"}}}}"#)
    };
    let login = r#""hook":"client.authenticate","password":"none""#;
    let topic = r#""hook":"client.check_acl","action":"publish","topic":"t""#;
    let summary = |policy: &str| {
        let file =
            [line(login, "lockout"), line(login, "flapping"), line(login, "a"), line(topic, "lockout")].join("\n");
        let policy = Policy::compile(policy::parse(policy, "rules.yaml", Path::new("")).unwrap().model);
        let lists = Lists::none();
        let side = ReplaySide { policy: &policy, lists: &lists, found: &|_, _, _| Found::Unknown };
        let mut summary = ReplaySummary::default();
        for item in Events::new("f", file.as_bytes()).unwrap() {
            summary.add(&item.unwrap(), side);
        }
        (summary.limited, summary.compared, summary.changed.count)
    };
    let allow = "version: 1\nauth: { rules: [{ id: a, allow: { clientid: c } }] }\nacl: { default: allow }\n";
    assert_eq!(summary(allow), (2, 2, 2));
    // A rule may have such an id where there is no such limit.
    assert_eq!(summary(&allow.replace("id: a,", "id: lockout,")), (1, 3, 3));
}
