//! What the repository says of itself: how large files may be, which module may know which, and that
//! nothing is missing from the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules, each with those that it may use.
type Edges = &'static [(&'static str, &'static [&'static str])];

/// Which modules of its own crate a module may use. Data flows one way, and these are the edges. Those between the
/// crates are Cargo's.
const EDGES: &[(&str, Edges)] = &[
    (
        "crates/core/src",
        &[
            ("emqx", &[]),
            ("hook", &[]),
            ("decision", &[]),
            ("event", &["decision", "hook"]),
            ("answer_sink", &["decision"]),
            ("broker_id", &["event"]),
            ("handler", &["answer_sink", "broker_id", "decision", "event", "hook"]),
            ("text", &[]),
            ("topic", &["event", "text"]),
            ("policy", &["decision", "emqx", "event", "hook", "text", "topic"]),
            ("suite", &["decision", "event", "policy"]),
        ],
    ),
    ("crates/tools/src", &[("convert", &[]), ("analysis", &[]), ("access", &[])]),
    (
        "crates/runtime/src",
        &[
            ("clock", &[]),
            ("files", &[]),
            ("log", &[]),
            ("process", &[]),
            ("metrics", &["files", "log"]),
            ("limits", &["clock"]),
            ("source", &["files", "log"]),
            ("password", &["files", "log"]),
            ("history", &["clock", "limits", "log", "process"]),
            ("capture", &["clock", "log"]),
            ("state", &["clock", "files", "process"]),
            (
                "engine",
                &[
                    "capture", "clock", "files", "history", "limits", "log", "metrics", "password", "process",
                    "source", "state",
                ],
            ),
            ("grpc", &["clock", "files", "log"]),
            ("port", &["log"]),
            ("recording", &["port"]),
        ],
    ),
    (
        "src",
        &[
            ("mqtt", &[]),
            ("replay", &[]),
            ("launch", &[]),
            ("broker_tests", &["mqtt"]),
            ("doctor", &["launch", "mqtt"]),
            ("cli", &["broker_tests", "doctor", "launch", "mqtt", "replay"]),
            ("main", &[]),
        ],
    ),
];

/// The same for the modules of one folder.
const EDGES_WITHIN: &[(&str, Edges)] = &[
    (
        "crates/tools/src/analysis",
        &[
            ("fields", &[]),
            ("client_kind", &[]),
            ("lists", &["fields"]),
            ("sample", &["fields", "lists"]),
            ("witness", &["sample"]),
            ("placeholders", &[]),
            ("automata", &[]),
            ("topic_classes", &["placeholders"]),
            ("context", &["automata", "lists", "topic_classes"]),
            ("comparisons", &["client_kind", "fields", "lists"]),
            ("occurrences", &["comparisons", "fields", "placeholders"]),
            (
                "text_values",
                &["automata", "client_kind", "comparisons", "context", "occurrences", "placeholders", "topic_classes"],
            ),
            ("peerhost_values", &["automata", "comparisons", "context"]),
            (
                "sample_search",
                &[
                    "client_kind",
                    "comparisons",
                    "context",
                    "fields",
                    "lists",
                    "occurrences",
                    "peerhost_values",
                    "placeholders",
                    "sample",
                    "text_values",
                    "topic_classes",
                ],
            ),
            ("questions", &["sample", "witness"]),
            ("findings", &["context", "sample"]),
            ("diff", &["client_kind", "context", "lists", "questions", "sample", "witness"]),
        ],
    ),
    (
        "crates/tools/src/analysis/findings",
        &[
            ("rule_index", &[]),
            ("containment", &[]),
            ("narrowed_clients", &[]),
            ("context", &["containment", "rule_index"]),
            ("overruled_denies", &["context"]),
            ("crossing_topics", &["context", "overruled_denies"]),
            ("denied_as_written", &["containment", "context"]),
            ("late_deny", &["context", "overruled_denies"]),
            ("matches_nobody", &["context"]),
            ("never_decides", &["containment", "context", "rule_index"]),
            ("password_bypass", &["context"]),
            ("reaches_other_clients", &["context", "narrowed_clients"]),
            ("unverified_clientid", &["context", "narrowed_clients"]),
            ("window_is_over", &["context"]),
        ],
    ),
];

/// Files that may be longer than the others, and why.
const LONG: &[(&str, &str)] = &[];

const LINES: usize = 500;
const LINES_OF_MAIN: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder, by their path from the root, in order.
fn files_below(folder: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).map(named).collect()
}

