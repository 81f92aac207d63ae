use super::*;
use crate::history::sqlite::store::Store;
use exhook_policy_core::policy::model::Sync;

/// Two nodes of a cluster; broker 3 is one of another cluster.
const ROWS: &str = "
    INSERT INTO broker_processes (id, node, cluster, last_alive, gaps) VALUES
      (1, 'emqx@1', 'eu', 5000, 0), (2, 'emqx@2', 'eu', 900, 0), (3, 'emqx@1', 'us', 5000, 0);
    INSERT INTO connections (id, clientid, username, peerhost, sockport, protocol, node, connected_at, broker, cluster) VALUES
      (1, 'a', '', '::1', 1883, 'mqtt', 'emqx@1', 100, 1, 'eu'),
      (2, 'b', '', '::1', 1883, 'mqtt', 'emqx@1', 200, 1, 'eu'),
      (3, 'c', '', '::1', 1883, 'mqtt', 'emqx@1', -9000, 1, 'eu'),
      (4, 'd', '', '::1', 1883, 'mqtt', 'emqx@2', 400, 2, 'eu'),
      (5, 'e', '', '::1', 1883, 'mqtt', 'emqx@2', 1000, 2, 'eu'),
      (6, 'f', '', '::1', 1883, 'mqtt', 'emqx@1', 4000, 1, 'eu'),
      (7, 'a', '', '::1', 1883, 'mqtt', 'emqx@1', 100, 3, 'us'),
      (8, 'g', '', '::1', 1883, 'mqtt', 'emqx@1', -1000, 1, 'eu');
    INSERT INTO unsure VALUES (1), (2), (4), (5), (6), (7);
    INSERT INTO subscriptions (clientid, topic, qos, subscribed_at, broker, cluster) VALUES ('b', 't', 1, 200, 1, 'eu');";

struct Place {
    db: Connection,
    _store: Store,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let store = Store::open(&path, Sync::Normal).unwrap();
    store.db.execute_batch(ROWS).unwrap();
    Place { db: open(&path).unwrap(), _store: store, _dir: dir }
}

