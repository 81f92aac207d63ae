//! The recorded gRPC traffic of two broker versions, `examples/captures`, byte for byte to the
//! running server: each call's answer is the recorded one, and the history holds what the brokers'
//! clients saw and what the brokers' own lists say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_reflect::{DynamicMessage, Value};
use regex::Regex;
use rustix::process::Signal;
use serde_json::Value as Json;

use super::dialect::{Dialect, named, text};
use super::server::{Place, Server};
use super::wire::{Wire, in_body};
use crate::support::golden::check_golden;
use crate::support::history::Kept as _;
use crate::support::passwords::mosquitto_hash;
use crate::support::program::{program, run_with};
use crate::support::recordings::recorded;
use crate::support::wait::until_or;

/// The policy by which the server decided when it was recorded. The situations come out differently
/// by it.
pub(super) const RULES: &str = r#"version: 1
clients:
  devices: { clientid: { glob: "dev-*" }, username: "${clientid}" }
  operators: { username: op-ann }
  open: { clientid: { glob: "open-*" } }
passwords:
  people: { file: people.passwd }
auth:
  rules:
    - { id: retired, deny: { clientid: dev-9 } }
    - { id: certificates, allow: { clientid: cert-1, cn: "${clientid}", sockport: 18831 } }
    - { id: devices, allow: devices, password: people }
    - { id: operators, allow: operators, password: people }
    - { id: open, allow: open }
acl:
  rules:
    - { id: operators, allow: operators, publish: ["c/#"], subscribe: ["t/#", "s/#", "$SYS/brokers"] }
    - { id: open, allow: open, topics: ["open/#"] }
    - { id: own, allow: everyone, publish: ["t/${clientid}/#"], subscribe: ["c/${clientid}/#"] }
history:
  database: history.db
  record: [connections, denials, attempts, subscriptions, messages]
log: [denials]
"#;

/// A recorded call.
struct RecordedCall {
    method: String,
    request: Vec<u8>,
    /// `None` where the server was away.
    answer: Option<Vec<u8>>,
}

fn calls(version: &str) -> Vec<RecordedCall> {
    let text = fs::read_to_string(recorded(version).join("calls.txt")).unwrap();
    let call = |line: &str| {
        let [_, method, request, answer] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let answer = (answer != "!").then(|| bytes(answer));
        RecordedCall { method: method.to_owned(), request: bytes(request), answer }
    };
    text.lines().map(call).collect()
}

/// What these digits stand for; `-` is nothing.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim_start_matches('-');
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A folder with the policy and the recorded passwords.
pub(super) fn place() -> Place {
    let place = Place::new(RULES);
    let users = [("dev-1", "pw-dev-1"), ("dev-2", "pw-dev-2"), ("dev-3", "pw-dev-3"), ("op-ann", "pw-op-ann")];
    let lines = users.map(|(user, password)| format!("{user}:{}\n", mosquitto_hash(password.as_bytes())));
    fs::write(place.path("people.passwd"), lines.concat()).unwrap();
    place
}

/// A story that is played, and what was decided on the way.
struct Played {
    dialect: &'static Dialect,
    /// What was asked and of whom, with the answer, and how often: in the order in which it came
    /// first.
    decisions: Vec<(String, usize)>,
    /// Whether each login got in.
    logins: Vec<bool>,
    /// What was answered to a client about a topic, first and last.
    topics: BTreeMap<(String, String), bool>,
}

impl Played {
    fn new(dialect: &'static Dialect) -> Self {
        Played { dialect, decisions: Vec::new(), logins: Vec::new(), topics: BTreeMap::new() }
    }

    /// Makes these calls, and compares each answer with the recorded one.
    async fn play(&mut self, wire: &Wire, calls: &[RecordedCall]) {
        for RecordedCall { method, request, answer } in calls {
            let Some(answer) = answer else { panic!("the server was away") };
            let path = self.dialect.path(&format!("On{method}"));
            let headers = [("user-agent", "grpc-erlang/0.1.0"), ("grpc-timeout", "30S")];
            let reply = wire.send(&path, &headers, in_body(request)).await.reply().await;
            let asked = self.asked(method, request);
            assert_eq!((reply.status.as_str(), reply.bytes), ("0", in_body(answer)), "{method} {asked:?}");
            if let Some((client, asked)) = asked {
                // The last field of an answer that decides is whether it allows.
                let is_allowed = answer.ends_with(&[3 << 3, 1]);
                self.decided(&client, &asked, is_allowed);
            }
        }
    }

