use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{ReadStop, Sources, UnreadableSource, check, file, sqlite};
use crate::log::Log;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::policy::brokers::Brokers;
use exhook_policy_core::policy::lists::{List, Uses};
use exhook_policy_core::policy::model::{IfInvalid, LimitDefs, ListDef, ListId, ListSource, LogLines, Model};

const TEXT: Uses = Uses { text: true, networks: false };
const NETWORKS: Uses = Uses { text: false, networks: true };
const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

/// What was logged.
#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    fn text(&self, log: &Log, dir: &TempDir) -> String {
        log.flush(LONG);
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.replace(dir.path().to_str().unwrap(), "DIR")
    }
}

fn console() -> (Console, Log) {
    let console = Console::default();
    let log = Log::to(console.clone());
    (console, log)
}

fn file_list(path: &Path, uses: Uses) -> ListDef {
    let source = ListSource::File { path: path.to_owned(), refresh: SOON };
    ListDef { name: "fleet".to_owned(), source, used_as_text: uses.text, used_as_networks: uses.networks }
}

fn sqlite_list(path: &Path, query: &str) -> ListDef {
    let source = ListSource::Sqlite { path: path.to_owned(), query: query.to_owned(), refresh: SOON };
    ListDef { name: "paid".to_owned(), source, used_as_text: true, used_as_networks: false }
}

fn holds(sources: &Sources, text: &str) -> Option<bool> {
    sources.lists().get(ListId(0)).map(|list| list.contains_text(text))
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn read_text(bytes: &[u8], uses: Uses) -> Result<List, UnreadableSource> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("list.txt");
    fs::write(&path, bytes).unwrap();
    file::read_list(&path, uses, &ReadStop::default()).map(|(list, _)| list)
}