fn rows(db: &Connection, sql: &str) -> Vec<String> {
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The connections that were unsure, and those that are closed.
fn states(db: &Connection) -> Vec<String> {
    rows(
        db,
        "SELECT concat_ws(' ', connections.id, iif(connection, 'unsure', 'sure'), disconnected_at, closed_by, reason)
         FROM connections LEFT JOIN unsure ON connection = connections.id ORDER BY connections.id",
    )
}

fn scope(cluster: Option<&str>, node: Option<&str>) -> Scope {
    Scope { cluster: cluster.map(str::to_owned), node: node.map(str::to_owned), empty: false }
}

fn plain(text: &str) -> List {
    List::parse(text.as_bytes(), Some(Form::Plain)).unwrap()
}

fn of(nodes: &[&str]) -> ResyncOutcome {
    ResyncOutcome { nodes: nodes.iter().map(|&node| node.to_owned()).collect(), ..ResyncOutcome::default() }
}

/// A version before 0.5.1 kept long names whole.
#[test]
fn a_row_with_a_long_name_is_found_in_the_list() {
    let mut place = place();
    let name = "x".repeat(600);
    place.db.execute("UPDATE connections SET clientid = ?1 WHERE id = 1", [&name]).unwrap();
    let of_1 = scope(Some("eu"), Some("emqx@1"));
    let outcome = resync(&mut place.db, &plain(&format!("{name}\nc\n")), &of_1, 3_000, true).unwrap();
    assert_eq!(outcome, ResyncOutcome { there: 1, gone: 1, later: 1, elsewhere: 2, ..of(&["emqx@1"]) });
    assert_eq!(states(&place.db)[..2], ["1 sure", "2 sure 3000 event resync"]);
}

#[test]
fn a_list_of_one_node_settles_what_is_unsure_of_it() {
    let mut place = place();
    let of_1 = scope(Some("eu"), Some("emqx@1"));
    let outcome = resync(&mut place.db, &plain("a\nc\nx\n"), &of_1, 3_000, true).unwrap();
    assert_eq!(outcome, ResyncOutcome { there: 1, gone: 1, later: 1, elsewhere: 2, unknown: 1, ..of(&["emqx@1"]) });
    let expected =
        ["1 sure", "2 sure 3000 event resync", "3 sure", "4 unsure", "5 unsure", "6 unsure", "7 unsure", "8 sure"];
    assert_eq!(states(&place.db), expected);
    assert_eq!(rows(&place.db, "SELECT id || ' ' || gaps FROM broker_processes ORDER BY id"), ["1 1", "2 0", "3 0"]);
    // Whether the session went too, no list of clients says for certain.
    assert_eq!(rows(&place.db, "SELECT topic FROM subscriptions"), ["t"]);
    assert_eq!(rows(&place.db, "PRAGMA integrity_check"), ["ok"]);
    // Once more, and there is nothing to do.
    let again = resync(&mut place.db, &plain("a\nc\n"), &of_1, 3_000, true).unwrap();
    assert_eq!(again, ResyncOutcome { later: 1, elsewhere: 2, ..of(&["emqx@1"]) });
    assert_eq!(states(&place.db), expected);
}

#[test]
fn of_a_node_that_never_comes_back_all_are_gone_since_it_was_last_heard_of() {
    let mut place = place();
    let of_2 = Scope { empty: true, ..scope(Some("eu"), Some("emqx@2")) };
    let outcome = resync(&mut place.db, &plain(""), &of_2, 3_000, true).unwrap();
    assert_eq!(outcome, ResyncOutcome { gone: 2, elsewhere: 3, ..of(&["emqx@2"]) });
    // But no earlier than they began.
    assert_eq!(states(&place.db)[3..5], ["4 sure 900 event resync", "5 sure 1000 event resync"]);
}

#[test]
fn a_list_that_tells_nodes_is_of_those() {
    let mut place = place();
    let list = r#"[{"clientid":"a","node":"emqx@1","connected":true},{"clientid":"b","node":"emqx@1","connected":false},
                   {"clientid":"d","node":"emqx@1","connected":true}]"#;
    let list = List::parse(list.as_bytes(), None).unwrap();
    let outcome = resync(&mut place.db, &list, &scope(Some("eu"), None), 3_000, true).unwrap();
    // A session is not a connection, and `d` is not where the row says. Of `c` it was thought that
    // it is there.
    assert_eq!(outcome, ResyncOutcome { there: 1, gone: 2, later: 1, elsewhere: 2, unknown: 1, ..of(&["emqx@1"]) });
    assert_eq!(states(&place.db)[..3], ["1 sure", "2 sure 3000 event resync", "3 sure 3000 event resync"]);
}

#[test]
fn a_name_that_can_be_read_in_two_ways_settles_nothing() {
    let mut place = place();
    place.db.execute("UPDATE connections SET clientid = 'b, username=z' WHERE id = 1", []).unwrap();
    // Of one that is sure it is not known either.
    place.db.execute("DELETE FROM unsure WHERE connection = 2", []).unwrap();
    let list = b"Client(b, username=z, username=y, connected=true, created_at=1)\nClient(c, username=y, connected=true, created_at=1)";
    let list = List::parse(list, None).unwrap();
    let outcome = resync(&mut place.db, &list, &scope(Some("eu"), Some("emqx@1")), 3_000, true).unwrap();
    let left_alone = vec!["b, username=z".to_owned()];
    assert_eq!(outcome, ResyncOutcome { unclear: 1, later: 1, elsewhere: 2, left_alone, ..of(&["emqx@1"]) });
    assert!(outcome.is_partial());
    assert_eq!(states(&place.db)[..3], ["1 unsure", "2 sure", "3 sure"]);
}

