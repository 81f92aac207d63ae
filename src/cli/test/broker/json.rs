//! What a broker did, as one JSON document.

use std::io::{self, Write};

use serde::Serialize;

use super::{BrokerResults, TriedFile};
use crate::broker_tests::{BrokerOutcome, TriedCase};
use crate::cli::check::json::{Checked, checked};
use crate::mqtt::MqttVersion;
use exhook_policy_core::decision::Verdict;
use exhook_policy_core::event::Action;
use exhook_policy_core::suite::Question;

#[derive(Serialize)]
struct BrokerTestDocument<'a> {
    summary: Total<'a>,
    files: Vec<TriedFileJson<'a>>,
}

#[derive(Serialize)]
struct Total<'a> {
    broker: &'a str,
    cases: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    /// That the broker does not enforce the policy, or a half of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TriedFileJson<'a> {
    Run {
        file: &'a str,
        policy: String,
        cases: Vec<TriedCaseJson<'a>>,
        /// Why it did not go on to the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended: Option<&'a str>,
    },
    Unusable {
        file: &'a str,
        reports: Vec<Checked<'a>>,
    },
}

/// One of `authenticate`, `publish` and `subscribe` is there.
#[derive(Serialize)]
struct TriedCaseJson<'a> {
    test: &'a str,
    line: usize,
    mqtt: &'static str,
    clientid: &'a str,
    username: &'a str,
    /// `given` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<&'a str>,
    expected: Verdict,
    rule: &'a str,
    /// `passed`, `failed` or `skipped`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// Writes one object, with a line end.
pub(super) fn write(results: &BrokerResults<'_>, out: &mut impl Write) -> io::Result<()> {
    let total = &results.summary;
    let document = BrokerTestDocument {
        summary: Total {
            broker: results.broker,
            cases: total.passed + total.failed + total.skipped,
            passed: total.passed,
            failed: total.failed,
            skipped: total.skipped,
            headline: total.headline(),
        },
        files: results.files.iter().map(file).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn file<'a>(file: &'a TriedFile<'_>) -> TriedFileJson<'a> {
    match &file.outcome {
        Ok(run) => TriedFileJson::Run {
            file: &file.name,
            policy: run.suite.policy_file.display().to_string(),
            cases: run.tried.iter().map(case).collect(),
            ended: run.ended.as_deref(),
        },
        Err(reports) => TriedFileJson::Unusable { file: &file.name, reports: reports.iter().map(checked).collect() },
    }
}

fn case<'a>(tried: &'a TriedCase<'_>) -> TriedCaseJson<'a> {
    let TriedCase { test, case, version, outcome } = tried;
    let topic = |wanted| match &case.question {
        Question::Acl(action, topic) if *action == wanted => Some(topic.as_str()),
        Question::Acl(..) | Question::Authenticate(_) => None,
    };
    TriedCaseJson {
        test: &test.name,
        line: case.line,
        mqtt: match version {
            MqttVersion::V3 => "3.1.1",
            MqttVersion::V5 => "5",
        },
        clientid: &case.client.clientid,
        username: &case.client.username,
        authenticate: match &case.question {
            Question::Authenticate(password) => Some(if password.is_empty() { "none" } else { "given" }),
            Question::Acl(..) => None,
        },
        publish: topic(Action::Publish),
        subscribe: topic(Action::Subscribe),
        expected: case.expected.verdict,
        rule: &case.expected.rule,
        outcome: match outcome {
            BrokerOutcome::Passed => "passed",
            BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) => "failed",
            BrokerOutcome::Skipped(_) => "skipped",
        },
        message: outcome.to_string(),
    }
}
