//! What a broker did, for people.

use std::io::{self, Write};

use super::{BrokerResults, TriedFile};
use crate::broker_tests::{BrokerOutcome, TriedCase};
use crate::cli::test::human::said;
use crate::cli::test::{counted, plain};
use exhook_policy_core::event::Shown;
use exhook_policy_core::suite::Case;

/// Writes the headline, what failed, what could not be tried, and a line for each file.
pub(super) fn write(results: &BrokerResults<'_>, out: &mut impl Write) -> io::Result<()> {
    if let Some(headline) = results.summary.headline() {
        writeln!(out, "{headline}\n")?;
    }
    for file in &results.files {
        match &file.outcome {
            Err(reports) => reports.iter().try_for_each(|report| writeln!(out, "{report}"))?,
            Ok(run) => {
                run.tried.iter().filter(|one| one.outcome.is_failure()).try_for_each(|one| failure(file, one, out))?;
                run.tried.iter().try_for_each(|one| skipped(file, one, out))?;
            }
        }
    }
    if results.summary.skipped > 0 {
        writeln!(out)?;
    }
    results.files.iter().try_for_each(|file| summary(file, results.broker, out))?;
    let ran = |file: &TriedFile<'_>| file.outcome.as_ref().is_ok_and(|run| run.ended.is_none());
    if results.summary.passed == 0 && results.summary.failed == 0 && results.files.iter().all(ran) {
        writeln!(out, "no case could be tried")?;
    }
    Ok(())
}

/// Who asks: what the client itself says of itself.
pub(super) fn asker(case: &Case) -> String {
    let called = case.called.as_ref().map(|name| format!("{}: ", plain(name))).unwrap_or_default();
    format!("{called}clientid={} username={}", Shown(&case.client.clientid), Shown(&case.client.username))
}

fn failure(file: &TriedFile<'_>, tried: &TriedCase<'_>, out: &mut impl Write) -> io::Result<()> {
    let TriedCase { test, case, version, outcome } = tried;
    writeln!(out, "FAILED {}:{}: {}", file.name, case.line, plain(&test.name))?;
    writeln!(out, "  {}, by {}, over {version}", case.question, asker(case))?;
    writeln!(out, "  expected {}: {outcome}\n", said(case.expected.verdict, &case.expected.rule))
}

fn skipped(file: &TriedFile<'_>, tried: &TriedCase<'_>, out: &mut impl Write) -> io::Result<()> {
    let TriedCase { case, version, outcome, .. } = tried;
    match outcome {
        BrokerOutcome::Skipped(reason) => {
            writeln!(out, "not tried {}:{}: {} over {version}: {reason}", file.name, case.line, case.question)
        }
        BrokerOutcome::Passed | BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) => {
            Ok(())
        }
    }
}

fn summary(file: &TriedFile<'_>, broker: &str, out: &mut impl Write) -> io::Result<()> {
    let name = &file.name;
    let Ok(run) = &file.outcome else { return writeln!(out, "{name}: not run") };
    let count = |wanted: fn(&BrokerOutcome) -> bool| run.tried.iter().filter(|one| wanted(&one.outcome)).count();
    let failed = count(BrokerOutcome::is_failure);
    let passed = count(|outcome| *outcome == BrokerOutcome::Passed);
    let skipped = run.tried.len().saturating_sub(failed).saturating_sub(passed);
    let cases = counted(run.tried.len(), "case");
    writeln!(out, "{name} at {broker}: {cases}, {passed} passed, {failed} failed, {skipped} not tried")?;
    run.ended.iter().try_for_each(|why| writeln!(out, "{name} at {broker}: ended before its end: {why}"))
}
