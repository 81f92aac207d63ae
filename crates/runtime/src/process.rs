//! What a process is: this one, which records, and the broker where that started it; and what this one keeps others
//! from.
//!
//! A process id alone is used again by the next process, so a [`Process`] also has its start time,
//! and a [`Recorder`] the boot and the pid namespace in which both mean something.

use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::Pid;

/// One process, told from a later one of the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// Clock ticks between boot and start; 0 where it cannot be read.
    pub started: i64,
}

/// Who records: one process.
#[derive(Clone)]
pub struct Recorder {
    /// Whose events it records.
    pub serves: Serves,
    /// The machine's name, which a container that is started anew often keeps.
    pub host: String,
    /// Names this run of the kernel.
    pub boot_id: String,
    /// Names the namespace that the process ids belong to.
    pub pid_ns: String,
    /// The process that records.
    pub process: Process,
    /// Whether a process of this boot and namespace still runs.
    pub alive: Arc<dyn Fn(Process) -> bool + Send + Sync>,
}

/// Whose events a process records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// A driver: those of the broker that started it.
    Parent {
        /// The driver's name in the broker's configuration: `python3` or `java`.
        slot: String,
        /// The broker's process.
        process: Process,
    },
    /// A server: those of whichever brokers call it.
    Callers,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({:?} {:?})", self.process, self.serves)
    }
}

impl Recorder {
    /// This process, which the broker started as the driver named `slot`. Under Erlang the parent is
    /// `erl_child_setup`, of which each node has one, as long as the node lives.
    pub fn of_this_process(slot: &str) -> Self {
        let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
        Recorder::here(Serves::Parent { slot: slot.to_owned(), process: Process::running(parent) })
    }

    /// This process, which brokers call over a network.
    pub fn server() -> Self {
        Recorder::here(Serves::Callers)
    }

    fn here(serves: Serves) -> Self {
        Recorder {
            serves,
            host: fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            pid_ns: fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned(),
            process: Process::running(rustix::process::getpid().as_raw_pid()),
            alive: Arc::new(Process::is_alive),
        }
    }
}

/// From now on nothing that this process makes can be written by its owner's group or by others,
/// whatever the umask was. That holds for what libraries make too, a database and its WAL say. The
/// umask is that of all threads: call it before there are several.
pub fn keep_others_from_writing() {
    let others_write = Mode::WGRP | Mode::WOTH;
    let before = rustix::process::umask(others_write);
    rustix::process::umask(before | others_write);
}

impl Serves {
    /// What the process calls itself.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Serves::Parent { .. } => "driver",
            Serves::Callers => "server",
        }
    }
}

impl Process {
    /// The process that has this id now.
    pub fn running(pid: i32) -> Self {
        let started = match start_of(pid) {
            Start::At(ticks) => ticks,
            Start::Unknown | Start::Ended => 0,
        };
        Process { pid, started }
    }

    /// Whether it still runs. Where nothing can be seen of it, it is taken to.
    pub fn is_alive(self) -> bool {
        match start_of(self.pid) {
            Start::At(ticks) => self.started == 0 || ticks == self.started,
            Start::Ended => false,
            // Another user's process, hidden in /proc, answers a signal all the same.
            Start::Unknown => Pid::from_raw(self.pid)
                .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)),
        }
    }
}

enum Start {
    At(i64),
    Ended,
    Unknown,
}

fn start_of(pid: i32) -> Start {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(&stat),
        // The process went while its file was open.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Start::Ended,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Start::Unknown,
        Err(_) => Start::Unknown,
    }
}

/// The name in the second field may hold anything, so the count begins behind its last bracket.
fn parse_stat(stat: &str) -> Start {
    let Some((_, fields)) = stat.rsplit_once(')') else { return Start::Unknown };
    let mut fields = fields.split_ascii_whitespace();
    match fields.next() {
        Some("Z" | "X" | "x") => return Start::Ended,
        Some(_) => {}
        None => return Start::Unknown,
    }
    // Field 22 of the line; the state was field 3.
    match fields.nth(18).and_then(|ticks| ticks.parse().ok()) {
        Some(ticks) => Start::At(ticks),
        None => Start::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_behind_a_hostile_name() {
        let stat = "42 (a) R 9 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert!(matches!(parse_stat(stat), Start::At(4711)));
        assert!(matches!(parse_stat("42 (x) Z 1 2 3"), Start::Ended));
        assert!(matches!(parse_stat("42"), Start::Unknown));
    }

    #[test]
    fn this_process_is_alive_and_its_successor_is_another() {
        let me = Recorder::of_this_process("python3");
        let Serves::Parent { process: broker, .. } = me.serves else { panic!("{me:?}") };
        assert!(me.process.started > 0 && broker.pid > 0, "{me:?}");
        assert!((me.alive)(me.process));
        assert!((me.alive)(broker));
        assert!(!(me.alive)(Process { started: me.process.started - 1, ..me.process }));
        assert_eq!(Recorder::server().process, me.process);
        assert!(!me.boot_id.is_empty() && me.pid_ns.starts_with("pid:["), "{} {}", me.boot_id, me.pid_ns);
    }

    #[test]
    fn a_child_that_ended_is_gone_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Process::running(i32::try_from(child.id()).unwrap());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while process.is_alive() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!process.is_alive());
        child.wait().unwrap();
        assert!(!process.is_alive());
    }
}
