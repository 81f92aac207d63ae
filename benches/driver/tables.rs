//! What the page and the plots say of each section's figures.

use std::fmt::Write as _;

use crate::calls::{CALLERS, HOOKS};
use crate::figures::{Figures, Spread};
use crate::history;
use crate::place::{CONSTANT, OURS};
use crate::plot::{Panel, Plot, Scale, number};
use crate::python::PYTHON;
use crate::start;
use crate::storm::PHASES;

/// A section of the page: a table, and the plot behind it.
pub struct Section {
    pub table: String,
    pub plot: Plot,
}

/// What is hoped for of a value.
#[derive(Clone, Copy)]
pub enum Goal {
    Least(f64),
    Most(f64),
    None,
}

impl Goal {
    /// The goal, and whether the value reaches it.
    pub fn cell(self, value: Option<f64>) -> String {
        let (sign, bound, holds) = match self {
            Goal::Least(bound) => ("≥", bound, value.is_some_and(|value| value >= bound)),
            Goal::Most(bound) => ("≤", bound, value.is_some_and(|value| value <= bound)),
            Goal::None => return String::new(),
        };
        format!("{sign} {} {}", number(bound), if holds { "✓" } else { "**missed**" })
    }
}

/// The section of a name.
pub fn section(name: &str, figures: &Figures) -> Section {
    match name {
        "calls" => calls(figures),
        "paced" => paced(figures),
        "history" => connections(figures),
        "lock" => lock(figures),
        "start" => start(figures),
        "storm" => storm(figures),
        "python" => python(figures),
        other => panic!("no section {other}"),
    }
}

fn calls(figures: &Figures) -> Section {
    let mut table = Table::new(&["", "constant", "exhook-policy", "ratio", "goal"]);
    for hook in HOOKS {
        for callers in CALLERS {
            let what = format!("{hook}, {callers} callers");
            for (measure, unit, goal) in [
                ("calls_per_s", "calls/s", Goal::Least(0.95)),
                ("cpu_us", "CPU a call, µs", Goal::Most(1.5)),
                ("p50_us", "median, µs", Goal::None),
                ("p99_us", "p99, µs", Goal::None),
            ] {
                table.compared(figures, &format!("{}, {callers} callers: {unit}", short(hook)), &what, measure, goal);
            }
        }
    }
    let by_callers = |hook: &str, measure: &'static str| {
        CALLERS.map(|callers| (format!("{callers} callers"), format!("{hook}, {callers} callers"), measure)).to_vec()
    };
    let panels = HOOKS.into_iter().flat_map(|hook| {
        [("calls a second", "calls_per_s"), ("CPU a call, µs", "cpu_us")].map(|(title, measure)| {
            panel(figures, &format!("{}: {title}", short(hook)), &[CONSTANT, OURS], &by_callers(hook, measure))
        })
    });
    Section { table: table.text, plot: Plot { series: vec![CONSTANT, OURS], panels: panels.collect() } }
}

fn paced(figures: &Figures) -> Section {
    let mut table = Table::new(&["", "constant", "exhook-policy", "ratio", "goal"]);
    let measures = [("p50_us", "median"), ("p99_us", "p99"), ("max_us", "slowest")];
    for hook in HOOKS {
        for (measure, name) in measures {
            let goal = if measure == "p99_us" { Goal::Most(1.2) } else { Goal::None };
            table.compared(figures, &format!("{}: {name}, µs", short(hook)), hook, measure, goal);
        }
    }
    let panels = HOOKS.map(|hook| {
        let rows = [measures[0], measures[1]].map(|(measure, name)| (name.to_owned(), hook.to_owned(), measure));
        let title = format!("{} at 1,000 calls a second, µs", short(hook));
        Panel { scale: Scale::Log, ..panel(figures, &title, &[CONSTANT, OURS], &rows) }
    });
    Section { table: table.text, plot: Plot { series: vec![CONSTANT, OURS], panels: panels.into() } }
}