/// A client that was there before the gap may have gone in it.
#[test]
fn a_list_of_before_someone_recorded_again_settles_nothing() {
    for recorder in [
        "INSERT INTO drivers (broker, pid, started, registered_at) VALUES (1, 1, 1, 2000), (1, 2, 1, 3001), (2, 3, 1, 9000)",
        "INSERT INTO servers (id, host, boot_id, pid_ns, pid, started, last_alive, registered_at)
           VALUES (8, 'h', 'b', 'p', 1, 1, 4000, 5000), (9, 'h', 'b', 'p', 1, 1, 4000, 3001);
         UPDATE broker_processes SET server = 9 WHERE id = 1",
        // None has heard of the broker since.
        "INSERT INTO servers (id, host, boot_id, pid_ns, pid, started, last_alive, registered_at)
           VALUES (9, 'h', 'b', 'p', 1, 1, 4000, 3001)",
    ] {
        let mut place = place();
        place.db.execute_batch(recorder).unwrap();
        let before = states(&place.db);
        let of_1 = scope(Some("eu"), Some("emqx@1"));
        let outcome = resync(&mut place.db, &plain("a"), &of_1, 3_000, true).unwrap();
        assert_eq!(outcome, ResyncOutcome { early: 2, later: 1, elsewhere: 2, ..of(&["emqx@1"]) });
        assert!(outcome.is_partial());
        assert_eq!(states(&place.db), before);
        let outcome = resync(&mut place.db, &plain("a"), &of_1, 3_001, true).unwrap();
        assert_eq!(outcome, ResyncOutcome { there: 1, gone: 2, later: 1, elsewhere: 2, ..of(&["emqx@1"]) });
    }
}

#[test]
fn nothing_is_done_where_it_is_only_asked_for() {
    let mut place = place();
    let before = states(&place.db);
    let outcome = resync(&mut place.db, &plain("a"), &scope(Some("eu"), Some("emqx@1")), 3_000, false).unwrap();
    assert_eq!((outcome.there, outcome.gone), (1, 2));
    assert_eq!(states(&place.db), before);
}

#[track_caller]
fn refused(cluster: Option<&str>, node: Option<&str>, expected: &str) {
    let mut place = place();
    let before = states(&place.db);
    let trouble = resync(&mut place.db, &plain("a"), &scope(cluster, node), 3_000, true).unwrap_err();
    assert_eq!(trouble.to_string(), expected);
    assert_eq!(states(&place.db), before);
}

#[test]
fn whose_list_it_is_must_be_known() {
    refused(None, None, "which of these clusters is the list of: \"eu\", \"us\"? Say it with --cluster");
    refused(Some("eu"), None, "which of these nodes is the list of: \"emqx@1\", \"emqx@2\"? Say it with --node");
    let known = "nothing is known of that node here, but of \"emqx@1\", \"emqx@2\"";
    refused(Some("eu"), Some("emqx@3"), known);
    refused(Some("ue"), Some("emqx@1"), "nothing is known of that node here");
    // Of one node in one cluster there is no question.
    let mut place = place();
    let outcome = resync(&mut place.db, &plain("a"), &scope(Some("us"), None), 3_000, true).unwrap();
    assert_eq!(outcome, ResyncOutcome { there: 1, ..of(&["emqx@1"]) });
}

