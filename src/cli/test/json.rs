//! The results as one JSON document.

use std::io;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Answered, Covered, Ran, TestResults, TestedFile, wanting};
use crate::cli::check::json::{Checked, checked};
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::{Action, Client};
use exhook_policy_core::policy::model::ClientField;
use exhook_policy_core::policy::trace::Tried;
use exhook_policy_core::suite::{Question, Rule};

#[derive(Serialize)]
struct TestDocument<'a> {
    summary: TestSummary,
    files: Vec<TestFileJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coverage: Vec<PolicyCoverage<'a>>,
}

#[derive(Serialize)]
struct TestSummary {
    files: usize,
    /// That could not be run.
    unusable_files: usize,
    tests: usize,
    failed_tests: usize,
    cases: usize,
    failed_cases: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TestFileJson<'a> {
    Run { file: &'a str, policy: String, tests: Vec<OneTest<'a>> },
    Unusable { file: &'a str, reports: Vec<Checked<'a>> },
}

#[derive(Serialize)]
struct OneTest<'a> {
    name: &'a str,
    line: usize,
    passed: bool,
    cases: Vec<CaseJson<'a>>,
}

/// One of `authenticate`, `publish` and `subscribe` is there; `tried` and `wanting` are where it failed.
#[derive(Serialize)]
struct CaseJson<'a> {
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    called: Option<&'a str>,
    client: WholeClient<'a>,
    /// `given` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<&'a str>,
    /// With the rules in audit mode carried out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    would: bool,
    passed: bool,
    expected: RulingJson<'a>,
    decided: RulingJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<Vec<TriedRule<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanting: Option<String>,
}

/// A client in the form of an event, with the time at which it asks.
struct WholeClient<'a>(Client<'a>);

impl Serialize for WholeClient<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let WholeClient(client) = self;
        let mut map = serializer.serialize_map(None)?;
        for field in ClientField::in_events() {
            if let Some(value) = field.of(client) {
                map.serialize_entry(field.name(), &value)?;
            }
        }
        if let Some(at) = client.extra.at {
            map.serialize_entry("at", &at)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct RulingJson<'a> {
    verdict: Verdict,
    rule: &'a str,
}

#[derive(Serialize)]
struct TriedRule<'a> {
    rule: &'a str,
    line: usize,
    verdict: Verdict,
    outcome: String,
}

#[derive(Serialize)]
struct PolicyCoverage<'a> {
    policy: &'a str,
    rules: usize,
    decided: usize,
    percent: usize,
    enough: bool,
    missing: Vec<MissingRule<'a>>,
}

#[derive(Serialize)]
struct MissingRule<'a> {
    section: &'static str,
    rule: &'a str,
    line: Option<usize>,
}

/// Writes one object, with a line end.
pub(super) fn write(results: &TestResults<'_>, out: &mut impl io::Write) -> io::Result<()> {
    let count = results.count();
    let document = TestDocument {
        summary: TestSummary {
            files: count.files,
            unusable_files: count.errors,
            tests: count.tests,
            failed_tests: count.failed_tests,
            cases: count.cases,
            failed_cases: count.failed,
        },
        files: results.files.iter().map(file).collect(),
        coverage: results.coverage.iter().map(coverage).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn file<'a>(file: &'a TestedFile<'_>) -> TestFileJson<'a> {
    match &file.outcome {
        Ok(run) => TestFileJson::Run {
            file: &file.name,
            policy: run.suite.policy_file.display().to_string(),
            tests: run.tests.iter().map(test).collect(),
        },
        Err(reports) => TestFileJson::Unusable { file: &file.name, reports: reports.iter().map(checked).collect() },
    }
}

fn test<'a>(ran: &'a Ran<'_>) -> OneTest<'a> {
    OneTest {
        name: &ran.test.name,
        line: ran.test.line,
        passed: ran.failed().next().is_none(),
        cases: ran.cases.iter().map(case).collect(),
    }
}

fn case<'a>(answered: &'a Answered<'_>) -> CaseJson<'a> {
    let Answered { case, decision, trace } = answered;
    let password = match &case.question {
        Question::Authenticate(password) => Some(if password.is_empty() { "none" } else { "given" }),
        Question::Acl(..) => None,
    };
    let topic = |wanted| match &case.question {
        Question::Acl(action, topic) if *action == wanted => Some(topic.as_str()),
        Question::Acl(..) | Question::Authenticate(_) => None,
    };
    CaseJson {
        line: case.line,
        called: case.called.as_deref(),
        client: WholeClient(case.client.as_client()),
        authenticate: password,
        publish: topic(Action::Publish),
        subscribe: topic(Action::Subscribe),
        would: case.would,
        passed: trace.is_none(),
        expected: RulingJson { verdict: case.expected.verdict, rule: &case.expected.rule },
        decided: RulingJson { verdict: decision.verdict, rule: decision.rule },
        tried: trace.as_ref().map(|trace| trace.tried.iter().map(tried).collect()),
        wanting: trace.as_ref().and_then(|trace| wanting(answered, trace)),
    }
}

fn tried<'a>(tried: &'a Tried<'_>) -> TriedRule<'a> {
    TriedRule { rule: tried.id, line: tried.line, verdict: tried.verdict, outcome: tried.outcome.to_string() }
}

fn coverage<'a>(covered: &'a Covered<'_>) -> PolicyCoverage<'a> {
    let Covered { policy, coverage, is_short } = covered;
    let missing = |rule: Rule<'a>| MissingRule { section: rule.section.as_str(), rule: rule.id, line: rule.line };
    PolicyCoverage {
        policy,
        rules: coverage.total(),
        decided: coverage.decided(),
        percent: coverage.percent(),
        enough: !is_short,
        missing: coverage.missing().into_iter().map(missing).collect(),
    }
}