/// The code of a file: without comments, and without tests, which stand at the end or in a file of their own.
pub(crate) fn code(name: &str, text: &str) -> String {
    if is_test(name) {
        return String::new();
    }
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/")
}

/// The files of all crates, without what they share for their tests.
pub(crate) fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for (folder, _) in EDGES {
        let files = files_below(folder);
        assert!(files.len() > 20, "{folder} has {} files", files.len());
        sources.extend(files);
    }
    sources
}

/// The module at the top of the crate that a file belongs to.
fn module<'n>(folder: &str, name: &'n str) -> &'n str {
    let name = name.strip_prefix(folder).unwrap().trim_start_matches('/');
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn files_are_short_enough_to_read() {
    for (name, text) in sources() {
        let lines = code(&name, &text).lines().count();
        let most = if name == "src/main.rs" { LINES_OF_MAIN } else { LINES };
        let long = LONG.iter().any(|(file, _)| *file == name);
        assert_eq!(lines > most, long, "{name} has {lines} lines of code, of {most}");
    }
}

#[test]
fn modules_use_only_what_they_may_know() {
    for (folder, edges) in EDGES.iter().chain(EDGES_WITHIN) {
        // Modules use only those above them, so there is no circle.
        for (at, (module, uses)) in edges.iter().enumerate() {
            let above = |used: &&str| edges[..at].iter().any(|(other, _)| other == used);
            assert!(uses.iter().all(above), "{folder}: {module} may use what is not above it");
        }
        let path = folder.split("src").nth(1).unwrap().trim_start_matches('/').replace('/', "::");
        let path = if path.is_empty() { "crate::".to_owned() } else { format!("crate::{path}::") };
        let root = if path == "crate::" { format!("{folder}/lib.rs") } else { format!("{folder}/mod.rs") };
        let edges: BTreeMap<&str, &[&str]> = edges.iter().copied().collect();
        let mut wrong = Vec::new();
        let mut modules = BTreeSet::new();
        for (name, text) in files_below(folder).iter().filter(|(name, _)| *name != root && !is_test(name)) {
            let from = module(folder, name);
            modules.insert(from.to_owned());
            let allowed = edges.get(from).unwrap_or_else(|| panic!("{name}: which modules may {from} use?"));
            let code = code(name, text);
            let mut all = used_modules(&code, &path);
            if Path::new(name).parent() == Some(Path::new(folder)) {
                all.extend(used_modules(&code, "super::"));
            }
            for used in all {
                if used != from && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{name} uses {used}"));
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        let listed: BTreeSet<String> = edges.keys().map(|&module| module.to_owned()).collect();
        assert_eq!(modules, listed, "{folder}");
    }
}

/// The modules behind a path; in groups too.
fn used_modules(code: &str, path: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, path) in code.match_indices(path) {
        let rest = &code[at + path.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        used.insert(word(item.trim()));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            used.insert(word(item.trim()));
        } else {
            used.insert(word(rest));
        }
    }
    used.remove("");
    used
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn what_is_pure_reads_no_file_no_clock_and_no_environment() {
    let pure = ["crates/core/", "crates/tools/", "crates/runtime/src/limits"];
    let mut found = 0;
    for (name, text) in sources() {
        if !pure.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        found += 1;
        let code = code(&name, &text);
        for word in [
            "std::fs",
            "std::io",
            "std::env",
            "std::net::Tcp",
            "std::thread",
            "std::process",
            "Instant::now",
            "SystemTime",
        ] {
            assert!(!code.contains(word), "{name} has {word}");
        }
    }
    assert!(found > 100, "{found} files");
}

/// What the policy engine is made of has nothing that reads files, talks to others or starts threads.
#[test]
fn the_policy_engine_depends_on_nothing_that_does_input_or_output() {
    let built = built_with(&metadata("crates/core/Cargo.toml"));
    assert!(built.iter().any(|(name, _)| name == "serde-saphyr"), "{built:?}");
    let named = |word: &str| built.iter().filter(|(name, _)| name.starts_with(word)).collect::<Vec<_>>();
    for word in ["rusqlite", "libsqlite3", "tokio", "mio", "rustix", "hyper", "tonic", "crossbeam", "rayon", "tempfile"]
    {
        assert!(named(word).is_empty(), "{:?}", named(word));
    }
}

/// Who reads a file by another way than `input`, and why that has an end.
const READ_BY_THEMSELVES: &[(&str, &str)] = &[
    ("crates/runtime/src/files/input.rs", "it is the one that reads"),
    ("crates/runtime/src/capture/file.rs", "it is appended to, and looked at byte by byte"),
    ("src/cli/demo/host.rs", "a frame of a child of this program, by its length"),
    ("crates/runtime/src/process.rs", "lines of the kernel's, under /proc"),
    ("crates/runtime/src/password/edit.rs", "a folder, to lock and sync it"),
    ("crates/runtime/src/port/term/inflate.rs", "of memory, with a bound"),
    ("crates/runtime/src/files/atomic.rs", "a folder, to sync it"),
    ("crates/runtime/src/recording.rs", "a stream, by lines and frames that have a bound"),
];

/// What has no end, or waits for a writer that never comes, must not hold up a command or take all
/// memory.
#[test]
fn files_are_read_with_a_bound_and_in_one_place() {
    const READS: [&str; 6] =
        ["fs::read(", "read_to_string(", "read_to_end(", "File::open(", "File::options(", ".read(true)"];
    let reads = |code: &str| READS.iter().copied().filter(|word| code.contains(word)).collect::<Vec<_>>();
    let mut found = BTreeSet::new();
    for (name, text) in sources() {
        let words = reads(&code(&name, &text));
        let known = READ_BY_THEMSELVES.iter().any(|(file, _)| *file == name);
        assert!(words.is_empty() || known, "{name} has {words:?}: use `input`, or say why it has an end");
        if !words.is_empty() {
            found.insert(name);
        }
    }
    let idle: Vec<_> = READ_BY_THEMSELVES.iter().filter(|(file, _)| !found.contains(*file)).collect();
    assert!(idle.is_empty(), "{idle:?} read nothing");
}

#[test]
fn events_and_decisions_know_no_transport() {
    for name in [
        "crates/core/src/event.rs",
        "crates/core/src/event/json.rs",
        "crates/core/src/event/owned.rs",
        "crates/core/src/decision.rs",
    ] {
        let text = fs::read_to_string(root().join(name)).unwrap().to_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            assert!(
                !["erl", "erlang", "term", "terms", "atom", "atoms", "tuple", "proplist"].contains(&word),
                "{name}: {word}"
            );
        }
    }
}

#[test]
fn every_lint_that_is_turned_off_says_why_and_no_test_is_left_out() {
    for (name, text) in sources().into_iter().chain(files_below("tests")).filter(|(name, _)| name != "tests/it/tidy.rs")
    {
        assert!(!text.contains("#[ignore"), "{name} leaves a test out");
        assert!(!text.contains("#[allow(") && !text.contains("#![allow("), "{name}: `expect` with a reason");
        for kind in ["#[expect(", "#![expect("] {
            for (at, _) in text.match_indices(kind) {
                let end = text[at..].find(")]").unwrap() + at;
                assert!(text[at..end].contains("reason = "), "{name}: {}", &text[at..end]);
            }
        }
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_exhook-policy")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"check"), "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(readme.contains(&format!("exhook-policy {name}")), "the README does not name {name}");
    }
}

#[test]
fn the_page_of_the_benchmarks_names_each_and_has_the_plots_that_it_shows() {
    let page = fs::read_to_string(root().join("benches/README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("benches/Cargo.toml")).unwrap();
    let benches = manifest.split("[[bench]]\n").skip(1).map(|bench| bench.split('"').nth(1).unwrap());
    let missing: Vec<_> = benches
        .filter(|name| !page.contains(&format!("| `cargo bench -p exhook-policy-benches --bench {name}` |")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");

    let mut sections = 0;
    for (_, rest) in page.match_indices("<!-- figures of ").map(|(at, mark)| page.split_at(at + mark.len())) {
        let name = rest.split(' ').next().unwrap();
        assert!(rest.contains(&format!("<!-- end of {name} -->")), "where do the figures of {name} end?");
        sections += 1;
    }
    assert!(sections > 10, "{sections} sections");

    let shown: Vec<String> =
        page.split("](plots/").skip(1).map(|rest| rest.split(')').next().unwrap().into()).collect();
    let mut kept: Vec<String> = fs::read_dir(root().join("benches/plots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), kept);
}

#[test]
fn files_that_are_named_exist() {
    let mut texts = vec![
        "README.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
        "CHANGELOG.md".to_owned(),
        ".ci/run".to_owned(),
        "tests/run".to_owned(),
        "deny.toml".to_owned(),
        "benches/README.md".to_owned(),
    ];
    texts.extend(listed("docs", "md"));
    texts.extend(listed("examples", "md"));
    let folders = ["src/", "crates/", "rules/", "schema/", "tests/", "examples/", "docs/", "benches/", "fuzz/"];
    let mut found = 0;
    for name in texts {
        let text = fs::read_to_string(root().join(&name)).unwrap();
        let words = text.split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)));
        for word in words.filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            let word = word.trim_end_matches('.');
            if word.contains("/data/") {
                continue; // Made when the driver runs.
            }
            assert!(root().join(word).exists(), "{name} names {word}");
            found += 1;
        }
    }
    assert!(found > 5, "{found} names");
}

/// The files with this ending below a folder.
fn listed(folder: &str, ending: &str) -> Vec<String> {
    let output = Command::new("find").arg(folder).args(["-name", &format!("*.{ending}")]).current_dir(root()).output();
    String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Text files below a folder, with what is in them.
fn texts_below(folder: &str) -> Vec<(String, String)> {
    let output = Command::new("find").arg(folder).args(["-type", "f"]).current_dir(root()).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |name: &str| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?));
    names.lines().filter_map(read).collect()
}

/// A version of this program in an example, as `v0.5.0` or `exhook-policy:0.5.0`.
#[test]
fn examples_name_the_version_of_this_program() {
    let ours = env!("CARGO_PKG_VERSION");
    let major = ours.split('.').next().unwrap();
    let mut found = 0;
    for (name, text) in texts_below("examples").iter().filter(|(name, _)| !name.contains("/captures/")) {
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '.')) {
            let version = word.strip_prefix('v').unwrap_or(word).trim_end_matches('.');
            let parts: Vec<&str> = version.split('.').collect();
            let is_version = parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
            if is_version && parts[0] == major {
                assert_eq!(version, ours, "{name} names {word}");
                found += 1;
            }
        }
    }
    assert!(found >= 2, "{found} versions");
}