#[track_caller]
fn check_lines(bytes: &[u8], expected: &[(usize, &str)]) {
    let mut lines = file::ListFileLines::new(bytes);
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next_line().unwrap() {
        found.push((number, String::from_utf8_lossy(line).into_owned()));
    }
    let expected: Vec<_> = expected.iter().map(|(number, line)| (*number, (*line).to_owned())).collect();
    assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn lines_lose_their_ends_and_nothing_else() {
    check_lines(b"", &[]);
    check_lines(b"\n\r\n\n", &[]);
    check_lines(b"a", &[(1, "a")]);
    check_lines(b"a\nb\r\nc", &[(1, "a"), (2, "b"), (3, "c")]);
    check_lines(b"a\r\r\nb\r", &[(1, "a\r"), (2, "b\r")]);
    check_lines(b" a \n\t\n b#c\n", &[(1, " a "), (2, "\t"), (3, " b#c")]);
    check_lines(b"# a\n #b\nc # d\n#", &[(2, " #b"), (3, "c # d")]);
    check_lines("\u{feff}a\n\u{feff}b".as_bytes(), &[(1, "a"), (2, "\u{feff}b")]);
    check_lines("\u{feff}# a\n\u{feff}#b\n".as_bytes(), &[(2, "\u{feff}#b")]);
    check_lines("\u{feff}\u{feff}a".as_bytes(), &[(1, "\u{feff}a")]);
    check_lines("\u{feff}".as_bytes(), &[]);
    check_lines(b"\"a\"\n'b'\n- c\n", &[(1, "\"a\""), (2, "'b'"), (3, "- c")]);
}

#[test]
fn a_line_too_long_for_mqtt_is_cut_and_the_next_is_whole() {
    for length in [65_534, 65_535, 65_536, 65_999, 66_000, 66_001, 70_000, 200_000] {
        let text = format!("{}\r\nnext\n", "x".repeat(length));
        let cut = "x".repeat(length.min(66_000));
        if length < 65_999 {
            check_lines(text.as_bytes(), &[(1, &cut), (2, "next")]);
        }
        let list = read_text(text.as_bytes(), TEXT);
        assert_eq!(list.is_ok(), length <= 65_535, "{length}");
        assert!(list.is_err() || list.is_ok_and(|list| list.contains_text("next") && list.contains_text(&cut)));
    }
    let error = read_text("é".repeat(50_000).as_bytes(), TEXT).unwrap_err().to_string();
    let begin = "é".repeat(60);
    assert_eq!(error, format!("line 1: \"{begin}...\" is longer than 65535 bytes, the most that MQTT can carry"));
}

#[track_caller]
fn check_refused(bytes: &[u8], uses: Uses, expected: &str) {
    assert_eq!(read_text(bytes, uses).unwrap_err().to_string(), expected);
}

#[test]
fn entries_that_do_not_fit_are_told_with_their_lines() {
    check_refused(b"ok\n\n\xff\xfe\n", TEXT, "line 3: \"\u{fffd}\u{fffd}\" is not UTF-8");
    check_refused(b"10.0.0.1\n10.0.0.0/8 \n", NETWORKS, "line 2: \"10.0.0.0/8 \" is no IP address or network");
    check_refused(
        b"# offices\r\na\r\nb\r\n::1\r\nc\r\nd\r\ne",
        NETWORKS,
        "line 2: \"a\" is no IP address or network; line 3: \"b\" is no IP address or network; \
         line 5: \"c\" is no IP address or network; and 2 more",
    );
    let list = read_text("\u{feff}10.0.0.0/8\r\n::1\r\n".as_bytes(), NETWORKS).unwrap();
    assert!(list.contains_address("10.1.1.1".parse().unwrap()) && list.contains_address("::1".parse().unwrap()));
}

#[test]
fn only_regular_files_are_read() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("plain"), "a").unwrap();
    symlink(at("plain"), at("link")).unwrap();
    symlink(at("loop"), at("loop")).unwrap();
    fs::File::create(at("huge")).unwrap().set_len(file::LARGEST + 1).unwrap();
    let read = |path: &Path| file::read_list(path, TEXT, &ReadStop::default()).map(|(list, _)| list.contains_text("a"));
    let query =
        |path: &Path| sqlite::read_list(path, "SELECT 'a'", TEXT, sqlite::LIMITS, &ReadStop::default()).map(|_| ());
    for (path, expected) in [
        (at("fifo"), "is not a regular file"),
        (PathBuf::from("/dev/zero"), "is not a regular file"),
        (at("folder"), "is a directory"),
        (at("none"), "No such file or directory (os error 2)"),
        (at("loop"), "Too many levels of symbolic links (os error 40)"),
    ] {
        assert_eq!(read(&path).unwrap_err().to_string(), expected, "{}", path.display());
        assert_eq!(query(&path).unwrap_err().to_string(), expected, "{}", path.display());
    }
    assert_eq!(read(&at("huge")).unwrap_err().to_string(), "is larger than 1 GiB");
    assert_eq!(read(&at("plain")), Ok(true));
    assert_eq!(read(&at("link")), Ok(true));
}

fn database(dir: &TempDir) -> (PathBuf, Connection) {
    let path = dir.path().join("devices.db");
    let connection = Connection::open(&path).unwrap();
    let tables = "CREATE TABLE devices(clientid, paid); CREATE TABLE odd(v);";
    connection.execute_batch(tables).unwrap();
    connection.execute_batch("INSERT INTO devices VALUES ('dev-1', 1), ('dev-2', 0), (' dev-3', 1)").unwrap();
    (path, connection)
}

#[track_caller]
fn check_query(query: &str, expected: Result<&[&str], &str>) {
    let dir = TempDir::new().unwrap();
    let (path, connection) = database(&dir);
    connection
        .execute_batch("INSERT INTO odd VALUES ('a'), (7), (1.5), (NULL), (x'ff61'), (CAST(x'ff' AS TEXT))")
        .unwrap();
    let limits = sqlite::ListQueryLimits { rows: 1000, bytes: 100_000, time: Duration::from_millis(500) };
    match (sqlite::read_list(&path, query, TEXT, limits, &ReadStop::default()), expected) {
        (Ok(list), Ok(entries)) => {
            assert!(entries.iter().all(|entry| list.contains_text(entry)), "{query}");
            assert_eq!(format!("{list:?}"), format!("List({} texts, 0 networks)", entries.len()), "{query}");
        }
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected, "{query}"),
        (found, expected) => panic!("{query}: {found:?} for {expected:?}"),
    }
}

