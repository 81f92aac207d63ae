//! Writes the tables into the page, and the plots beside it.

use std::fs;
use std::path::Path;

use crate::SECTIONS;
use crate::figures::{Figures, Machine};
use crate::rows::Report;
use crate::tables;
use crate::without_erlang;

/// Remakes all that the figures say. A section without figures stays as it is.
pub fn write() {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = benches.join("README.md");
    let mut text = fs::read_to_string(&page).expect("the page");
    let mut put = |name: &str, table: &str, facts: &str, svg: Option<String>| {
        let plot = svg.map_or_else(String::new, |svg| {
            let plot = format!("plots/{name}.svg");
            fs::write(benches.join(&plot), svg).expect("a plot");
            format!("\n![{name}]({plot})\n")
        });
        let section = format!("{table}\n{facts}\n{plot}");
        text = replace(&text, name, &section);
    };
    for (name, _) in SECTIONS {
        let Some(figures) = Figures::read(name) else { continue };
        let section = tables::section(name, &figures);
        let rounds = format!("{} rounds of {} s", figures.rounds, figures.seconds);
        put(name, &section.table, &facts(&rounds, &figures.machine), Some(section.plot.svg()));
    }
    for file in without_erlang::FILES {
        let Some(rows) = Report::read(file) else { continue };
        for section in without_erlang::sections(&rows) {
            put(section.name, &section.table, &facts(&format!("{} rounds", rows.rounds), &rows.machine), section.svg);
        }
    }
    fs::write(page, text).expect("the page");
}

/// How and where it was measured.
fn facts(rounds: &str, machine: &Machine) -> String {
    let Machine { cpu, cores, kernel, rustc, erlang, date, load } = machine;
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let erlang = erlang.as_ref().map_or_else(String::new, |release| format!(", Erlang/OTP {release}"));
    format!(
        "Median (least – most) of {rounds}, {date}: {cores} cores of {cpu}, Linux {kernel}, {rustc}{erlang}; \
         load average before: {load}."
    )
}

/// Puts a text between the marks of a section.
fn replace(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- figures of {name} -->\n"), format!("<!-- end of {name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("the page has no marks of {name}"));
    format!("{before}{begin}{text}{end}{after}")
}
