use std::io::{self, Write};
use std::sync::PoisonError;

use super::*;
use crate::engine::{Engine, Setup};
use crate::password::PasswordOutcome;
use exhook_policy_core::policy::lists::{List, Uses};
use exhook_policy_core::policy::model::ListId;

/// What the list holds changes nothing of what the rule in audit mode says.
const POLICY: &str = "
version: 1
lists: { fleet: [a] }
passwords: { people: { file: people.passwd } }
log: [decisions]
auth:
  rules:
    - { id: retired, deny: { clientid: x }, mode: audit }
    - { id: staff, allow: { clientid: { in: fleet } }, password: people }
    - { id: fleet, allow: { clientid: { in: fleet } } }
acl:
  rules:
    - { id: retired, deny: { clientid: x }, topics: t, mode: audit }
    - { id: ours, allow: { clientid: { in: fleet } }, topics: t }
";

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct World {
    _folder: tempfile::TempDir,
    engine: Engine,
    console: Console,
    log: Log,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, POLICY).unwrap();
        let console = Console::default();
        let log = Log::to(console.clone());
        let recorder = Recorder::of_this_process("python3");
        let engine = Engine::load(Setup::new(&file, recorder, Arc::new(|_| {}), log.clone())).unwrap();
        World { _folder: folder, engine, console, log }
    }

    fn core(&self) -> Arc<Core> {
        self.engine.shared.core.load_full().unwrap()
    }

    /// The clients in the list from now on.
    fn fleet(&self, clientids: &[&str]) {
        let uses = Uses { text: true, networks: false };
        self.core().sources.swap(ListId(0), List::build(uses, (1..).zip(clientids.iter().copied())).unwrap());
    }

    /// The decisions that were logged.
    fn decisions(&self) -> Vec<String> {
        self.log.flush(LONG);
        let text = String::from_utf8(self.console.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| line.trim_start_matches("exhook-policy: "));
        let words = lines.filter_map(|line| Some((line.split(" clientid").next()?, line.rsplit_once(" rule=")?.1)));
        words.map(|(said, rule)| format!("{said} {rule}")).collect()
    }
}

fn client(clientid: &str) -> Client<'_> {
    Client {
        clientid,
        username: "alice",
        peerhost: Peerhost::parse("10.0.0.1"),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "n",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    }
}

/// A list that is read anew between the decision and the trial is no doing of the rules that are tried.
#[test]
fn a_topic_is_tried_by_the_lists_by_which_it_was_decided() {
    let world = World::new();
    let core = world.core();
    let (client, asked) = (client("a"), Asked::Topic(Action::Publish, "t"));
    let lists = core.sources.lists();
    let decision = core.policy.check_acl(&client, Action::Publish, "t", &lists);
    world.fleet(&["b"]);
    assert_eq!(core.decided(&Question::now(&client, asked, &lists), decision), Answer::Allow);
    assert_eq!(world.decisions(), ["allowed publish ours"]);
    // The next question is decided, and tried, by what is there now.
    assert_eq!(core.check_acl(&client, Action::Publish, "t"), Answer::Deny);
    assert_eq!(world.decisions(), ["allowed publish ours", "denied publish default"]);
}

/// Its password may take as long as the deadline.
#[test]
fn a_login_that_waits_is_tried_by_the_lists_as_they_were_when_it_came() {
    let world = World::new();
    let core = world.core();
    let client = client("a");
    let begin = || {
        let lists = core.sources.lists();
        let Login::Password { rule, source } = core.policy.authenticate(&client, &lists) else {
            panic!("it is decided")
        };
        core.verification(&client, Password::new(b"x"), 1, None, Way::at(rule, source, lists))
    };
    let (right, unknown) = (begin(), begin());
    world.fleet(&["b"]);
    right.caller.done(PasswordOutcome::Right(PasswordId(0)));
    assert_eq!(world.decisions(), ["allowed connect staff"]);
    // And it goes on by those with which it began.
    assert_eq!(unknown.caller.unknown(), None);
    unknown.caller.done(PasswordOutcome::Unknown);
    assert_eq!(world.decisions(), ["allowed connect staff", "allowed connect fleet"]);
}
