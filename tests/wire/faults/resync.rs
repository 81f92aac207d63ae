//! `history resync` beside a driver and a server at work, after one of them was away.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::broker::{Broker, NODE};
use super::dialect::named;
use super::host::Driver;
use super::load::{Load, check};
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::golden::check_golden;
use crate::support::history::Kept as _;
use crate::support::program::{program, run_with};
use crate::support::wait::until_or;

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().to_string()
}

/// What the program says to a list, and its exit code.
fn resync(place: &Place, arguments: &[&str], list: &str) -> (String, i32) {
    let mut resync = program();
    resync.args(["history", "resync", "--policy"]).arg(place.path("rules.yaml")).args(arguments);
    let output = run_with(&mut resync, list.as_bytes());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (said.replace(place.path("").to_str().unwrap(), ""), output.status.code().unwrap())
}

#[track_caller]
fn said(place: &Place, arguments: &[&str], list: &str, expected: &str, code: i32) {
    let (found, found_code) = resync(place, arguments, list);
    // The time differs.
    let found: Vec<&str> = found.split(", taken at ").collect();
    let found = match &found[..] {
        [before, behind] => format!("{before}\n{}", behind.split_once('\n').unwrap().1),
        other => other.concat(),
    };
    assert_eq!((found.as_str(), found_code), (expected, code), "{arguments:?}");
}

fn ctl(clientid: &str, connected: bool) -> String {
    format!(
        "Client({clientid}, username={clientid}, peername=10.1.2.3:50123, clean_start=true, keepalive=60, \
         session_expiry_interval=0, subscriptions=0, inflight=0, awaiting_rel=0, delivered_msgs=0, enqueued_msgs=0, \
         dropped_msgs=0, connected={connected}, created_at=1795000000000, connected_at=1795000000000)\n"
    )
}

const ROWS: &str =
    "SELECT clientid, closed_by, reason, id IN (SELECT connection FROM unsure) FROM connections ORDER BY id";

#[track_caller]
fn wait_for(place: &Place, sql: &str, expected: &[&str]) {
    until_or(|| place.rows(sql) == expected, || format!("{:?} and not {expected:?}", place.rows(sql)));
}