#[test]
fn the_first_column_of_a_query_is_a_list_of_texts() {
    check_query("SELECT clientid FROM devices WHERE paid = 1", Ok(&["dev-1", " dev-3"]));
    check_query("SELECT clientid, paid FROM devices WHERE paid = 0;", Ok(&["dev-2"]));
    check_query("SELECT clientid FROM devices WHERE paid = 7", Ok(&[]));
    check_query("SELECT '' UNION ALL SELECT '# a'", Ok(&["", "# a"]));
    check_query(
        "SELECT v FROM odd WHERE typeof(v) = 'integer'",
        Err(r#"row 1: "7" is an integer, not text: use CAST(... AS TEXT)"#),
    );
    check_query("SELECT CAST(v AS TEXT) FROM odd WHERE v = 7", Ok(&["7"]));
    check_query(
        "SELECT v FROM odd WHERE v = 1.5",
        Err(r#"row 1: "1.5" is a real number, not text: use CAST(... AS TEXT)"#),
    );
    check_query("SELECT v FROM odd WHERE v IN ('a') UNION ALL SELECT NULL", Err(r#"row 2: "NULL" is no value at all"#));
    check_query(
        "SELECT v FROM odd WHERE typeof(v) = 'blob'",
        Err("row 1: \"\u{fffd}a\" is a blob, not text: use CAST(... AS TEXT)"),
    );
    check_query("SELECT CAST(x'ff' AS TEXT)", Err("row 1: \"\u{fffd}\" is not UTF-8"));
    check_query("SELECT missing FROM devices", Err("no such column: missing"));
    check_query("SELEC", Err("near \"SELEC\": syntax error"));
    check_query("", Err("SQL is empty or comment only"));
    check_query("-- nothing", Err("SQL is empty or comment only"));
    check_query("SELECT 'a'; SELECT 'b'", Err("the query is more than one statement"));
    check_query(
        "SELECT clientid FROM devices WHERE paid = :paid",
        Err("the query has a parameter, and a list has nothing to give it"),
    );
    check_query("DELETE FROM devices", Err("the query gives no column"));
    check_query("DELETE FROM devices RETURNING clientid", Err("attempt to write a readonly database"));
}

#[test]
fn a_query_is_bounded_in_rows_bytes_and_time() {
    let count = |to: &str| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to}) ");
    check_query(&(count("2000") + "SELECT 'x' FROM n"), Err("the query gives more than 1000 rows"));
    check_query(&(count("900") + "SELECT hex(zeroblob(100)) FROM n"), Err("the query gives more than 100000 bytes"));
    check_query(&(count("1e18") + "SELECT 'x' FROM n WHERE i < 0"), Err("the query takes longer than 0 s"));
}

#[test]
fn what_is_no_database_is_told() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notes.db");
    fs::write(&path, "this is no database, but long enough to be taken for one".repeat(40)).unwrap();
    let error = sqlite::read_list(&path, "SELECT 'a'", TEXT, sqlite::LIMITS, &ReadStop::default());
    let error =
        error.and_then(|_| sqlite::read_list(&path, "SELECT v FROM odd", TEXT, sqlite::LIMITS, &ReadStop::default()));
    assert_eq!(error.unwrap_err().to_string(), "file is not a database");
}

#[test]
fn a_database_is_read_while_another_writes() {
    let dir = TempDir::new().unwrap();
    let (path, writer) = database(&dir);
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO devices VALUES ('dev-9', 1)").unwrap();
    let read = || {
        sqlite::read_list(&path, "SELECT clientid FROM devices", TEXT, sqlite::LIMITS, &ReadStop::default()).unwrap()
    };
    assert!(read().contains_text("dev-1") && !read().contains_text("dev-9"));
    writer.execute_batch("COMMIT").unwrap();
    assert!(read().contains_text("dev-9"));
}

#[test]
fn inline_lists_are_there_at_once() {
    let dir = TempDir::new().unwrap();
    let (console, log) = console();
    let inline = |name: &str, entries: &[&str], uses: Uses| ListDef {
        name: name.to_owned(),
        source: ListSource::Inline(entries.iter().map(|entry| (*entry).to_owned()).collect()),
        used_as_text: uses.text,
        used_as_networks: uses.networks,
    };
    let defs = [inline("retired", &["a", " b"], TEXT), inline("offices", &["10.0.0.0/8", "home"], NETWORKS)];
    let sources = Sources::start(&defs, &log, Duration::ZERO);
    assert_eq!(holds(&sources, " b"), Some(true));
    assert!(sources.lists().get(ListId(1)).is_none());
    assert_eq!(
        console.text(&log, &dir),
        "exhook-policy: list `offices` cannot be read, and decisions that need it deny: \
         row 2: \"home\" is no IP address or network\n"
    );
}

#[test]
fn a_file_is_read_before_start_returns() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "dev-1\n").unwrap();
    let (console, log) = console();
    let sources = Sources::start(&[file_list(&path, TEXT)], &log, LONG);
    assert_eq!((holds(&sources, "dev-1"), holds(&sources, "dev-2")), (Some(true), Some(false)));
    assert_eq!(console.text(&log, &dir), "");
}

