//! Metrics of a policy at work, as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::events::client;
use crate::support::lines::Lines;
use crate::support::program::PROGRAM;
use crate::support::wait::until_some;
use exhook_policy_core::decision::Answer;
use exhook_policy_core::event::{Action, Event, Password};
use exhook_policy_core::handler::{CallObserver, Decider};
use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::engine::{Engine, Setup};
use exhook_policy_runtime::log::Log;
use exhook_policy_runtime::process::Recorder;

const LONG: Duration = Duration::from_secs(60);

fn engine(dir: &Path, metrics: &str) -> Engine {
    let policy = format!(
        "version: 1\nlog: []\nauth: {{ flapping: {{ by: clientid, logins: 2, within: 1m, ban: 1m }} }}\nacl: {{ rules: [{{ id: 'a \"rule\"', allow: everyone, topics: [t] }}, {{ id: unasked, deny: everyone, topics: [nowhere] }}] }}\n\
         history: {{ database: h.db }}\nmetrics: {metrics}\n"
    );
    fs::write(dir.join("rules.yaml"), policy).unwrap();
    let setup = Setup::new(&dir.join("rules.yaml"), Recorder::server(), Arc::new(|_| {}), Log::to(std::io::sink()));
    Engine::load(setup).unwrap()
}

fn ask(engine: &Engine, topic: &str) -> Answer {
    engine.handle(&Event::CheckAcl { client: client("c", "u", "10.0.0.1"), action: Action::Publish, topic }, 0).unwrap()
}

fn log_in(engine: &Engine) -> Answer {
    engine
        .handle(&Event::Authenticate { client: client("c", "u", "10.0.0.1"), password: Password::new(b"") }, 0)
        .unwrap()
}

#[track_caller]
fn wait<T>(look: impl FnMut() -> Option<T>) -> T {
    until_some(look, || "it does not come".to_owned())
}

fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The series of a page by name and labels, held to what the form demands.
#[track_caller]
fn parse(page: &str) -> BTreeMap<String, f64> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut series = BTreeMap::new();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} has two types");
            assert!(kind != "counter" || name.ends_with("_total"), "{name}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let name = key.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|family| types.get(family) == Some(&"histogram")));
        let last = types.contains_key(family.unwrap_or(name));
        assert!(last, "{name} has no type");
        assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "{key} is there twice");
    }
    series
}

#[test]
fn a_port_of_this_machine_tells_how_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_port();
    let engine = engine(dir.path(), &format!("{{ listen: \"{address}\" }}"));
    for topic in ["t", "t", "x", "#"] {
        ask(&engine, topic);
    }
    for _ in 0..4 {
        log_in(&engine);
    }
    engine.answered(Hook::ClientCheckAcl, Answer::Deny, Duration::from_millis(3), 2);
    let page = wait(|| scrape(address).filter(|page| page.contains("policy_info")));
    let series = parse(&page);
    let check = |name: &str, expected: f64| {
        assert_eq!(series.get(&format!("exhook_policy_{name}")), Some(&expected), "{name} in\n{page}");
    };
    check("policy_in_force", 1.0);
    check("policy_file_valid", 1.0);
    check("decisions_total{section=\"acl\",rule=\"a \\\"rule\\\"\",verdict=\"allow\"}", 2.0);
    check("decisions_total{section=\"acl\",rule=\"default\",verdict=\"deny\"}", 1.0);
    check("decisions_total{section=\"acl\",rule=\"invalid-topic\",verdict=\"deny\"}", 1.0);
    check("answers_total{hook=\"client.check_acl\",answer=\"deny\"}", 2.0);
    check("answer_duration_seconds_bucket{hook=\"client.check_acl\",le=\"0.0025\"}", 0.0);
    check("answer_duration_seconds_bucket{hook=\"client.check_acl\",le=\"0.005\"}", 2.0);
    check("answer_duration_seconds_count{hook=\"client.check_acl\"}", 2.0);
    check("bans{why=\"flapping\"}", 1.0);
    check("decisions_total{section=\"auth\",rule=\"flapping\",verdict=\"deny\"}", 2.0);
    check("queue_length{queue=\"history\"}", 0.0);
    check("history_lapses_total{kind=\"not_kept\"}", 0.0);
    check("reloads_total{result=\"refused\"}", 0.0);
    assert!(!page.contains("unasked"), "a rule that decided nothing has no series");

    fs::write(dir.path().join("rules.yaml"), "version: 1\nacl: {\n").unwrap();
    let page = wait(|| scrape(address).filter(|page| page.contains("policy_file_valid 0")));
    assert_eq!(parse(&page).get("exhook_policy_reloads_total{result=\"refused\"}"), Some(&1.0));

    // A policy that has them elsewhere takes them there.
    let other = free_port();
    let moved = format!("version: 1\nacl: {{ rules: [] }}\nmetrics: {{ listen: \"{other}\" }}\n");
    fs::write(dir.path().join("rules.yaml"), moved).unwrap();
    wait(|| scrape(other));
    wait(|| scrape(address).is_none().then_some(()));
}

