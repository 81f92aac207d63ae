//! Where the commands print.

use std::io::{self, StdoutLock, Write};

/// Throws the rest away once its reader is gone, as `head` is when it has seen enough. That is no error: the command goes on to its
/// verdict, and the exit code tells it.
#[derive(Debug)]
pub(super) struct Out<W> {
    to: Option<W>,
}

/// Stdout.
pub(super) fn stdout() -> Out<StdoutLock<'static>> {
    Out { to: Some(io::stdout().lock()) }
}

impl<W: Write> Out<W> {
    fn unless_closed<T>(&mut self, instead: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let Some(to) = &mut self.to else { return Ok(instead) };
        match write(to) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.to = None;
                Ok(instead)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), Write::flush)
    }
}
