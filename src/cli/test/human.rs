//! The results for people.

use std::fmt::Write as _;
use std::io;

use super::{Answered, Covered, SuiteRun, TestCount, TestResults, TestedFile, counted, plain, wanting};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Shown;
use exhook_policy_core::event::owned::OwnedClient;
use exhook_policy_core::policy::brokers::Brokers;
use exhook_policy_core::policy::model::{ClientField, FlagField, HostField, PortField, TextField};
use exhook_policy_core::policy::trace::Trace;
use exhook_policy_core::policy::when::Zone;
use exhook_policy_core::suite::{Case, Suite};

/// Writes the failures, then a line for each file and for all.
pub(super) fn write(results: &TestResults<'_>, out: &mut impl io::Write) -> io::Result<()> {
    for file in &results.files {
        match &file.outcome {
            Ok(run) => out.write_all(failures(file, run).as_bytes())?,
            Err(reports) => reports.iter().try_for_each(|report| writeln!(out, "{report}"))?,
        }
    }
    for file in &results.files {
        writeln!(out, "{}", summary(file))?;
    }
    for covered in &results.coverage {
        write!(out, "{}", coverage(covered, results.least))?;
    }
    if results.files.len() > 1 {
        writeln!(out, "{}", total(&results.count()))?;
    }
    Ok(())
}

fn failures(file: &TestedFile<'_>, run: &SuiteRun<'_>) -> String {
    let mut told = String::new();
    for test in &run.tests {
        for (answered, trace) in test.failed() {
            let _ = writeln!(told, "FAILED {}:{}: {}", file.name, answered.case.line, plain(&test.test.name));
            told.push_str(&failure(run.suite, answered, trace));
            told.push('\n');
        }
    }
    told
}

/// What was asked, what was expected and what came, and why.
pub(super) fn failure(suite: &Suite, answered: &Answered<'_>, trace: &Trace<'_>) -> String {
    let Answered { case, decision, .. } = answered;
    let expected = said(case.expected.verdict, &case.expected.rule);
    let mut told = format!("  {}, by {}\n", case.question, asker(case));
    if case.would {
        told.push_str("  with the rules in audit mode carried out\n");
    }
    let _ = writeln!(told, "  expected {expected}, got {}", said(decision.verdict, decision.rule));
    if let Some(wanting) = wanting(answered, trace) {
        let _ = writeln!(told, "  {wanting}");
    }
    if !trace.tried.is_empty() {
        let _ = writeln!(told, "  by the rules of {}:", suite.policy_file.display());
    }
    for tried in &trace.tried {
        let _ = writeln!(told, "    {tried}");
    }
    told
}

pub(super) fn said(verdict: Verdict, rule: &str) -> String {
    format!("{} {rule}", verdict.as_str())
}

/// Who asks: what sets the client apart from others.
fn asker(case: &Case) -> String {
    let client = case.client.as_client();
    let mut told = case.called.as_ref().map(|name| format!("{}: ", plain(name))).unwrap_or_default();
    let _ = write!(told, "{client} sockport={}", client.sockport);
    for (name, value, usual) in [("mountpoint", client.mountpoint, ""), ("protocol", client.protocol, "mqtt")] {
        if value != usual {
            let _ = write!(told, " {name}={}", Shown(value));
        }
    }
    let usual = OwnedClient { extra: Brokers::default().usual_extra().into(), ..OwnedClient::named("") };
    let usual = usual.as_client();
    for field in TextField::ALL.iter().filter(|field| field.told_by().is_some()) {
        if let Some(value) = field.of(&client).filter(|value| field.of(&usual) != Some(value)) {
            let _ = write!(told, " {}={}", field.name(), Shown(value));
        }
    }
    let hosts = HostField::ALL.iter().map(|field| ClientField::Host(*field));
    let ports = PortField::ALL.iter().map(|field| ClientField::Port(*field));
    for field in hosts.chain(ports).filter(|field| field.told_by().is_some()) {
        if let Some(value) = field.of(&client).filter(|value| field.of(&usual) != Some(*value)) {
            let _ = write!(told, " {}={value}", field.name());
        }
    }
    if let Some(at) = client.extra.at {
        let _ = write!(told, " at={}", Zone::utc().exactly(at));
    }
    for field in FlagField::ALL {
        if field.of(&client) == Some(true) {
            let _ = write!(told, " {}=true", field.name());
        }
    }
    told
}

fn summary(file: &TestedFile<'_>) -> String {
    let name = &file.name;
    match &file.outcome {
        Err(_) => format!("{name}: not run"),
        Ok(run) => {
            let cases: usize = run.tests.iter().map(|test| test.cases.len()).sum();
            let failed: usize = run.tests.iter().map(|test| test.failed().count()).sum();
            let of = format!("{} in {}", counted(cases, "case"), counted(run.tests.len(), "test"));
            if failed == 0 { format!("{name}: {of}, fine") } else { format!("{name}: {of}, {failed} failed") }
        }
    }
}

fn total(count: &TestCount) -> String {
    let of = format!(
        "{}: {} in {}",
        counted(count.files, "file"),
        counted(count.cases, "case"),
        counted(count.tests, "test")
    );
    match (count.failed, count.errors) {
        (0, 0) => format!("{of}, fine"),
        (failed, 0) => format!("{of}, {failed} failed"),
        (0, errors) => format!("{of}; {} not run", counted(errors, "file")),
        (failed, errors) => format!("{of}, {failed} failed; {} not run", counted(errors, "file")),
    }
}

/// How many rules decided a case, and those that did not.
pub(super) fn coverage(covered: &Covered<'_>, least: Option<u8>) -> String {
    let Covered { policy, coverage, is_short } = covered;
    let (decided, total) = (coverage.decided(), coverage.total());
    let short = least.filter(|_| *is_short).map(|least| format!(", and {least} % is the least")).unwrap_or_default();
    let mut told =
        format!("{policy}: {decided} of {} decided a case, {} %{short}\n", counted(total, "rule"), coverage.percent());
    for rule in coverage.missing() {
        let line = rule.line.map(|line| format!(":{line}")).unwrap_or_default();
        let section = rule.section.as_str();
        let what = match rule.line {
            Some(_) => format!("rule `{}` of `{section}`", rule.id),
            None => format!("the default of `{section}`"),
        };
        let _ = writeln!(told, "  {policy}{line}: {what} decided none");
    }
    told
}
