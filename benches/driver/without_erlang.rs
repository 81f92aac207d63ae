//! What the page and the plots say of the benchmarks that need no Erlang, which leave their figures as rows.

use std::fmt::Write as _;

use crate::lines::{self, Chart, Line};
use crate::plot::{Scale, number};
use crate::rows::{Part, Report, Row, Spread};
use crate::tables::{Goal, Table, cell, ratio_cell};

/// The files of `cargo bench -p exhook-policy-benches --bench frames`, `history` and `grpc`.
pub const FILES: [&str; 3] = ["frames", "indexes", "grpc"];

/// A section of the page.
pub struct Section {
    pub name: &'static str,
    pub table: String,
    pub svg: Option<String>,
}

/// The sections of which there are figures.
pub fn sections(rows: &Report) -> Vec<Section> {
    let of = |part| rows.rows.iter().filter(|row| row.part == part).collect::<Vec<_>>();
    let mut sections = Vec::new();
    let mut add = |name, part, section: fn(&[&Row]) -> (String, Option<String>)| {
        let rows = of(part);
        if !rows.is_empty() {
            let (table, svg) = section(&rows);
            sections.push(Section { name, table, svg });
        }
    };
    add("frames", Part::Frames, frames);
    add("growth", Part::Growth, growth);
    add("worst", Part::Worst, worst);
    add("events", Part::Events, by_what);
    add("latency", Part::Latency, by_what);
    add("indexes", Part::Indexes, indexes);
    add("grpc", Part::Grpc, grpc);
    sections
}

fn frames(rows: &[&Row]) -> (String, Option<String>) {
    let mut table = Table::new(&["", "constant", "exhook-policy", "goal"]);
    for row in rows {
        table.row(&[
            &format!("{}: {}", row.case, measure(row)),
            &cell(row.constant),
            &cell(Some(row.ours)),
            &goal(row),
        ]);
    }
    (table.text, None)
}