#[test]
fn nothing_points_outside_the_repository() {
    for folder in ["src", "crates", "benches", "tests", "examples", "rules", "schema", "docs", ".ci"] {
        let output = Command::new("find").arg(folder).args(["-type", "l"]).current_dir(root()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "links in {folder}");
    }
    for name in ["", "crates/core/", "crates/tools/", "crates/runtime/", "benches/", "benches/counts/"] {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for word in ["path = \"..", "path = \"/", "git = "] {
            assert!(!manifest.contains(word), "{name}Cargo.toml: {word}");
        }
    }
    for (name, text) in sources() {
        for (at, call) in text.match_indices("include_") {
            let rest = &text[at..(at + 120).min(text.len())];
            let Some(path) = rest
                .split('"')
                .nth(1)
                .filter(|_| rest.starts_with("include_str!") || rest.starts_with("include_bytes!"))
            else {
                continue;
            };
            let file = root().join(&name).parent().unwrap().join(path).canonicalize().unwrap();
            assert!(file.starts_with(root().canonicalize().unwrap()), "{name}: {call} {path}");
        }
    }
}

/// Whether a licence expression (SPDX, also with `/` for `OR`) can be met by these licences alone.
fn is_met(expression: &str, allowed: &[&str]) -> bool {
    /// `OR` of `AND`s of licences and groups; leaves what follows.
    fn any(words: &mut &[&str], allowed: &[&str]) -> bool {
        let mut met = all(words, allowed);
        while let Some((&"OR", rest)) = words.split_first() {
            *words = rest;
            met |= all(words, allowed);
        }
        met
    }
    fn all(words: &mut &[&str], allowed: &[&str]) -> bool {
        let mut met = one(words, allowed);
        while let Some((&"AND", rest)) = words.split_first() {
            *words = rest;
            met &= one(words, allowed);
        }
        met
    }
    fn one(words: &mut &[&str], allowed: &[&str]) -> bool {
        let (first, rest) = words.split_first().expect("a licence or a group");
        *words = rest;
        if *first == "(" {
            let met = any(words, allowed);
            assert_eq!(words.first(), Some(&")"));
            *words = &words[1..];
            return met;
        }
        if let ["WITH", exception, rest @ ..] = *words {
            *words = rest;
            return allowed.contains(&format!("{first} WITH {exception}").as_str());
        }
        allowed.contains(first)
    }
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    assert!(rest.is_empty(), "{expression}");
    met
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "ISC", "Apache-2.0"];
    for met in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND ISC", "Apache-2.0 WITH x OR MIT"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND BSD", "Apache-2.0 WITH x", "GPL-3.0 OR MIT AND BSD"]
    {
        assert!(!is_met(not, &allowed), "{not}");
    }
}

