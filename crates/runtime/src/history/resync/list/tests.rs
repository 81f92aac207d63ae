use super::*;

/// What the name may be, each shown as Rust writes bytes.
fn ids(list: &List, listed: &Listed) -> String {
    list.ids(listed).map(|id| id.escape_ascii().to_string()).collect::<Vec<_>>().join("|")
}

#[track_caller]
fn check(text: &str, form: Option<Form>, expected: &[(&str, Option<&str>, bool)]) {
    let list = List::parse(text.as_bytes(), form).unwrap();
    let found: Vec<_> =
        list.clients.iter().map(|listed| (ids(&list, listed), listed.node.as_deref(), listed.connected)).collect();
    let expected: Vec<_> = expected.iter().map(|&(id, node, connected)| (id.to_owned(), node, connected)).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(List::parse(text.as_bytes(), None), Err(expected.to_owned()));
}

const REST: &str = ", clean_start=true, keepalive=60, session_expiry_interval=0, subscriptions=1, inflight=0, \
                    awaiting_rel=0, delivered_msgs=0, enqueued_msgs=0, dropped_msgs=0, connected=";

#[test]
fn what_emqx_ctl_prints() {
    let line = |id: &str, connected: &str| {
        format!(
            "Client({id}, username=undefined, peername=10.1.2.3:50123{REST}{connected}, created_at=1714564800000, connected_at=1714564800000"
        )
    };
    let text = format!("{})\n{}, disconnected_at=1714564900000)\n", line("dev-1", "true"), line("dev 2,x)", "false"));
    check(&text, None, &[("dev-1", None, true), ("dev 2,x)", None, false)]);
    check("No clients.\n", None, &[]);
    check(" \n", None, &[]);
    // A name that looks like the end of another, in one of two places.
    let list = format!("{})", line("a, username=b, connected=false", "true"));
    let list = List::parse(list.as_bytes(), None).unwrap();
    assert_eq!(ids(&list, &list.clients[0]), "a|a, username=b, connected=false");
    assert!(!list.clients[0].is_exact && list.clients[0].connected);

    let cut = "is not a line of a whole list of `emqx_ctl clients list`: take out what is no client, or use JSON";
    refused(&format!("{})\n{}", line("a", "true"), line("b", "true")), &format!("line 2 {cut}"));
    refused(&format!("WARNING: a cookie\n{})\n", line("a", "true")), &format!("line 1 {cut}"));
    refused("Client(a)", &format!("line 1 {cut}"));
    refused(&format!("{})", line("a", "maybe")), &format!("line 1 {cut}"));
}

