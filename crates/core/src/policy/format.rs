//! A policy's text in a uniform layout, comments kept.

use std::panic::catch_unwind;

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};

use super::diag::{Diagnostic, Diagnostics, Report};
use super::yaml::{self, Node, Yaml};

/// Columns of a line, as far as breaking lists and mappings helps.
const WIDTH: usize = 140;

/// Lays the text of a policy or of another YAML file out anew: indents of two, one blank between words, lists and
/// mappings in brackets on one line where they stood so and fit. Whatever the file says stays: the result is read
/// again and compared.
///
/// # Errors
/// The text is no YAML, which the report says; or the layout would have changed what it says.
pub fn format(text: &str, name: &str) -> Result<String, Refused> {
    let before = yaml::read(text).map_err(|diagnostic| Refused::Unreadable(Box::new(only(name, text, diagnostic))))?;
    let language =
        LanguageOptions { prefer_single_line: false, trim_trailing_zero: false, ..LanguageOptions::default() };
    let layout = LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() };
    let options = FormatOptions { layout, language };
    // The layout is made by a library that may panic on odd text; the reader above is not.
    let formatted = catch_unwind(|| pretty_yaml::format_text(text, &options)).ok().and_then(Result::ok);
    let Some(formatted) = formatted else { return Err(Refused::Beyond) };
    match yaml::read(&formatted) {
        Ok(after) if same(&before, &after) => Ok(formatted),
        Ok(_) | Err(_) => Err(Refused::Beyond),
    }
}

/// Why a text was left as it is.
#[derive(Debug)]
pub enum Refused {
    /// It is no YAML.
    Unreadable(Box<Report>),
    /// The layout would have changed its meaning, or could not be made.
    Beyond,
}

fn only(name: &str, text: &str, diagnostic: Diagnostic) -> Report {
    let mut found = Diagnostics::default();
    found.push(diagnostic);
    Report::new(name, text, found)
}

fn same(one: &Yaml, other: &Yaml) -> bool {
    match (&one.node, &other.node) {
        (Node::Seq(one), Node::Seq(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| same(&one.0, &other.0) && same(&one.1, &other.1))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = format(text, "rules.yaml").unwrap();
        assert_eq!(found, expected);
        assert_eq!(format(&found, "rules.yaml").unwrap(), expected, "again");
    }

    #[test]
    fn the_layout_is_made_uniform_and_comments_stay() {
        check("version:   1 # one\n", "version: 1 # one\n");
        check(
            "# head\nversion: 1\nacl:\n    # why\n    rules:\n    - {id: a,  allow: everyone, topics: [\"#\",'b']} # tail\n",
            "# head\nversion: 1\nacl:\n  # why\n  rules:\n    - { id: a, allow: everyone, topics: [\"#\", \"b\"] } # tail\n",
        );
        check("a: |\n  text # no comment\nb: >-\n  x\n", "a: |\n  text # no comment\nb: >-\n  x\n");
    }

    #[test]
    fn what_is_no_yaml_is_told_and_left() {
        let Err(Refused::Unreadable(report)) = format("a: [", "rules.yaml") else { panic!() };
        assert!(report.to_string().starts_with("error[yaml-syntax]: "), "{report}");
    }
}
