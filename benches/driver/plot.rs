//! Bars with their ranges, as SVG that suits a light page and a dark one.

use std::fmt::Write as _;

use crate::figures::Spread;

/// A diagram: panels below each other, with the same series in all.
pub struct Plot {
    pub series: Vec<&'static str>,
    pub panels: Vec<Panel>,
}

/// Bars on a scale of their own.
pub struct Panel {
    pub title: String,
    /// A label, and a bar for each series that has one.
    pub groups: Vec<(String, Vec<Option<Spread>>)>,
}

const WIDTH: f64 = 760.0;
/// Where bars begin, and where the longest range ends.
const LEFT: f64 = 165.0;
const RIGHT: f64 = 660.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;
const TITLE: f64 = 34.0;
const LEGEND: f64 = 36.0;

const STYLE: &str = "
text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.value { font-size: 12px; fill: #59636e; }
.page { fill: #ffffff; }
.axis { stroke: #d1d9e0; }
.range { stroke: #1f2328; stroke-width: 1.5; }
.s0 { fill: #9aa4af; } .s1 { fill: #2f81d6; } .s2 { fill: #d98324; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .value { fill: #9198a1; }
  .page { fill: #0d1117; }
  .axis { stroke: #3d444d; }
  .range { stroke: #e6edf3; }
  .s0 { fill: #767f89; } .s1 { fill: #4493f8; } .s2 { fill: #e09b4a; }
}
";

impl Plot {
    pub fn svg(&self) -> String {
        let mut body = String::new();
        let mut x = LEFT;
        for (n, name) in self.series.iter().enumerate() {
            let (box_y, text_y, text_x) = (12.0, 23.0, x + 19.0);
            write!(body, "<rect class=\"s{n}\" x=\"{x}\" y=\"{box_y}\" width=\"13\" height=\"13\" rx=\"2\"/>").unwrap();
            writeln!(body, "<text x=\"{text_x}\" y=\"{text_y}\">{name}</text>").unwrap();
            x += 50.0 + 7.2 * name.len() as f64;
        }
        let mut y = LEGEND;
        for panel in &self.panels {
            y = panel.draw(&mut body, y);
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
             <style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
            height = y + GAP
        )
    }
}

impl Panel {
    /// Draws from `y` on and gives where it ends.
    fn draw(&self, out: &mut String, y: f64) -> f64 {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars).flatten();
        let longest = bars().map(|bar| bar.max).fold(f64::MIN_POSITIVE, f64::max);
        let at = |value: f64| LEFT + (RIGHT - LEFT) * value / longest;
        writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"{}\">{}</text>", y + 22.0, self.title).unwrap();
        let top = y + TITLE;
        let mut y = top;
        for (label, bars) in &self.groups {
            let middle = y + BAR * bars.iter().flatten().count() as f64 / 2.0 + 4.5;
            writeln!(out, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{label}</text>", LEFT - 10.0).unwrap();
            for (n, bar) in bars.iter().enumerate().filter_map(|(n, bar)| Some((n, (*bar)?))) {
                let (width, thick, center) = (at(bar.median) - LEFT, BAR - 3.0, y + (BAR - 3.0) / 2.0);
                write!(out, "<rect class=\"s{n}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{thick}\"/>")
                    .unwrap();
                let (from, to) = (at(bar.min), at(bar.max));
                if to - from > 1.0 {
                    write!(out, "<path class=\"range\" d=\"M{from:.1} {center}H{to:.1}").unwrap();
                    for end in [from, to] {
                        write!(out, "M{end:.1} {}v6", center - 3.0).unwrap();
                    }
                    write!(out, "\"/>").unwrap();
                }
                let (x, base) = (to.max(at(bar.median)) + 7.0, center + 4.5);
                writeln!(out, "<text class=\"value\" x=\"{x:.1}\" y=\"{base}\">{}</text>", number(bar.median)).unwrap();
                y += BAR;
            }
            y += GAP;
        }
        let (from, to) = (top - 4.0, y - GAP + 2.0);
        writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {from}V{to}\"/>").unwrap();
        y
    }
}

/// With as many places as tell something, and thousands apart.
pub fn number(value: f64) -> String {
    let rounded = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    if value.abs() < 100.0 {
        let short = rounded.trim_end_matches('0').trim_end_matches('.');
        return if short == "-0" { "0".to_owned() } else { short.to_owned() };
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
