//! The tests of a policy, tried on a live broker by a real MQTT client.
//!
//! A case asks the policy one question. Here its client asks the broker: it logs in, publishes, subscribes, and what
//! the broker does is compared with what the policy must say. `expected` tells which cases a broker can show at all,
//! `ask` asks and reads the answers. What cannot be shown is skipped with the reason, never passed.
//!
//! Trying is a deed: clients of the names in the test file log in, which ends the connections of those who have these
//! names, and messages are published.

mod ask;
mod expected;

mod report;

use std::net::SocketAddr;
use std::time::Duration;

pub use report::{BrokerOutcome, BrokerSummary, TriedCase};

use crate::mqtt::{self, MqttVersion};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::suite::{Secret, Suite, Test};

/// The broker, and how it is asked.
#[derive(Debug)]
pub struct TestedBroker {
    /// `HOST:PORT`.
    pub name: String,
    /// The versions of MQTT to try, in this order.
    pub versions: Vec<MqttVersion>,
    /// How long the broker may take to answer.
    pub patience: Duration,
    /// How long a message may take to arrive. One that comes later counts as denied.
    pub settle: Duration,
    /// What the messages carry.
    pub payload: Vec<u8>,
    /// Who looks whether a message arrives; else a client of the test file that may subscribe to its topic.
    pub observer: Option<Observer>,
}

/// A client that may subscribe to the topics of the tests.
#[derive(Debug, Clone)]
pub struct Observer {
    /// The MQTT client identifier, which no client of the tests has.
    pub clientid: String,
    /// The user name; empty for none.
    pub username: String,
    /// The password; empty for none.
    pub password: Secret,
}

/// How many errors in a row end the run: a broker that does not answer is not asked a hundred times.
const MOST_ERRORS: usize = 3;

/// Asks the broker all cases of these tests, in each version. `each` is told what came of each, in this order.
///
/// # Errors
/// Where the broker cannot be reached, does not speak the version, or has gone silent; and where the policy is in audit
/// mode, in which the broker decides by itself.
pub fn run<'s>(
    suite: &'s Suite,
    tests: &[&'s Test],
    broker: &TestedBroker,
    mut each: impl FnMut(TriedCase<'s>),
) -> Result<(), String> {
    if suite.policy.mode() == Mode::Audit {
        return Err("the policy is in audit mode, so that the broker decides by itself".to_owned());
    }
    let addresses = mqtt::resolve(&broker.name).map_err(|error| error.to_string())?;
    for &version in &broker.versions {
        run_version(suite, tests, broker, &addresses, version, &mut each)?;
    }
    Ok(())
}

fn run_version<'s>(
    suite: &'s Suite,
    tests: &[&'s Test],
    broker: &TestedBroker,
    addresses: &[SocketAddr],
    version: MqttVersion,
    each: &mut impl FnMut(TriedCase<'s>),
) -> Result<(), String> {
    let expectations = expected::Expectations::find(suite, addresses, broker.patience)?;
    let mut client = ask::BrokerTestClient::new(&expectations, broker, version);
    let mut errors = 0_usize;
    for (test, case) in tests.iter().flat_map(|&test| test.cases.iter().map(move |case| (test, case))) {
        let outcome = match expectations.expected(case, version) {
            Err(reason) => BrokerOutcome::Skipped(reason),
            Ok(expected) => match client.ask(&expected, case) {
                Ok(outcome) => {
                    errors = 0;
                    outcome
                }
                Err(ask::NoOutcome::MqttVersion(message)) => return Err(message),
                Err(ask::NoOutcome::Error(error)) => {
                    errors = errors.saturating_add(1);
                    if errors == MOST_ERRORS {
                        return Err(format!("{error}; that was {MOST_ERRORS} times in a row"));
                    }
                    BrokerOutcome::Broken(error)
                }
            },
        };
        each(TriedCase { test, case, version, outcome });
    }
    Ok(())
}