#[test]
fn what_a_driver_missed_is_settled_while_the_next_one_is_at_work() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    for clientid in ["read-1", "read-2", "read-3", "read-4"] {
        driver.ask(&Call::Connected(client(clientid)));
    }
    driver.kill();
    let mut driver = Driver::start(&place);
    driver.ask(&Call::Connected(client("read-5")));
    let was = ["\"read-1\" - - 1", "\"read-2\" - - 1", "\"read-3\" - - 1", "\"read-4\" - - 1", "\"read-5\" - - 0"];
    assert_eq!(place.rows(ROWS), was);

    let now = now();
    let as_of = ["--as-of", &now];
    let list = [ctl("read-1", true), ctl("read-2", false), ctl("read-4", true), ctl("read-9", true)].concat();
    // Nothing of this changes anything.
    said(&place, &as_of, "", "exhook-policy: stdin: there is no client in it; --empty says that it is so\n", 2);
    said(
        &place,
        &as_of,
        "No clients.\n",
        "exhook-policy: stdin: there is no client in it; --empty says that it is so\n",
        2,
    );
    said(
        &place,
        &as_of,
        list.strip_suffix("0)\n").unwrap(),
        "exhook-policy: stdin: line 4 is not a line of a whole list of `emqx_ctl clients list`: take out what is no client, or use \
         JSON\n",
        2,
    );
    said(
        &place,
        &["--node", "emqx@other"],
        &list,
        &format!("exhook-policy: history.db: nothing is known of that node here, but of \"{NODE}\"\n"),
        2,
    );
    said(
        &place,
        &["--as-of", "2100-01-01"],
        &list,
        "exhook-policy: --as-of is ahead of now: a list of then is not taken yet\n",
        2,
    );
    said(
        &place,
        &as_of,
        r#"["read-1"]["read-4"]"#,
        "exhook-policy: stdin: clients may have moved between pages while these were fetched, or a page be missing: fetch a single \
         page with a large `limit`, or take the list of emqx_ctl; --pages says that the pages are the whole list\n",
        2,
    );
    let paged = format!(
        "2 clients in the list of {NODE}\n       2  would be unsure no longer: in the list\n       2  would be closed: not in the list\n"
    );
    said(&place, &[&as_of[..], &["--pages", "--dry-run"]].concat(), r#"["read-1"]["read-4"]"#, &paged, 1);
    let settled = |surely: &str, closed: &str| {
        format!(
            "4 clients in the list of {NODE}\n       2  {surely}: in the list\n       2  {closed}: not in the list\n       \
             1  in the list as connected, and no connection is open here: they are recorded when they come again\n"
        )
    };
    let would = settled("would be unsure no longer", "would be closed");
    said(&place, &[&as_of[..], &["--dry-run"]].concat(), &list, &would, 1);
    // Of a minute ago, all of this began later.
    let later = format!(
        "4 clients in the list of {NODE}\n       0  unsure no longer: in the list\n       0  closed: not in the list\n       \
         4  unsure still: they began after the list was taken\n       1  in the list as connected, and no connection is \
         open here: they are recorded when they come again\n"
    );
    said(&place, &[], &list, &later, 0);
    assert_eq!(place.rows(ROWS), was);

    said(&place, &as_of, &list, &settled("unsure no longer", "closed"), 0);
    let settled = [
        "\"read-1\" - - 0",
        "\"read-2\" \"event\" \"resync\" 0",
        "\"read-3\" \"event\" \"resync\" 0",
        "\"read-4\" - - 0",
        "\"read-5\" - - 0",
    ];
    assert_eq!(place.rows(ROWS), settled);
    // The driver took those for unsure that are settled; what it hears now is of no harm.
    for call in [Call::Publish(client("read-3"), "t"), Call::Publish(client("read-1"), "t")] {
        driver.ask(&call);
    }
    driver.ask(&Call::Disconnected(client("read-4"), "normal"));
    driver.ask(&Call::Connected(client("read-3")));
    let after =
        [settled[0], settled[1], settled[2], "\"read-4\" \"event\" \"normal\" 0", settled[4], "\"read-3\" - - 0"];
    assert_eq!(place.rows(ROWS), after);
    // Nobody is connected, says an empty list that is told to be one; but nobody is unsure either.
    said(
        &place,
        &["--empty", "--as-of", &now],
        "",
        &format!(
            "0 clients in the list of {NODE}\n       0  unsure no longer: in the list\n       0  closed: not in the list\n"
        ),
        0,
    );
    assert_eq!(place.rows(ROWS), after);
    assert!(driver.end().0.success());
}

#[test]
fn a_server_s_broker_that_never_comes_back_is_settled_by_an_empty_list() {
    let place = Place::new(&rules_in_silence());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = place.serve();
    runtime.block_on(async {
        let broker = Broker::at(named("v2b"), server.address);
        broker.load().await.unwrap();
        broker.call(Call::Connected(client("read-1"))).await;
        broker.call(Call::Connected(client("read-2"))).await;
    });
    // Its connections are gone with the runtime's.
    drop(runtime);
    wait_for(&place, "SELECT count(*) FROM unsure", &["2"]);
    let rest = format!(
        r#"{{"meta":{{"page":1,"limit":100,"hasnext":false}},"data":[{{"clientid":"read-1","node":"{NODE}","connected":true}}]}}"#
    );
    let file = place.path("clients.json");
    fs::write(&file, rest).unwrap();
    let now = now();
    let list = file.to_str().unwrap();
    let text = format!(
        "1 clients in the list of {NODE}\n       1  unsure no longer: in the list\n       1  closed: not in the list\n"
    );
    said(&place, &[list, "--as-of", &now], "", &text, 0);
    assert_eq!(place.rows(ROWS), ["\"read-1\" - - 0", "\"read-2\" \"event\" \"resync\" 0"]);

    // A new server doubts again, so that a list of before tells nothing, and the broker is never heard of any more.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server.end());
    let server = place.serve();
    wait_for(&place, "SELECT count(*) FROM unsure", &["1"]);
    let text = format!(
        "0 clients in the list of {NODE}\n       0  unsure no longer: in the list\n       0  closed: not in the list\n       \
         1  unsure still: the list was taken before a driver or server began to record again\n"
    );
    said(&place, &["--empty", "--node", NODE, "--cluster", "emqxcl", "--as-of", &now], "", &text, 1);
    let now = self::now();
    let text = format!(
        "0 clients in the list of {NODE}\n       0  unsure no longer: in the list\n       1  closed: not in the list\n"
    );
    said(&place, &["--empty", "--node", NODE, "--cluster", "emqxcl", "--as-of", &now], "", &text, 0);
    let gone = "SELECT count(*) FROM connections JOIN broker_processes AS b ON b.id = broker
                WHERE disconnected_at BETWEEN connected_at AND max(connected_at, b.last_alive)";
    assert_eq!(place.rows(gone), ["2"]);
    runtime.block_on(server.end());
}

