//! The tests of a policy, tried on a small broker that asks the policy or does not.
//!
//! With `UPDATE_GOLDEN=1` the expected texts are written instead of compared.

mod stand_in;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exhook_policy::broker_tests::Observer;
use exhook_policy::mqtt::MqttVersion;
use exhook_policy_core::suite::Secret;
use stand_in::Does;

use crate::support::golden::check_golden;
use crate::support::live::{self, BOTH, broker, report};
use crate::support::program::{program, said};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/live")
}

#[track_caller]
fn check(name: &str, said: &str) {
    check_golden(&folder().join(format!("{name}.txt")), said);
}

/// What `doctor --broker` says, with policies named from the folder of these tests.
fn probed(broker: &str, policy: Option<&str>) -> String {
    live::probed(broker, &folder(), policy)
}

fn on_stand_in(does: Does, versions: &[MqttVersion]) -> String {
    let policy = folder().join("policy/rules.yaml");
    let address = stand_in::start(does, &policy);
    report(&folder().join("policy/rules.test.yaml"), &broker(address.to_string(), versions))
}

#[test]
fn a_broker_that_enforces_the_policy() {
    check("enforce", &on_stand_in(Does::Enforce, BOTH));
}

#[test]
fn a_broker_that_disconnects_those_whom_it_denies() {
    check("disconnect", &on_stand_in(Does::Disconnect, BOTH));
}

#[test]
fn a_broker_that_lets_topics_through() {
    check("let-through", &on_stand_in(Does::LetThrough, BOTH));
}

#[test]
fn a_broker_that_lets_everyone_in() {
    check("let-everyone-in", &on_stand_in(Does::LetEveryoneIn, BOTH));
}

#[test]
fn a_broker_that_lets_clients_in_and_dies() {
    check("drop", &on_stand_in(Does::Drop, &[MqttVersion::V3]));
}

#[test]
fn a_broker_that_refuses_for_another_reason() {
    check("busy", &on_stand_in(Does::Busy, &[MqttVersion::V5]));
}

#[test]
fn a_broker_that_is_none() {
    check("garbage", &on_stand_in(Does::Garbage, &[MqttVersion::V5]));
    assert_eq!(
        on_stand_in(Does::OnlyV3, &[MqttVersion::V5]),
        "ended: the broker does not speak MQTT 5\n0 passed, 0 failed, 0 skipped\n"
    );
}

