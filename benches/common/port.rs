//! A driver process on a pair of pipes, without a broker.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use rustix::pipe::fcntl_setpipe_size;
use tempfile::TempDir;

use crate::frames;

/// What the pipes hold: more than either end puts in at a time, so that neither waits for the other within it.
const PIPE: usize = 1 << 20;

/// A folder with the driver under the name by which a broker starts it, and a policy's folder.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// One with an empty policy's folder.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for folder in ["bin", "policy"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        symlink(crate::PROGRAM, dir.path().join("bin/python3")).expect("a link");
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The driver as the broker starts it, behind the words of a program that runs it.
    pub fn driver(&self, under: &[String]) -> Command {
        let mut words: Vec<_> = under.iter().map(Into::into).collect();
        words.push(self.path("bin/python3").into_os_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["-u", "-m", "erlport.cli", "--packet=4", "--use_stdio"]);
        command.env("PYTHONPATH", self.path("policy"));
        command
    }
}

/// A running driver.
pub struct Port {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    console: PathBuf,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Calls that were answered.
    pub replies: usize,
    /// Those that were answered with yes.
    pub allowed: usize,
}

impl Port {
    /// Starts a driver, whose stderr goes to the file `console`.
    pub fn start(mut command: Command, console: PathBuf) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&console).expect("a file for the console"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().expect("a piped stdin");
        let output = child.stdout.take().expect("a piped stdout");
        // Where the system allows less, the pipes hold less.
        let _ = fcntl_setpipe_size(&input, PIPE);
        let _ = fcntl_setpipe_size(&output, PIPE);
        Port { child, input, output: BufReader::with_capacity(64 << 10, output), console }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls `init` and waits until the policy is in force: calls that come before are kept and cost more.
    pub fn init(&mut self) {
        let mut call = Vec::new();
        frames::init(&mut call);
        let written = self.input.write_all(&call);
        let reply = written.and_then(|()| read_frame(&mut self.output));
        let loaded = reply.as_ref().is_ok_and(|reply| reply.windows(4).any(|bytes| bytes == [104, 2, 97, 0]));
        assert!(loaded, "the policy is not in force: {reply:?}\n{}", self.console());
    }

    /// Puts `count` calls to the driver and waits until all are answered.
    pub fn ask(&mut self, calls: &[u8], count: usize) -> Answers {
        let Port { input, output, .. } = self;
        let answers = thread::scope(|scope| {
            let written = scope.spawn(move || input.write_all(calls));
            let mut allowed = 0;
            for _ in 0..count {
                // The answer is the last word of its frame.
                allowed += usize::from(read_frame(output)?.ends_with(b"\x04true"));
            }
            written.join().expect("a writer that does not panic")?;
            Ok(Answers { replies: count, allowed })
        });
        answers.unwrap_or_else(|error: io::Error| panic!("the driver does not answer: {error}\n{}", self.console()))
    }

    /// Ends the input and waits until the driver has ended.
    pub fn end(mut self) -> ExitStatus {
        drop(self.input);
        let rest = self.output.read_to_end(&mut Vec::new()).expect("a pipe to read");
        assert_eq!(rest, 0, "more was answered than asked");
        self.child.wait().expect("a child to wait for")
    }

    fn console(&self) -> String {
        fs::read_to_string(&self.console).unwrap_or_default()
    }
}

fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame)?;
    Ok(frame)
}
