use super::*;

/// A value in one line: texts in quotes, each with its line.
fn show(kind: &HoconKind) -> String {
    match kind {
        HoconKind::Text(text) => format!("{text:?}"),
        HoconKind::Unknown => "?".to_owned(),
        HoconKind::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| format!("{}@{}", show(&item.kind), item.at.line)).collect();
            format!("[{}]", items.join(", "))
        }
        HoconKind::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}: {}@{}", show(&value.kind), value.at.line)).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[track_caller]
fn reads(text: &str, expected: &str) {
    let read = match parse(text, 0) {
        Ok(document) => show(&HoconKind::Object(document.root)),
        Err(problem) => format!("line {}: {}", problem.line, problem.message),
    };
    assert_eq!(read, expected, "{text}");
}

#[test]
fn settings_are_read_as_the_broker_reads_them() {
    reads("", "{}");
    reads("# a comment\n// another\n", "{}");
    reads("a = 1", r#"{a: "1"@1}"#);
    reads("{ a : 1, \"b\" = two }", r#"{a: "1"@1, b: "two"@1}"#);
    reads("a {\n b = 1\n c { d = 2 }\n}", r#"{a: {b: "1"@2, c: {d: "2"@3}@3}@1}"#);
    reads("a.b.\"c.d\" = x", r#"{a: {b: {c.d: "x"@1}@1}@1}"#);
    reads("a = 0.0.0.0:1883 # here\nb = \"x # y\"", r#"{a: "0.0.0.0:1883"@1, b: "x # y"@2}"#);
    reads("u = http://h:1 // there", r#"{u: "http://h:1"@1}"#);
    reads("a = two  words \t\nb = pre\"mid\"post", r#"{a: "two  words"@1, b: "premidpost"@2}"#);
    reads("a =\n  1", r#"{a: "1"@2}"#);
    reads("a = \"\"\"one\ntwo\"\"\"\nb = 1", r#"{a: "one\ntwo"@2, b: "1"@3}"#);
    reads(r#"a = "q\"\\\n\u0041\x""#, r#"{a: "q\"\\\nAx"@1}"#);
    reads("\u{feff}a = 1\r\nb = 2\r\n", r#"{a: "1"@1, b: "2"@2}"#);
}

#[test]
fn lists_have_commas_or_lines_between_their_members() {
    reads("a = []", "{a: []@1}");
    reads("a = [1, 2\n3,\n]", r#"{a: ["1"@1, "2"@1, "3"@2]@1}"#);
    reads("a = [{ b = 1 }, { b = 2 }]", r#"{a: [{b: "1"@1}@1, {b: "2"@1}@1]@1}"#);
    reads("a = [1] [2]", r#"{a: ["1"@1, "2"@1]@1}"#);
    reads("a += 1\na += 2", r#"{a: ["1"@1, "2"@2]@1}"#);
}

#[test]
fn what_is_said_later_counts() {
    reads("a = 1\na = 2", r#"{a: "2"@2}"#);
    reads("a { b = 1, c = 1 }\na { b = 2 }", r#"{a: {b: "2"@2, c: "1"@1}@1}"#);
    reads("a = 1\na.b = 2", r#"{a: {b: "2"@2}@2}"#);
    reads("a = [1]\na = [2]", r#"{a: ["2"@2]@2}"#);
    reads("a = [{ b = 1 }, 2]\na.1.c = 3", r#"{a: [{b: "1"@1, c: "3"@2}@1, "2"@1]@1}"#);
    reads("a = { b = 1 } { c = 2 }", r#"{a: {b: "1"@1, c: "2"@1}@1}"#);
}

#[test]
fn what_is_not_in_the_file_is_unknown() {
    reads("a = ${x}\nb = ${?x}/y\nc = [${x}]", "{a: ?@1, b: ?@2, c: [?@3]@3}");
    let text = "include \"a.conf\"\nb { include required(file(\"c.conf\"))\n d = 1 }\ninclude = no\ninclude d-e.conf\nincluded = 1";
    let document = parse(text, 0).unwrap();
    let included: Vec<_> = document.includes.iter().map(|(line, name)| (*line, name.as_str())).collect();
    assert_eq!(included, [(1, "a.conf"), (2, "c.conf"), (5, "d-e.conf")]);
    assert_eq!(show(&HoconKind::Object(document.root)), r#"{b: {d: "1"@3}@2, include: "no"@4, included: "1"@6}"#);
}

#[test]
fn what_the_broker_does_not_take_is_a_problem() {
    reads("a {\n b = 1\n", "line 1: this `{` has no `}`");
    reads("\na = [1,", "line 2: this `[` has no `]`");
    reads("a = 1 }", "line 1: a key is expected here");
    reads("{ a = 1 } b", "line 1: there is more behind the last `}`");
    reads("a = ", "line 1: a value is expected here");
    reads("a", "line 1: a key needs `=` or `{`");
    reads("= 1", "line 1: a key is expected here");
    reads("a..b = 1", "line 1: a key is expected here");
    reads("a = \"x\nb = 1", "line 2: a text has no end");
    reads("a = \"\"\"x", "line 1: a text has no end");
    reads("a = ${x\n", "line 1: this `${` has no `}`");
    reads("a = [1] x", "line 1: values of two kinds stand beside each other");
    reads("include \"x", "line 1: a text has no end");
}

#[test]
fn hostile_files_end_in_a_problem() {
    let deep = "line 1: it is nested too deeply";
    reads(&"a{".repeat(100_000), deep);
    reads(&format!("a = {}", "[".repeat(100_000)), deep);
    reads(&format!("{}a = 1", "a.".repeat(100_000)), deep);
    reads(&format!("{}b = 1{}", "a { ".repeat(62), " }".repeat(62)), &{
        let inner = r#"{b: "1"@1}"#.to_owned();
        (0..62).fold(inner, |inner, _| format!("{{a: {inner}@1}}"))
    });
    assert_eq!(parse(&" ".repeat(MOST_BYTES + 1), 0).unwrap_err().message, "the file is too large");
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in r#"[a-c0-2.=:{}\[\]"\\+,#/$ \n~u]{0,60}"#) {
        let _ = parse(&text, 0);
    }
}

#[test]
fn files_are_put_over_each_other() {
    let mut below = parse("a { b = 1, c = 1 }\nl = [{ n = 1 }, { n = 2 }]\nx = 1", 0).unwrap().root;
    let over = parse("a.b = 2\nl = [{ n = 3 }]\ny = 2", 1).unwrap().root;
    merge(&mut below, over);
    let shown = show(&HoconKind::Object(below.clone()));
    assert_eq!(shown, r#"{a: {b: "2"@1, c: "1"@1}@1, l: [{n: "3"@2}@2]@2, x: "1"@3, y: "2"@3}"#);
    let root = HoconValue { at: HoconPlace::default(), kind: HoconKind::Object(below) };
    let place = |path: &[&str]| root.get(path).map(|value| (value.at.file, value.at.line));
    assert_eq!(place(&["a", "b"]), Some((1, 1)));
    assert_eq!(place(&["a", "c"]), Some((0, 1)));
    assert_eq!(place(&["a", "b", "c"]), None);
    assert_eq!(root.get(&["a", "b"]).and_then(HoconValue::text), Some("2"));
}

#[test]
fn an_object_of_numbers_is_a_list() {
    let root = parse("l.10.n = ten\nl.2.n = two\no.n = 1\nt = 1", 0).unwrap().root;
    let names = |key: &str| {
        let list = root.get(key)?.list()?;
        Some(
            list.iter()
                .map(|item| item.get(&["n"]).and_then(HoconValue::text).unwrap_or("-").to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(names("l"), Some(vec!["two".to_owned(), "ten".to_owned()]));
    assert_eq!(names("o"), None);
    assert_eq!(names("t"), None);
}