    /// Of whom it is asked, and what, where the call asks.
    fn asked(&self, method: &str, request: &[u8]) -> Option<(String, String)> {
        let point = match method {
            "ClientAuthenticate" => "client.authenticate",
            "ClientAuthorize" => "client.authorize",
            _ => return None,
        };
        let request = DynamicMessage::decode(self.dialect.method(point).input(), request).unwrap();
        let client = request.get_field_by_name("clientinfo").unwrap();
        let client = client.as_message().unwrap();
        let clientid = match text(client, "clientid") {
            chosen if chosen.len() == 16 && !chosen.contains('-') => "(chosen by the broker)".to_owned(),
            long if long.len() > 60 => format!("[{} bytes]", long.len()),
            clientid => format!("{clientid:?}"),
        };
        Some(if point == "client.authenticate" {
            let field = |name| text(client, name);
            let with = format!("as {:?} with {:?} cn {:?}", field("username"), field("password"), field("cn"));
            (clientid, format!("connect {with}"))
        } else {
            let what = match &*request.get_field_by_name("type").unwrap() {
                Value::EnumNumber(0) => "publish",
                Value::EnumNumber(1) => "subscribe",
                other => panic!("{other:?}"),
            };
            (clientid, format!("{what} {}", text(&request, "topic")))
        })
    }

    fn decided(&mut self, client: &str, asked: &str, is_allowed: bool) {
        if asked.starts_with("connect ") {
            self.logins.push(is_allowed);
        } else {
            let before = self.topics.insert((client.to_owned(), asked.to_owned()), is_allowed);
            assert!(before.is_none_or(|before| before == is_allowed), "{client} {asked}");
        }
        let line = format!("{client} {asked}: {}", if is_allowed { "allow" } else { "deny" });
        match self.decisions.iter_mut().find(|(before, _)| *before == line) {
            Some((_, count)) => *count += 1,
            None => self.decisions.push((line, 1)),
        }
    }

    /// What MQTT clients saw is what was answered.
    fn check_seen(&self, seen: &str) {
        let logins = seen.split_once("--- logins\n").unwrap().1.split_once("\n---").unwrap().0;
        let got_in: Vec<bool> = logins.lines().map(|line| line.contains("CONNACK 0 ")).collect();
        assert_eq!(got_in.len(), 29);
        assert_eq!(self.logins[..got_in.len()], got_in);
        let line = Regex::new(r"(?m)^v[45] subscribe (\S+) +\[(\d+)\]").unwrap();
        let mut compared = 0;
        for found in line.captures_iter(seen) {
            // The broker asks about the filter behind the group, and has some of the answers still.
            let filter = &found[1];
            let rest = ["$exclusive/", "$queue/", "$share/g/"].iter().find_map(|word| filter.strip_prefix(word));
            let asked = ("\"dev-1\"".to_owned(), format!("subscribe {}", rest.unwrap_or(filter)));
            if let Some(is_allowed) = self.topics.get(&asked) {
                assert_eq!(*is_allowed, found[2].parse::<u32>().unwrap() < 128, "{}", &found[0]);
                compared += 1;
            }
        }
        assert_eq!(compared, 36, "subscriptions that were seen and asked about");
    }
}

/// The rows of the history, without the times, as texts for a golden file.
fn history(place: &Place) -> String {
    let mut text = String::new();
    for (title, sql) in [
        (
            "connections: clientid, username, port, version, closed by, reason",
            "SELECT iif(length(clientid) > 60, length(clientid) || ' bytes', clientid), username, peerport, proto_ver, closed_by, reason
             FROM connections ORDER BY id",
        ),
        (
            "denials: clientid, username, action, topic, rule, count",
            "SELECT iif(length(clientid) = 16, '(chosen by the broker)', clientid) AS of, username, action, topic, rule, sum(count)
             FROM denials GROUP BY of, username, action, topic, rule ORDER BY min(id)",
        ),
        ("attempts: code, count", "SELECT connack, count(*) FROM attempts GROUP BY connack"),
        ("messages: clientid, topic, count", "SELECT clientid, topic, count(*) FROM messages GROUP BY clientid, topic"),
        ("subscriptions that are left", "SELECT clientid, topic, qos FROM subscriptions ORDER BY clientid, topic"),
    ] {
        writeln!(text, "\n# {title}").unwrap();
        for row in place.rows(sql) {
            writeln!(text, "{row}").unwrap();
        }
    }
    text
}