/// What is open now tells neither all nodes nor all clusters.
#[test]
fn a_broker_with_nothing_open_may_be_meant() {
    let ask = |cluster: Option<&str>, change: &str| {
        let mut place = place();
        place.db.execute_batch(change).unwrap();
        resync(&mut place.db, &plain("a"), &scope(cluster, None), 3_000, true).map_err(|trouble| trouble.to_string())
    };
    let ended = "UPDATE connections SET disconnected_at = 5000 WHERE cluster = 'us' OR node = 'emqx@2';";
    let clusters = "which of these clusters is the list of: \"eu\", \"us\"? Say it with --cluster";
    assert_eq!(ask(None, ended), Err(clusters.to_owned()));
    let nodes = "which of these nodes is the list of: \"emqx@1\", \"emqx@2\"? Say it with --node";
    assert_eq!(ask(Some("eu"), ended), Err(nodes.to_owned()));
    // A process that is gone lists nothing, and neither does the one that told no cluster before it was upgraded.
    let gone = format!("{ended} UPDATE broker_processes SET gone = 1 WHERE id > 1;");
    let of_1 = ResyncOutcome { there: 1, gone: 2, later: 1, ..of(&["emqx@1"]) };
    assert_eq!(ask(None, &gone), Ok(of_1.clone()));
    let upgraded = format!("{gone} INSERT INTO broker_processes (node, last_alive) VALUES ('emqx@1', 50)");
    assert_eq!(ask(None, &upgraded), Ok(of_1));
}

#[test]
fn a_list_of_other_nodes_alone_closes_nothing_unless_it_is_told_to() {
    let mut place = place();
    let before = states(&place.db);
    let list = List::parse(br#"[{"clientid":"a","node":"emqx@2"}]"#, None).unwrap();
    let of_1 = scope(Some("eu"), Some("emqx@1"));
    let trouble = resync(&mut place.db, &list, &of_1, 3_000, true).unwrap_err();
    let expected = "no client in the list is of \"emqx@1\"; --empty says that none is connected";
    assert_eq!(trouble.to_string(), expected);
    assert_eq!(states(&place.db), before);
    let outcome = resync(&mut place.db, &list, &Scope { empty: true, ..of_1 }, 3_000, true).unwrap();
    assert_eq!(outcome.gone, 3);
}

#[test]
fn a_file_of_an_older_version_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../../../../schema/0001_history.sql")).unwrap();
    old.execute_batch("PRAGMA user_version = 1").unwrap();
    let expected = "it is of an older version; the driver or server brings it up to date when it opens it";
    assert_eq!(open(&path).err().as_deref(), Some(expected));
    assert_eq!(open(&dir.path().join("none.db")).err().as_deref(), Some("there is no such file"));
}

/// A list of `emqx_ctl` with these clients, each with the address from which it connected.
fn ctl(clients: &[(&[u8], &str)]) -> List {
    let line = |&(id, peer): &(&[u8], &str)| {
        let behind =
            format!(", username=undefined, peername={peer}, clean_start=true, connected=true, created_at=1)\n");
        [b"Client(", id, behind.as_bytes()].concat()
    };
    List::parse(&clients.iter().flat_map(line).collect::<Vec<u8>>(), Some(Form::Ctl)).unwrap()
}

/// What becomes of two unsure connections of these names, the first of which came from port 5. A
/// row is `there`, `gone` or `unclear`.
#[track_caller]
fn settled(names: [&str; 2], list: &List, expected: [&str; 2], left_alone: &[&str]) {
    let mut place = place();
    let update = "UPDATE connections SET clientid = ?1, peerhost = '127.0.0.1', peerport = ?2 WHERE id = ?3";
    place.db.execute(update, (names[0], 5, 1)).unwrap();
    place.db.execute(update, (names[1], None::<u16>, 2)).unwrap();
    let outcome = resync(&mut place.db, list, &scope(Some("eu"), Some("emqx@1")), 3_000, true).unwrap();
    let found: Vec<&str> = states(&place.db)[..2]
        .iter()
        .map(|state| match state {
            unsure if unsure.ends_with("unsure") => "unclear",
            closed if closed.contains("resync") => "gone",
            _ => "there",
        })
        .collect();
    assert_eq!(
        (&found[..], outcome.left_alone.clone()),
        (&expected[..], left_alone.iter().map(|&name| name.to_owned()).collect()),
        "{names:?}"
    );
    assert_eq!(outcome.is_partial(), found.contains(&"unclear") || !left_alone.is_empty());
}

