//! Rules, a client and questions made of the bytes, decided beside brute force: topics and filters among themselves
//! exactly; with globs and regexes an answer may err towards refusal, never the other way.

#![no_main]

#[path = "../../tests/topic_sets/oracle.rs"]
mod oracle;

use exhook_policy_core::event::Action;
use exhook_policy_core::topic::Request;
use exhook_policy_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use oracle::{
    Bit, Expr, Level, Part, Pat, Rule, Who, compile, decided, expected, glob_of, received, regex_of, rule_matches,
    show, text, within,
};

fuzz_target!(|bytes: &[u8]| {
    let from = &mut Choices::of(bytes);
    let kinds = from.one(&[1, 1, 2, 3]);
    let who = Who { clientid: value(from), username: value(from) };
    let rules: Vec<Rule> = from.some(1, 3, |from| (from.flag(), from.some(1, 3, |from| pattern(from, kinds))));
    let compiled = compile(&rules);
    let patterns: Vec<Pat> = rules.iter().flat_map(|(_, patterns)| patterns.clone()).collect();
    for _ in 0..3 {
        let filter = asked(from);
        let topics = received(&filter, &patterns, &who);
        assert!(!topics.is_empty(), "{filter} receives nothing");
        let request = Request::parse(Action::Subscribe, &filter).unwrap();
        for (rule, (_, compiled)) in rules.iter().zip(&compiled) {
            let shown = show(std::slice::from_ref(rule));
            let hits = |allow| topics.iter().map(|topic| rule_matches(&rule.1, topic, &who, allow)).collect::<Vec<_>>();
            let all = hits(true).into_iter().all(|hit| hit);
            let any = hits(false).into_iter().any(|hit| hit);
            let (cover, touch) = (compiled.cover(&request, who.identity()), compiled.touch(&request, who.identity()));
            let exact = kinds == 1;
            assert!(cover == all || !(cover || exact), "{shown} cover {filter:?} for {who:?}: {cover}");
            assert!(touch == any || (touch && !exact), "{shown} touch {filter:?} for {who:?}: {touch}");
        }
        let allowed = decided(&compiled, Action::Subscribe, &filter, &who);
        // What one topic matches is exact, whatever the patterns.
        for topic in topics.iter().step_by(7) {
            let want = expected(&rules, std::slice::from_ref(topic), &who);
            for action in [Action::Publish, Action::Subscribe] {
                let found = decided(&compiled, action, topic, &who);
                assert_eq!(found, want, "{} on {topic:?} for {who:?}", show(&rules));
            }
            assert!(!allowed || want, "{} on {filter:?} at {topic:?} for {who:?}", show(&rules));
        }
        if from.are_over() {
            break;
        }
    }
});

fn value(from: &mut Choices<'_>) -> String {
    from.one(&["a", "b", "c", "#", "+", "a/b", "a+", "$SYS", "$", "", "aa", "é", "/", "*", "a\0"]).to_owned()
}

fn pattern(from: &mut Choices<'_>, kinds: usize) -> Pat {
    match from.below(kinds) {
        0 => filter(from),
        1 => glob_of(&from.some(1, 3, |from| (from.below(5) > 0).then(|| from.some(1, 2, glob_part)))),
        _ => {
            let parts = from.some(1, 3, |from| regex_part(from, 3));
            regex_of(parts)
        }
    }
}

fn filter(from: &mut Choices<'_>) -> Pat {
    let mut levels = from.some(1, 3, |from| match from.below(9) {
        0 | 1 => Level::Plus,
        2 => Level::Word(vec![Bit::Clientid]),
        3 => Level::Word(vec![Bit::Text("a"), Bit::Clientid]),
        4 => Level::Word(vec![Bit::Username, Bit::Clientid]),
        5 => Level::Word(vec![Bit::Username, Bit::Text("a")]),
        _ => Level::Word(vec![Bit::Text(from.one(&["a", "b", "", "$SYS", "aa"]))]),
    });
    if from.flag() {
        levels.truncate(2);
        levels.push(Level::Hash);
    }
    if let [Level::Word(bits)] = levels.as_slice()
        && bits == &[Bit::Text("")]
    {
        levels = vec![Level::Plus];
    }
    Pat::Filter(levels)
}

fn value_part(from: &mut Choices<'_>) -> Part {
    let bit = from.one(&[Bit::Clientid, Bit::Username]);
    (bit.source().to_owned(), Expr::Value(bit))
}

fn char_part(from: &mut Choices<'_>) -> Part {
    let c = from.one(&['a', 'b', 'é']);
    (c.to_string(), Expr::Char(c))
}

fn glob_part(from: &mut Choices<'_>) -> Part {
    let simple = |from: &mut Choices<'_>| match from.below(8) {
        0 => ("*".to_owned(), Expr::Star(Box::new(within()))),
        1 => ("?".to_owned(), within()),
        2 => ("[ab]".to_owned(), Expr::Set(false, vec!['a', 'b'])),
        3 => ("[!a]".to_owned(), Expr::Set(true, vec!['a', '/'])),
        4 => value_part(from),
        5 => ("[$]".to_owned(), Expr::Char('$')),
        _ => char_part(from),
    };
    if from.below(6) > 0 {
        return simple(from);
    }
    let branch = |from: &mut Choices<'_>| if from.flag() { simple(from) } else { ("a/b".to_owned(), text("a/b")) };
    let (texts, meanings): (Vec<String>, Vec<Expr>) = from.some(1, 2, branch).into_iter().unzip();
    (format!("{{{}}}", texts.join(",")), Expr::Either(meanings))
}

fn regex_part(from: &mut Choices<'_>, depth: usize) -> Part {
    let inner = |from: &mut Choices<'_>| regex_part(from, depth - 1);
    let kinds = if depth > 0 { 13 } else { 9 };
    match from.below(kinds) {
        0 | 1 => ("/".to_owned(), Expr::Char('/')),
        2 => (".".to_owned(), Expr::Any),
        3 => ("[ab]".to_owned(), Expr::Set(false, vec!['a', 'b'])),
        4 => ("[^/]".to_owned(), within()),
        5 => value_part(from),
        6 => ("\\$SYS".to_owned(), text("$SYS")),
        9 => {
            let (texts, meanings): (Vec<String>, Vec<Expr>) = from.some(1, 3, inner).into_iter().unzip();
            (texts.concat(), Expr::Seq(meanings))
        }
        10 => {
            let (texts, meanings): (Vec<String>, Vec<Expr>) = from.some(1, 3, inner).into_iter().unzip();
            (format!("({})", texts.join("|")), Expr::Either(meanings))
        }
        11 => {
            let (text, part) = inner(from);
            (format!("({text})*"), Expr::Star(Box::new(part)))
        }
        12 => {
            let (text, part) = inner(from);
            (format!("(?:{text})?"), Expr::Maybe(Box::new(part)))
        }
        _ => char_part(from),
    }
}

fn asked(from: &mut Choices<'_>) -> String {
    let mut words = from.some(0, 3, |from| from.one(&["+", "+", "a", "b", "", "$SYS", "aa"]));
    if from.flag() || words.is_empty() || words == [""] {
        words.push("#");
    }
    words.join("/")
}
