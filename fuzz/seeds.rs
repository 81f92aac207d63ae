//! Writes what a fuzzer begins with, a file an input: `seeds TARGET FOLDER`, called in the root of the repository.
//!
//! Inputs come from the recordings, policies and fixtures that are there anyway. Those that a fuzzer found and that are
//! kept stand in `fuzz/kept/TARGET.txt`, a line each, escaped as in Rust. `seeds TARGET --keep FOLDER` writes that file.
//!
//! One file without dependencies, so that `rustc` alone compiles it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer inputs are left out: a fuzzer is the faster the shorter they are.
const LONGEST: usize = 4096;
/// What is kept of one target, in bytes of its file. The shortest inputs come first.
const KEPT: usize = 20_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [target, "--keep", folder] => keep(target, Path::new(folder)),
        [target, folder] => seed(target, Path::new(folder)),
        _ => panic!("seeds TARGET [--keep] FOLDER"),
    }
}

fn seed(target: &str, folder: &Path) {
    let mut inputs = kept(target);
    inputs.extend(seeds(target));
    fs::create_dir_all(folder).expect("the folder can be made");
    let inputs = inputs.into_iter().filter(|input| (1..=LONGEST).contains(&input.len()));
    for (number, input) in inputs.enumerate() {
        fs::write(folder.join(format!("seed-{number}")), input).expect("an input can be written");
    }
}

fn seeds(target: &str) -> BTreeSet<Vec<u8>> {
    match target {
        "term_reader" => frames(),
        "policy_loader" => files(&["rules", "examples", "tests/policies", "tests/suites"], &["yaml", "yml"]),
        "grpc_request" => requests(),
        "acl_conf" => files(&["tests/convert"], &["conf"]),
        "event_json" => {
            let mut inputs = files(&["tests/replay", "tests/diff", "examples"], &["jsonl"]);
            // A file may be one of frames, too.
            inputs.extend(frames().into_iter().map(framed));
            inputs
        }
        // Its bytes are choices: the fuzzer finds its way from nothing.
        "topic_sets" => BTreeSet::new(),
        _ => panic!("no target is called {target}"),
    }
}

/// The frames of the recordings. Of those of the same kind and length one is enough.
fn frames() -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut inputs = BTreeSet::new();
    for recording in below(Path::new("examples/captures"), &["bin"]) {
        let bytes = fs::read(recording).expect("a recording can be read");
        let mut rest = &bytes[..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length");
            let Some((frame, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            // The function stands in the first hundred bytes.
            let on = frame.windows(3).take(100).position(|part| part == b"on_").unwrap_or_default();
            if seen.insert((frame.get(on..on + 20).map(<[u8]>::to_vec), length / 8)) {
                inputs.insert(frame.to_vec());
            }
        }
    }
    inputs
}

fn framed(frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a length").to_be_bytes();
    [&length[..], &frame].concat()
}

/// Requests as brokers make them, by the numbers of their fields.
fn requests() -> BTreeSet<Vec<u8>> {
    let text = |number, text: &str| field(number, text.as_bytes());
    let number = |field: u8, value: u8| vec![field << 3, value];
    let client = [
        text(1, "emqx@127.0.0.1"),
        text(2, "dev-1"),
        text(3, "user"),
        text(4, "secret"),
        text(5, "10.0.0.7"),
        number(6, 91),
        text(7, "mqtt"),
        text(8, "m/"),
        number(9, 1),
        number(10, 1),
        text(11, "cn"),
        text(12, "dn"),
    ]
    .concat();
    let connect = [
        text(1, "emqx@127.0.0.1"),
        text(2, "dev-1"),
        text(3, "user"),
        text(4, "10.0.0.7"),
        number(5, 91),
        text(6, "MQTT"),
        text(7, "5"),
        number(8, 60),
    ]
    .concat();
    let message = [
        text(1, "emqx@127.0.0.1"),
        text(2, "id"),
        number(3, 1),
        text(4, "dev-1"),
        text(5, "t/a"),
        text(6, "payload"),
        number(7, 9),
    ];
    let property = [text(1, "User-Property"), text(2, "x")].concat();
    let filter = [text(1, "c/#"), number(2, 1)].concat();
    let bodies = [
        [field(1, &connect), field(2, &property)].concat(),
        [field(1, &connect), text(2, "success"), field(3, &property)].concat(),
        field(1, &client),
        [field(1, &client), text(2, "normal")].concat(),
        [field(1, &client), number(2, 1)].concat(),
        [field(1, &client), number(2, 1), text(3, "t/a"), number(4, 1)].concat(),
        [field(1, &client), field(2, &property), field(3, &filter)].concat(),
        [field(1, &client), text(2, "c/#"), field(3, &number(1, 1))].concat(),
        field(1, &message.concat()),
    ];
    BTreeSet::from(bodies)
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short field");
    let length = if length < 128 { vec![length] } else { vec![length | 128, 1] };
    [&[number << 3 | 2][..], &length, bytes].concat()
}

/// The contents of the files with these endings.
fn files(folders: &[&str], endings: &[&str]) -> BTreeSet<Vec<u8>> {
    let files = folders.iter().flat_map(|folder| below(Path::new(folder), endings));
    files.map(|file| fs::read(file).expect("a file can be read")).collect()
}

fn below(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            found.extend(below(&path, endings));
        } else if path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn file_of(target: &str) -> PathBuf {
    Path::new("fuzz/kept").join(format!("{target}.txt"))
}

fn keep(target: &str, folder: &Path) {
    let known = seeds(target);
    let inputs = fs::read_dir(folder).expect("the folder can be read");
    let inputs = inputs.map(|entry| fs::read(entry.expect("an entry").path()).expect("an input can be read"));
    let mut inputs: Vec<Vec<u8>> = inputs.filter(|input| !known.contains(input)).collect();
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    let mut text = String::new();
    for input in inputs {
        let line = input.escape_ascii().to_string();
        if text.len() + line.len() < KEPT {
            writeln!(text, "{line}").expect("a text takes every line");
        }
    }
    fs::create_dir_all("fuzz/kept").expect("the folder can be made");
    fs::write(file_of(target), text).expect("the file can be written");
}

fn kept(target: &str) -> BTreeSet<Vec<u8>> {
    let Ok(text) = fs::read_to_string(file_of(target)) else { return BTreeSet::new() };
    text.lines().map(|line| unescape(line.as_bytes())).collect()
}

fn unescape(line: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next().expect("an escape is whole") {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let digit = |byte: Option<u8>| char::from(byte.expect("two digits")).to_digit(16).expect("a digit");
                    let (high, low) = (digit(rest.next()), digit(rest.next()));
                    u8::try_from(high * 16 + low).expect("two digits are a byte")
                }
                other => other,
            },
            (byte, false) => byte,
        });
    }
    bytes
}