/// What cargo knows of the packages behind a manifest, for this machine, as the lock file beside it says.
#[track_caller]
fn metadata(manifest: &str) -> serde_json::Value {
    let host = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host, "--manifest-path", manifest])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{manifest}: {}", String::from_utf8_lossy(&metadata.stderr));
    serde_json::from_slice(&metadata.stdout).unwrap()
}

/// deny.toml says which licences are acceptable, and this holds without the tool that reads it. Every one that stands there is
/// needed.
#[test]
fn dependencies_have_licences_that_are_acceptable() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let line = deny.lines().find(|line| line.starts_with("allow = [")).unwrap();
    let allowed: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    let metadata = metadata("Cargo.toml");
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let licence = |package: &serde_json::Value| package["license"].as_str().unwrap_or("none").to_owned();
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_met(&licence(package), &allowed))
        .map(|package| format!("{}: {}", package["name"], licence(package)))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    for one in &allowed {
        let others: Vec<&str> = allowed.iter().copied().filter(|other| other != one).collect();
        let needed = packages.iter().any(|package| !is_met(&licence(package), &others));
        assert!(needed, "no dependency needs {one}");
    }
}

/// The packages that the program is made of and built with, without those that only tests and benchmarks use: name and version.
fn built_with(metadata: &serde_json::Value) -> BTreeSet<(String, String)> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let node = |id: &serde_json::Value| nodes.iter().find(|node| node["id"] == *id).unwrap();
    let mut met = BTreeSet::new();
    let mut ahead = vec![node(&metadata["resolve"]["root"])];
    while let Some(next) = ahead.pop() {
        if met.insert(next["id"].as_str().unwrap()) {
            let is_built = |dep: &&serde_json::Value| {
                dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
            };
            ahead.extend(next["deps"].as_array().unwrap().iter().filter(is_built).map(|dep| node(&dep["pkg"])));
        }
    }
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| met.contains(package["id"].as_str().unwrap()));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    packages.map(|package| (text(&package["name"]), text(&package["version"]))).collect()
}

