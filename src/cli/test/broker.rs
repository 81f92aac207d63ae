//! `test --broker`: what a live broker does of what the tests say.

mod human;
mod json;
mod junit;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::TestFormat;
use crate::broker_tests::{self, BrokerSummary, Observer, TestedBroker, TriedCase};
use crate::mqtt::MqttVersion;
use exhook_policy_core::policy::diag::Report;
use exhook_policy_core::policy::parse_duration;
use exhook_policy_core::suite::{Secret, Suite, Test};
use exhook_policy_runtime::files::input;

/// How a live broker is asked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Testing a live broker")]
pub(super) struct BrokerTestArgs {
    /// Ask this broker instead of the policy. Clients of the names in the tests log in, which throws those off who have
    /// them, and messages are published; TLS is not spoken
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["coverage", "min_coverage"])]
    pub(super) broker: Option<String>,
    /// The version of MQTT to speak
    #[arg(long, value_enum, default_value_t = Mqtt::Five, requires = "broker")]
    mqtt: Mqtt,
    /// What the messages carry
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "broker")]
    payload: String,
    /// The clientid of a client that may subscribe to the topics of the tests, to see what arrives in MQTT 3.1.1
    #[arg(long, value_name = "CLIENTID", requires = "broker")]
    observer: Option<String>,
    /// Its username
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, requires = "observer")]
    observer_username: String,
    /// A file that holds its password
    #[arg(long, value_name = "FILE", requires = "observer")]
    observer_password_file: Option<PathBuf>,
    /// How long a message may take to arrive in MQTT 3.1.1
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time, requires = "broker")]
    settle: Duration,
    /// How long the broker may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time, requires = "broker")]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mqtt {
    /// MQTT 3.1.1
    #[value(name = "3.1.1")]
    Three,
    /// MQTT 5
    #[value(name = "5")]
    Five,
    /// One after the other
    Both,
}

/// A file that holds a password has no more bytes.
const LONGEST_PASSWORD_FILE: u64 = 1 << 20;
/// The longest time that is waited for an answer.
const MOST: Duration = Duration::from_secs(600);

fn time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(time) if !time.is_zero() && time <= MOST => Ok(time),
        Some(_) => Err("between 1ms and 10m".to_owned()),
        None => Err("a time has a unit: 500ms, 5s".to_owned()),
    }
}

impl BrokerTestArgs {
    fn broker(&self, name: &str) -> Result<TestedBroker, String> {
        let observer = self.observer.as_ref().map(|clientid| {
            let password = self.observer_password_file.as_ref().map_or(Ok(String::new()), |file| {
                let text = input::read_text(file, LONGEST_PASSWORD_FILE)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                Ok::<_, String>(text.lines().next().unwrap_or_default().to_owned())
            })?;
            let username = self.observer_username.clone();
            Ok::<_, String>(Observer { clientid: clientid.clone(), username, password: Secret::new(password) })
        });
        Ok(TestedBroker {
            name: name.to_owned(),
            versions: match self.mqtt {
                Mqtt::Three => vec![MqttVersion::V3],
                Mqtt::Five => vec![MqttVersion::V5],
                Mqtt::Both => vec![MqttVersion::V3, MqttVersion::V5],
            },
            patience: self.timeout,
            settle: self.settle,
            payload: self.payload.clone().into_bytes(),
            observer: observer.transpose()?,
        })
    }
}

/// A test file that was tried, or what is wrong with it.
struct TriedFile<'s> {
    name: String,
    outcome: Result<BrokerRun<'s>, &'s [Report]>,
}

struct BrokerRun<'s> {
    suite: &'s Suite,
    /// In the order in which they were tried.
    tried: Vec<TriedCase<'s>>,
    /// Why it did not go on to the end.
    ended: Option<String>,
}

struct BrokerResults<'s> {
    broker: &'s str,
    files: Vec<TriedFile<'s>>,
    summary: BrokerSummary,
}

impl BrokerResults<'_> {
    fn code(&self) -> u8 {
        let unreadable = |reports: &[Report]| reports.iter().any(Report::is_unreadable);
        let could_not_look = self.files.iter().any(|file| match &file.outcome {
            Ok(run) => run.ended.is_some(),
            Err(reports) => unreadable(reports),
        });
        let has_errors = self.files.iter().any(|file| file.outcome.is_err());
        let BrokerSummary { passed, failed, .. } = self.summary;
        if could_not_look || (passed == 0 && failed == 0 && !has_errors) {
            2
        } else {
            u8::from(failed > 0 || has_errors)
        }
    }
}

/// Tries the tests on the broker and prints what came of them.
pub(super) fn test<'s>(
    args: &BrokerTestArgs,
    broker: &str,
    suites: &'s [(&PathBuf, Result<Suite, Vec<Report>>)],
    runs: impl Fn(&Test) -> bool,
    format: TestFormat,
    out: &mut impl Write,
) -> Result<ExitCode, String> {
    let asked = args.broker(broker)?;
    let mut summary = BrokerSummary::default();
    let files = suites.iter().map(|(path, suite)| TriedFile {
        name: path.display().to_string(),
        outcome: suite.as_ref().map_err(Vec::as_slice).map(|suite| {
            let tests: Vec<&Test> = suite.tests.iter().filter(|test| runs(test)).collect();
            run(suite, &tests, &asked, &mut summary)
        }),
    });
    let files: Vec<TriedFile<'s>> = files.collect();
    let results = BrokerResults { broker, files, summary };
    let written = match format {
        TestFormat::Human => human::write(&results, out),
        TestFormat::Json => json::write(&results, out),
        TestFormat::Junit => junit::write(&results, out),
    };
    written.and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    Ok(ExitCode::from(results.code()))
}

fn run<'s>(suite: &'s Suite, tests: &[&'s Test], broker: &TestedBroker, summary: &mut BrokerSummary) -> BrokerRun<'s> {
    let mut tried = Vec::new();
    let ended = broker_tests::run(suite, tests, broker, |one| {
        summary.add(one.case, &one.outcome);
        tried.push(one);
    });
    BrokerRun { suite, tried, ended: ended.err() }
}
