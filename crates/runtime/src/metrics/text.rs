//! The text form of Prometheus, version 0.0.4.

use std::fmt::Write as _;

/// Before every name.
const PREFIX: &str = "exhook_policy_";

/// A page of series.
#[derive(Debug, Default)]
pub struct MetricsPage {
    text: String,
}

/// The values of one name.
#[derive(Debug)]
pub struct Series<'p> {
    page: &'p mut MetricsPage,
    name: &'static str,
}

/// The values of one name, each with the times below some bounds.
#[derive(Debug)]
pub struct Histogram<'p> {
    page: &'p mut MetricsPage,
    name: &'static str,
}

impl MetricsPage {
    /// A number that only grows. Its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.series(name, help, "counter")
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.series(name, help, "gauge")
    }

    /// Times by how long they are. Its name ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Histogram<'_> {
        self.head(name, help, "histogram");
        Histogram { page: self, name }
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text
    }

    fn series(&mut self, name: &'static str, help: &str, kind: &str) -> Series<'_> {
        self.head(name, help, kind);
        Series { page: self, name }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: &str) {
        let _ = write!(self.text, "{PREFIX}{name}{suffix}");
        let mut between = '{';
        for (label, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(self.text, "{between}{label}=\"{}\"", escaped(value));
            between = ',';
        }
        if between == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

impl Series<'_> {
    /// One value.
    pub fn value(&mut self, labels: &[(&str, &str)], value: u64) {
        self.page.line(self.name, "", labels, None, &value.to_string());
    }

    /// One value, of seconds, given in milliseconds.
    pub fn seconds(&mut self, labels: &[(&str, &str)], ms: i64) {
        let micros = u64::try_from(ms).unwrap_or(0).saturating_mul(1000);
        self.page.line(self.name, "", labels, None, &seconds(micros));
    }
}

impl Histogram<'_> {
    /// One value: for each bound in microseconds (`None` is without bound, and comes last) how many are up to it and beyond the one
    /// before, and their total in microseconds.
    pub fn value(&mut self, labels: &[(&str, &str)], counts: impl Iterator<Item = (Option<u64>, u64)>, total: u64) {
        let mut sum: u64 = 0;
        for (bound, count) in counts {
            sum = sum.saturating_add(count);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), seconds);
            self.page.line(self.name, "_bucket", labels, Some(&bound), &sum.to_string());
        }
        self.page.line(self.name, "_sum", labels, None, &seconds(total));
        self.page.line(self.name, "_count", labels, None, &sum.to_string());
    }
}

/// Microseconds as seconds, without needless zeros.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_prometheus_reads_it() {
        let mut page = MetricsPage::default();
        page.gauge("in_force", "Whether.").value(&[], 1);
        let mut decisions = page.counter("decisions_total", "Decisions.");
        decisions.value(&[("rule", "a\"b\\c\nd"), ("section", "acl")], 3);
        page.gauge("since_seconds", "Since.").seconds(&[], 1_700_000_000_123);
        assert_eq!(
            page.finish(),
            "# HELP exhook_policy_in_force Whether.\n# TYPE exhook_policy_in_force gauge\nexhook_policy_in_force 1\n\
             # HELP exhook_policy_decisions_total Decisions.\n# TYPE exhook_policy_decisions_total counter\n\
             exhook_policy_decisions_total{rule=\"a\\\"b\\\\c\\nd\",section=\"acl\"} 3\n\
             # HELP exhook_policy_since_seconds Since.\n# TYPE exhook_policy_since_seconds gauge\n\
             exhook_policy_since_seconds 1700000000.123\n"
        );
    }
}
