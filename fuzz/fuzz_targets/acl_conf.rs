//! Any bytes as an acl.conf: each is converted or told why not, and what is written loads. And rules made of the bytes:
//! the policy decides single topics as the broker does.

#![no_main]

#[path = "../../tests/convert/oracle.rs"]
mod oracle;

use std::path::Path;

use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client, Extra, Peerhost};
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::{self, Policy};
use exhook_policy_fuzz::Choices;
use exhook_policy_tools::convert;
use libfuzzer_sys::fuzz_target;
use oracle::{Asker, Line, Topic, Who};

fuzz_target!(|bytes: &[u8]| {
    let Some((0, rest)) = bytes.split_first() else {
        if let Ok(text) = std::str::from_utf8(bytes) {
            convert(text);
        }
        return;
    };
    let from = &mut Choices::of(rest);
    let lines = from.some(1, 5, line);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (open, end) = from.one(&[(false, "{deny, all}."), (true, "{allow, all}."), (false, "")]);
    let policy = convert(&format!("{text}{end}\n")).expect("every rule can be said");
    for asker in ASKERS {
        for (action, name) in [Action::Publish, Action::Subscribe].into_iter().flat_map(|a| NAMES.map(|n| (a, n))) {
            let found = allows(&policy, asker, action, name);
            let broker = oracle::decided(&lines, asker, action.as_str(), name).unwrap_or(open);
            // Never wider; and narrower only where a wildcard would reach what begins with `$`, and in what `%u` is to clients without a username: here they may be
            // those that give the empty one.
            assert!(broker || !found, "{asker:?} {action:?} {name}: {found}\n{text}{end}");
            let is_stricter = name.starts_with('$')
                || (asker.username.is_empty() && name.split('/').any(|level| ["", "%u"].contains(&level)));
            assert!(found || !broker || is_stricter, "{asker:?} {action:?} {name}: {found}\n{text}{end}");
        }
    }
});

fn convert(text: &str) -> Option<Policy> {
    match convert::acl_conf(text) {
        Ok(draft) => match policy::parse(&draft.to_string(), "converted", Path::new("")) {
            Ok(loaded) => Some(Policy::compile(loaded.model)),
            Err(report) => panic!("{report}\n{draft}"),
        },
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.lines().count().max(1);
            assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line) && !problem.message.is_empty()));
            None
        }
    }
}

const ASKERS: [Asker; 4] = [
    Asker { clientid: "a", username: "b", peerhost: "10.0.0.1" },
    Asker { clientid: "b", username: "b", peerhost: "10.1.0.1" },
    Asker { clientid: "b", username: "", peerhost: "::1" },
    Asker { clientid: "a", username: "c", peerhost: "127.0.0.1" },
];

const NAMES: [&str; 16] =
    ["a", "a/b", "a/a", "b/b", "c/a", "a/b/c", "$x/a", "$x", "c", "b/a", "a/", "a/%u", "%u/b", "%u/a", "$x/%u", "/b"];

const FILTERS: [&str; 18] = [
    "a", "a/b", "a/+", "a/#", "#", "+", "+/b", "+/#", "$x/#", "a/%c", "%u/b", "%u/%c", "+/%c", "/", "a/%u", "+/%u",
    "%u/#", "%u/+",
];

fn line(from: &mut Choices<'_>) -> Line {
    let topic = |from: &mut Choices<'_>| match from.below(6) {
        // A filter that is compared as a text is what comments speak of.
        0 => Topic::Eq(from.one(&["a", "a/b", "$x"])),
        _ => Topic::Filter(from.one(&FILTERS)),
    };
    Line {
        allow: from.flag(),
        who: who(from, 2),
        access: from.one(&["pubsub", "publish", "subscribe"]),
        topics: from.some(0, 3, topic),
    }
}

fn who(from: &mut Choices<'_>, depth: usize) -> Who {
    match from.below(if depth > 0 { 8 } else { 6 }) {
        0 => Who::All,
        1 => Who::Client("a"),
        2 => Who::User("b"),
        3 => Who::Inside("10.0.0.0/8", "10."),
        4 => Who::Inside("10.1.2.3/16", "10.1."),
        5 => Who::Inside("127.0.0.1", "127.0.0.1"),
        6 => Who::And(from.some(0, 3, |from| who(from, depth - 1))),
        _ => Who::Or(from.some(0, 3, |from| who(from, depth - 1))),
    }
}

fn allows(policy: &Policy, asker: Asker, action: Action, topic: &str) -> bool {
    let client = Client {
        clientid: asker.clientid,
        username: asker.username,
        peerhost: Peerhost::parse(asker.peerhost),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "n",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    };
    policy.check_acl(&client, action, topic, &Lists::default()).verdict == Verdict::Allow
}