fn connections(figures: &Figures) -> Section {
    let what = history::WHAT;
    let mut table = Table::new(&["", "constant", "exhook-policy", "ratio", "goal"]);
    table.compared(figures, "calls/s", what, "calls_per_s", Goal::Least(0.6));
    let cpu = figures.spread(what, OURS, "cpu_us");
    let cells = [figures.spread(what, CONSTANT, "cpu_us"), cpu].map(cell);
    let goal = Goal::Most(8.0).cell(cpu.map(|cpu| cpu.median));
    table.row(&["CPU an event, µs", &cells[0], &cells[1], "", &goal]);
    table.compared(figures, "median, µs", what, "p50_us", Goal::None);
    table.compared(figures, "p99, µs", what, "p99_us", Goal::None);
    for (measure, name) in [("calls_per_s", "calls/s"), ("cpu_us", "CPU an event, µs"), ("p99_us", "p99, µs")] {
        let full = cell(figures.spread(what, history::FULL, measure));
        let ratio = ratio_cell(figures.ratio(what, [history::FULL, CONSTANT], measure));
        table.row(&[
            &format!("`sync: full`: {name}"),
            "",
            &full,
            if measure == "calls_per_s" { &ratio } else { "" },
            "",
        ]);
    }
    let series = [CONSTANT, OURS, history::FULL];
    let panels = [("calls a second", "calls_per_s"), ("CPU an event, µs", "cpu_us")]
        .map(|(title, measure)| panel(figures, title, &series, &[("64 callers".to_owned(), what.to_owned(), measure)]));
    Section { table: table.text, plot: Plot { series: series.into(), panels: panels.into() } }
}

fn lock(figures: &Figures) -> Section {
    let mut table = Table::new(&["", "undisturbed", "locked", "ratio", "goal"]);
    let phases = ["undisturbed", "locked"];
    let rows = [
        ("p50_us", "logins: median, µs"),
        ("p99_us", "logins: p99, µs"),
        ("max_us", "logins: slowest, µs"),
        ("late", "logins: timed out"),
        ("denied", "logins: denied"),
        ("event_p50_us", "connected: median, µs"),
        ("event_max_us", "connected: slowest, µs"),
        ("event_late", "connected: timed out"),
    ];
    for (measure, name) in rows {
        let [quiet, locked] = phases.map(|phase| figures.spread(phase, OURS, measure));
        let by_round = figures.values("undisturbed", OURS, measure).iter().zip(figures.values("locked", OURS, measure));
        let ratio = Spread::of(&by_round.map(|(quiet, locked)| locked / quiet).collect::<Vec<_>>());
        let ratio = ratio.filter(|_| measure.ends_with("_us"));
        let goal = match measure {
            "p99_us" => Goal::Most(1.2).cell(ratio.map(|ratio| ratio.median)),
            "late" | "event_late" => Goal::Most(0.0).cell(locked.map(|late| late.max)),
            _ => String::new(),
        };
        table.row(&[name, &cell(quiet), &cell(locked), &ratio_cell(ratio), &goal]);
    }
    let [told, lost] = ["told", "lost"].map(|measure| figures.spread("events", OURS, measure));
    let goal = Goal::Most(0.0).cell(lost.map(|lost| lost.max));
    table.row(&[
        "connected: not in the database afterwards",
        "",
        &format!("{} of {}", cell(lost), cell(told)),
        "",
        &goal,
    ]);
    let groups = ["p50_us", "p99_us", "max_us"].iter().zip(["median", "p99", "slowest"]);
    let groups = groups
        .map(|(measure, name)| (name.to_owned(), phases.map(|phase| figures.spread(phase, OURS, measure)).into()))
        .collect();
    let panels = vec![Panel {
        title: "logins while SQLite's write lock is held for 7 s, µs".to_owned(),
        scale: Scale::Log,
        groups,
    }];
    Section { table: table.text, plot: Plot { series: phases.into(), panels } }
}

