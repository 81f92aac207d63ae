//! Bars and points with their ranges, as SVG that suits a light page and a dark one.

use std::fmt::Write as _;

use crate::figures::Spread;

/// A diagram: panels below each other, with the same series in all.
pub struct Plot {
    pub series: Vec<&'static str>,
    pub panels: Vec<Panel>,
}

/// Values on a scale of their own.
pub struct Panel {
    pub title: String,
    pub scale: Scale,
    /// A label, and a bar for each series that has one.
    pub groups: Vec<(String, Vec<Option<Spread>>)>,
}

/// How a value becomes a length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Bars from zero.
    Linear,
    /// Points, with a line at each power of ten.
    Log,
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
        page("", &body, y + GAP)
    }
}

/// A page of this height with everything drawn on it, in this style besides the usual one.
pub fn page(style: &str, body: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}{style}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
    )
}

impl Panel {
    /// Draws from `y` on and gives where it ends.
    fn draw(&self, out: &mut String, y: f64) -> f64 {
        let at = self.places();
        writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"{}\">{}</text>", y + 22.0, self.title).unwrap();
        let top = y + TITLE;
        let rows = self.groups.iter().flat_map(|(_, bars)| bars).flatten().count() as f64;
        let bottom = top + rows * BAR + self.groups.len() as f64 * GAP;
        self.axis(out, &at, [top - 4.0, bottom - GAP + 2.0]);
        let mut y = top;
        for (label, bars) in &self.groups {
            let middle = y + BAR * bars.iter().flatten().count() as f64 / 2.0 + 4.5;
            writeln!(out, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{label}</text>", LEFT - 10.0).unwrap();
            for (n, bar) in bars.iter().enumerate().filter_map(|(n, bar)| Some((n, (*bar)?))) {
                self.bar(out, n, [bar.min, bar.median, bar.max].map(&at), y);
                let (x, base) = (at(bar.max) + 7.0, y + BAR / 2.0 + 3.0);
                writeln!(out, "<text class=\"value\" x=\"{x:.1}\" y=\"{base}\">{}</text>", number(bar.median)).unwrap();
                y += BAR;
            }
            y += GAP;
        }
        // The powers of ten stand below.
        if self.scale == Scale::Log { bottom + GAP } else { bottom }
    }

    /// Where a value stands.
    fn places(&self) -> impl Fn(f64) -> f64 + use<> {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars).flatten();
        let most = bars().map(|bar| bar.max).fold(f64::MIN_POSITIVE, f64::max);
        let least = bars().map(|bar| bar.min).filter(|min| *min > 0.0).fold(most, f64::min);
        let (from, to) = match self.scale {
            Scale::Linear => (0.0, most),
            Scale::Log => (least.log10().floor(), most.log10()),
        };
        let scale = self.scale;
        move |value| {
            let value = if scale == Scale::Log { value.max(f64::MIN_POSITIVE).log10().max(from) } else { value };
            LEFT + (RIGHT - LEFT) * (value - from) / (to - from)
        }
    }

    fn axis(&self, out: &mut String, at: impl Fn(f64) -> f64, [top, bottom]: [f64; 2]) {
        writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {top}V{bottom}\"/>").unwrap();
        for power in (-3..9).filter(|_| self.scale == Scale::Log).map(|power| 10_f64.powi(power)) {
            let x = at(power);
            // What is below the scale stands on its beginning.
            if (LEFT..=RIGHT).contains(&x) && (x > LEFT || at(power * 10.0) > x) {
                write!(out, "<path class=\"axis\" d=\"M{x:.1} {top}V{bottom}\"/>").unwrap();
                let (label, y) = (number(power), bottom + 13.0);
                writeln!(out, "<text class=\"value\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")
                    .unwrap();
            }
        }
    }

    fn bar(&self, out: &mut String, series: usize, [min, median, max]: [f64; 3], y: f64) {
        let (thick, center) = (BAR - 3.0, y + (BAR - 3.0) / 2.0);
        if self.scale == Scale::Linear {
            let width = median - LEFT;
            write!(out, "<rect class=\"s{series}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{thick}\"/>")
                .unwrap();
        }
        if max - min > 1.0 {
            write!(out, "<path class=\"range\" d=\"M{min:.1} {center}H{max:.1}").unwrap();
            for end in [min, max] {
                write!(out, "M{end:.1} {}v6", center - 3.0).unwrap();
            }
            write!(out, "\"/>").unwrap();
        }
        if self.scale == Scale::Log {
            write!(out, "<circle class=\"s{series}\" cx=\"{median:.1}\" cy=\"{center}\" r=\"5.5\"/>").unwrap();
        }
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
