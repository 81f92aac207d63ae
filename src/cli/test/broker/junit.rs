//! What a broker did, in the XML of `JUnit`: a test for each case, so that none hides that another could not be tried.

use std::io;

use super::human::asker;
use super::{BrokerResults, BrokerRun, TriedFile};
use crate::broker_tests::{BrokerOutcome, TriedCase};
use crate::cli::test::human::said;
use crate::cli::test::junit::{JunitProblem, Testcase, Testsuite, allowed, class, unusable, write_suites};

/// Writes one document, with a line end. Whether the broker enforces the policy at all is a test of its own.
pub(super) fn write(results: &BrokerResults<'_>, out: &mut impl io::Write) -> io::Result<()> {
    let mut suites: Vec<Testsuite> = results.files.iter().map(file).collect();
    suites.push(enforcement(results));
    write_suites(&suites, out)
}

fn file(file: &TriedFile<'_>) -> Testsuite {
    let name = allowed(&file.name);
    let cases = match &file.outcome {
        Ok(run) => testcases(&name, run),
        Err(reports) => vec![unusable(&name, reports)],
    };
    Testsuite { name, cases }
}

fn testcases(file: &str, run: &BrokerRun<'_>) -> Vec<Testcase> {
    let mut cases: Vec<Testcase> = run.tried.iter().map(|tried| testcase(file, tried)).collect();
    cases.extend(run.ended.as_ref().map(|why| Testcase {
        name: "the broker answers to the end".to_owned(),
        classname: class(file),
        file: file.to_owned(),
        line: 1,
        problem: Some(JunitProblem { element: "error", kind: "broker", message: allowed(why), body: String::new() }),
    }));
    cases
}

fn testcase(file: &str, tried: &TriedCase<'_>) -> Testcase {
    let TriedCase { test, case, version, outcome } = tried;
    let problem = |element, kind| {
        let expected = said(case.expected.verdict, &case.expected.rule);
        let message = allowed(&format!("expected {expected}: {outcome}"));
        Some(JunitProblem { element, kind, body: format!("{file}:{}: {message}", case.line), message })
    };
    Testcase {
        name: allowed(&format!("{}: {}, by {}, over {version}", test.name, case.question, asker(case))),
        classname: class(file),
        file: file.to_owned(),
        line: case.line,
        problem: match outcome {
            BrokerOutcome::Passed => None,
            BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) | BrokerOutcome::Broken(_) => {
                problem("failure", "broker")
            }
            BrokerOutcome::Skipped(_) => problem("skipped", "unseen"),
        },
    }
}

fn enforcement(results: &BrokerResults<'_>) -> Testsuite {
    let problem = match results.summary.headline() {
        Some(headline) => Some(JunitProblem {
            element: "failure",
            kind: "enforcement",
            message: headline.lines().next().unwrap_or_default().to_owned(),
            body: headline,
        }),
        None if results.summary.has_tried_denials() => None,
        None => Some(JunitProblem {
            element: "skipped",
            kind: "unseen",
            message: "nothing that must be denied was tried".to_owned(),
            body: String::new(),
        }),
    };
    let case = Testcase {
        name: "denies what the policy denies".to_owned(),
        classname: allowed(results.broker),
        file: results.files.first().map(|file| allowed(&file.name)).unwrap_or_default(),
        line: 1,
        problem,
    };
    Testsuite { name: allowed(&format!("the broker at {}", results.broker)), cases: vec![case] }
}