/// A column a size, and a chart for each thing that there is more and more of.
fn growth(rows: &[&Row]) -> (String, Option<String>) {
    let mut sizes: Vec<usize> = rows.iter().filter_map(|row| row.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut head = vec!["µs a frame, with so many".to_owned()];
    head.extend(sizes.iter().map(|size| number(*size as f64)));
    head.extend(["last by first", "goal"].map(str::to_owned));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for case in cases(rows) {
        let of_case = of_case(rows, case);
        let mut cells = vec![case.to_owned()];
        cells.extend(
            sizes.iter().map(|size| cell(of_case.iter().find(|row| row.size == Some(*size)).map(|row| row.ours))),
        );
        let first = of_case[0].ours.median;
        let last = of_case[of_case.len() - 1];
        let factor = last.ours.median / first;
        cells.push(format!("{factor:.2}"));
        // Goals are kept to the nearest thousandth of a microsecond.
        let goal = last.goal.map(|goal| Goal::Most((goal / first * 10.0).round() / 10.0));
        cells.push(goal.map_or_else(String::new, |goal| goal.cell(Some(factor))));
        table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let chart = |title: &str, counted, of_rules: bool| {
        let cases = cases(rows).into_iter().filter(|case| case.ends_with("by rules") == of_rules);
        Chart {
            title: title.to_owned(),
            counted,
            scale: Scale::Linear,
            lines: cases.map(|case| line(case, &of_case(rows, case))).collect(),
        }
    };
    let charts = [
        chart("topic decisions, µs a frame; dashed: the goals", "rules", true),
        chart("logins, µs a frame; dashed: the goals", "entries of a list", false),
    ];
    (table.text, Some(lines::svg(&charts)))
}

fn worst(rows: &[&Row]) -> (String, Option<String>) {
    let mut table = Table::new(&["", "how many", "µs a frame", "ns for each of them"]);
    for row in rows {
        let size = row.size.unwrap_or(1) as f64;
        let each = number(row.ours.median * 1000.0 / size);
        table.row(&[&row.case, &number(size), &cell(Some(row.ours)), &each]);
    }
    let lines = cases(rows).into_iter().map(|case| line(case, &of_case(rows, case))).collect();
    let title = "µs a frame".to_owned();
    let chart = Chart { title, counted: "patterns of the policy, or words of the level", scale: Scale::Log, lines };
    (table.text, Some(lines::svg(&[chart])))
}

/// A row a case, and a column for everything that was measured of it.
fn by_what(rows: &[&Row]) -> (String, Option<String>) {
    let whats = whats(rows);
    let mut head = vec![String::new()];
    head.extend(whats.iter().filter_map(|what| rows.iter().find(|row| row.what == *what)).map(|row| measure(row)));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for case in cases(rows) {
        let mut cells = vec![case.to_owned()];
        cells.extend(whats.iter().map(|what| cell(ours(rows, case, what))));
        table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    (table.text, None)
}

/// The first form of the file is what the others are compared with.
fn indexes(rows: &[&Row]) -> (String, Option<String>) {
    let (cases, whats) = (cases(rows), whats(rows));
    let mut head = vec!["µs an event".to_owned()];
    head.extend(whats.iter().flat_map(|what| [(*what).to_owned(), "more than with the first".to_owned()]));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for case in &cases {
        let mut cells = vec![(*case).to_owned()];
        for what in &whats {
            let [plain, spread] = [cases[0], case].map(|case| ours(rows, case, what));
            let more = spread.zip(plain).filter(|_| *case != cases[0]);
            cells.push(cell(spread));
            cells.push(more.map_or_else(String::new, |(this, plain)| format!("{:+.2}", this.median - plain.median)));
        }
        table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    (table.text, None)
}

/// Ours beside the constant, with what is hoped for of their ratio.
fn grpc(rows: &[&Row]) -> (String, Option<String>) {
    let mut table = Table::new(&["", "constant", "exhook-policy", "ratio", "goal"]);
    for row in rows {
        let goal = match row.what.as_str() {
            "calls" => Goal::Least(0.9),
            "CPU a call" => Goal::Most(1.3),
            _ => Goal::None,
        };
        let goal = goal.cell(row.ratio.map(|ratio| ratio.median));
        let name = format!("{}: {}", row.case, measure(row).replace("calls, /s", "calls/s"));
        table.row(&[&name, &cell(row.constant), &cell(Some(row.ours)), &ratio_cell(row.ratio), &goal]);
    }
    (table.text, None)
}

fn line(case: &str, rows: &[&Row]) -> Line {
    let points = rows.iter().filter_map(|row| Some((row.size? as f64, row.ours))).collect();
    // What is code on the page is not on a plot.
    Line { name: case.replace('`', ""), points, goal: rows.last().and_then(|row| row.goal) }
}

fn of_case<'r>(rows: &[&'r Row], case: &str) -> Vec<&'r Row> {
    rows.iter().copied().filter(|row| row.case == case).collect()
}

fn ours(rows: &[&Row], case: &str, what: &str) -> Option<Spread> {
    rows.iter().find(|row| row.case == case && row.what == what).map(|row| row.ours)
}

/// Each once, in the order of the rows.
fn cases<'r>(rows: &[&'r Row]) -> Vec<&'r str> {
    let mut cases = Vec::new();
    for row in rows {
        if !cases.contains(&row.case.as_str()) {
            cases.push(row.case.as_str());
        }
    }
    cases
}

/// As [`cases`], of what was measured.
fn whats<'r>(rows: &[&'r Row]) -> Vec<&'r str> {
    let mut whats = Vec::new();
    for row in rows {
        if !whats.contains(&row.what.as_str()) {
            whats.push(row.what.as_str());
        }
    }
    whats
}

/// What was measured, with its unit.
fn measure(row: &Row) -> String {
    let mut measure = row.what.clone();
    if !row.unit.is_empty() {
        write!(measure, ", {}", if row.unit == "us" { "µs" } else { &row.unit }).unwrap();
    }
    measure
}

fn goal(row: &Row) -> String {
    row.goal.map_or_else(String::new, |goal| Goal::Most(goal).cell(Some(row.ours.median)))
}
