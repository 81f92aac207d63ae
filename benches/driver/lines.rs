//! Lines over a logarithmic axis, as SVG that suits a light page and a dark one.

use std::fmt::Write as _;

use crate::plot::{Scale, number, page};
use crate::rows::Spread;

/// What several things take, by how many there are of something.
pub struct Chart {
    pub title: String,
    /// What is counted from left to right.
    pub counted: &'static str,
    /// Of the values.
    pub scale: Scale,
    pub lines: Vec<Line>,
}

/// One of them.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, Spread)>,
    /// Where no point should be above, as far as the line goes.
    pub goal: Option<f64>,
}

const LEFT: f64 = 64.0;
const RIGHT: f64 = 480.0;
/// Where the names stand.
const NAMES: f64 = RIGHT + 24.0;
const TITLE: f64 = 44.0;
const HEIGHT: f64 = 210.0;
/// For the powers of ten, and what is counted.
const BELOW: f64 = 46.0;
/// Between two names.
const ROW: f64 = 18.0;

/// The first colours are those of the bars.
const STYLE: &str = "\
.s3 { fill: #2f9e62; } .s4 { fill: #8a63d2; } .s5 { fill: #d1434b; } .s6 { fill: #14919b; }
.line { fill: none; stroke-width: 2; }
.goal { fill: none; stroke-dasharray: 5 4; }
.l1 { stroke: #2f81d6; } .l2 { stroke: #d98324; } .l3 { stroke: #2f9e62; }
.l4 { stroke: #8a63d2; } .l5 { stroke: #d1434b; } .l6 { stroke: #14919b; }
@media (prefers-color-scheme: dark) {
  .s3 { fill: #46b97a; } .s4 { fill: #a78bea; } .s5 { fill: #ee6a70; } .s6 { fill: #39b5bf; }
  .l1 { stroke: #4493f8; } .l2 { stroke: #e09b4a; } .l3 { stroke: #46b97a; }
  .l4 { stroke: #a78bea; } .l5 { stroke: #ee6a70; } .l6 { stroke: #39b5bf; }
}
";

/// Where values stand, from one place to another.
#[derive(Clone, Copy)]
struct Axis {
    scale: Scale,
    values: [f64; 2],
    places: [f64; 2],
}

impl Axis {
    fn at(self, value: f64) -> f64 {
        let on_scale = |value: f64| if self.scale == Scale::Log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let ([from, to], [begin, end]) = (self.values.map(on_scale), self.places);
        begin + (end - begin) * (on_scale(value) - from) / (to - from)
    }

    /// Values to be marked.
    fn marks(self) -> Vec<f64> {
        let [from, to] = self.values;
        match self.scale {
            Scale::Log => (-3..9).map(|power| 10_f64.powi(power)).filter(|mark| (from..=to).contains(mark)).collect(),
            Scale::Linear => {
                let rough = to / 5.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                (0..=5).map(|n| f64::from(n) * step).filter(|mark| *mark <= to).collect()
            }
        }
    }
}

/// The charts, below each other.
pub fn svg(charts: &[Chart]) -> String {
    let mut body = String::new();
    let mut y = 0.0;
    let mut series = 1;
    for chart in charts {
        chart.draw(&mut body, y, series);
        series += chart.lines.len();
        y += TITLE + HEIGHT + BELOW;
    }
    page(STYLE, &body, y + 8.0)
}

impl Chart {
    /// Draws from `top` on. The first line has the colour of this number.
    fn draw(&self, out: &mut String, top: f64, series: usize) {
        let title_y = top + 22.0;
        writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"{title_y}\">{}</text>", self.title).unwrap();
        let [across, up] = self.axes(top + TITLE);
        grid(out, across, up, self.counted);
        for (n, line) in (series..).zip(&self.lines) {
            line.draw(out, n, across, up);
        }
        self.names(out, up, series);
    }

    /// Of what is counted, and of the values.
    fn axes(&self, top: f64) -> [Axis; 2] {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::MIN_POSITIVE, f64::max);
        let counts = [least(&mut points().map(|point| point.0)), most(&mut points().map(|point| point.0))];
        let goals = self.lines.iter().filter_map(|line| line.goal);
        let largest = most(&mut points().map(|point| point.1.max).chain(goals));
        let values = match self.scale {
            Scale::Linear => [0.0, largest * 1.05],
            Scale::Log => [10_f64.powf(least(&mut points().map(|point| point.1.min)).log10().floor()), largest * 1.2],
        };
        let across = Axis { scale: Scale::Log, values: counts, places: [LEFT + 16.0, RIGHT] };
        [across, Axis { scale: self.scale, values, places: [top + HEIGHT, top] }]
    }

    /// The lines' names beside their ends, from the top down, and none over another.
    fn names(&self, out: &mut String, up: Axis, series: usize) {
        let end = |line: &Line| up.at(line.points.last().map_or(0.0, |point| point.1.median));
        let mut names: Vec<_> = (series..).zip(&self.lines).map(|(n, line)| (end(line), n, &line.name)).collect();
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = up.places[1];
        for (at, _, _) in &mut names {
            *at = at.max(free);
            free = *at + ROW;
        }
        // Those that were pushed below the axis push back.
        let mut free = up.places[0];
        for (at, _, _) in names.iter_mut().rev() {
            *at = at.min(free);
            free = *at - ROW;
        }
        for (at, n, name) in names {
            let (box_y, text_x, text_y) = (at - 5.5, NAMES + 17.0, at + 4.5);
            write!(out, "<rect class=\"s{n}\" x=\"{NAMES}\" y=\"{box_y:.1}\" width=\"11\" height=\"11\" rx=\"2\"/>")
                .unwrap();
            writeln!(out, "<text x=\"{text_x}\" y=\"{text_y:.1}\">{name}</text>").unwrap();
        }
    }
}

fn grid(out: &mut String, across: Axis, up: Axis, counted: &str) {
    let ([bottom, top], label_x) = (up.places, LEFT - 8.0);
    for mark in up.marks() {
        let y = up.at(mark);
        write!(out, "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>").unwrap();
        let (label, label_y) = (number(mark), y + 4.0);
        writeln!(out, "<text class=\"value\" x=\"{label_x}\" y=\"{label_y:.1}\" text-anchor=\"end\">{label}</text>")
            .unwrap();
    }
    for mark in across.marks() {
        let x = across.at(mark);
        write!(out, "<path class=\"axis\" d=\"M{x:.1} {top}V{bottom}\"/>").unwrap();
        let (label, y) = (number(mark), bottom + 17.0);
        writeln!(out, "<text class=\"value\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>").unwrap();
    }
    let (middle, y) = (f64::midpoint(LEFT, RIGHT), bottom + 34.0);
    writeln!(out, "<text class=\"value\" x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{counted}</text>").unwrap();
}

impl Line {
    fn draw(&self, out: &mut String, series: usize, across: Axis, up: Axis) {
        let ends = self.points.first().zip(self.points.last());
        if let Some((((first, _), (last, _)), goal)) = ends.zip(self.goal) {
            let (from, to, y) = (across.at(*first), across.at(*last), up.at(goal));
            writeln!(out, "<path class=\"goal l{series}\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>").unwrap();
        }
        let places: Vec<_> = self.points.iter().map(|(count, spread)| (across.at(*count), spread)).collect();
        let path: Vec<_> = places.iter().map(|(x, spread)| format!("{x:.1} {:.1}", up.at(spread.median))).collect();
        writeln!(out, "<path class=\"line l{series}\" d=\"M{}\"/>", path.join("L")).unwrap();
        for (x, spread) in places {
            let [min, median, max] = [spread.min, spread.median, spread.max].map(|value| up.at(value));
            if min - max > 1.0 {
                write!(out, "<path class=\"range\" d=\"M{x:.1} {min:.1}V{max:.1}\"/>").unwrap();
            }
            writeln!(out, "<circle class=\"s{series}\" cx=\"{x:.1}\" cy=\"{median:.1}\" r=\"4.5\"/>").unwrap();
        }
    }
}
