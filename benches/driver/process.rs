//! What a process cost, as the kernel counts it.

use std::fs;

/// The processor time of all threads that a process has, in microseconds. Threads that ended meanwhile are not in it.
pub fn cpu_us(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the driver runs");
    let nanos = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default()
    };
    tasks.flatten().map(nanos).sum::<u64>() as f64 / 1e3
}

/// What the process has in memory and had at most, in MiB.
pub fn memory_mib(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the driver runs");
    let row = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a size");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
    };
    (row("VmRSS:"), row("VmHWM:"))
}
