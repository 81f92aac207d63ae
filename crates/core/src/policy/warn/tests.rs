//! What is warned about in texts and patterns, and what is not.

use std::path::Path;

use crate::policy::codes::Code;
use crate::policy::diag::Diagnostic;
use crate::policy::parse;

/// The codes that a policy raises.
fn codes(policy: &str) -> Vec<&'static str> {
    let report = match parse(policy, "rules.yaml", Path::new("")) {
        Ok(loaded) => loaded.warnings,
        Err(report) => *report,
    };
    report.diagnostics().iter().map(Diagnostic::code).map(Code::name).collect()
}

#[track_caller]
fn on(field: &str, condition: &str, expected: &[&str]) {
    let policy = format!("version: 1\nauth: {{ rules: [{{ deny: {{ {field}: {condition} }} }}] }}\n");
    assert_eq!(codes(&policy), expected, "{policy}");
}

#[track_caller]
fn topic(pattern: &str, expected: &[&str]) {
    let policy = format!("version: 1\nacl: {{ rules: [{{ deny: everyone, topics: [{pattern}] }}] }}\n");
    assert_eq!(codes(&policy), expected, "{policy}");
}

#[track_caller]
fn name(regex: &str, expected: &[&str]) {
    on("username", &format!("{{ regex: '{regex}' }}"), expected);
}

#[test]
fn dots_that_are_meant_literally() {
    let dot = &["unescaped-dot"];
    name("10.0.0.[0-9]+", dot);
    name("[a-z]+.example", dot);
    name("gw-[0-9]+.plant.local$", dot);
    name("v1.2-.*", dot);
    name("(a|b).com", &[]);
    name("a.b", &[]);
    name(".*", &[]);
    name("a.*b.+c.?", &[]);
    name("1.*2", &[]);
    name("1.{3}2", &[]);
    name("[1.2]x", &[]);
    name("x.command", &[]);
    name("10[.]0[.]0[.][0-9]+", &[]);
    for (regex, expected) in [("10[.]0.*", &[][..]), ("10.0.*", dot), ("(10|11).[0-9]+[.].*", dot)] {
        on("peerhost", &format!("{{ regex: '{regex}' }}"), expected);
    }
    topic("{ regex: 'fw/1.2/.*' }", dot);
    topic("{ regex: '${clientid}.com/.*' }", dot);
}

#[test]
fn regexes_that_are_taken_for_searches() {
    let (half, plain) = (&["half-anchored"], &["plain-regex"]);
    name("^dev", half);
    name("dev$", half);
    name("^(dev|gw)", half);
    name(r"\Adev", half);
    name("^a|b.*", half);
    name("^dev$", &[]);
    name("^dev.*", &[]);
    name("^dev[0-9]", &[]);
    name("^", &[]);
    name("dev", plain);
    name(r"a\.b", plain);
    name("", &[]);
    name("gw-[0-9]+$", &[]);
    name("dev|gw", &[]);
    name("[d]ev", &[]);
    topic("{ regex: 'a/${clientid}' }", plain);
    topic("{ regex: '${clientid}/.*' }", &[]);
}

#[test]
fn one_syntax_taken_for_another() {
    let (glob, regex, text) = (&["glob-in-regex"], &["regex-in-glob"], &["wildcard-as-text"]);
    name("dev-*", glob);
    name("a(b_+)c", glob);
    name("dev-{1,2}", glob);
    name("dev-?[0-9]", &[]);
    name(r"\.*x", &[]);
    name("#[0-9]", &[]);
    topic("{ regex: 'dev/+/.*' }", glob);
    topic("{ regex: '.*/#' }", glob);
    topic("{ glob: 'dev/[a-z]+' }", regex);
    topic("{ glob: '$SYS/**' , }", &["glob-not-parent"]);
    topic("'dev/*'", text);
    topic("'dev/{a,b}'", &[]);
    on("username", "{ glob: '^op*' }", regex);
    on("username", "{ glob: '*.*' }", &[]);
    on("username", "'op-*'", text);
    on("username", "{ not: ['a', '.+b'] }", text);
    on("username", "'${clientid}'", &[]);
    on("username", "'$'", &[]);
    on("username", "'^'", &[]);
    on("mountpoint", "'dev/*'", text);
}

#[test]
fn classes_alternatives_and_blanks() {
    name("[A-z]+", &["odd-class"]);
    name("[^A-z]+", &["odd-class"]);
    name("[a|b]x", &["odd-class"]);
    name("[a,b,c]x", &["odd-class"]);
    name("[a|]x", &[]);
    name("[a-z,A-Z]x", &[]);
    name("[|,]x", &[]);
    name("[,;,]x", &[]);
    name("[A-Z&&[^X]]", &[]);
    name("a.|", &["empty-alternative"]);
    name("a.|$", &["empty-alternative"]);
    name("(a|)b", &[]);
    on("username", "' a'", &["outer-blanks"]);
    on("username", "''", &[]);
    topic("'a '", &["outer-blanks"]);
    topic("'a b'", &[]);
}

#[test]
fn values_that_the_broker_never_gives() {
    let none = &["no-such-value"];
    on("protocol", "MQTT", none);
    on("protocol", "[mqtt, wss]", none);
    on("protocol", "{ not: https }", none);
    on("protocol", "gb32960", &[]);
    on("protocol", "{ regex: 'mqtt.*' }", &[]);
    on("node", "emqx", none);
    on("node", "'emqx@h'", &[]);
    on("node", "{ glob: 'emqx*' }", &[]);
}

#[test]
fn the_nameless() {
    let allow = |condition: &str| codes(&format!("version: 1\nauth: {{ rules: [{{ allow: {condition} }}] }}\n"));
    let admits = vec!["admits-nameless"];
    assert_eq!(allow("{ username: { glob: '*' } }"), admits);
    assert_eq!(allow("{ username: [root, { regex: 'a*' }] }"), admits);
    assert_eq!(allow("{ username: { not: root } }"), admits);
    assert_eq!(allow("{ clientid: { not: root } }"), admits);
    assert!(allow("{ clientid: { glob: '*' } }").is_empty());
    assert!(allow("{ username: { glob: '*' }, clientid: '${username}' }").is_empty());
    assert!(allow("{ username: ['', { not: root }] }").is_empty());
    assert!(allow("{ username: { not: ['', root] } }").is_empty());
    assert!(allow("{ username: { not: { glob: '*x' } } }") == admits);
}
