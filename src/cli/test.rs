//! `exhook-policy test`: whether policies do what their tests say.

mod broker;
mod find;
mod human;
mod json;
mod junit;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::out::stdout;
use exhook_policy_core::decision::{Decision, ERROR};
use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::policy::show::TIME;
use exhook_policy_core::policy::trace::Trace;
use exhook_policy_core::suite::{self, Case, Coverage, Suite, Test};
use exhook_policy_runtime::files::policies;

/// Run the tests of policies.
///
/// The tests of `rules.yaml` stand beside it in `rules.test.yaml`. They ask the policy alone: no broker, no list and no
/// password file is needed. With `--broker` they ask a broker, and find one that does not enforce the policy.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Test files, policies whose tests stand beside them, or folders with tests below them
    #[arg(default_value = ".")]
    files: Vec<PathBuf>,
    /// Run only the tests with this text in their name, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = TestFormat::Human)]
    format: TestFormat,
    /// Tell which rules, and which defaults of a section, decided no case
    #[arg(long)]
    coverage: bool,
    /// Exit with 1 where fewer of a policy's rules decided a case, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    #[command(flatten)]
    broker: broker::BrokerTestArgs,
}

/// One document for all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// For people: a line for each file, and how each failure came about
    Human,
    /// One JSON object: `files`, each with its `tests` and their `cases`, and `summary`
    Json,
    /// The XML of `JUnit`, as CI services read it
    Junit,
}

impl TestArgs {
    fn runs(&self, test: &Test) -> bool {
        self.filter.as_ref().is_none_or(|text| test.name.to_lowercase().contains(&text.to_lowercase()))
    }
}

/// A test file that was run, or what is wrong with it.
struct TestedFile<'s> {
    name: String,
    outcome: Result<SuiteRun<'s>, &'s [Report]>,
}

struct SuiteRun<'s> {
    suite: &'s Suite,
    tests: Vec<Ran<'s>>,
}

/// A test that was run.
struct Ran<'s> {
    test: &'s Test,
    cases: Vec<Answered<'s>>,
}

/// A case with the policy's answer.
struct Answered<'s> {
    case: &'s Case,
    decision: Decision<'s>,
    /// How it came about, where it is not what the case expects.
    trace: Option<Trace<'s>>,
}

/// The rules of one policy that decided.
struct Covered<'s> {
    policy: String,
    coverage: Coverage<'s>,
    /// Too few did.
    is_short: bool,
}

/// Everything that came of it.
struct TestResults<'s> {
    files: Vec<TestedFile<'s>>,
    coverage: Vec<Covered<'s>>,
    least: Option<u8>,
}

#[derive(Debug, Default)]
struct TestCount {
    files: usize,
    tests: usize,
    failed_tests: usize,
    cases: usize,
    failed: usize,
    errors: usize,
}

impl Ran<'_> {
    fn failed(&self) -> impl Iterator<Item = (&Answered<'_>, &Trace<'_>)> {
        self.cases.iter().filter_map(|answered| Some((answered, answered.trace.as_ref()?)))
    }
}