#[test]
fn a_name_that_is_not_utf_8_leaves_the_others_settled() {
    let list = ctl(&[(b"dev-1", "127.0.0.1:9"), (b"\xfcn\xef", "127.0.0.1:5")]);
    settled(["dev-1", "dev-2"], &list, ["there", "gone"], &["\\xfcn\\xef"]);
    // The address says which connection it is. Without it, nothing does.
    settled(["\u{fc}n\u{ef}", "dev-1"], &list, ["there", "there"], &[]);
    settled(["dev-1", "\u{fc}n\u{ef}"], &list, ["there", "unclear"], &["\\xfcn\\xef"]);
    let plain = List::parse(b"dev-1\n\xfcn\xef\n", Some(Form::Plain)).unwrap();
    settled(["dev-1", "\u{fc}n\u{ef}"], &plain, ["there", "unclear"], &["\\xfcn\\xef"]);
    let json = List::parse(b"[\"dev-1\",\"\xfcn\xef\"]", None).unwrap();
    settled(["dev-1", "dev-2"], &json, ["there", "gone"], &["\u{fffd}n\u{fffd}"]);
    // What a driver was told with other bytes stands in a row without them.
    settled(["dev-1", "\u{fffd}"], &json, ["there", "unclear"], &["\u{fffd}n\u{fffd}"]);
}

#[test]
fn a_name_that_other_brokers_print_so_settles_no_one() {
    for (name, printed) in [
        ("\u{65e5}", &b"\\x{65E5}"[..]),
        ("\\x{65E5}", b"\\x{65E5}"),
        ("\u{65e5}", "\u{65e5}".as_bytes()),
        ("\u{e9}", "\u{c3}\u{a9}".as_bytes()),
        ("\u{c3}\u{a9}", "\u{e9}".as_bytes()),
        ("\u{e9}\u{65e5}", b"\xe9\\x{65E5}"),
    ] {
        let shown = names::shown(printed);
        settled([name, "dev-2"], &ctl(&[(printed, "127.0.0.1:5")]), ["there", "gone"], &[]);
        settled([name, "dev-2"], &ctl(&[(printed, "127.0.0.1:6")]), ["unclear", "gone"], &[&shown]);
        settled(["dev-2", name], &ctl(&[(printed, "127.0.0.1:5")]), ["gone", "unclear"], &[&shown]);
    }
    // JSON says it.
    let json = List::parse("[\"\u{c3}\u{a9}\",\"\\\\x{65E5}\"]".as_bytes(), None).unwrap();
    settled(["\u{e9}", "\u{c3}\u{a9}"], &json, ["gone", "there"], &[]);
    settled(["\u{65e5}", "\\x{65E5}"], &json, ["gone", "there"], &[]);
    // A long name stands in rows as it is cut, and is found by its beginning.
    let long = "\u{65e5}".repeat(200);
    let cut = stored_of(&long);
    let shown = names::shown(long.as_bytes());
    settled([&cut, "dev-2"], &ctl(&[(long.as_bytes(), "127.0.0.1:6")]), ["unclear", "gone"], &[&shown]);
}

fn stored_of(name: &str) -> String {
    exhook_policy_core::event::short::short(name).into_owned()
}

#[test]
fn a_name_with_line_breaks_settles_no_other_client() {
    let list = ctl(&[(b"x\nClient(b", "127.0.0.1:5"), (b"dev-1", "127.0.0.1:6")]);
    settled(["dev-1", "b"], &list, ["there", "unclear"], &["x\\nClient(b"]);
    settled(["dev-1", "dev-2"], &list, ["there", "gone"], &["x\\nClient(b"]);
    settled(["x\nClient(b", "dev-1"], &list, ["there", "there"], &[]);
    // Lines that look whole are believed, unless a client is connected whose name has them.
    let whole = "x, username=u, peername=127.0.0.1:1, connected=true)\nClient(b";
    let list = ctl(&[(whole.as_bytes(), "127.0.0.1:5")]);
    settled([whole, "b"], &list, ["unclear", "unclear"], &["b"]);
}
