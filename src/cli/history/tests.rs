use clap::Parser;
use rusqlite::Connection;

use super::*;
use exhook_policy_core::event::short::stored;
use exhook_policy_core::policy::model::{HistoryDef, Record, Sync};
use exhook_policy_runtime::history::History;
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

/// A database with a few rows of each kind.
fn sample() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let record = Record { connections: true, denials: true, attempts: false, subscriptions: false, messages: false };
    let def = HistoryDef { database: path.clone(), keep: None, sync: Sync::Normal, record };
    let log = Log::to(io::sink());
    let history = History::start(
        &def,
        Recorder::of_this_process("python3"),
        std::time::Duration::from_secs(2),
        std::sync::Arc::new(|_| {}),
        &log,
    );
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while HistoryReader::open(&path).is_err() {
        assert!(std::time::Instant::now() < end, "the database is not made");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    history.finish();
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "INSERT INTO connections VALUES
               (1, 'dev-1', 'alice', '10.0.0.1', 1883, 'mqtt', 4, 'n1', 1714564800000, 1714564860500, 'normal', 'event', 1, '', NULL, 'fleet'),
               (2, 'dev-2', '', '::1', 8883, 'mqtt', NULL, 'n1', 1714564900000, NULL, NULL, NULL, 1, '', 4001, ''),
               (3, 'dev-1', 'alice', '10.0.0.1', 1883, 'mqtt', 5, 'n1', 1714565000000, NULL, NULL, NULL, 1, '', NULL, 'fleet');
             INSERT INTO unsure VALUES (2);
             INSERT INTO bans (why, mode, clientid, cluster, username, peerhost, since, until, lifted) VALUES
               ('lockout', 'enforce', NULL, '', 'alice', NULL, 1714564800000, 1714565700000, NULL),
               ('flapping', 'enforce', 'dev-1', '', NULL, NULL, 1714564900000, 1714565700000, 1714565000000),
               ('lockout', 'audit', NULL, '', 'bob', '2001:db8::/64', 1714564900000, 4102444800000, NULL),
               ('lockout', 'enforce', NULL, '', 'bob', NULL, 1714564900000, 4102444800000, NULL),
               ('flapping', 'enforce', 'dev-2', 'eu', NULL, NULL, 1714564900000, 4102444800000, NULL);
             INSERT INTO denials VALUES
               (1, 1714564800000, 'evil' || char(27) || '[2J' || char(10) || 'x', 'a,\"b\"', '10.0.0.9', 'connect', '', 'default', 'enforce', 3, '', 'default', '3f2a9c1b22aa');",
        )
        .unwrap();
    (dir, path)
}

fn args_of(line: &str, path: &Path) -> Args {
    let words = line.split(' ').chain(["--database", path.to_str().unwrap()]);
    Program::try_parse_from(std::iter::once("history").chain(words)).unwrap().args
}

#[track_caller]
fn check(line: &str, expected: &str) {
    let (_dir, path) = sample();
    check_in(&path, line, expected);
}

#[track_caller]
fn check_in(path: &Path, line: &str, expected: &str) {
    let args = args_of(line, path);
    let (report, filter) = args.what.report().unwrap();
    let mut out = Vec::new();
    show(report, filter, &ShownTimes::Utc, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), expected, "{line}");
}

#[test]
fn online() {
    check(
        "online",
        "CLIENTID  USERNAME  PEERHOST  NODE  CONNECTED_AT          UNSURE\n\
         dev-1     alice     10.0.0.1  n1    2024-05-01T12:03:20Z  0\n\
         dev-2               ::1       n1    2024-05-01T12:01:40Z  1\n",
    );
    check(
        "online --wide",
        "CLIENTID  USERNAME  PEERHOST  SOCKPORT  PROTOCOL  PROTO_VER  NODE  CONNECTED_AT          UNSURE  RULE\n\
         dev-1     alice     10.0.0.1  1883      mqtt      5          n1    2024-05-01T12:03:20Z  0       fleet\n\
         dev-2               ::1       8883      mqtt      -          n1    2024-05-01T12:01:40Z  1\n",
    );
}