#[test]
fn a_broker_that_is_silent_is_not_waited_for_long() {
    let address = stand_in::start(Does::Silence, &folder().join("policy/rules.yaml"));
    let mut silent = broker(address.to_string(), BOTH);
    silent.patience = Duration::from_millis(200);
    let began = Instant::now();
    check("silence", &report(&folder().join("policy/rules.test.yaml"), &silent));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn an_observer_sees_what_no_client_of_the_tests_may() {
    let policy = folder().join("policy/rules.yaml");
    let tests = folder().join("policy/rules.test.yaml");
    let observer = |clientid: &str, password: &str| Observer {
        clientid: clientid.to_owned(),
        username: clientid.to_owned(),
        password: Secret::new(password),
    };
    let said = |does, observer| {
        let mut asked = broker(stand_in::start(does, &policy).to_string(), &[MqttVersion::V3]);
        asked.observer = Some(observer);
        let said = report(&tests, &asked);
        let line = said.lines().find(|line| line.contains("publish \"ops/secret/key\"")).unwrap();
        line.to_owned()
    };
    let asked = "MQTT 3.1.1: dev-1 publish \"ops/secret/key\": deny";
    assert_eq!(said(Does::LetEveryoneIn, observer("watcher", "x")), format!("FAILED  {asked} the broker allows it"));
    assert_eq!(
        said(Does::Enforce, observer("dev-2", "wrong")),
        format!("skipped {asked} observer dev-2 cannot log in: not authorized (code 0x05)")
    );
    assert_eq!(
        said(Does::Enforce, observer("dev-2", "0ther")),
        format!("skipped {asked} observer dev-2 cannot subscribe to the topic: failure (code 0x80)")
    );
    assert_eq!(
        said(Does::Enforce, observer("dev-1", "s3cret")),
        format!("skipped {asked} the observer is the client that publishes")
    );
}

#[test]
fn the_doctor_tries_a_login_that_must_be_refused() {
    let policy = folder().join("policy/rules.yaml");
    let stand_in = |does| stand_in::start(does, &policy).to_string();
    let open = "problem  a login at BROKER: a client of an unknown name, NOBODY, gets in with a password that nobody gave \
                it: the policy is not enforced [1]";
    assert_eq!(probed(&stand_in(Does::LetEveryoneIn), None), open);
    assert_eq!(probed(&stand_in(Does::LetEveryoneIn), Some("../../broker/mosquitto/rules.yaml")), open);
    assert_eq!(
        probed(&stand_in(Does::Enforce), None),
        "fine     a login at BROKER: a client of an unknown name is refused: not authorized (code 0x05) [0]"
    );
    assert_eq!(
        probed(&stand_in(Does::Busy), None),
        "unseen   a login at BROKER: it was refused, but not for its name: the broker is not available (code 0x03) [2]"
    );
    assert_eq!(
        probed(&stand_in(Does::Garbage), None),
        "unseen   a login at BROKER: the broker sent what is no packet of a broker (it begins with byte 0x48) [2]"
    );
    let open_policy = "../../../examples/public-broker/rules.yaml";
    assert_eq!(
        probed(&stand_in(Does::LetEveryoneIn), Some(open_policy)),
        "fine     a login at BROKER: not tried: the policy does not refuse a stranger [0]"
    );
    let audit = "../../../examples/audit-rollout/rules.yaml";
    assert_eq!(
        probed(&stand_in(Does::LetEveryoneIn), Some(audit)),
        "fine     a login at BROKER: not tried: the policy is in audit mode and refuses nobody [0]"
    );
    assert_eq!(
        probed("127.0.0.1:1", None),
        "unseen   a login at BROKER: no connection to the broker: BROKER: Connection refused (os error 111) [2]"
    );
}

/// What `test` says in a folder of `tests/it/live`, and its exit code. The broker's address is shown as a word.
fn tested(folder_name: &str, broker: &str, arguments: &[&str]) -> String {
    let folder = folder().join(folder_name);
    let mut test = program();
    let (said, code) = said(test.args(["test", "--broker", broker]).args(arguments).current_dir(folder));
    format!("{}exit code {code}\n", said.replace(broker, "BROKER"))
}

#[test]
fn the_command_tells_in_every_format() {
    let policy = folder().join("policy/rules.yaml");
    let run = |does, arguments: &[&str]| tested("policy", &stand_in::start(does, &policy).to_string(), arguments);
    check("command/enforce.human", &run(Does::Enforce, &["rules.test.yaml", "--mqtt", "both", "--settle", "100ms"]));
    let own = ["rules.test.yaml", "--filter", "log in", "--mqtt", "both"];
    check("command/let-everyone-in.human", &run(Does::LetEveryoneIn, &own));
    check("command/let-everyone-in.json", &run(Does::LetEveryoneIn, &[&own[..], &["--format", "json"]].concat()));
    check("command/let-everyone-in.junit", &run(Does::LetEveryoneIn, &[&own[..], &["--format", "junit"]].concat()));
    let cannot = ["rules.test.yaml", "--filter", "cannot show", "--mqtt", "3.1.1"];
    check("command/nothing-to-try.human", &run(Does::Enforce, &cannot));
    check("command/nothing-to-try.junit", &run(Does::Enforce, &[&cannot[..], &["--format", "junit"]].concat()));
    let silent = ["rules.test.yaml", "--timeout", "100ms"];
    check("command/silence.human", &run(Does::Silence, &silent));
    check("command/silence.junit", &run(Does::Silence, &[&silent[..], &["--format", "junit"]].concat()));
}

#[test]
fn the_command_names_an_observer() {
    let policy = folder().join("policy/rules.yaml");
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::write(password.path(), "0ther\n").unwrap();
    let arguments = ["rules.test.yaml", "--filter", "own topics", "--mqtt", "3.1.1", "--settle", "100ms"];
    let observer = ["--observer", "dev-2", "--observer-username", "dev-2", "--observer-password-file"];
    let observer = [&observer[..], &[password.path().to_str().unwrap()]].concat();
    let broker = stand_in::start(Does::LetThrough, &policy).to_string();
    let said = tested("policy", &broker, &[&arguments[..], &observer].concat());
    assert!(said.contains("9 cases, 3 passed, 6 failed, 0 not tried"), "{said}");
    assert!(!said.contains("0ther"), "{said}");
}

#[test]
fn the_command_says_why_it_cannot_look() {
    let without = |arguments: &[&str]| tested("policy", "127.0.0.1:1", arguments);
    assert_eq!(
        without(&["rules.test.yaml"]),
        "rules.test.yaml at BROKER: 0 cases, 0 passed, 0 failed, 0 not tried\n\
         rules.test.yaml at BROKER: ended before its end: no connection to the broker: BROKER: \
         Connection refused (os error 111)\nexit code 2\n"
    );
    assert_eq!(
        tested("policy", "nowhere", &["rules.test.yaml"]),
        "rules.test.yaml at BROKER: 0 cases, 0 passed, 0 failed, 0 not tried\n\
         rules.test.yaml at BROKER: ended before its end: BROKER is no address of a broker, HOST:PORT: invalid socket address\n\
         exit code 2\n"
    );
    let audited = tempfile::tempdir().unwrap();
    let audit = |name: &str, text: &str| fs::write(audited.path().join(name), text).unwrap();
    audit("rules.yaml", "version: 1\nmode: audit\nacl: {}\n");
    audit("rules.test.yaml", "tests: [{ name: t, client: { clientid: c }, expect: { publish: a, deny: default } }]\n");
    audit("bad.test.yaml", "policy: rules.yaml\ntest: []\n");
    let address = stand_in::start(Does::LetEveryoneIn, &folder().join("policy/rules.yaml")).to_string();
    let audited = audited.path().to_str().unwrap();
    assert_eq!(
        tested(audited, &address, &["rules.test.yaml"]),
        "rules.test.yaml at BROKER: 0 cases, 0 passed, 0 failed, 0 not tried\n\
         rules.test.yaml at BROKER: ended before its end: the policy is in audit mode, so that the broker decides by \
         itself\nexit code 2\n"
    );
    let said = tested(audited, &address, &["bad.test.yaml"]);
    assert!(said.ends_with("\nbad.test.yaml: not run\nexit code 1\n"), "{said}");
    let said = without(&["rules.test.yaml", "--settle", "5"]);
    assert!(
        said.starts_with("error: invalid value '5' for '--settle <TIME>': a time has a unit: 500ms, 5s\n"),
        "{said}"
    );
    let said = without(&["rules.test.yaml", "--observer", "a", "--observer-password-file", "gone"]);
    assert_eq!(said, "error: gone: No such file or directory (os error 2)\nexit code 2\n");
    let said = without(&["rules.test.yaml", "--coverage"]);
    assert!(said.starts_with("error: the argument '--broker <HOST:PORT>' cannot be used with '--coverage'"), "{said}");
}