/// The rows that the recorder of the story printed between what clients saw are in the history.
#[track_caller]
fn check_rows(place: &Place, seen: &str) {
    let row = Regex::new(r"\('([^']+)', (\d), (\d+), '(\w+)', '(\w+)', \d+\)").unwrap();
    let mut found = BTreeSet::new();
    for row in row.captures_iter(seen) {
        let [clientid, version, port, reason, closed_by] = [1, 2, 3, 4, 5].map(|n| row[n].to_owned());
        let sql = format!("SELECT clientid, proto_ver, reason, closed_by FROM connections WHERE peerport = {port}");
        assert_eq!(place.rows(&sql), [format!("{clientid:?} {version} {reason:?} {closed_by:?}")], "port {port}");
        found.insert(port);
    }
    assert!(found.len() >= 17, "{} rows", found.len());
}

fn seen(version: &str) -> String {
    fs::read_to_string(recorded(version).join("clients-saw.txt")).unwrap()
}

#[track_caller]
fn check(version: &str, played: &Played, place: &Place) {
    let mut text = String::new();
    for (line, count) in &played.decisions {
        let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        writeln!(text, "{line}{times}").unwrap();
    }
    text += &history(place);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/wire/grpc/recorded-{version}.txt"));
    check_golden(&golden, &text);
    played.check_seen(&seen(version));
    check_rows(place, &seen(version));
    assert_eq!(place.rows("SELECT count(*) FROM online"), ["0"]);
    // The files have the hashes, and the attempts the names; no password is in any of them.
    for (path, bytes) in place.files() {
        for secret in ["pw-dev-1", "pw-op-ann"] {
            let is_in = bytes.windows(secret.len()).any(|found| found == secret.as_bytes());
            assert!(!is_in, "a password is in {}", path.display());
        }
    }
}

#[tokio::test]
async fn the_calls_of_5_10_3_are_answered_as_recorded() {
    let place = place();
    let server = place.serve();
    let mut played = Played::new(named("v3"));
    played.play(&Wire::connect(server.address).await, &calls("5.10.3")).await;
    // "end online [] broker No clients.", as the broker said twice.
    assert_eq!(seen("5.10.3").matches("end online [] broker No clients.").count(), 2);
    check("5.10.3", &played, &place);
    // Two clients that came later are in its list, and in no call.
    let list = fs::read(recorded("5.10.3").join("clients-list.txt")).unwrap();
    let said = resync(&place.path("history.db"), &["--node", "emqx70@127.0.0.1"], &list, 0);
    let unknown = "2 clients in the list of emqx70@127.0.0.1\n       0  unsure no longer: in the list\n       0  closed: not in the \
                   list\n       2  in the list as connected, and no connection is open here: they are recorded when they come again\n";
    assert_eq!(said, unknown);
    server.end().await;
}