#[test]
fn a_missing_file_is_unreadable_until_it_is_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    let (console, log) = console();
    let sources = Sources::start(&[file_list(&path, TEXT)], &log, LONG);
    assert_eq!(holds(&sources, "dev-1"), None);
    thread::sleep(SOON * 10);
    fs::write(&path, "dev-1\n").unwrap();
    eventually("the file is found", || holds(&sources, "dev-1") == Some(true));
    assert_eq!(
        console.text(&log, &dir),
        "exhook-policy: list `fleet` cannot be read, and decisions that need it deny: \
         DIR/fleet.txt: No such file or directory (os error 2)\n\
         exhook-policy: list `fleet` can be read again\n"
    );
}

#[test]
fn a_changed_file_is_read_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "dev-1\n").unwrap();
    let sources = Sources::start(&[file_list(&path, TEXT)], &console().1, LONG);
    let before = sources.lists();
    fs::write(&path, "dev-2\n").unwrap();
    eventually("the same size is seen", || holds(&sources, "dev-2") == Some(true));
    assert_eq!(holds(&sources, "dev-1"), Some(false));
    fs::write(dir.path().join("new.txt"), "dev-3\n").unwrap();
    fs::rename(dir.path().join("new.txt"), &path).unwrap();
    eventually("a renamed file is seen", || holds(&sources, "dev-3") == Some(true));
    assert!(before.get(ListId(0)).is_some_and(|list| list.contains_text("dev-1")), "a snapshot does not change");
}

#[test]
fn a_file_that_is_written_in_place_is_not_read_half() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "dev-1\n").unwrap();
    let sources = Sources::start(&[file_list(&path, TEXT)], &console().1, LONG);
    let mut file = fs::File::create(&path).unwrap();
    for line in ["dev-2\n", "dev-1\n"] {
        thread::sleep(SOON * 10);
        assert_eq!(holds(&sources, "dev-1"), Some(true));
        file.write_all(line.as_bytes()).unwrap();
    }
    eventually("the new contents are read", || {
        assert_eq!(holds(&sources, "dev-1"), Some(true));
        holds(&sources, "dev-2") == Some(true)
    });
}