#[test]
fn clients() {
    check(
        "clients",
        "CLIENTID  ONLINE  CONNECTIONS  LAST_CONNECTED_AT     LAST_REASON\n\
         dev-1     1       2            2024-05-01T12:03:20Z  normal\n\
         dev-2     1       1            2024-05-01T12:01:40Z  -\n",
    );
    check(
        "clients --wide",
        "CLIENTID  ONLINE  CONNECTIONS  FIRST_CONNECTED_AT    LAST_CONNECTED_AT     LAST_DISCONNECTED_AT  LAST_REASON\n\
         dev-1     1       2            2024-05-01T12:00:00Z  2024-05-01T12:03:20Z  2024-05-01T12:01:00Z  normal\n\
         dev-2     1       1            2024-05-01T12:01:40Z  2024-05-01T12:01:40Z  -                     -\n",
    );
    check(
        "clients --username alice --format csv",
        "clientid,online,connections,first_connected_at,last_connected_at,last_disconnected_at,last_reason,cluster,first_connected_at_iso,last_connected_at_iso,last_disconnected_at_iso\ndev-1,1,2,1714564800000,1714565000000,1714564860500,normal,,2024-05-01T12:00:00.000Z,2024-05-01T12:03:20.000Z,2024-05-01T12:01:00.500Z\n",
    );
}

#[test]
fn connections_as_json() {
    check(
        "connections --clientid dev-1 --format json",
        r#"[
  {"clientid": "dev-1", "username": "alice", "peerhost": "10.0.0.1", "sockport": 1883, "protocol": "mqtt", "proto_ver": 5, "node": "n1", "connected_at": 1714565000000, "disconnected_at": null, "reason": null, "closed_by": null, "cluster": "", "rule": "fleet", "connected_at_iso": "2024-05-01T12:03:20.000Z", "disconnected_at_iso": null},
  {"clientid": "dev-1", "username": "alice", "peerhost": "10.0.0.1", "sockport": 1883, "protocol": "mqtt", "proto_ver": 4, "node": "n1", "connected_at": 1714564800000, "disconnected_at": 1714564860500, "reason": "normal", "closed_by": "event", "cluster": "", "rule": "fleet", "connected_at_iso": "2024-05-01T12:00:00.000Z", "disconnected_at_iso": "2024-05-01T12:01:00.500Z"}
]
"#,
    );
    check("connections --clientid nobody --format json", "[]\n");
}

/// They stand cut, and those of versions before 0.5.1 whole.
#[test]
fn a_long_name_is_found_in_both_its_forms() {
    let (_dir, path) = sample();
    let name = "x".repeat(600);
    let cut = stored(&name).into_owned();
    let db = Connection::open(&path).unwrap();
    for (id, clientid) in [(1, &name), (2, &cut)] {
        db.execute("UPDATE connections SET clientid = ?2, username = ?2 WHERE id = ?1", (id, clientid)).unwrap();
    }
    for by in ["clientid", "username"] {
        let found = |asked: &str| {
            let mut args = args_of("connections --format csv", &path);
            let HistoryCommand::Connections(filter) = &mut args.what else { panic!("it is another report") };
            *(if by == "clientid" { &mut filter.clientid } else { &mut filter.username }) = Some(asked.to_owned());
            let (report, filter) = args.what.report().unwrap();
            let mut out = Vec::new();
            show(report, filter, &ShownTimes::Utc, &mut out).unwrap();
            String::from_utf8(out).unwrap().lines().count() - 1
        };
        assert_eq!((found(&name), found(&cut), found("xx")), (2, 1, 0), "{by}");
    }
}