#[tokio::test]
async fn the_calls_of_5_8_8_are_answered_as_recorded_and_its_lists_settle_what_was_missed() {
    let place = place();
    let calls = calls("5.8.8");
    let away = calls.iter().position(|call| call.answer.is_none()).unwrap();
    let back = away + calls[away..].iter().position(|call| call.answer.is_some()).unwrap();
    let mut played = Played::new(named("v2b"));

    let server = place.serve();
    played.play(&Wire::connect(server.address).await, &calls[..away]).await;
    // Then the broker's lists were taken.
    let database = place.path("history.db");
    assert_eq!((unsure(&database), online(&database)), (0, listed(|_| true)));
    let server = killed(&place, server).await;
    until_or(|| unsure(&database) == 11, || format!("{} are unsure", unsure(&database)));

    // What each list settles is seen in a copy.
    let copy = |name: &str| {
        let path = place.path(name);
        place.database().execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        path
    };
    let ctl = fs::read(recorded("5.8.8").join("clients-list.txt")).unwrap();
    assert!(std::str::from_utf8(&ctl).is_err());
    let settled = "11 clients in the list of emqx58@127.0.0.1\n      11  unsure no longer: in the list\n       0  closed: not in \
                   the list\n";
    // The addresses tell which connections those are whose names the broker prints in Latin-1.
    let by_ctl = copy("by-ctl.db");
    assert_eq!(resync(&by_ctl, &[], &ctl, 0), settled);
    // Without them these names are left alone.
    let moved: Vec<u8> =
        ctl.split_inclusive(|byte| *byte == b'\n').flat_map(|line| replaced(line, PEER, ELSEWHERE)).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/grpc/recorded-resync.txt");
    check_golden(&golden, &resync(&copy("moved.db"), &[], &moved, 1));
    let api = fs::read(recorded("5.8.8").join("api-clients.json")).unwrap();
    let by_api = copy("by-api.db");
    assert_eq!(resync(&by_api, &[], &api, 0), settled);
    for database in [&by_ctl, &by_api] {
        assert_eq!((unsure(database), online(database)), (0, listed(|_| true)));
    }

    // Two clients went while the server was away.
    let gone = ["open-a, username=z", "open-\u{65e5}\u{672c}"];
    let is_left = |client: &Json| !gone.contains(&client["clientid"].as_str().unwrap());
    let mut api: Json = serde_json::from_slice(&api).unwrap();
    api["data"].as_array_mut().unwrap().retain(is_left);
    // A page with fewer clients than it counts is not the whole list.
    let few = resync(&database, &[], api.to_string().as_bytes(), 2);
    assert!(few.contains("it says that there are 11 clients, and names 9"), "{few}");
    let cursor = fs::read(recorded("5.8.8").join("api-clients-v2.json")).unwrap();
    let paged = resync(&database, &[], &cursor, 2);
    assert!(paged.contains("--pages says that the pages are the whole list"), "{paged}");
    api["meta"]["count"] = 9.into();
    let settled =
        settled.replace("11 clients", "9 clients").replace("      11 ", "       9 ").replace("       0 ", "       2 ");
    assert_eq!(resync(&database, &[], api.to_string().as_bytes(), 0), settled);
    assert_eq!((unsure(&database), online(&database)), (0, listed(is_left)));

    played.play(&Wire::connect(server.address).await, &calls[back..]).await;
    check("5.8.8", &played, &place);
    server.end().await;
}

/// How many connections are unsure.
fn unsure(database: &Path) -> usize {
    database.rows("SELECT count(*) FROM unsure")[0].parse().unwrap()
}

/// The connections that last, by what the broker's list has of them too.
fn online(database: &Path) -> Vec<String> {
    database.rows("SELECT clientid, username, peerhost, peerport, node, protocol FROM online ORDER BY clientid")
}

const PEER: &[u8] = b", peername=127.0.0.1:";
const ELSEWHERE: &[u8] = b", peername=127.0.0.2:";

/// The line with this, where it stands last, replaced.
fn replaced(line: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let at = line.windows(what.len()).rposition(|found| found == what).unwrap();
    [&line[..at], by, &line[at + what.len()..]].concat()
}

/// The connections of the REST API's list of these clients, as [`online`] gives them.
fn listed(is_there: impl Fn(&Json) -> bool) -> Vec<String> {
    let api: Json = serde_json::from_slice(&fs::read(recorded("5.8.8").join("api-clients.json")).unwrap()).unwrap();
    let row = |client: &Json| {
        let text = |name: &str| client[name].as_str().unwrap_or_default();
        let (clientid, username, host, node) = (text("clientid"), text("username"), text("ip_address"), text("node"));
        (clientid.to_owned(), format!("{clientid} {username} {host} {} {node} mqtt", client["port"]))
    };
    let mut rows: Vec<_> = api["data"].as_array().unwrap().iter().filter(|client| is_there(client)).map(row).collect();
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Kills the server, and starts it again.
async fn killed(place: &Place, mut server: Server) -> Server {
    server.signal(Signal::KILL);
    server.wait().await;
    place.serve()
}

/// What `history resync` says to a list of now, without the time.
#[track_caller]
fn resync(database: &Path, arguments: &[&str], list: &[u8], code: i32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
    let mut resync = program();
    resync.args(["history", "resync", "--as-of", &now, "--database"]).arg(database).args(arguments);
    let output = run_with(&mut resync, list);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    Regex::new(", taken at .*").unwrap().replace(&said, "").into_owned()
}