impl TestResults<'_> {
    fn count(&self) -> TestCount {
        let mut count = TestCount { files: self.files.len(), ..TestCount::default() };
        for file in &self.files {
            let Ok(run) = &file.outcome else {
                count.errors += 1;
                continue;
            };
            for test in &run.tests {
                let failed = test.failed().count();
                count.tests += 1;
                count.failed_tests += usize::from(failed > 0);
                count.cases += test.cases.len();
                count.failed += failed;
            }
        }
        count
    }

    fn is_unreadable(&self) -> bool {
        let reports = self.files.iter().filter_map(|file| file.outcome.as_ref().err());
        reports.into_iter().flat_map(|reports| reports.iter()).any(Report::is_unreadable)
    }

    fn code(&self) -> ExitCode {
        let count = self.count();
        if self.is_unreadable() {
            ExitCode::from(2)
        } else if count.failed > 0 || count.errors > 0 || self.coverage.iter().any(|covered| covered.is_short) {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Runs the tests and prints what came of them to stdout. The code is 0 where every case got the answer that it expects, 1
/// where one did not, where a file has errors or too few rules decided a case, and 2 where a file could not be read or
/// there was nothing to run.
pub fn run(args: &TestArgs) -> ExitCode {
    match test(args, &mut stdout()) {
        Ok(code) => code,
        Err(message) => {
            // Where even that cannot be written, nobody is there to read it.
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

fn test(args: &TestArgs, out: &mut impl Write) -> Result<ExitCode, String> {
    let files = find::find(&args.files)?;
    let suites: Vec<_> = files.iter().map(|file| (file, policies::load_suite(file))).collect();
    if let Some(broker) = &args.broker.broker {
        return broker::test(&args.broker, broker, &suites, |test| args.runs(test), args.format, out);
    }
    let results = results(&suites, args);
    let count = results.count();
    if count.errors == 0 && count.cases == 0 {
        return Err(match &args.filter {
            Some(text) => format!("no test has {text:?} in its name"),
            None => "the test files have no tests".to_owned(),
        });
    }
    let written = match args.format {
        TestFormat::Human => human::write(&results, out),
        TestFormat::Json => json::write(&results, out),
        TestFormat::Junit => junit::write(&results, out),
    };
    written.and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    Ok(results.code())
}

fn results<'s>(suites: &'s [(&PathBuf, Result<Suite, Vec<Report>>)], args: &TestArgs) -> TestResults<'s> {
    let file = |(path, suite): &'s (&PathBuf, Result<Suite, Vec<Report>>)| TestedFile {
        name: path.display().to_string(),
        outcome: match suite {
            Ok(suite) => Ok(SuiteRun {
                suite,
                tests: suite.tests.iter().filter(|test| args.runs(test)).map(|test| ask(suite, test)).collect(),
            }),
            Err(reports) => Err(reports.as_slice()),
        },
    };
    let files: Vec<TestedFile<'s>> = suites.iter().map(file).collect();
    let coverage = if args.coverage || args.min_coverage.is_some() { coverage(&files, args) } else { Vec::new() };
    TestResults { files, coverage, least: args.min_coverage }
}

fn ask<'s>(suite: &'s Suite, test: &'s Test) -> Ran<'s> {
    let answer = |case: &'s Case| {
        let decision = suite.decide(case);
        let trace = (!case.expected.is(decision)).then(|| suite.trace(case));
        Answered { case, decision, trace }
    };
    Ran { test, cases: test.cases.iter().map(answer).collect() }
}

/// The coverage of each policy, by all the files that are about it.
fn coverage<'s>(files: &[TestedFile<'s>], args: &TestArgs) -> Vec<Covered<'s>> {
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut covered: Vec<(&'s Path, Coverage<'s>)> = Vec::new();
    for run in files.iter().filter_map(|file| file.outcome.as_ref().ok()) {
        let path = run.suite.policy_file.as_path();
        let same = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let place = *places.entry(same).or_insert_with(|| {
            covered.push((path, Coverage::of(&run.suite.policy)));
            covered.len() - 1
        });
        let Some((_, coverage)) = covered.get_mut(place) else { continue };
        run.tests.iter().flat_map(|test| &test.cases).for_each(|one| coverage.add(one.case, one.decision));
    }
    let least = usize::from(args.min_coverage.unwrap_or_default());
    let covered = covered.into_iter().map(|(path, coverage)| Covered {
        policy: path.display().to_string(),
        is_short: coverage.percent() < least,
        coverage,
    });
    covered.collect()
}

/// What a failed case wants for an answer: the lists and password sources that nothing stands in for, and the fields that
/// are not told.
fn wanting(answered: &Answered<'_>, trace: &Trace<'_>) -> Option<String> {
    if answered.decision.rule != ERROR {
        return None;
    }
    let suite::Wanting { lists, sources, fields } = suite::wanting(trace);
    let lists = lists.iter().map(|name| format!("list `{name}` under `lists`"));
    let sources = sources.iter().map(|name| format!("password source `{name}` under `passwords`"));
    let all: Vec<String> = lists.chain(sources).collect();
    let stand_ins = (!all.is_empty()).then(|| format!("nothing stands in for {}", all.join(" and ")));
    let (time, fields): (Vec<&str>, Vec<&str>) = fields.iter().partition(|name| **name == TIME);
    let fields: Vec<String> = fields.iter().map(|name| format!("`{name}`")).collect();
    let timeless = (!time.is_empty()).then(|| "nothing says when it asks: give it an `at`".to_owned());
    let untold = (!fields.is_empty())
        .then(|| format!("the client has no {}, which a broker of the policy does not tell", fields.join(" and no ")));
    let wanting: Vec<String> = stand_ins.into_iter().chain(untold).chain(timeless).collect();
    (!wanting.is_empty()).then(|| wanting.join("; "))
}

/// A text of the file on one line, with nothing that a terminal acts on.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// `1 test`, `2 tests`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