fn start(figures: &Figures) -> Section {
    let what = "start";
    let drivers = [CONSTANT, OURS, start::RECORDING];
    let mut table = Table::new(&["", "constant", "exhook-policy", "goal", "with history"]);
    let rows = [
        ("init_ms", "answer to `init`, ms"),
        ("login_ms", "answer to the first login, ms"),
        ("rss_mib", "memory after 5,000 calls, MiB"),
        ("most_mib", "memory at most, MiB"),
    ];
    for (measure, name) in rows {
        let spreads = drivers.map(|driver| figures.spread(what, driver, measure));
        let [constant, ours, recording] = spreads;
        let goal = match measure {
            "rss_mib" => String::new(),
            "most_mib" => Goal::Most(8.0).cell(ours.map(|mib| mib.median)),
            _ => {
                let more = ours.zip(constant).map(|(ours, constant)| ours.median - constant.median);
                format!("{} more, {}", number(more.unwrap_or(f64::NAN)), Goal::Most(3.0).cell(more))
            }
        };
        table.row(&[name, &cell(constant), &cell(ours), &goal, &cell(recording)]);
    }
    let groups = |rows: [(&str, &'static str); 2]| rows.map(|(name, m)| (name.to_owned(), what.to_owned(), m));
    let panels = vec![
        panel(
            figures,
            "from the start to the answer, ms",
            &drivers,
            &groups([("init", "init_ms"), ("first login", "login_ms")]),
        ),
        panel(figures, "memory, MiB", &drivers, &groups([("after 5,000 calls", "rss_mib"), ("at most", "most_mib")])),
    ];
    Section { table: table.text, plot: Plot { series: drivers.into(), panels } }
}

fn storm(figures: &Figures) -> Section {
    let mut table = Table::new(&["", "value", "goal"]);
    let of = |what: &str, measure: &str| figures.spread(what, OURS, measure);
    let rows = [
        ("logins", "answered", "10,000 logins at once: answered", Goal::Least(10_000.0)),
        ("logins", "in_time", "within the deadline of 2 s", Goal::Least(10_000.0)),
        ("logins", "slowest_ms", "slowest answer, ms", Goal::Most(2000.0)),
        ("logins", "arriving_ms", "until the last one was read, ms", Goal::None),
        ("logins", "verified", "verified and allowed", Goal::None),
        ("logins", "hashes_at_most", "hashes that all cores can do in 2 s", Goal::None),
        ("logins", "hash_ms", "one login alone, ms", Goal::None),
        ("verified before", "logins", "those that were verified, again: logins", Goal::None),
        ("verified before", "allowed", "allowed", Goal::None),
        ("verified before", "all_ms", "all of them, ms", Goal::None),
        ("verified before", "cpu_ms", "CPU for all of them, ms", Goal::None),
        ("behind Erlang", "allowed", "behind Erlang: allowed", Goal::None),
        ("behind Erlang", "late", "timed out after the broker's 5 s", Goal::Most(0.0)),
        ("behind Erlang", "slowest_ms", "slowest answer as a caller sees it, ms", Goal::None),
    ];
    for (what, measure, name, goal) in rows {
        let spread = of(what, measure);
        let worst = spread.map(|spread| if matches!(goal, Goal::Least(_)) { spread.min } else { spread.max });
        table.row(&[name, &cell(spread), &goal.cell(worst)]);
    }
    for (measure, name) in [("p50_us", "median"), ("p99_us", "p99"), ("max_us", "slowest")] {
        for phase in PHASES {
            table.row(&[&format!("topic decisions {phase}: {name}, µs"), &cell(of(phase, measure)), ""]);
        }
    }
    let groups =
        PHASES.map(|phase| (phase.to_owned(), ["p50_us", "p99_us", "max_us"].map(|measure| of(phase, measure)).into()));
    let panels = vec![Panel {
        title: "topic decisions in a storm of 10,000 logins, µs".to_owned(),
        scale: Scale::Log,
        groups: groups.into(),
    }];
    Section { table: table.text, plot: Plot { series: vec!["median", "p99", "slowest"], panels } }
}

fn python(figures: &Figures) -> Section {
    let drivers = [CONSTANT, OURS, PYTHON];
    let mut table = Table::new(&["", "constant", "exhook-policy", "Python SDK", "exhook-policy by Python"]);
    let mut whats: Vec<(String, String)> = Vec::new();
    for hook in HOOKS {
        let named = |callers| (format!("{}, {callers} callers", short(hook)), format!("{hook}, {callers} callers"));
        whats.extend(CALLERS.map(named));
    }
    whats.push(("connections, 64 callers".to_owned(), history::WHAT.to_owned()));
    for (name, what) in &whats {
        for (measure, unit) in [("calls_per_s", "calls/s"), ("cpu_us", "CPU a call, µs"), ("p99_us", "p99, µs")] {
            let cells = drivers.map(|driver| cell(figures.spread(what, driver, measure)));
            let ratio = ratio_cell(figures.ratio(what, [OURS, PYTHON], measure));
            table.row(&[&format!("{name}: {unit}"), &cells[0], &cells[1], &cells[2], &ratio]);
        }
    }
    let at_64: Vec<_> = whats.iter().filter(|(name, _)| name.ends_with(" 64 callers")).collect();
    let panels = [("calls a second, 64 callers", "calls_per_s"), ("CPU a call, µs, 64 callers", "cpu_us")].map(
        |(title, measure)| {
            let label = |name: &str| name.split(',').next().unwrap_or_default().to_owned();
            let rows: Vec<_> = at_64.iter().map(|(name, what)| (label(name), what.clone(), measure)).collect();
            panel(figures, title, &drivers, &rows)
        },
    );
    Section { table: table.text, plot: Plot { series: drivers.into(), panels: panels.into() } }
}

fn short(hook: &str) -> &str {
    hook.trim_start_matches("client_")
}

/// Rows of a label, what was done and its measure.
fn panel(figures: &Figures, title: &str, drivers: &[&str], rows: &[(String, String, &str)]) -> Panel {
    let groups = rows.iter().map(|(label, what, measure)| {
        (label.clone(), drivers.iter().map(|driver| figures.spread(what, driver, measure)).collect())
    });
    Panel { title: title.to_owned(), scale: Scale::Linear, groups: groups.collect() }
}

/// A median and its range, which is left out where it tells nothing.
pub fn cell(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return String::new() };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
    if min == max { median } else { format!("{median} ({min} – {max})") }
}

/// The same of a ratio, all with as many places.
pub fn ratio_cell(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |Spread { median, min, max }| format!("{median:.2} ({min:.2} – {max:.2})"))
}

/// A table of the page.
pub struct Table {
    pub text: String,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        let mut table = Table { text: String::new() };
        table.row(head);
        let line: Vec<&str> = head.iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "---:" }).collect();
        writeln!(table.text, "|{}|", line.join("|")).unwrap();
        table
    }

    pub fn row(&mut self, cells: &[&str]) {
        writeln!(self.text, "| {} |", cells.join(" | ")).unwrap();
    }

    /// A row of the constant driver, ours and their ratio, which the goal is about.
    fn compared(&mut self, figures: &Figures, name: &str, what: &str, measure: &str, goal: Goal) {
        let ratio = figures.ratio(what, [OURS, CONSTANT], measure);
        let [constant, ours] = [CONSTANT, OURS].map(|driver| cell(figures.spread(what, driver, measure)));
        self.row(&[name, &constant, &ours, &ratio_cell(ratio), &goal.cell(ratio.map(|ratio| ratio.median))]);
    }
}