#[test]
fn a_file_is_replaced_while_the_process_runs() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), "{ file: made/x.prom, every: 1s }");
    let file = dir.path().join("made/x.prom");
    wait(|| fs::read_to_string(&file).ok().filter(|page| page.contains("policy_info")));
    ask(&engine, "t");
    let page = wait(|| fs::read_to_string(&file).ok().filter(|page| page.contains("verdict=\"allow\"} 1")));
    parse(&page);
    // The process may be over as soon as this is.
    engine.finish();
    assert!(!file.exists());
}

#[test]
fn a_file_that_is_to_be_written_otherwise_changes_hands_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("rules.yaml");
    let file = dir.path().join("x.prom");
    let write = |every: &str| {
        let text = format!("version: 1\nacl: {{ rules: [] }}\nmetrics: {{ file: x.prom, every: {every} }}\n");
        fs::write(&policy, text).unwrap();
    };
    write("1h");
    let console = Lines::default();
    let log = Log::to(console.clone());
    let engine = Engine::load(Setup::new(&policy, Recorder::server(), Arc::new(|_| {}), log.clone())).unwrap();
    wait(|| file.exists().then_some(()));
    write("30m");
    // The one before would not write it for an hour.
    wait(|| fs::read_to_string(&file).ok().filter(|page| page.contains("reloads_total{result=\"in_force\"} 1")));
    drop(engine);
    log.flush(LONG);
    let said = console.text();
    assert!(said.contains(" is in force anew") && !said.contains("metrics:"), "{said}");
}

/// As a service that keeps its files to itself, ended as systemd ends it.
#[cfg(feature = "grpc")]
#[test]
fn everyone_may_read_the_file_of_a_server_and_it_goes_with_it() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    let dir = tempfile::tempdir().unwrap();
    let policy = "version: 1\nacl: { rules: [] }\nmetrics: { file: made/below/x.prom, every: 1h }\n";
    fs::write(dir.path().join("rules.yaml"), policy).unwrap();
    let mut server = Command::new("/bin/sh")
        .args(["-c", "umask 077; exec \"$0\" serve --policy rules.yaml --listen 127.0.0.1:0"])
        .arg(PROGRAM)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("console")).unwrap())
        .spawn()
        .unwrap();
    let file = dir.path().join("made/below/x.prom");
    wait(|| file.exists().then_some(()));
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("made"), mode("made/below"), mode("made/below/x.prom")), (0o755, 0o755, 0o644));
    assert_eq!(mode("state"), 0o700);

    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    let ended = wait(|| server.try_wait().unwrap());
    let said = fs::read_to_string(dir.path().join("console")).unwrap();
    assert!(ended.success(), "{said}");
    assert!(!file.exists(), "{said}");
}

/// What is told of series elsewhere is told of series that are there.
#[test]
fn the_page_the_dashboard_and_the_alerts_name_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_port();
    let engine = engine(dir.path(), &format!("{{ listen: \"{address}\" }}"));
    ask(&engine, "t");
    engine.answered(Hook::ClientCheckAcl, Answer::Allow, Duration::from_millis(3), 1);
    let page = wait(|| scrape(address).filter(|page| page.contains("policy_info")));
    let there: BTreeSet<String> = parse(&page).keys().map(|key| key.split('{').next().unwrap().to_owned()).collect();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let written = page.lines().find_map(|line| line.strip_prefix("exhook_policy_written_seconds ")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - written.parse::<f64>().unwrap()).abs() < LONG.as_secs_f64(), "{written} at {now}");
    for name in ["examples/prometheus/dashboard.json", "examples/prometheus/alerts.yaml"] {
        let text = read(name);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("exhook_policy_")).collect();
        assert!(named.len() > 4, "{name}");
        // Who reads a file must know how old it is.
        assert!(named.contains("exhook_policy_written_seconds"), "{name}");
        if name.contains("dashboard") {
            let unshown: Vec<_> = families.iter().filter(|family| !text.contains(**family)).collect();
            assert_eq!(unshown, [&"exhook_policy_start_time_seconds"], "{name}");
        }
        for series in named {
            assert!(there.contains(series), "{name} names {series}");
        }
    }
    let _: serde_json::Value = serde_json::from_str(&read("examples/prometheus/dashboard.json")).unwrap();
    let documented = read("docs/metrics.md");
    for family in families {
        let row = format!("| `{}` |", family.strip_prefix("exhook_policy_").unwrap());
        assert!(documented.contains(&row), "docs/metrics.md does not name {family}");
    }
}

/// The service of the example may write nowhere else.
#[test]
fn the_unit_says_how_the_service_may_write_the_file_that_is_collected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let readme = fs::read_to_string(root.join("prometheus/README.md")).unwrap();
    let file = readme.split("metrics: { file: ").nth(1).unwrap().split(' ').next().unwrap();
    let setting = format!("ReadWritePaths={}", Path::new(file).parent().unwrap().display());
    let unit = fs::read_to_string(root.join("systemd/exhook-policy.service")).unwrap();
    assert!(unit.contains("ProtectSystem=strict"));
    for text in [&readme, &unit] {
        assert!(text.lines().any(|line| line.trim_start_matches(['#', ' ']) == setting), "{setting} in\n{text}");
    }
}
