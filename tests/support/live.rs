//! The tests of a policy, tried on a broker.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::program::{program, said};
use exhook_policy::broker_tests::{self, BrokerOutcome, BrokerSummary, TestedBroker};
use exhook_policy::mqtt::MqttVersion;
use exhook_policy_core::suite::Test;
use exhook_policy_runtime::files::policies;

pub(crate) const BOTH: &[MqttVersion] = &[MqttVersion::V3, MqttVersion::V5];

pub(crate) fn broker(name: String, versions: &[MqttVersion]) -> TestedBroker {
    TestedBroker {
        name,
        versions: versions.to_vec(),
        patience: Duration::from_secs(5),
        settle: Duration::from_millis(150),
        payload: Vec::new(),
        observer: None,
    }
}

/// What came of every case, as text.
pub(crate) fn report(suite_file: &Path, broker: &TestedBroker) -> String {
    let suite = policies::load_suite(suite_file).unwrap();
    let tests: Vec<&Test> = suite.tests.iter().collect();
    let (mut said, mut summary) = (String::new(), BrokerSummary::default());
    let ended = broker_tests::run(&suite, &tests, broker, |tried| {
        let word = match tried.outcome {
            BrokerOutcome::Passed => "ok",
            BrokerOutcome::LetThrough | BrokerOutcome::Refused(_) => "FAILED",
            BrokerOutcome::Broken(_) => "BROKEN",
            BrokerOutcome::Skipped(_) => "skipped",
        };
        let asked = format!("{}: {} {}", tried.version, tried.case.client.clientid, tried.case.question);
        let verdict = format!("{:?}", tried.case.expected.verdict).to_lowercase();
        writeln!(said, "{word:<7} {asked}: {verdict} {}", tried.outcome).unwrap();
        summary.add(tried.case, &tried.outcome);
    });
    if let Err(error) = ended {
        writeln!(said, "ended: {error}").unwrap();
    }
    writeln!(said, "{} passed, {} failed, {} skipped", summary.passed, summary.failed, summary.skipped).unwrap();
    if let Some(headline) = summary.headline() {
        writeln!(said, "{headline}").unwrap();
    }
    said.replace(&broker.name, "BROKER").replace(" \n", "\n")
}

/// What `doctor --broker` says of a broker, less the name that it made up. The policy is named from
/// the folder.
pub(crate) fn probed(broker: &str, folder: &Path, policy: Option<&str>) -> String {
    let mut doctor = program();
    doctor.args(["doctor", "--broker", broker, "--user", "root"]).current_dir(folder);
    doctor.args(policy.iter().flat_map(|policy| ["--policy", policy]));
    let (said, code) = said(&mut doctor);
    let line = said.lines().find(|line| line.contains(&format!("a login at {broker}"))).unwrap();
    let line = line.replace(broker, "BROKER");
    let named = line.find("exhook-policy-doctor-").map_or(line.clone(), |at| {
        let end = at + "exhook-policy-doctor-0123456789abcdef".len();
        format!("{}NOBODY{}", &line[..at], &line[end..])
    });
    format!("{named} [{code}]")
}
