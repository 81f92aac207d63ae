//! The pair of descriptors that the protocol runs on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// Where calls come from and replies go.
#[derive(Debug)]
pub struct Pipes {
    /// Read when there is something to read.
    pub input: OwnedFd,
    /// Never blocks.
    pub output: OwnedFd,
}

impl Pipes {
    /// Takes stdin and stdout for the protocol. From here on 0 is `/dev/null` and 1 is stderr, so that no
    /// `print` of any library can get between the frames.
    ///
    /// # Errors
    /// A descriptor cannot be had.
    pub fn stdio() -> io::Result<Pipes> {
        let pipes = Pipes { input: fcntl_dupfd_cloexec(stdin(), 3)?, output: nonblocking(stdout())? };
        dup2_stdin(open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
        dup2_stdout(stderr())?;
        Ok(pipes)
    }

    /// Takes descriptors 3 and 4, as `--nouse_stdio` has it.
    ///
    /// # Errors
    /// These are not open, or not pipes.
    pub fn three_and_four() -> io::Result<Pipes> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Pipes {
            input: open("/dev/fd/3", OFlags::RDONLY | flags, Mode::empty())?,
            output: open("/dev/fd/4", OFlags::WRONLY | flags, Mode::empty())?,
        })
    }
}

/// The same file, such that writing to it does not block.
fn nonblocking(fd: impl AsFd) -> io::Result<OwnedFd> {
    let fd = fd.as_fd();
    if FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Fifo {
        // Opened anew, the flag is ours alone. On a copy of the descriptor it would hold for whoever shares
        // the pipe with us: stderr, where somebody sent both into one.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(reopened) = open(path, flags, Mode::empty()) {
            return Ok(reopened);
        }
    }
    let copy = fcntl_dupfd_cloexec(fd, 3)?;
    fcntl_setfl(&copy, fcntl_getfl(&copy)? | OFlags::NONBLOCK)?;
    Ok(copy)
}
