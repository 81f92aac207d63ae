//! Cases of what patterns match and cover; the properties are in `tests/it/topic_sets.rs`.

use super::*;
use crate::event::Action;

mod index;
mod representatives;

const DEVICE: Identity<'static> = Identity { clientid: "dev", username: "user" };

/// `g:` is a glob, `r:` a regex, anything else a filter.
fn patterns(texts: &[&str]) -> Patterns {
    let pattern = |text: &&str| match text.split_once(':') {
        Some(("g", glob)) => Pattern::glob(glob).unwrap(),
        Some(("r", regex)) => Pattern::regex(regex).unwrap(),
        _ => Pattern::filter(text).unwrap(),
    };
    Patterns::new(texts.iter().map(pattern).collect())
}

/// What an allow rule and a deny rule of these patterns say of a request.
#[track_caller]
fn check_as(identity: Identity<'_>, texts: &[&str], action: Action, topic: &str, covered: bool, touched: bool) {
    let patterns = patterns(texts);
    let request = Request::parse(action, topic).unwrap();
    let shown: String = topic.chars().take(60).collect();
    assert_eq!(patterns.cover(&request, identity), covered, "{texts:?} cover {shown}");
    assert_eq!(patterns.touch(&request, identity), touched, "{texts:?} touch {shown}");

    // What shows a topic says the same, and the topic shows it: asked alone it is decided so.
    let again = || Request::parse(action, topic).unwrap();
    let alone =
        |topic: &str, decide: &dyn Fn(&Request<'_>) -> bool| decide(&Request::parse(Action::Publish, topic).unwrap());
    let cover = patterns.covered(&again(), identity);
    assert_eq!(cover == Cover::Full, covered, "{texts:?} covered {shown}: {cover:?}");
    if let Cover::Without(topic) = &cover {
        assert!(!alone(topic, &|request| patterns.cover(request, identity)), "{texts:?} cover {topic}");
    }
    let touch = patterns.touched(&again(), identity);
    assert_eq!(touch != Touch::Nothing, touched, "{texts:?} touched {shown}: {touch:?}");
    if let Touch::Topic(topic) = &touch {
        assert!(alone(topic, &|request| patterns.touch(request, identity)), "{texts:?} touch {topic}");
    }
}

#[track_caller]
fn publish(texts: &[&str], topic: &str, matched: bool) {
    check_as(DEVICE, texts, Action::Publish, topic, matched, matched);
    check_as(DEVICE, texts, Action::Subscribe, topic, matched, matched);
}

#[track_caller]
fn subscribe(texts: &[&str], topic: &str, covered: bool, touched: bool) {
    check_as(DEVICE, texts, Action::Subscribe, topic, covered, touched);
}

#[test]
fn filters_match_topic_names() {
    publish(&["a/+/c"], "a/b/c", true);
    publish(&["a/+/c"], "a//c", true);
    publish(&["a/+/c"], "a/b/c/d", false);
    publish(&["a/#"], "a", true);
    publish(&["a/#"], "a/", true);
    publish(&["a/#"], "ab", false);
    publish(&["#"], "$SYS/x", false);
    publish(&["+/x"], "$SYS/x", false);
    publish(&["$SYS/+"], "$SYS/x", true);
    publish(&["é/+"], "é/x", true);
    publish(&["+"], "/", false);
    publish(&["+/+"], "/", true);
}

#[test]
fn globs_and_regexes_match_whole_topics() {
    publish(&["g:a/*"], "a/b", true);
    publish(&["g:a/*"], "a/b/c", false);
    publish(&["g:a/**"], "a", false);
    publish(&["g:a/**"], "a/b/c", true);
    publish(&["g:a/**/c"], "a/c", true);
    publish(&["g:a/**/c"], "a/b/b/c", true);
    publish(&["g:**/c"], "c", true);
    publish(&["g:**"], "a/b", true);
    publish(&["g:**"], "$SYS/b", false);
    publish(&["g:\\$SYS/*"], "$SYS/b", true);
    publish(&["g:$SYS/*"], "$SYS/b", true);
    // In braces `**` is no whole level, as in globset.
    publish(&["g:x/{**}"], "x/a/b", false);
    publish(&["g:x/{a,**}"], "x/b", true);
    publish(&["g:x{/**,y}"], "x/a/b", true);
    publish(&["g:?"], "é", true);
    publish(&["g:?"], "/", false);
    publish(&["g:a[!b]c"], "a/c", false);
    publish(&["g:a[!b]c"], "aéc", true);
    publish(&["g:ops/**/*.{key,pem}"], "ops/a/b.key", true);
    publish(&["g:ops/**/*.{key,pem}"], "ops/b.pem", true);
    publish(&["g:ops/**/*.{key,pem}"], "ops/b.txt", false);
    publish(&["r:alarm/[0-9]+"], "alarm/12", true);
    publish(&["r:alarm/[0-9]+"], "alarm/12/x", false);
    publish(&["r:.*"], "$SYS", false);
    publish(&["r:\\$SYS/.*"], "$SYS/a", true);
    publish(&["r:^\\$SYS/.*"], "$SYS/a", true);
    publish(&["r:a|b/c"], "b/c", true);
    publish(&["r:a.b"], "a\nb", true);
}

#[test]
fn placeholders_stand_for_literal_text() {
    publish(&["x/${clientid}/y"], "x/dev/y", true);
    publish(&["x/a-${clientid}-${username}"], "x/a-dev-user", true);
    publish(&["g:x/${clientid}/*"], "x/dev/y", true);
    publish(&["g:x/{${clientid},b}/y"], "x/dev/y", true);
    publish(&["r:x/(${clientid}|${username})/[0-9]"], "x/user/7", true);
    publish(&["r:(?i)x/${clientid}"], "X/dev", true);
    publish(&["r:(?i)x/${clientid}"], "X/DEV", false);
    publish(&["r:(${clientid}/)*"], "dev/dev/", true);
    let dots = Identity { clientid: "d.v", username: "[a" };
    check_as(dots, &["r:x/${clientid}"], Action::Publish, "x/dev", false, false);
    check_as(dots, &["g:x/${username}"], Action::Publish, "x/[a", true, true);
}

/// A value that reaches further than a word matches nothing where it would allow.
#[test]
fn odd_values_do_not_widen_what_is_allowed() {
    for (clientid, topic, touched) in
        [("", "x//y", true), ("a/b", "x/a/b/y", true), ("+", "x/a/y", false), ("#", "x/a/y", false)]
    {
        let identity = Identity { clientid, username: "user" };
        for text in ["x/${clientid}/y", "g:x/${clientid}/y", "r:x/${clientid}/y"] {
            check_as(identity, &[text], Action::Publish, topic, false, touched);
            check_as(identity, &[text], Action::Subscribe, "x/#", false, touched);
        }
    }
    let sys = Identity { clientid: "$SYS", username: "user" };
    for text in ["${clientid}/a", "g:${clientid}/*", "r:${clientid}/.", "r:^${clientid}/."] {
        check_as(sys, &[text], Action::Publish, "$SYS/a", false, true);
    }
    check_as(sys, &["x/${clientid}"], Action::Publish, "x/$SYS", true, true);
}

/// A value that no topic can hold leaves the rest of the pattern as it is.
#[test]
fn odd_values_do_not_undo_what_is_denied() {
    for clientid in ["#", "+", "a+", "\0"] {
        let identity = Identity { clientid, username: "user" };
        for text in ["g:{${clientid},secret}/x", "r:(${clientid}|secret)/x", "r:(${clientid}/)?secret/x"] {
            check_as(identity, &[text], Action::Publish, "secret/x", false, true);
            check_as(identity, &[text], Action::Publish, "secret/y", false, false);
            check_as(identity, &[text], Action::Subscribe, "secret/+", false, true);
            check_as(identity, &[text], Action::Subscribe, "other/#", false, false);
        }
    }
    let sys = Identity { clientid: "$SYS", username: "" };
    for text in ["${username}${clientid}/x", "g:${username}${clientid}/x", "r:^${username}${clientid}/x"] {
        check_as(sys, &[text], Action::Publish, "$SYS/x", false, true);
        check_as(sys, &[text], Action::Subscribe, "$SYS/#", false, true);
        check_as(sys, &[text], Action::Subscribe, "#", false, false);
    }
}

#[test]
fn wildcard_subscriptions_are_sets() {
    subscribe(&["ops/secret/#"], "#", false, true);
    subscribe(&["dev/+"], "dev/#", false, true);
    subscribe(&["dev/#"], "dev/+", true, true);
    subscribe(&["dev", "dev/+", "dev/+/+/#"], "dev/#", true, true);
    subscribe(&["dev", "dev/+", "dev/+/+/+/#"], "dev/#", false, true);
    subscribe(&["dev/+/#"], "dev/#", false, true);
    subscribe(&["+/#"], "#", true, true);
    subscribe(&["+", "/#"], "#", false, true);
    subscribe(&["#"], "$SYS/#", false, false);
    subscribe(&["$SYS/#"], "#", false, false);
    subscribe(&["$SYS/#"], "$SYS/+/a", true, true);
    subscribe(&["a/+"], "+/b", false, true);
    subscribe(&["a/+"], "b/+", false, false);
    subscribe(&["a/b"], "a/+", false, true);
    subscribe(&["+/b"], "a/+", false, true);
    subscribe(&["a/+/c"], "a/#", false, true);
    subscribe(&["a/+/#"], "a/+", true, true);
}

/// No topic is empty: where two sets share nothing else, they share nothing.
#[test]
fn the_empty_topic_is_none() {
    subscribe(&["/#"], "+", false, false);
    subscribe(&["+"], "/#", false, false);
    subscribe(&["/+/#"], "/#", true, true);
    subscribe(&["+/#"], "/#", true, true);
    subscribe(&["/#"], "+/#", false, true);
    subscribe(&["/+"], "/#", false, true);
    subscribe(&["r:"], "#", false, false);
    let nameless = Identity { clientid: "dev", username: "" };
    check_as(nameless, &["${username}"], Action::Subscribe, "#", false, false);
    check_as(nameless, &["${username}"], Action::Subscribe, "/#", false, false);
    check_as(nameless, &["${username}/a"], Action::Subscribe, "+/a", false, true);
}

#[test]
fn globs_and_regexes_take_part_in_sets() {
    subscribe(&["g:dev/*"], "dev/+", true, true);
    subscribe(&["g:dev/**"], "dev/#", false, true);
    subscribe(&["g:dev/**", "dev"], "dev/#", true, true);
    subscribe(&["r:dev(/.*)?"], "dev/#", true, true);
    subscribe(&["r:dev/[a-z]*"], "dev/+", false, true);
    subscribe(&["r:dev/[a-z]*", "r:dev/[^a-z/]+"], "dev/+", false, true);
    subscribe(&["r:dev/[^+#]*"], "dev/+", true, true);
    subscribe(&["r:dev/a.*", "r:dev/[^a].*", "r:dev/"], "dev/+/#", true, true);
    subscribe(&["r:dev/(a.*|[^a].*|)"], "dev/+/#", true, true);
    subscribe(&["r:dev/[0-9]+"], "dev/#", false, true);
    subscribe(&["r:dev/[0-9]+"], "ops/#", false, false);
    subscribe(&["g:**"], "#", true, true);
    subscribe(&["g:**"], "$SYS/#", false, false);
    subscribe(&["g:x/${clientid}/**"], "x/dev/+", true, true);
    subscribe(&["g:x/${clientid}/**"], "x/+/y", false, true);
    subscribe(&["r:é/."], "é/+", false, true);
    subscribe(&["r:é/.*"], "é/+", true, true);
    subscribe(&["r:a\\b.*"], "a/#", false, true);
}

#[test]
fn work_is_bounded() {
    let hard = ["r:(.*a.{12}|.*b.{12}/x)"];
    subscribe(&hard, "+/+/+/+/#", false, true);
    let long = format!("{}#", "+/".repeat(32_000));
    subscribe(&["#"], &long, true, true);
    subscribe(&["r:a/[0-9]+"], &long, false, false);
    let longer = "a/".repeat(32_000) + "+";
    subscribe(&["g:a/**"], &longer, true, true);
    subscribe(&["g:**/b", "g:**"], &longer.replace("a/", "+/"), true, true);
    subscribe(&["g:a/**/b"], &longer, false, true);
    // All of them together are every topic, which takes a million states to see.
    let hard = patterns(&["r:.*a.{20}", "r:.*[^a].{20}", "r:.{0,20}"]);
    let easy = patterns(&["r:x/[0-9]"]);
    let request = Request::parse(Action::Subscribe, "+/#").unwrap();
    assert_eq!(easy.covered(&request, DEVICE), Cover::Without("x".to_owned()));
    assert_eq!(hard.covered(&request, DEVICE), Cover::Unsettled);
    // What one rule spends is missing in the next.
    assert_eq!(easy.touched(&request, DEVICE), Touch::Unsettled);
    // A value as long as a topic, which begins anew at every character.
    let long = "a".repeat(60_000);
    let identity = Identity { clientid: &long, username: "" };
    check_as(identity, &["g:*${clientid}*"], Action::Publish, &format!("{long}b"), false, true);
}

/// The bound is on a decision and not on a pattern, and patterns about other topics take nothing of it.
#[test]
fn work_is_bounded_over_all_patterns() {
    let texts = |text: &str| -> Vec<String> { (0..400).map(|n| text.replace('N', &n.to_string())).collect() };
    let check = |texts: &[String], topic: &str, expected: bool| {
        let patterns = patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let request = Request::parse(Action::Subscribe, topic).unwrap();
        assert_eq!(patterns.touch(&request, DEVICE), expected, "{topic}");
    };
    let others = texts("g:{aN,bN}/*/${clientid}/*.txt");
    check(&others, "c/+/d/#", false);
    check(&others, "a7", false);
    check(&others, "a7/#", true);
    let anywhere = texts("g:**/${clientid}/xN");
    check(&anywhere, "c/dev/y", false);
    check(&anywhere, "c/dev/x399", true);
    check(&anywhere[..100], "c/+/y", false);
    check(&anywhere, "c/+/y", false);
    // So long that not all of them can be settled.
    check(&anywhere, &format!("{}+/y", "c/".repeat(2_000)), true);
}

/// Clients choose their ids, and every pattern with a placeholder looks at them.
#[test]
fn long_values_cost_little() {
    let texts: Vec<String> = (0..300).map(|n| format!("g:a{n}/${{clientid}}/*")).collect();
    let patterns = patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let clientid = "c".repeat(60_000);
    let request = Request::parse(Action::Publish, "a7/c/x").unwrap();
    let identity = Identity { clientid: &clientid, username: "" };
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        assert!(!patterns.cover(&request, identity));
        assert!(!patterns.touch(&request, identity));
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// What [`Patterns::covered`] and [`Patterns::touched`] say of a request.
#[track_caller]
fn shows(texts: &[&str], filter: &str, covered: &Cover, touched: &Touch) {
    let patterns = patterns(texts);
    let request = || Request::parse(Action::Subscribe, filter).unwrap();
    assert_eq!(&patterns.covered(&request(), DEVICE), covered, "{texts:?} cover {filter}");
    assert_eq!(&patterns.touched(&request(), DEVICE), touched, "{texts:?} touch {filter}");
}

#[test]
fn a_topic_shows_why() {
    let without = |topic: &str| Cover::Without(topic.to_owned());
    let topic = |topic: &str| Touch::Topic(topic.to_owned());
    shows(&["ops/secret/#"], "#", &without("x"), &topic("ops/secret"));
    shows(&["ops/secret/#"], "a/#", &without("a"), &Touch::Nothing);
    shows(&["x/${clientid}"], "+/+", &without("y/y"), &topic("x/dev"));
    shows(&["a", "a/+"], "a/#", &without("a/x/x"), &topic("a"));
    shows(&["/+"], "/#", &without("/x/x"), &topic("/x"));
    shows(&["a/#"], "a/+", &Cover::Full, &topic("a/x"));
    shows(&["a/c"], "a/b", &without("a/b"), &Touch::Nothing);
    shows(&["g:ops/**/*.{key,pem}"], "#", &without("x"), &topic("ops/.pem"));
    shows(&["g:a/[!x]*", "a/x"], "a/+", &without("a/"), &topic("a/x"));
    shows(&["r:a/.*"], "a/#", &without("a"), &topic("a/"));
    shows(&["r:a\\b.*"], "a/#", &Cover::Unsettled, &Touch::Unsettled);
}

#[track_caller]
fn valid(action: Action, topic: &str, text: Option<&str>) {
    assert_eq!(Request::parse(action, topic).map(|request| request.text()), text, "{topic}");
}

#[test]
fn requests_are_checked_and_lose_their_prefix() {
    use Action::{Publish, Subscribe};
    valid(Subscribe, "$share/g/a/+", Some("a/+"));
    valid(Subscribe, "$queue/a", Some("a"));
    valid(Subscribe, "$exclusive/a", Some("a"));
    valid(Publish, "$delayed/5/a", Some("a"));
    valid(Publish, "$share/g/a", Some("$share/g/a"));
    valid(Subscribe, "$delayed/5/a", Some("$delayed/5/a"));
    valid(Subscribe, "$SYS/#", Some("$SYS/#"));
    for bad in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/g/$queue/a", "$queue/", "$queue/$share/g/a"]
    {
        valid(Subscribe, bad, None);
    }
    for bad in
        ["$delayed/a/b", "$delayed//b", "$delayed/5", "$delayed/5/", "$delayed/5/$delayed/5/a", "a/+", "#", "", "a\0"]
    {
        valid(Publish, bad, None);
    }
    for bad in ["", "a/#/b", "a+", "a/b#", "\0", &"a".repeat(65_536)] {
        valid(Subscribe, bad, None);
    }
}

#[track_caller]
fn refused(pattern: Result<Pattern, TextError>, message: &str) {
    assert_eq!(pattern.unwrap_err().message, message);
}

#[test]
fn bad_patterns_are_refused() {
    refused(Pattern::filter(""), "a topic filter cannot be empty");
    refused(Pattern::filter("a+/b"), "`+` and `#` stand for whole levels");
    refused(Pattern::filter("#/a"), "`#` can only be the last level");
    refused(Pattern::filter("a\0"), "a topic filter cannot hold NUL");
    refused(Pattern::filter("$share/g/a"), "a pattern cannot begin with `$share/`");
    refused(Pattern::glob("\\$queue/a"), "a pattern cannot begin with `$queue/`");
    refused(Pattern::regex("\\$delayed/.*"), "a pattern cannot begin with `$delayed/`");
    refused(Pattern::regex("[${clientid}]"), "a placeholder cannot stand in a character class");
    refused(Pattern::regex("(a{1000}){1000}"), "this pattern is too big");
    refused(
        Pattern::glob("a/{b"),
        "this is no glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
    );
    refused(Pattern::glob("\\${clientid}/a"), "a placeholder cannot be escaped");
    refused(Pattern::regex("a/\\\\\\${username}"), "a placeholder cannot be escaped");
    assert!(Pattern::regex("a\\\\${username}").is_ok());
    refused(Pattern::glob("a{,/b}"), "this is no glob: a choice in `{...}` is empty");
    refused(Pattern::regex("\\x{FDD0}\\x{FDD2}"), "U+FDD0 is not a character");
    refused(Pattern::regex("\\b${clientid}"), "word boundaries and line anchors cannot stand beside a placeholder");
    let deep = |count: usize| format!("{}a{}", "{".repeat(count), "}".repeat(count));
    refused(Pattern::glob(&deep(30_000)), "this is no glob: its braces are too deep");
    refused(Pattern::glob(&"a".repeat(65_536)), "a topic pattern has at most 65535 bytes");
    refused(Pattern::filter("a/%c"), "`%c` is a placeholder of EMQX's acl.conf, not of this language");
}