#[test]
fn a_file_is_a_list_of_when_it_was_written() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    driver.ask(&Call::Connected(client("read-1")));
    let file = place.path("clients.txt");
    fs::write(&file, ctl("read-1", true)).unwrap();
    let written = UNIX_EPOCH + Duration::from_secs(1_793_534_400);
    fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
    let (said, code) = resync(&place, &[file.to_str().unwrap()], "");
    assert!(said.starts_with(&format!("1 clients in the list of {NODE}, taken at 2026-11-01T11:59:00Z\n")), "{said}");
    assert_eq!(code, 0);
    // By a clock that was ahead.
    let ahead = SystemTime::now() + Duration::from_secs(86_400 * 365);
    fs::File::options().write(true).open(&file).unwrap().set_modified(ahead).unwrap();
    let before: u64 = now().parse().unwrap();
    let (said, _) = resync(&place, &[file.to_str().unwrap()], "");
    let taken = said.split_once("taken at ").unwrap().1.lines().next().unwrap();
    let taken = u64::try_from(taken.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap();
    assert!(taken.abs_diff(before - 60_000) <= 30_000, "{said}");
    assert!(driver.end().0.success());
}

/// It takes its lock for moments, so that what is recorded meanwhile keeps its promise.
#[test]
fn many_are_settled_under_load() {
    let place = Place::new(&rules_in_silence());
    let mut driver = Driver::start(&place);
    driver.ask(&Call::Connected(client("read-1")));
    driver.kill();
    place
        .database()
        .execute_batch(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
             SELECT 'many-' || i, '', '::1', 1883, 'mqtt', '{NODE}', 1000, (SELECT max(id) FROM broker_processes) FROM n"
        ))
        .unwrap();
    let mut driver = Driver::start(&place);
    let mut load = Load::start(&mut driver, 16).at_most(4_000);
    load.play(&mut driver, Instant::now() + Duration::from_millis(500));
    let list = (1..=10_000).map(|n| format!("many-{n}")).collect::<Vec<_>>().join("\n");
    std::thread::scope(|scope| {
        let now = now();
        let place = &place;
        let settled = scope.spawn(move || resync(place, &["--form", "plain", "--as-of", &now], &list));
        while !settled.is_finished() {
            load.play(&mut driver, Instant::now() + Duration::from_millis(50));
        }
        let (said, code) = settled.join().unwrap();
        assert!(said.contains("\n   10000  unsure no longer: in the list\n") && code == 0, "{said}");
    });
    load.drain(&driver);
    let played = load.done();
    assert!(played.slowest_told < Duration::from_secs(2), "{:?}", played.slowest_told);
    assert_eq!(place.rows("SELECT count(*) FROM unsure"), ["0"]);
    assert_eq!(place.rows("SELECT count(*) FROM connections WHERE reason = 'resync'"), ["10001"]);
    assert!(driver.end().0.success());
    check(&place.database(), &played.settled().stories);
}

/// With `UPDATE_GOLDEN=1` it is written instead of compared.
#[test]
fn its_help() {
    let output = program().args(["history", "resync", "--help"]).output().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/faults/resync-help.txt");
    check_golden(&golden, &String::from_utf8(output.stdout).unwrap());
}
