//! How it is, as metrics.

use std::sync::PoisonError;

use super::EngineShared;
use super::housekeeping::EngineStanding;
use super::reload::PolicyStanding;
use crate::clock::{Moment, now_ms};
use crate::metrics::text::MetricsPage;
use crate::state::status::{HookMismatch, RunningProcess};

/// All series.
pub(super) fn page(shared: &EngineShared, me: &RunningProcess) -> String {
    let mut page = MetricsPage::default();
    let standing = shared.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    page.gauge("build_info", "The program; always 1.")
        .value(&[("version", &me.version), ("sqlite", &me.sqlite), ("role", &me.role)], 1);
    page.gauge("start_time_seconds", "When the process started, Unix time.").seconds(&[], me.since);
    page.gauge("written_seconds", "When this page was made, Unix time.").seconds(&[], now_ms());
    policy(&mut page, shared, &standing);
    shared.meter.write(&mut page);
    let Some(core) = shared.core.load_full() else { return page.finish() };

    let mut decisions =
        page.counter("decisions_total", "Decisions by the rule that decided. One that never did has no series.");
    for rule in core.counts.read() {
        for (verdict, count) in [("allow", rule.allow), ("deny", rule.deny), ("ignore", rule.ignore)] {
            if count > 0 {
                decisions.value(&[("section", &rule.section), ("rule", &rule.rule), ("verdict", verdict)], count);
            }
        }
    }
    let mut queues = page.gauge("queue_length", "What waits: logins, events of the history, bytes of the capture.");
    for (queue, count) in core.queues() {
        queues.value(&[("queue", &queue)], count);
    }
    if !core.policy.limits().is_empty() {
        let mut bans = page.gauge("bans", "Bans that hold: of clients that failed, or came, too often.");
        for (why, count) in shared.around.limits.bans(Moment::now()) {
            bans.value(&[("why", why.as_str())], count as u64);
        }
    }
    if let Some(history) = &core.history {
        let lapses = history.lapses();
        let mut series = page.counter(
            "history_lapses_total",
            "Events outside the promise: answered before they were recorded, or not recorded at all.",
        );
        series.value(&[("kind", "answered_early")], lapses.answered_early);
        series.value(&[("kind", "not_kept")], lapses.dropped);
        let mut left_out = page.counter(
            "history_left_out_total",
            "What has no row of its own, since strangers sent more than there is room for in a minute.",
        );
        for (kind, count) in history.left_out().by_name() {
            left_out.value(&[("kind", kind)], count);
        }
    }
    page.counter("log_lines_dropped_total", "Lines that the console was too slow for.")
        .value(&[], shared.around.log.dropped());
    page.finish()
}

fn policy(page: &mut MetricsPage, shared: &EngineShared, standing: &EngineStanding) {
    let EngineStanding { policy, brokers } = standing;
    let PolicyStanding { since, is_last_good, fault, reloads, ready_in } = policy;
    let core = shared.core.load_full();
    page.gauge("policy_in_force", "Whether a policy is in force; without one everything is denied.")
        .value(&[], u64::from(core.is_some()));
    page.gauge("policy_file_valid", "Whether the policy file as it stands is in force, or will be.")
        .value(&[], u64::from(fault.is_none()));
    if let Some(core) = &core {
        page.gauge("policy_info", "The policy in force, by the SHA-256 of its file; always 1.").value(
            &[
                ("hash", core.hash.as_str()),
                ("mode", core.policy.mode().as_str()),
                ("last_good", if *is_last_good { "true" } else { "false" }),
            ],
            1,
        );
        page.gauge("policy_since_seconds", "Since when it is in force, Unix time.").seconds(&[], *since);
    }
    let mut taken = page.counter("reloads_total", "Changes of the policy file that were read.");
    taken.value(&[("result", "in_force")], reloads.good);
    taken.value(&[("result", "refused")], reloads.bad);
    page.gauge("reload_duration_seconds", "How long it took to make the last change ready.")
        .seconds(&[], i64::try_from(ready_in.as_millis()).unwrap_or(i64::MAX));
    let mistold: usize = brokers.iter().map(HookMismatch::count).sum();
    page.gauge(
        "hooks_mistold",
        "Hooks that brokers must register or give up, over all brokers; 1 for each broker whose hooks are not known.",
    )
    .value(&[], mistold as u64);
}