#[test]
fn what_the_rest_api_gives() {
    check(
        r#"{"meta":{"page":1,"limit":2,"hasnext":true,"count":3},"data":[
             {"clientid":"a","node":"emqx@1","connected":true,"username":"u"},{"clientid":"b","node":"emqx@2","connected":false}],"code":0}
           {"meta":{"page":2,"limit":2,"hasnext":false,"count":3},"data":[{"clientid":"c","node":"emqx@1","connected":true}],"code":0}"#,
        None,
        &[("a", Some("emqx@1"), true), ("b", Some("emqx@2"), false), ("c", Some("emqx@1"), true)],
    );
    check(r#"[{"clientid":"a"},"b"]"#, None, &[("a", None, true), ("b", None, true)]);
    check("{\"clientid\":\"a\"}\n{\"clientid\":\"b\"}\n", None, &[("a", None, true), ("b", None, true)]);
    check(r#"{"data":[],"meta":{"count":0,"limit":100,"page":1,"hasnext":false}}"#, None, &[]);
    // EMQX 4 does not count what a query finds.
    let uncounted = r#"{"meta":{"page":1,"limit":10,"hasnext":false,"count":-1},"data":[{"clientid":"a"}],"code":0}"#;
    check(uncounted, None, &[("a", None, true)]);
    // Pages that a cursor leads to.
    check(
        r#"{"data":["a"],"meta":{"hasnext":true,"cursor":"x"}}{"data":["b"],"meta":{"hasnext":false}}"#,
        None,
        &[("a", None, true), ("b", None, true)],
    );

    refused(r#"{"data":["a"],"meta":{"page":1,"limit":1,"hasnext":true}}"#, "the page behind page 1 is missing");
    refused(r#"{"data":["a"],"meta":{"page":1,"limit":1,"count":2}}"#, "the page behind page 1 is missing");
    refused(r#"{"data":["a"],"meta":{"page":2,"limit":1,"hasnext":false}}"#, "the page before page 2 is missing");
    refused(r#"{"data":["a"],"meta":{"hasnext":true,"cursor":"x"}}"#, "the page behind the last one is missing");
    refused(
        r#"{"code":"BAD_API_KEY","message":"Check api_key/api_secret"}"#,
        r#"this is no client, and no page of clients: {"code":"BAD_API_KEY","message":"Check api_key/api_secret"}"#,
    );
    refused(
        r#"{"data":[{"clientid":"a"},"#,
        "it is cut off, or no JSON: EOF while parsing a value at line 1 column 26",
    );
}

#[test]
fn pages_that_are_not_all_are_none() {
    let page = |number: u64, limit: u64, count: u64, has_next: bool, ids: &str| {
        format!(r#"{{"meta":{{"page":{number},"limit":{limit},"count":{count},"hasnext":{has_next}}},"data":[{ids}]}}"#)
    };
    let few = "it says that there are 3 clients, and names 2: fetch it again, or take the list of emqx_ctl";
    refused(&page(1, 10, 3, false, r#""a","b""#), few);
    // `b` moved to the second page, and `c` before it.
    refused(&[page(1, 2, 3, true, r#""a","b""#), page(2, 2, 3, false, r#""b""#)].concat(), few);
    refused(
        &[page(1, 2, 4, true, r#""a","b""#), page(2, 3, 4, false, r#""d""#)].concat(),
        "the pages were not fetched with one `limit`, but with 2 and 3",
    );
    refused(&page(2, 2, 3, false, r#""c""#), "the page before page 2 is missing");
}

#[test]
fn what_was_fetched_in_parts_is_told() {
    let ask = |text: &str| List::parse(text.as_bytes(), None).unwrap().is_paged();
    assert!(!ask(r#"{"meta":{"page":1,"limit":9,"count":1,"hasnext":false},"data":["a"]}"#));
    assert!(!ask(r#"["a","b"]"#));
    assert!(!ask("{\"clientid\":\"a\"}\n{\"clientid\":\"b\"}\n"));
    assert!(ask(r#"["a"]["b"]"#));
    assert!(ask(r#"{"data":["a"]}{"data":["b"]}"#));
    // The last page of a cursor, or the only one.
    assert!(ask(r#"{"data":["a"],"meta":{"count":1,"hasnext":false}}"#));
}

#[test]
fn a_clientid_a_line_is_not_guessed() {
    check("a\n b \r\n\nc", Some(Form::Plain), &[("a", None, true), (" b ", None, true), ("c", None, true)]);
    refused(
        "Node emqx@127.0.0.1 not responding to pings.\n",
        "it is neither JSON nor what `emqx_ctl clients list` prints; --form plain reads a clientid a line",
    );
}

fn ctl(id: &[u8], peer: &str) -> Vec<u8> {
    let behind = format!(", username=undefined, peername={peer}, clean_start=true, connected=true, created_at=1)\n");
    [b"Client(", id, behind.as_bytes()].concat()
}

/// How a list is read: what each name may be, and whether it is that for certain.
#[track_caller]
fn read(list: &[u8], form: Form, expected: &[(&str, bool)]) {
    let list = List::parse(list, Some(form)).unwrap();
    let found: Vec<_> = list.clients.iter().map(|listed| (ids(&list, listed), listed.is_exact)).collect();
    let expected: Vec<_> = expected.iter().map(|&(id, is_exact)| (id.to_owned(), is_exact)).collect();
    assert_eq!(found, expected);
}

/// Of `emqx_ctl`, only a name in plain ASCII is certain: the rest depends on the broker and its
/// terminal.
#[test]
fn a_name_that_may_be_printed_otherwise_is_not_certain() {
    let lines = [&b"open-1"[..], b"open-\xfcn\xef", b"open-\\x{65E5}", "\u{e9}".as_bytes(), b"a\x00b"];
    let list: Vec<u8> = lines.iter().flat_map(|id| ctl(id, "127.0.0.1:5")).collect();
    let expected = [
        ("open-1", true),
        ("open-\\xfcn\\xef", false),
        ("open-\\\\x{65E5}", false),
        ("\\xc3\\xa9", false),
        ("a\\x00b", true),
    ];
    read(&list, Form::Ctl, &expected);
    // JSON says each, but for what was lost before it was written.
    read(
        r#"["é","a\\x{65E5}","\uFFFD"]"#.as_bytes(),
        Form::Json,
        &[("\\xc3\\xa9", true), ("a\\\\x{65E5}", true), ("\\xef\\xbf\\xbd", false)],
    );
    read(b"[\"\xfc\"]", Form::Json, &[("\\xef\\xbf\\xbd", false)]);
    read(
        b"a, b\n\xfc\r\n\\x{65E5}\n\xc3\xa9",
        Form::Plain,
        &[("a, b", true), ("\\xfc", false), ("\\\\x{65E5}", false), ("\\xc3\\xa9", true)],
    );
}

#[test]
fn a_name_with_line_breaks_is_one_client() {
    let whole = [ctl(b"a", "1.1.1.1:1"), ctl(b"b\nc\r\n\nd", "1.1.1.1:2"), ctl(b"e", "1.1.1.1:3")].concat();
    read(&whole, Form::Ctl, &[("a", true), ("b\\nc\\r\\n\\nd", false), ("e", true)]);
    // It looks like another client's line, whose own line has its place too.
    let forged = [ctl(b"x\nClient(a", "1.1.1.1:1"), ctl(b"b", "1.1.1.1:2")].concat();
    read(&forged, Form::Ctl, &[("x\\nClient(a|a", false), ("b", true)]);
    // A whole line, and then the end of a name, or what is no client: `a` and `b` may be there or
    // not.
    let line = String::from_utf8(ctl(b"a", "1.1.1.1:1")).unwrap();
    let line = line.trim_end();
    let mixed = format!("{line}\nWARNING: x\n{}{line}\n", line.replace("(a", "(b") + "\n");
    let list = List::parse(mixed.as_bytes(), None).unwrap();
    assert_eq!(list.len(), 2);
    let long = ids(&list, &list.clients[0]);
    let ids: Vec<&str> = long.split('|').collect();
    assert_eq!((ids.len(), ids[0], ids[2]), (3, "a", "b"), "{long}");
    assert!(!list.clients[0].is_exact && list.clients[0].is_joined && list.clients[1].is_exact);
    refused(
        &format!("{line}\nWARNING: x\n"),
        "line 2 is not a line of a whole list of `emqx_ctl clients list`: take out what is no client, or use JSON",
    );
}

#[test]
fn the_address_is_the_one_that_the_broker_wrote() {
    let peer = |id: &[u8], peer: &str| {
        List::parse(&ctl(id, peer), None).unwrap().clients[0].peer.map(|(host, port)| format!("{host} {port}"))
    };
    assert_eq!(peer(b"a", "127.0.0.1:50615").as_deref(), Some("127.0.0.1 50615"));
    assert_eq!(peer(b"a, username=u, peername=1.2.3.4:5", "::1:50615").as_deref(), Some("::1 50615"));
    assert_eq!(peer(b"a", "[::ffff:10.0.0.1]:7").as_deref(), Some("10.0.0.1 7"));
    assert_eq!(peer(b"a", "undefined"), None);
}

/// A client chooses its name, and with it how often a line can be read otherwise.
#[test]
fn a_name_made_of_ends_takes_no_more_than_its_length() {
    let id = ", username=".repeat(65_535 / 11);
    let begun = std::time::Instant::now();
    let list = List::parse(&ctl(id.as_bytes(), "1.1.1.1:1").repeat(20), None).unwrap();
    assert_eq!((list.len(), list.clients[0].ids.len()), (20, 5958));
    let breaks = List::parse(&ctl("\n".repeat(65_535).as_bytes(), "1.1.1.1:1").repeat(20), None).unwrap();
    assert_eq!(breaks.len(), 20);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
