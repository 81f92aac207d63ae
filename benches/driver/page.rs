//! Writes the tables into the page, and the plots beside it.

use std::fs;
use std::path::Path;

use crate::SECTIONS;
use crate::figures::{Figures, Machine};
use crate::tables;

/// Remakes all that the figures say. A section without figures stays as it is.
pub fn write() {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let page = benches.join("README.md");
    let mut text = fs::read_to_string(&page).expect("the page");
    for (name, _) in SECTIONS {
        let Some(figures) = Figures::read(name) else { continue };
        let section = tables::section(name, &figures);
        let plot = format!("plots/{name}.svg");
        fs::write(benches.join(&plot), section.plot.svg()).expect("a plot");
        let facts = facts(&figures);
        text = replace(&text, name, &format!("{}\n{facts}\n\n![{name}]({plot})\n", section.table));
    }
    fs::write(page, text).expect("the page");
}

/// How and where it was measured.
fn facts(figures: &Figures) -> String {
    let Machine { cpu, cores, kernel, rustc, erlang, date, load } = &figures.machine;
    let (rounds, seconds) = (figures.rounds, figures.seconds);
    let rustc = rustc.split(" (").next().unwrap_or_default();
    format!(
        "Median (least – most) of {rounds} rounds of {seconds} s, {date}: {cores} cores of {cpu}, Linux {kernel}, {rustc}, \
         Erlang/OTP {erlang}; load average before: {load}."
    )
}

/// Puts a text between the marks of a section.
fn replace(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- figures of {name} -->\n"), format!("<!-- end of {name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("the page has no marks of {name}"));
    format!("{before}{begin}{text}{end}{after}")
}
