//! The names of types: one that several have says of none what it is.

use std::collections::BTreeMap;

use crate::tidy::{code, sources};

/// How many of a hundred names may be those of several types.
const MOST: usize = 10;

/// The type that a line defines. Types that belong to a trait are named by it, and do not count.
fn defined(line: &str) -> Option<&str> {
    let is_indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = match line.strip_prefix("pub(").and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest,
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    let mut words = line.split_whitespace();
    let is_type = match words.next()? {
        "struct" | "enum" | "union" | "trait" => true,
        "type" => !is_indented,
        _ => false,
    };
    let name = words.next().filter(|_| is_type)?;
    Some(name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap())
}

#[test]
fn a_definition_of_a_type_is_seen() {
    for line in [
        "struct Rule;",
        "pub struct Rule<'a> {",
        "    pub(crate) enum Rule {",
        "pub(in crate::a) type Rule =",
        "trait Rule: Send {",
    ] {
        assert_eq!(defined(line), Some("Rule"), "{line}");
    }
    for line in ["    type Error = Failed;", "impl Rule {", "let structure = 1;", "use a::Rule;", ""] {
        assert_eq!(defined(line), None, "{line}");
    }
}

#[test]
fn few_names_are_those_of_several_types() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources() {
        for name in code(&file, &text).lines().filter_map(defined) {
            names.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(names.len() > 500, "{} names", names.len());
    let repeated: Vec<_> = names.iter().filter(|(_, files)| files.len() > 1).collect();
    let share = repeated.len() * 100 / names.len();
    assert!(share <= MOST, "{share} % of {} names, of {MOST}: {repeated:#?}", names.len());
}