#[test]
fn a_failed_refresh_keeps_the_last_good_contents() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "10.0.0.0/8\n").unwrap();
    let (console, log) = console();
    let sources = Sources::start(&[file_list(&path, NETWORKS)], &log, LONG);
    let inside =
        |address: &str| sources.lists().get(ListId(0)).map(|list| list.contains_address(address.parse().unwrap()));
    let logged = |lines: usize| eventually("it is logged", || console.text(&log, &dir).lines().count() == lines);
    fs::write(&path, "192.168.0.0/16\nhome\n").unwrap();
    logged(1);
    assert_eq!((inside("10.1.1.1"), inside("192.168.1.1")), (Some(true), Some(false)));
    fs::remove_file(&path).unwrap();
    logged(2);
    thread::sleep(SOON * 10);
    assert_eq!(inside("10.1.1.1"), Some(true));
    fs::write(dir.path().join("new.txt"), "192.168.0.0/16\n").unwrap();
    fs::rename(dir.path().join("new.txt"), &path).unwrap();
    eventually("the file is read", || inside("192.168.1.1") == Some(true));
    assert_eq!(inside("10.1.1.1"), Some(false));
    assert_eq!(
        console.text(&log, &dir),
        "exhook-policy: list `fleet` cannot be refreshed and stays as it was: \
         DIR/fleet.txt: line 2: \"home\" is no IP address or network\n\
         exhook-policy: list `fleet` cannot be refreshed and stays as it was: \
         DIR/fleet.txt: No such file or directory (os error 2)\n\
         exhook-policy: list `fleet` can be read again\n"
    );
}

#[test]
fn a_query_is_run_again_and_a_replaced_database_is_seen() {
    let dir = TempDir::new().unwrap();
    let (path, connection) = database(&dir);
    let (console, log) = console();
    let sources = Sources::start(&[sqlite_list(&path, "SELECT clientid FROM devices")], &log, LONG);
    assert_eq!((holds(&sources, "dev-1"), holds(&sources, "dev-7")), (Some(true), Some(false)));
    connection.execute_batch("INSERT INTO devices VALUES ('dev-7', 1)").unwrap();
    eventually("a new row is seen", || holds(&sources, "dev-7") == Some(true));
    let other = TempDir::new().unwrap();
    let (new, connection) = database(&other);
    connection.execute_batch("DELETE FROM devices; INSERT INTO devices VALUES ('dev-8', 1)").unwrap();
    drop(connection);
    fs::rename(new, &path).unwrap();
    eventually("a new database is seen", || holds(&sources, "dev-8") == Some(true));
    assert_eq!(holds(&sources, "dev-7"), Some(false));
    assert_eq!(console.text(&log, &dir), "");
}

#[test]
fn what_is_not_read_in_time_is_unreadable_until_it_is() {
    let dir = TempDir::new().unwrap();
    let (path, connection) = database(&dir);
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (console, log) = console();
    let sources = Sources::start(&[sqlite_list(&path, "SELECT clientid FROM devices")], &log, SOON);
    assert_eq!(holds(&sources, "dev-1"), None);
    connection.execute_batch("COMMIT").unwrap();
    eventually("the list is read", || holds(&sources, "dev-1") == Some(true));
    let text = console.text(&log, &dir);
    let first = "exhook-policy: list `paid` is still being read, and decisions that need it deny so long";
    assert_eq!(text.lines().next(), Some(first));
}

#[test]
fn what_a_list_was_before_holds_only_where_it_cannot_be_read_in_time() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    let (db, connection) = database(&dir);
    fs::write(&path, "dev-1\n").unwrap();
    let (console, log) = console();
    let defs = [file_list(&path, TEXT), sqlite_list(&db, "SELECT clientid FROM devices")];
    let hold =
        |sources: &Sources| [0, 1].map(|id| sources.lists().get(ListId(id)).map(|list| list.contains_text("dev-7")));
    let old = Sources::start(&defs, &log, LONG);
    assert_eq!(hold(&old), [Some(false), Some(false)]);
    fs::write(&path, "dev-7\n").unwrap();
    let new = Sources::succeed(Some(&old), &defs, &log, LONG);
    assert_eq!(hold(&new), [Some(true), Some(false)]);
    // What cannot be read is not waited for.
    fs::remove_file(&path).unwrap();
    let after = Sources::succeed(Some(&new), &defs, &log, LONG);
    assert_eq!(hold(&after), [Some(true), Some(false)]);
    drop((old, new, after));
    // And what takes too long is not, either.
    fs::write(&path, "dev-7\n").unwrap();
    let old = Sources::start(&defs, &log, LONG);
    connection.execute_batch("BEGIN EXCLUSIVE; INSERT INTO devices VALUES ('dev-7', 1)").unwrap();
    let new = Sources::succeed(Some(&old), &defs, &log, SOON);
    assert_eq!(hold(&new), [Some(true), Some(false)]);
    connection.execute_batch("COMMIT").unwrap();
    eventually("the list is read", || hold(&new) == [Some(true), Some(true)]);
    let text = console.text(&log, &dir);
    let said = "exhook-policy: list `paid` is still being read, and is as it was before so long\n";
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_list_that_nothing_uses_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let (console, log) = console();
    let uses = Uses { text: false, networks: false };
    let _sources = Sources::start(&[file_list(&dir.path().join("none"), uses)], &log, LONG);
    assert_eq!(console.text(&log, &dir), "");
}

