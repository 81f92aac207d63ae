//! The results in the XML of `JUnit`, in what `GitLab`, Jenkins and the readers of `GitHub` Actions have in common: `classname` and
//! `name` say which test it is, `file` and `line` where, and a test has one `failure` at most, since Jenkins reads no
//! second.

use std::fmt::Write as _;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::human::{self, failure};
use super::{Covered, Ran, TestResults, TestedFile};
use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::suite::Suite;

/// A case takes microseconds, and a time that is left out is no number to some readers.
const TIME: (&str, &str) = ("time", "0.000");

/// A `testcase`, of which everything but the counts is written.
pub(super) struct Testcase {
    pub(super) name: String,
    pub(super) classname: String,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) problem: Option<JunitProblem>,
}

pub(super) struct JunitProblem {
    /// `failure` where a test failed, `error` where it could not be run, `skipped` where it was not meant to be.
    pub(super) element: &'static str,
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) body: String,
}

pub(super) struct Testsuite {
    pub(super) name: String,
    pub(super) cases: Vec<Testcase>,
}

impl Testsuite {
    fn count(&self, element: &str) -> usize {
        self.cases.iter().filter_map(|case| case.problem.as_ref()).filter(|problem| problem.element == element).count()
    }
}

/// Writes one document, with a line end. The coverage of a policy is a test of its own where it is asked to be enough.
pub(super) fn write(results: &TestResults<'_>, out: &mut impl io::Write) -> io::Result<()> {
    let mut suites: Vec<Testsuite> = results.files.iter().map(file).collect();
    if let Some(least) = results.least {
        suites.extend(results.coverage.iter().map(|covered| coverage(covered, least)));
    }
    write_suites(&suites, out)
}

/// Writes one document, with a line end.
pub(super) fn write_suites(suites: &[Testsuite], out: &mut impl io::Write) -> io::Result<()> {
    let mut writer = Writer::new_with_indent(&mut *out, b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let sum = |count: &dyn Fn(&Testsuite) -> usize| suites.iter().map(count).sum::<usize>().to_string();
    writer
        .create_element("testsuites")
        .with_attribute(("name", "exhook-policy test"))
        .with_attribute(("tests", &*sum(&|suite| suite.cases.len())))
        .with_attribute(("failures", &*sum(&|suite| suite.count("failure"))))
        .with_attribute(("errors", &*sum(&|suite| suite.count("error"))))
        .with_attribute(TIME)
        .write_inner_content(|writer| suites.iter().try_for_each(|suite| write_suite(suite, writer)))?;
    writeln!(out)
}

fn write_suite<W: io::Write>(suite: &Testsuite, writer: &mut Writer<W>) -> io::Result<()> {
    writer
        .create_element("testsuite")
        .with_attribute(("name", &*suite.name))
        .with_attribute(("tests", &*suite.cases.len().to_string()))
        .with_attribute(("failures", &*suite.count("failure").to_string()))
        .with_attribute(("errors", &*suite.count("error").to_string()))
        .with_attribute(("skipped", &*suite.count("skipped").to_string()))
        .with_attribute(TIME)
        .write_inner_content(|writer| suite.cases.iter().try_for_each(|case| write_case(case, writer)))?;
    Ok(())
}

fn write_case<W: io::Write>(case: &Testcase, writer: &mut Writer<W>) -> io::Result<()> {
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", &*case.name))
        .with_attribute(("classname", &*case.classname))
        .with_attribute(("file", &*case.file))
        .with_attribute(("line", &*case.line.to_string()))
        .with_attribute(TIME);
    let Some(problem) = &case.problem else {
        element.write_empty()?;
        return Ok(());
    };
    element.write_inner_content(|writer| {
        writer
            .create_element(problem.element)
            .with_attribute(("message", &*problem.message))
            .with_attribute(("type", problem.kind))
            .write_text_content(BytesText::new(&problem.body))?;
        Ok(())
    })?;
    Ok(())
}

fn file(file: &TestedFile<'_>) -> Testsuite {
    let name = allowed(&file.name);
    let cases = match &file.outcome {
        Ok(run) => run.tests.iter().map(|ran| testcase(&name, run.suite, ran)).collect(),
        Err(reports) => vec![unusable(&name, reports)],
    };
    Testsuite { name, cases }
}

/// A file that could not be run.
pub(super) fn unusable(file: &str, reports: &[Report]) -> Testcase {
    let told = reports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let summaries: Vec<String> = reports.iter().map(Report::summary).collect();
    Testcase {
        name: "can be run".to_owned(),
        classname: class(file),
        file: file.to_owned(),
        line: 1,
        problem: Some(JunitProblem {
            element: "error",
            kind: "unusable",
            message: allowed(&summaries.join(", ")),
            body: allowed(&told),
        }),
    }
}

fn testcase(file: &str, suite: &Suite, ran: &Ran<'_>) -> Testcase {
    let mut messages = Vec::new();
    let mut body = String::new();
    for (answered, trace) in ran.failed() {
        let case = answered.case;
        messages.push(allowed(&format!(
            "{}: expected {} {}, got {} {}",
            case.question,
            case.expected.verdict.as_str(),
            case.expected.rule,
            answered.decision.verdict.as_str(),
            answered.decision.rule
        )));
        let _ = writeln!(body, "{file}:{}:", case.line);
        body.push_str(&allowed(&failure(suite, answered, trace)));
    }
    let problem = (!messages.is_empty()).then(|| JunitProblem {
        element: "failure",
        kind: "decision",
        message: messages.join("; "),
        body,
    });
    Testcase {
        name: allowed(&ran.test.name),
        classname: class(file),
        file: file.to_owned(),
        line: ran.test.line,
        problem,
    }
}

fn coverage(covered: &Covered<'_>, least: u8) -> Testsuite {
    let policy = allowed(&covered.policy);
    let problem = covered.is_short.then(|| JunitProblem {
        element: "failure",
        kind: "coverage",
        message: format!("{} % of the rules decided a case, and {least} % is the least", covered.coverage.percent()),
        body: allowed(&human::coverage(covered, Some(least))),
    });
    let case = Testcase {
        name: format!("at least {least} % of the rules decide a case"),
        classname: class(&policy),
        file: policy.clone(),
        line: 1,
        problem,
    };
    Testsuite { name: policy, cases: vec![case] }
}

/// A file without its endings, since readers take what stands behind a dot for the name of a class.
pub(super) fn class(file: &str) -> String {
    let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or(file);
    stem.strip_suffix(".test").unwrap_or(stem).to_owned()
}

/// The text without the characters that XML cannot hold, however they are escaped.
pub(super) fn allowed(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