#[test]
fn clusters_are_shown_where_there_are_any() {
    let (_dir, path) = sample();
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "INSERT INTO connections VALUES
               (4, 'dev-1', 'bob', '10.0.0.7', 1883, 'mqtt', 5, 'n2', 1714565100000, NULL, NULL, NULL, 2, 'eu', 4002, '');",
        )
        .unwrap();
    check_in(
        &path,
        "online --clientid dev-1",
        "CLIENTID  USERNAME  PEERHOST  NODE  CONNECTED_AT          UNSURE  CLUSTER\n\
         dev-1     bob       10.0.0.7  n2    2024-05-01T12:05:00Z  0       eu\n\
         dev-1     alice     10.0.0.1  n1    2024-05-01T12:03:20Z  0\n",
    );
    let names = "clientid,online,connections,first_connected_at,last_connected_at,last_disconnected_at,last_reason,cluster,first_connected_at_iso,last_connected_at_iso,last_disconnected_at_iso\n";
    let of_eu = format!(
        "{names}dev-1,1,1,1714565100000,1714565100000,,,eu,2024-05-01T12:05:00.000Z,2024-05-01T12:05:00.000Z,\n"
    );
    check_in(&path, "clients --cluster eu --format csv", &of_eu);
    // Whoever has this name in one cluster need not have it in another.
    check_in(&path, "clients --username bob --format csv", &of_eu);
}

/// What an older driver writes, and a newer one has not opened yet.
#[test]
fn a_file_of_an_older_version_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let old = Connection::open(&path).unwrap();
    for file in ["0001_history.sql", "0002_history.sql"] {
        old.execute_batch(&std::fs::read_to_string(schema.join(file)).unwrap()).unwrap();
    }
    old.execute_batch(
        "PRAGMA user_version = 2;
         INSERT INTO connections VALUES
           (1, 'dev-1', 'alice', '10.0.0.1', 1883, 'mqtt', 4, 'n1', 1714564800000, NULL, NULL, NULL, 1);",
    )
    .unwrap();
    check_in(
        &path,
        "clients --username alice",
        "CLIENTID  ONLINE  CONNECTIONS  LAST_CONNECTED_AT     LAST_REASON\n\
         dev-1     1       1            2024-05-01T12:00:00Z  -\n",
    );
    check_in(&path, "connections --cluster eu --format json", "[]\n");
    check_in(&path, "denials", "AT  CLIENTID  ACTION  TOPIC  RULE  COUNT  REASON\n");
}