#[test]
fn a_source_that_is_dropped_reads_no_more() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "dev-1\n").unwrap();
    let (console, log) = console();
    let sources = Sources::start(&[file_list(&path, TEXT)], &log, LONG);
    drop(sources);
    thread::sleep(SOON * 10);
    fs::remove_file(&path).unwrap();
    thread::sleep(SOON * 10);
    assert_eq!(console.text(&log, &dir), "");
}

#[test]
fn what_nobody_needs_any_more_is_read_no_further() {
    let dir = TempDir::new().unwrap();
    let (db, _connection) = database(&dir);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'a' FROM n WHERE i < 0";
    let stop = ReadStop::default();
    let begun = Instant::now();
    thread::scope(|scope| {
        let query = scope.spawn(|| sqlite::read_list(&db, endless, TEXT, sqlite::LIMITS, &stop));
        thread::sleep(SOON);
        stop.say();
        query.join().unwrap().unwrap_err();
    });
    assert!(begun.elapsed() < sqlite::LIMITS.time / 2);
    let path = dir.path().join("fleet.txt");
    fs::write(&path, "dev-1\n").unwrap();
    file::read_list(&path, TEXT, &stop).unwrap_err();
}

fn model(lists: Vec<ListDef>) -> Model {
    let log = LogLines { denials: true, decisions: false, connections: false, events: false };
    let deadline = Duration::from_secs(2);
    Model {
        mode: Mode::Enforce,
        brokers: Brokers::default(),
        deadline,
        if_invalid: IfInvalid::Deny,
        lists,
        passwords: Vec::new(),
        auth: None,
        limits: LimitDefs::default(),
        acl: None,
        log,
        history: None,
        capture: None,
        metrics: None,
    }
}

#[test]
fn check_tells_what_is_wrong_with_every_list() {
    let dir = TempDir::new().unwrap();
    let (db, _connection) = database(&dir);
    let at = |name: &str| dir.path().join(name);
    let file = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        at(name)
    };
    let names: Vec<String> = (0..25).map(|n| format!("bad-{n}")).collect();
    let unused = ListDef { used_as_text: false, ..file_list(&at("unused.txt"), TEXT) };
    let lists = vec![
        file_list(&file("fine.txt", "a\n"), TEXT),
        file_list(&file("offices.txt", "10.0.0.1\nhome\n"), NETWORKS),
        file_list(&file("many.txt", &names.join("\n")), NETWORKS),
        unused,
        sqlite_list(&db, "SELECT paid FROM devices WHERE paid = 0"),
        sqlite_list(&db, "SELECT clientid FROM device"),
    ];
    let found = check(&model(lists));
    let found: Vec<String> =
        found.iter().map(|problem| problem.to_string().replace(dir.path().to_str().unwrap(), "DIR")).collect();
    let many = |n: usize| format!("DIR/many.txt:{n}: list `fleet`: \"bad-{}\" is no IP address or network", n - 1);
    let mut expected = vec!["DIR/offices.txt:2: list `fleet`: \"home\" is no IP address or network".to_owned()];
    expected.extend((1..=20).map(many));
    let rest = [
        "DIR/many.txt: list `fleet`: and 5 more of these",
        "DIR/unused.txt: list `fleet`: No such file or directory (os error 2)",
        "DIR/devices.db: list `paid`: row 1: \"0\" is an integer, not text: use CAST(... AS TEXT)",
        "DIR/devices.db: list `paid`: no such table: device",
    ];
    expected.extend(rest.map(str::to_owned));
    assert_eq!(found, expected);
}
