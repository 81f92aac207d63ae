//! The program under the broker's two names: bytes in, bytes out, and nothing else on the way.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eetf::Term;
use exhook_policy_runtime::password::StoredHash;
use tempfile::TempDir;

use crate::support::program::{OPTIONS, PROGRAM, run_with};
use crate::support::terms::{self, atom, binary, clientinfo, encoded, framed, integer, reply, tuple};

const RULES: &str = "
version: 1
auth:
  rules:
    - { id: devices, allow: { clientid: { glob: \"dev-*\" } } }
";

/// A folder `bin` with both names and a folder `policy` with a policy.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(TempDir::new().unwrap());
        for folder in ["bin", "policy", "other"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        for name in ["python3", "java"] {
            symlink(PROGRAM, place.path("bin").join(name)).unwrap();
        }
        fs::write(place.path("policy/rules.yaml"), RULES).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command in an environment of its own, where another `python3` stands in `other` if anywhere.
    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let path = std::env::join_paths([self.path("bin"), self.path("other")]).unwrap();
        command.args(args).env_clear().env("PATH", path).current_dir(self.0.path());
        command
    }

    /// The broker's command line of python3.
    fn python(&self, options: &[&str]) -> Command {
        let args = [&["-u", "-m", "erlport.cli"], options].concat();
        let mut command = self.command(&self.path("bin/python3"), &args);
        command.env("PYTHONPATH", format!("/nowhere/priv/python3:{}", self.path("policy").display()));
        command
    }

    /// The broker's command line of java, where the class is that of 4.1 or of 4.2.
    fn java(&self, class: &str) -> Command {
        let class_path = format!("/nowhere/erlport.jar:{}", self.path("policy").display());
        let args = [&["-cp", &class_path, class][..], &OPTIONS].concat();
        let mut command = self.command(&self.path("bin/java"), &args);
        command.env("JAVAPATH", &class_path);
        command
    }
}

fn framed_by(width: usize, term: &[u8]) -> Vec<u8> {
    let length = u32::try_from(term.len()).unwrap().to_be_bytes();
    [&length[4 - width..], term].concat()
}

fn call(function: &str, args: &[Term]) -> Vec<u8> {
    terms::call(1, "rules", function, args.iter().cloned())
}

fn login(clientid: &str) -> Vec<u8> {
    call("on_client_authenticate", &[clientinfo(clientid, "", "s3cret"), atom("true"), tuple([])])
}

/// The results of the replies, which all have the id 1 and are all that was written.
#[track_caller]
fn results(width: usize, mut output: &[u8]) -> Vec<String> {
    let mut results = Vec::new();
    while !output.is_empty() {
        let mut length = [0; 4];
        length[4 - width..].copy_from_slice(&output[..width]);
        let (term, rest) = output[width..].split_at(u32::from_be_bytes(length) as usize);
        output = rest;
        let Term::Tuple(reply) = Term::decode(term).unwrap() else { panic!("{term:?}") };
        assert_eq!((reply.elements.len(), &reply.elements[..2]), (3, &[atom("r"), integer(1)][..]));
        results.push(reply.elements[2].to_string().replace(' ', ""));
    }
    results
}

const ALLOWED: &str = "{0,'true'}";
const DENIED: &str = "{0,'false'}";

/// The driver answers two logins and goes.
#[track_caller]
fn check_drives(width: usize, mut command: Command) {
    let input = [login("dev-1"), login("gw-1")].iter().flat_map(|term| framed_by(width, term)).collect::<Vec<_>>();
    let output = run_with(&mut command, &input);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(results(width, &output.stdout), [ALLOWED, DENIED], "{stderr}");
    assert!(stderr.contains("exhook-policy: the policy rules is in force, mode enforce\n"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn the_brokers_command_lines_start_a_driver() {
    let place = Place::new();
    check_drives(4, place.python(&OPTIONS));
    check_drives(4, place.java("erlport.CLI"));
    check_drives(4, place.java("com.erlport.Main"));
}

#[test]
fn lengths_of_two_bytes_are_spoken() {
    check_drives(2, Place::new().python(&["--packet=2"]));
}

/// No hook call fits, and neither does the broker's list of hooks; the answers to what fits do.
#[test]
fn lengths_of_one_byte_are_spoken() {
    let place = Place::new();
    let input = [call("init", &[]), call("on_client_authenticate", &[]), call("deinit", &[])];
    let input: Vec<u8> = input.iter().flat_map(|term| framed_by(1, term)).collect();
    let output = run_with(&mut place.python(&["--packet=1"]), &input);
    let mut results = results(1, &output.stdout);
    results.sort();
    assert_eq!(results.len(), 3, "{results:?}");
    assert!(results.contains(&"'ok'".to_owned()) && results.contains(&DENIED.to_owned()), "{results:?}");
}

#[test]
fn descriptors_3_and_4_are_used_without_stdio() {
    let place = Place::new();
    let driver = place.python(&["--nouse_stdio"]);
    let mut shell = place.command(Path::new("/bin/sh"), &["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"]);
    shell.arg(driver.get_program()).args(driver.get_args());
    shell.envs(driver.get_envs().filter_map(|(key, value)| Some((key, value?))));
    check_drives(4, shell);
}

#[test]
fn unknown_options_are_ignored_and_said() {
    let place = Place::new();
    let output = run_with(&mut place.python(&["--packet=4", "--colour=blue"]), b"");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "exhook-policy: erlport has no option --colour, it is ignored\n"
    );
}

#[test]
fn init_tells_what_is_wrong() {
    let place = Place::new();
    fs::remove_file(place.path("policy/rules.yaml")).unwrap();
    let output = run_with(&mut place.python(&OPTIONS), &framed(&call("init", &[])));
    assert_eq!(output.status.code(), Some(0));
    let reason = format!("no rules.yaml or rules.yml in {}", place.path("policy").display());
    let expected = encoded(&reply(1, tuple([integer(1), binary(&reason)])));
    assert_eq!(output.stdout, framed(&expected));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("exhook-policy: {reason}\nexhook-policy: the policy rules is not in force\n")
    );
}

#[track_caller]
fn check_stops(input: &[u8], line: &str) {
    let output = run_with(&mut Place::new().python(&OPTIONS), input);
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("exhook-policy: the driver stops: {line}\n"));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn what_is_no_stream_of_frames_ends_the_driver_with_one_line() {
    check_stops(
        b"print('hello')\n",
        "the input is no stream of frames: it holds the text \"prin\" where a length should be",
    );
    check_stops(&[0, 0, 0, 9, 131], "the input ended within a frame, 5 bytes into 13");
    check_stops(&[0], "the input ended within a frame, 1 bytes into its length");
}

#[test]
fn no_input_is_no_work() {
    let output = run_with(&mut Place::new().python(&OPTIONS), b"");
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
}

/// Whatever else writes to stdout in the process writes to the console, and nothing else reads the calls.
#[test]
fn the_protocol_has_its_descriptors_for_itself() {
    let place = Place::new();
    let mut child =
        place.python(&OPTIONS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&framed(&call("deinit", &[]))).unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
    let descriptor = |number: u8| fs::read_link(format!("/proc/{}/fd/{number}", child.id())).unwrap();
    assert_eq!(descriptor(0), Path::new("/dev/null"));
    assert_eq!(descriptor(1), descriptor(2));
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A console that nobody reads holds up nothing.
#[test]
fn a_stuck_console_holds_up_no_answer() {
    let place = Place::new();
    let mut child =
        place.python(&OPTIONS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let calls = 20_000;
    let mut stdin = child.stdin.take().unwrap();
    let unknown = framed(&call("on_something_else", &[])).repeat(calls);
    let writer = std::thread::spawn(move || {
        // Each is logged, and together that is far more than a pipe holds.
        stdin.write_all(&unknown).unwrap();
        stdin.write_all(&framed(&login("dev-1"))).unwrap();
    });
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap();
    let results = results(4, &output);
    assert_eq!((results.len(), results[calls].as_str()), (calls + 1, ALLOWED));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn python_says_its_version() {
    let place = Place::new();
    for arg in ["-V", "--version"] {
        let output = run_with(&mut place.command(&place.path("bin/python3"), &[arg]), b"");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "Python 3.8.0\n");
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    }
}

/// Makes a program by copying one. Another process does it: a file that this one has open for writing
/// may be open in the children that other tests are starting, and could not be run then.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-p").arg(from).arg(to).status().unwrap().success());
}

/// A program that says by which name and with which arguments it was called.
fn put_other(place: &Place, name: &str) {
    let script = place.path("script");
    fs::write(&script, "#!/bin/sh\necho \"$0\" \"$#\" \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    copy(&script, &place.path("other").join(name));
}

#[test]
fn other_uses_of_the_names_are_handed_on() {
    let place = Place::new();
    for name in ["python3", "java"] {
        put_other(&place, name);
        let output = run_with(&mut place.command(&place.path("bin").join(name), &["-c", "a  b", ""]), b"");
        let expected = format!("{} 3 -c a  b \n", place.path("other").join(name).display());
        assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), (&*expected, Some(7)));
    }
}

#[test]
fn with_nobody_to_hand_on_to_there_is_an_error() {
    let place = Place::new();
    // The same program under another path is no other.
    symlink(place.path("bin/python3"), place.path("other/python3")).unwrap();
    let output = run_with(&mut place.command(&place.path("bin/python3"), &["script.py"]), b"");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "exhook-policy: called as python3: there is no other python3 on the PATH\n"
    );
    assert_eq!((output.status.code(), output.stdout.len()), (Some(127), 0));
}

/// Copies of the program stand first and second: neither hands on to the other for ever.
#[test]
fn two_copies_do_not_hand_on_to_each_other() {
    let place = Place::new();
    fs::remove_file(place.path("bin/python3")).unwrap();
    for folder in ["bin", "other"] {
        copy(Path::new(PROGRAM), &place.path(folder).join("python3"));
    }
    let output = run_with(&mut place.command(&place.path("bin/python3"), &["script.py"]), b"");
    assert_eq!(output.status.code(), Some(127));
}

/// Everything that a process could have written, as it is now.
fn memory_of(process: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|place| u64::from_str_radix(place, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        // What the kernel keeps to itself cannot be read.
        if memory.read_exact_at(&mut part, from).is_ok() {
            found.extend(part);
        }
    }
    found
}

/// Each place where the mark stands, with what follows it.
fn marked(memory: &[u8], mark: &str) -> Vec<String> {
    let marked = regex::bytes::Regex::new(&format!("(?s-u){mark}.{{0,12}}")).unwrap();
    marked.find_iter(memory).map(|found| found.as_bytes().escape_ascii().to_string()).collect()
}

/// Passwords of logins of each kind: while the policy is loading, right, wrong, of nobody, in a frame that cannot be read, in
/// frames that arrive in pieces and so many that the buffer grows.
#[test]
fn no_password_is_left_in_the_memory_of_the_driver() {
    const MARK: &str = "n0t-l3ft-b3hind-";
    let place = Place::new();
    let mut hashes = String::new();
    for (user, hash) in [
        ("argon", StoredHash::argon2id(format!("{MARK}argon").as_bytes()).unwrap()),
        // Of other passwords.
        ("bcrypt", "$2b$04$eOkKcqg6bKiWUJRO9nJU8.0sNkrlKM0G7mWwV8xvzLO9Ax0xCBdlO".to_owned()),
        ("scrypt", "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$0mCyFwh6qVKrGSHTzDU4VQyQqjbXJ9lE7YgkWFQBO1M".to_owned()),
        ("pbkdf", "$pbkdf2-sha256$i=10$c2FsdHNhbHQ$0mCyFwh6qVKrGSHTzDU4VQyQqjbXJ9lE7YgkWFQBO1M".to_owned()),
    ] {
        hashes.extend([user, ":", &hash, "\n"]);
    }
    fs::write(place.path("policy/users.passwd"), hashes).unwrap();
    let rules = "version: 1\ndeadline: 30s\npasswords: { users: { file: users.passwd } }\n\
                 auth: { rules: [{ allow: everyone, password: users }] }\n\
                 acl: { rules: [{ deny: everyone, topics: [\"#\"] }] }\n";
    fs::write(place.path("policy/rules.yaml"), rules).unwrap();
    let mut driver = place.python(&OPTIONS);
    let mut child = driver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());

    let login = |user: &str, number: usize| {
        let client = clientinfo("c", user, &format!("{MARK}{user}{}", if number == 0 { "" } else { "-wrong" }));
        framed(&call("on_client_authenticate", &[client, atom("true"), tuple([])]))
    };
    let torn = framed(&call("on_client_authenticate", &[binary(format!("{MARK}torn")), tuple([])]));
    let rest = framed(format!("{MARK}no-term").as_bytes());
    let mut answers = |count: usize| {
        for _ in 0..count {
            let mut length = [0; 4];
            stdout.read_exact(&mut length).unwrap();
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            stdout.read_exact(&mut answer).unwrap();
        }
    };
    // While the policy is loading.
    stdin.write_all(&[login("argon", 0), login("pbkdf", 1)].concat()).unwrap();
    answers(2);
    for round in 0..3 {
        let users = ["argon", "bcrypt", "scrypt", "pbkdf", "nobody"];
        let logins: Vec<Vec<u8>> = (0..40).map(|number| login(users[number % users.len()], number + round)).collect();
        let mut input = [logins.concat(), torn.clone(), rest.clone()].concat();
        if round == 1 {
            // A frame that none is as long as, behind the beginning of which the others have to move.
            let client = clientinfo("c", "nobody", &(MARK.to_owned() + &"x".repeat(60_000)));
            let long = framed(&call("on_client_authenticate", &[client, atom("true"), tuple([])]));
            input.splice(0..0, [login("argon", 0), long].concat());
            write_in_pieces(&mut stdin, &input, 5_003);
            answers(2 + logins.len() + 1);
            continue;
        }
        write_in_pieces(&mut stdin, &input, [1_031, 0, 65_536][round]);
        answers(logins.len() + 1);
    }
    let client = clientinfo("sh0wn-by-th3-search-01", "u", "");
    stdin
        .write_all(&framed(&call(
            "on_client_check_acl",
            &[client, atom("publish"), binary("t"), atom("true"), tuple([])],
        )))
        .unwrap();
    answers(1);

    // A login that was too late has its answer, and may still be worked at.
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let memory = memory_of(child.id());
        assert!(!marked(&memory, "sh0wn-by-th3-search-").is_empty(), "{} bytes are not the driver's", memory.len());
        let left = marked(&memory, MARK);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < patience, "{left:?}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Writes in pieces of so many bytes, each of which the driver has the time to read.
fn write_in_pieces(stdin: &mut impl Write, input: &[u8], piece: usize) {
    for piece in input.chunks(piece) {
        stdin.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The broker hands back what `init` told it, however old that is; only what was in force since closes the door.
#[test]
fn a_policy_that_is_gone_denies_where_it_was_enforced_last() {
    let state = || tuple([atom("exhook_policy"), integer(2), atom("audit"), integer(16)]);
    let asked = call("on_client_authenticate", &[clientinfo("gw-1", "", "s3cret"), atom("true"), state()]);
    for (was_enforced, expected) in [(true, DENIED), (false, "'undefined'")] {
        let place = Place::new();
        if was_enforced {
            run_with(&mut place.python(&OPTIONS), &framed(&call("init", &[])));
        }
        fs::remove_file(place.path("policy/rules.yaml")).unwrap();
        for _ in 0..2 {
            let output = run_with(&mut place.python(&OPTIONS), &framed(&asked));
            assert_eq!(results(4, &output.stdout), [expected], "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
