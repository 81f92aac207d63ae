//! Counters and times, in the text form of Prometheus.
//!
//! - [`Meter`]: how the calls of each hook were answered, and how long that took. Counting costs some atomic additions.
//! - [`text`]: series of numbers, written.
//! - [`export`], `listen`: where they are to be had: a file, or a port of this machine.

pub mod export;
mod listen;
pub mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exhook_policy_core::decision::Answer;
use exhook_policy_core::hook::Hook;

/// The upper bounds of the times that are told apart: microseconds.
const BOUNDS: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 2_000_000, 5_000_000];

/// What became of the calls of each hook since the process started.
#[derive(Debug)]
pub struct Meter {
    hooks: [OfHook; Hook::ALL.len()],
}

#[derive(Debug, Default)]
struct OfHook {
    /// Allowed, denied, left to the broker.
    answers: [AtomicU64; 3],
    /// How many took no longer than each bound, and longer than the one before it; and those beyond all.
    times: [AtomicU64; BOUNDS.len() + 1],
    /// Microseconds altogether.
    total: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Meter { hooks: std::array::from_fn(|_| OfHook::default()) }
    }
}

impl Meter {
    /// Takes note that so many calls of a hook were answered so, each after this time.
    pub fn answered(&self, hook: Hook, answer: Answer, took: Duration, count: u64) {
        let Some(OfHook { answers: [allow, deny, no_opinion], times, total }) = self.hooks.get(hook as usize) else {
            return;
        };
        let answers = match answer {
            Answer::Allow => allow,
            Answer::Deny => deny,
            Answer::NoOpinion => no_opinion,
        };
        answers.fetch_add(count, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(time) = times.get(place) {
            time.fetch_add(count, Ordering::Relaxed);
        }
        total.fetch_add(micros.saturating_mul(count), Ordering::Relaxed);
    }

    /// Writes the series of the hooks that were called.
    pub fn write(&self, page: &mut text::MetricsPage) {
        let called = || {
            let hooks = Hook::ALL.iter().zip(&self.hooks);
            hooks.filter(|(_, of)| of.answers.iter().any(|count| count.load(Ordering::Relaxed) > 0))
        };
        let mut answers = page.counter("answers_total", "Calls of the broker that were answered.");
        for (hook, of) in called() {
            for (word, count) in ["allow", "deny", "no_opinion"].iter().zip(&of.answers) {
                answers.value(&[("hook", hook.point()), ("answer", word)], count.load(Ordering::Relaxed));
            }
        }
        let mut times =
            page.histogram("answer_duration_seconds", "From a call's arrival until its answer was handed over.");
        for (hook, of) in called() {
            let counts = of.times.iter().map(|count| count.load(Ordering::Relaxed));
            let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
            times.value(&[("hook", hook.point())], bounds.zip(counts), of.total.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_hook_and_time() {
        let meter = Meter::default();
        let micros = Duration::from_micros;
        meter.answered(Hook::ClientAuthenticate, Answer::Allow, micros(50), 2);
        meter.answered(Hook::ClientAuthenticate, Answer::Deny, micros(51), 1);
        meter.answered(Hook::ClientAuthenticate, Answer::Deny, micros(6_000_000), 1);
        let mut page = text::MetricsPage::default();
        meter.write(&mut page);
        let page = page.finish();
        let has = |line: &str| assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
        has("exhook_policy_answers_total{hook=\"client.authenticate\",answer=\"allow\"} 2");
        has("exhook_policy_answers_total{hook=\"client.authenticate\",answer=\"deny\"} 2");
        has("exhook_policy_answer_duration_seconds_bucket{hook=\"client.authenticate\",le=\"0.00005\"} 2");
        has("exhook_policy_answer_duration_seconds_bucket{hook=\"client.authenticate\",le=\"0.0001\"} 3");
        has("exhook_policy_answer_duration_seconds_bucket{hook=\"client.authenticate\",le=\"5\"} 3");
        has("exhook_policy_answer_duration_seconds_bucket{hook=\"client.authenticate\",le=\"+Inf\"} 4");
        has("exhook_policy_answer_duration_seconds_sum{hook=\"client.authenticate\"} 6.000151");
        has("exhook_policy_answer_duration_seconds_count{hook=\"client.authenticate\"} 4");
        assert!(!page.contains("client.connected"), "a hook that is never called has no series");
    }
}