#[test]
fn what_lasted_at_a_time() {
    let ids = |line: &str| {
        let (_dir, path) = sample();
        let args = args_of(&format!("{line} --format csv"), &path);
        let (report, filter) = args.what.report().unwrap();
        let mut out = Vec::new();
        show(report, filter, &ShownTimes::Utc, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = ids("connections");
    assert_eq!(all, ["dev-1", "dev-2", "dev-1"]);
    let early: Vec<String> = ids("connections --until 2024-05-01T12:00:30Z");
    assert_eq!(early, ["dev-1"]);
    let later: Vec<String> = ids("connections --since 2024-05-01T12:01:30");
    assert_eq!(later, ["dev-1", "dev-2"]);
    let between: Vec<String> = ids("clients --since 2024-05-01 --until 2024-05-01T12:01:00Z");
    assert_eq!(between, ["dev-1"]);
    let newest: Vec<String> = ids("connections --limit 1");
    assert_eq!(newest, ["dev-1"]);
    let recent: Vec<String> = ids("online --since 7d");
    assert!(recent.is_empty());
}

#[test]
fn a_name_cannot_write_on_the_terminal() {
    check(
        "denials",
        "AT                    CLIENTID          ACTION   TOPIC  RULE     COUNT  REASON\n\
         2024-05-01T12:00:00Z  evil\\u{1b}[2J\\nx  connect         default  3      default\n",
    );
    check(
        "denials --format csv",
        "at,clientid,username,peerhost,action,topic,rule,mode,count,cluster,reason,policy,at_iso\n\
         1714564800000,evil\\u{1b}[2J\\nx,\"a,\"\"b\"\"\",10.0.0.9,connect,,default,enforce,3,,default,3f2a9c1b22aa,2024-05-01T12:00:00.000Z\n",
    );
}

#[track_caller]
fn refused(path: &Path, expected: &str) {
    let args = args_of("online", path);
    let (report, filter) = args.what.report().unwrap();
    let Err(text) = show(report, filter, &ShownTimes::Utc, &mut Vec::new()) else { panic!("it was read") };
    assert_eq!(text, expected.replace("PATH", path.to_str().unwrap()));
}

#[test]
fn bans_that_hold_and_all_of_them() {
    check(
        "bans",
        "WHO             BY              UNTIL                 WHY       MODE     CLUSTER\n\
         dev-2           clientid        2100-01-01T00:00:00Z  flapping  enforce  eu\n\
         bob             username        2100-01-01T00:00:00Z  lockout   enforce\n\
         bob 2001:db8:…  username, pee…  2100-01-01T00:00:00Z  lockout   audit\n",
    );
    check(
        "bans --wide",
        "WHO                BY                  SINCE                 UNTIL                 WHY       MODE     CLUSTER\n\
         dev-2              clientid            2024-05-01T12:01:40Z  2100-01-01T00:00:00Z  flapping  enforce  eu\n\
         bob                username            2024-05-01T12:01:40Z  2100-01-01T00:00:00Z  lockout   enforce\n\
         bob 2001:db8::/64  username, peerhost  2024-05-01T12:01:40Z  2100-01-01T00:00:00Z  lockout   audit\n",
    );
    check(
        "bans --all --until 2024-05-01T12:02:00Z --clientid dev-1 --format csv",
        "who,by,clientid,username,peerhost,since,until,why,lifted,mode,cluster,since_iso,until_iso,lifted_iso\n\
         dev-1,clientid,dev-1,,,1714564900000,1714565700000,flapping,1714565000000,enforce,,2024-05-01T12:01:40.000Z,2024-05-01T12:15:00.000Z,2024-05-01T12:03:20.000Z\n",
    );
    check(
        "bans --all --username alice --format csv",
        "who,by,clientid,username,peerhost,since,until,why,lifted,mode,cluster,since_iso,until_iso,lifted_iso\nalice,username,,alice,,1714564800000,1714565700000,lockout,,enforce,,2024-05-01T12:00:00.000Z,2024-05-01T12:15:00.000Z,\n",
    );
    check(
        "bans --peerhost 2001:db8::7 --format csv",
        "who,by,clientid,username,peerhost,since,until,why,lifted,mode,cluster,since_iso,until_iso,lifted_iso\n\
         bob 2001:db8::/64,\"username, peerhost\",,bob,2001:db8::/64,1714564900000,4102444800000,lockout,,audit,,2024-05-01T12:01:40.000Z,2100-01-01T00:00:00.000Z,\n",
    );
    // As it is shown, and as `lift` takes it.
    check(
        "bans --peerhost 2001:db8::/64 --format json",
        "[\n  {\"who\": \"bob 2001:db8::/64\", \"by\": \"username, peerhost\", \"clientid\": null, \"username\": \"bob\", \
         \"peerhost\": \"2001:db8::/64\", \"since\": 1714564900000, \"until\": 4102444800000, \"why\": \"lockout\", \
         \"lifted\": null, \"mode\": \"audit\", \"cluster\": \"\", \"since_iso\": \"2024-05-01T12:01:40.000Z\", \
         \"until_iso\": \"2100-01-01T00:00:00.000Z\", \"lifted_iso\": null}\n]\n",
    );
    // What was lifted ended then.
    check("bans --all --clientid dev-1 --since 1714565000001 --format json", "[]\n");
}

#[test]
fn only_from_an_address() {
    check(
        "online --peerhost ::1",
        "CLIENTID  USERNAME  PEERHOST  NODE  CONNECTED_AT          UNSURE\n\
         dev-2               ::1       n1    2024-05-01T12:01:40Z  1\n",
    );
    check(
        "clients --peerhost 10.0.0.1 --format csv",
        "clientid,online,connections,first_connected_at,last_connected_at,last_disconnected_at,last_reason,cluster,first_connected_at_iso,last_connected_at_iso,last_disconnected_at_iso\ndev-1,1,2,1714564800000,1714565000000,1714564860500,normal,,2024-05-01T12:00:00.000Z,2024-05-01T12:03:20.000Z,2024-05-01T12:01:00.500Z\n",
    );
    check("denials --peerhost 10.0.0.1 --format json", "[]\n");
    let (_dir, path) = sample();
    let args = args_of("online --peerhost ::/64", &path);
    let (report, filter) = args.what.report().unwrap();
    let Err(text) = show(report, filter, &ShownTimes::Utc, &mut Vec::new()) else { panic!("it was read") };
    assert_eq!(text, "--peerhost ::/64: only `history bans` knows networks; name an address");
}

/// Lifts in a database of its own; returns what `history bans` shows then.
#[track_caller]
fn lift(line: &str, expected: usize) -> String {
    let (_dir, path) = sample();
    let args = args_of(line, &path);
    let Err(HistoryChange::Lift(lift)) = args.what.report() else { panic!("{line}") };
    assert_eq!(lift::lift(lift), Ok(expected), "{line}");
    assert_eq!(lift::lift(lift), Ok(0), "{line}");
    let args = args_of("bans --format csv", &path);
    let (report, filter) = args.what.report().unwrap();
    let mut out = Vec::new();
    show(report, filter, &ShownTimes::Utc, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect::<Vec<_>>().join(" | ")
}

#[test]
fn bans_are_lifted_by_what_they_are_on() {
    assert_eq!(lift("lift --username bob", 2), "dev-2");
    assert_eq!(lift("lift --username bob --peerhost 2001:db8::1", 1), "dev-2 | bob");
    assert_eq!(lift("lift --peerhost 2001:db8::/64", 1), "dev-2 | bob");
    assert_eq!(lift("lift --clientid dev-2", 1), "bob | bob 2001:db8::/64");
    assert_eq!(lift("lift --clientid dev-2 --cluster us", 0), "dev-2 | bob | bob 2001:db8::/64");
    // Those that are over or lifted stay as they are.
    assert_eq!(lift("lift --username alice", 0), "dev-2 | bob | bob 2001:db8::/64");
    assert_eq!(lift("lift --all", 3), "");
}

#[test]
fn to_lift_one_must_say_whom() {
    for line in [
        "lift",
        "lift --cluster eu",
        "lift --all --username bob",
        "lift --peerhost 10.0.0.0/8",
        "lift --peerhost 192.0.2.7/64",
    ] {
        let words = line.split(' ').chain(["--database", "history.db"]);
        assert!(Program::try_parse_from(std::iter::once("history").chain(words)).is_err(), "{line}");
    }
}

#[test]
fn an_older_file_has_no_bans() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA application_id = 0x6578686b; PRAGMA user_version = 3; CREATE TABLE connections (a)")
        .unwrap();
    let args = args_of("bans", &path);
    let (report, filter) = args.what.report().unwrap();
    let Err(text) = show(report, filter, &ShownTimes::Utc, &mut Vec::new()) else { panic!("it was read") };
    let older = "it has no bans yet; the driver or server brings it up to date when it opens it";
    assert_eq!(text, format!("cannot read {}: {older}", path.display()));
    let args = args_of("lift --all", &path);
    let Err(HistoryChange::Lift(lift)) = args.what.report() else { panic!("it shows something") };
    let older = "it is of an older version; the driver or server brings it up to date when it opens it";
    assert_eq!(lift::lift(lift), Err(format!("cannot write {}: {older}", path.display())));
}

#[test]
fn what_cannot_be_read_is_said_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    refused(&path, "cannot read PATH: there is no such file");
    std::fs::write(&path, "").unwrap();
    refused(&path, "cannot read PATH: it holds no history yet");
    std::fs::write(&path, "no database, but long enough to be one\n".repeat(50)).unwrap();
    refused(&path, "cannot read PATH: file is not a database");
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    refused(&path, "cannot read PATH: it is a SQLite database, but not one of connection history");
}

#[test]
fn a_policy_names_the_database() {
    let (dir, path) = sample();
    let policy = dir.path().join("rules.yaml");
    std::fs::write(&policy, "version: 1\nhistory: { database: history.db }\n").unwrap();
    assert_eq!(super::database(None, Some(&policy)), Ok(path));
    std::fs::write(&policy, "version: 1\n").unwrap();
    assert_eq!(super::database(None, Some(&policy)), Err(format!("the policy {} keeps no history", policy.display())));
    std::fs::write(&policy, "version: one\n").unwrap();
    let name = policy.display();
    assert_eq!(
        super::database(None, Some(&policy)),
        Err(format!("the policy {name} cannot be used; exhook-policy check {name} says why"))
    );
}