/// deny.toml names the crates that may be there in two versions, and each that it names is.
#[test]
fn no_crate_is_there_twice_but_those_that_are_named() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let skip = deny.split("skip = [").nth(1).unwrap().split("\n]").next().unwrap();
    let skip: Vec<(&str, &str)> = skip
        .split("crate = \"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().split_once('@').expect("a crate and a version"))
        .collect();
    let built = built_with(&metadata("Cargo.toml"));
    assert!(built.len() > 100, "{} packages", built.len());
    let versions = |name: &str| -> Vec<&String> {
        built.iter().filter(|(package, _)| package == name).map(|(_, version)| version).collect()
    };
    let is_of = |version: &str, named: &str| version == named || version.starts_with(&format!("{named}."));
    for name in built.iter().map(|(name, _)| name).collect::<BTreeSet<_>>() {
        let left = versions(name)
            .into_iter()
            .filter(|version| !skip.iter().any(|(skipped, named)| skipped == name && is_of(version, named)));
        assert!(left.count() <= 1, "{name} is there as {:?}", versions(name));
    }
    for (name, named) in skip {
        let all = versions(name);
        let is_needed = all.len() > 1 && all.iter().any(|version| is_of(version, named));
        assert!(is_needed, "deny.toml names {name} {named}, and there is {all:?}");
    }
}

#[test]
fn every_fault_that_is_promised_against_has_a_test() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let mut rows = 0;
    let mut faults = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let tests: Vec<(&str, &str)> = cells[2].split('`').filter_map(|word| word.split_once("::")).collect();
        assert!(!tests.is_empty(), "no test shows: {line}");
        assert!(faults.insert(cells[0]), "this fault has two rows: {}", cells[0]);
        assert!(shown.insert(tests.clone()), "another row has the same tests: {line}");
        for (file, test) in tests {
            let text = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("there is no {file}: {line}"));
            let at = text.find(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file} has no {test}"));
            let before = &text[..at];
            let head = &before[before.rfind("\n\n").unwrap_or(0)..];
            assert!(head.contains("#[test]") || head.contains("#[tokio::test"), "{file}: {test} is no test");
        }
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
}
