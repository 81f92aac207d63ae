use proptest::prelude::*;

use super::{Limit, Machine, Table};
use crate::text::{Automaton, Identity, Work, hir, pieces};

const NOBODY: Identity<'static> = Identity { clientid: "", username: "" };

fn machine(regex: &str) -> Machine {
    Machine::build(&hir::parse_regex(&pieces(regex).unwrap()).unwrap(), Limit::Topic).unwrap()
}

/// What matching a text takes, and the answer.
fn steps(machine: &Machine, text: &str) -> (usize, bool) {
    let work = Work::unbounded();
    let matches = machine.matches(text, NOBODY, &work).unwrap();
    (work.spent(), matches)
}

#[test]
fn a_costly_regex_is_cheap_for_a_text_that_avoids_its_paths() {
    let machine = machine(".*a.{900}b");
    assert!(!steps(&machine, &"x".repeat(65_535)).1);
    assert!(steps(&machine, &"x".repeat(65_535)).0 < 500_000);
    assert!(steps(&machine, &"a".repeat(65_535)).0 > 50_000_000);
    assert!(steps(&machine, &format!("a{}b", "c".repeat(900))).1);
}

#[test]
fn the_same_text_takes_the_same_steps_again() {
    let machine = machine(".*a.{90}b");
    let texts = ["a".repeat(1000), "ab".repeat(500), "x".repeat(1000), "a".repeat(1000)];
    let first: Vec<usize> = texts.iter().map(|text| steps(&machine, text).0).collect();
    let again: Vec<usize> = texts.iter().rev().map(|text| steps(&machine, text).0).rev().collect();
    assert_eq!(first, again);
}

#[test]
fn where_the_work_ends_the_answer_is_not_known() {
    let machine = machine(".*a.{900}b");
    let text = format!("a{}b", "a".repeat(900));
    let (needed, _) = steps(&machine, &text);
    assert_eq!(machine.matches(&text, NOBODY, &Work::of(needed)), Some(true));
    assert_eq!(machine.matches(&text, NOBODY, &Work::of(needed - 1)), None);
    let table = Table::of(&self::machine("a.*b")).unwrap();
    let rest = format!("{}b", "a".repeat(4000));
    assert_eq!(table.is_match(&rest, &Work::of(502)), Some(true));
    assert_eq!(table.is_match(&rest, &Work::of(501)), None);
    assert_eq!(table.is_match(&rest, &Work::of(10)), None);
}

#[test]
fn words_cost_no_more_than_their_letters() {
    let words: Vec<String> = (0..1000).map(|n| format!("device-{n}")).collect();
    let words = machine(&format!("({})/.*", words.join("|")));
    assert!(words.cost().of(65_535) < Work::QUESTION, "{:?}", words.cost());
    let costly = machine(".*a.{900}b").cost();
    assert!(costly.of(65_535) > 100 * Work::QUESTION && costly.longest(Work::QUESTION) < 1000, "{costly:?}");
}

const PARTS: [&str; 22] = [
    "a",
    "b",
    "/",
    ".",
    "[^/]",
    "[a-é]",
    "(a|b/)",
    "a*",
    "(ab|[^a])+",
    "b?",
    ".*",
    "^",
    "$",
    "(^a|b$)",
    "[0-9]{2,3}",
    r"\b",
    r"\B",
    r"(?-u:\b)",
    "(?m:^)",
    "(?m:$)",
    "(?mR:$)",
    r"\b{start-half}",
];

proptest! {
    #[test]
    fn a_machine_says_what_the_engines_say(
        parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..7),
        texts in proptest::collection::vec("[ab/é0-9\r\n ]{0,7}", 40),
    ) {
        let text = parts.concat();
        let parsed = hir::parse_regex(&pieces(&text).unwrap()).unwrap();
        let machine = Machine::build(&parsed, Limit::Topic).unwrap();
        let oracle = hir::oracle(parsed);
        for one in &texts {
            prop_assert_eq!(steps(&machine, one).1, oracle(one), "{} on {:?}", text, one);
        }
    }

    #[test]
    fn matching_takes_no_more_than_its_cost(
        parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..9),
        texts in proptest::collection::vec("[ab/0]{0,60}", 20),
    ) {
        let hir = hir::parse_regex(&pieces(&parts.concat()).unwrap()).unwrap();
        let automaton = Automaton::new(&hir, Limit::Topic).unwrap();
        let prefix = automaton.machine().prefix();
        for text in &texts {
            let (taken, _) = steps(automaton.machine(), text);
            let most = automaton.machine().cost().of(text.chars().count() + 1);
            prop_assert!(taken <= most, "{:?} on {}: {} of {}", parts, text, taken, most);
            if let Some(rest) = text.strip_prefix(&*prefix) {
                let work = Work::unbounded();
                automaton.matches(text, rest, NOBODY, &work);
                prop_assert!(work.spent() <= automaton.cost().of(text.chars().count() + 1));
            }
        }
    }
}
