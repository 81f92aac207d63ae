//! Answers over HTTP: all that ask at once on one thread, which waits for none of them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::export::{ExporterEnd, PageMaker};

/// How often it is looked whether it is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long it rests where it cannot go on: too many open files, say, which passes.
const REST: Duration = Duration::from_millis(100);
/// A request has no more bytes.
const REQUEST: usize = 8 << 10;
/// So many are answered at once. Who comes then takes the place of who has been there for longest.
const MOST: usize = 32;

/// Answers until it is over. Who takes longer than `patience`, for the request and the answer together, gets none.
pub(super) fn listen(listener: &TcpListener, page: &PageMaker, patience: Duration, over: &ExporterEnd) {
    let mut callers: Vec<MetricsClient> = Vec::new();
    while !over.is() {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(callers.iter().map(|caller| PollFd::new(&caller.stream, caller.waits_for())));
        if poll(&mut fds, Some(&LOOK)).is_err() {
            over.pause(REST);
        }
        let ready: Vec<bool> = fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let now = Instant::now();
        // Who asks and goes away again harms nobody.
        callers.retain_mut(|caller| {
            let is_ready = ready.next().unwrap_or(false);
            now < caller.end && (!is_ready || caller.go_on(page).is_ok_and(|done| !done))
        });
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    if callers.len() >= MOST {
                        callers.remove(0);
                    }
                    if stream.set_nonblocking(true).is_ok() {
                        callers.push(MetricsClient {
                            stream,
                            end: now + patience,
                            stage: MetricsClientStage::Asks(Vec::new()),
                        });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    over.pause(REST);
                    break;
                }
            }
        }
    }
}

struct MetricsClient {
    stream: TcpStream,
    /// When it must be done.
    end: Instant,
    stage: MetricsClientStage,
}

enum MetricsClientStage {
    /// What has come of the request.
    Asks(Vec<u8>),
    /// The answer, and how much of it is sent.
    Takes(Vec<u8>, usize),
}

impl MetricsClient {
    fn waits_for(&self) -> PollFlags {
        match self.stage {
            MetricsClientStage::Asks(_) => PollFlags::IN,
            MetricsClientStage::Takes(..) => PollFlags::OUT,
        }
    }

    /// Reads or writes what can be; whether that was all.
    fn go_on(&mut self, page: &PageMaker) -> io::Result<bool> {
        loop {
            let step = match &mut self.stage {
                MetricsClientStage::Asks(request) => {
                    if request.len() > REQUEST {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    let mut part = [0; 1024];
                    let read = self.stream.read(&mut part);
                    read.inspect(|count| request.extend_from_slice(part.get(..*count).unwrap_or_default()))
                }
                MetricsClientStage::Takes(answer, sent) => {
                    self.stream.write(answer.get(*sent..).unwrap_or_default()).inspect(|count| *sent += count)
                }
            };
            match step {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            match &self.stage {
                MetricsClientStage::Asks(request) if request.windows(4).any(|bytes| bytes == b"\r\n\r\n") => {
                    self.stage = MetricsClientStage::Takes(answer(request, page), 0);
                }
                MetricsClientStage::Takes(answer, sent) if *sent >= answer.len() => return Ok(true),
                MetricsClientStage::Asks(_) | MetricsClientStage::Takes(..) => {}
            }
        }
    }
}

fn answer(request: &[u8], page: &PageMaker) -> Vec<u8> {
    let is_asked = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET /metrics?");
    let (status, text) = if is_asked { ("200 OK", page()) } else { ("404 Not Found", "GET /metrics\n".to_owned()) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    (head + &text).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::thread::{self, JoinHandle, sleep};

    const LONG: Duration = Duration::from_secs(60);

    struct Server {
        address: SocketAddr,
        over: Arc<ExporterEnd>,
        thread: Option<JoinHandle<()>>,
    }

    impl Server {
        fn start(page: String, patience: Duration) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let (address, over) = (listener.local_addr().unwrap(), Arc::new(ExporterEnd::default()));
            let end = Arc::clone(&over);
            let page: PageMaker = Arc::new(move || page.clone());
            let thread = thread::spawn(move || listen(&listener, &page, patience, &end));
            Server { address, over, thread: Some(thread) }
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream
        }

        fn ask(&self, request: &str) -> String {
            let mut stream = self.connect();
            // Who is cut off in the middle may not be able to say all.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        }

        #[track_caller]
        fn check(&self) {
            let answer = self.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\none 1\n"), "{answer}");
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.over.end();
            self.thread.take().unwrap().join().unwrap();
        }
    }

    /// Nobody's time is ever up here, so who answers one after the other answers nobody.
    #[test]
    fn who_says_nothing_keeps_nobody_waiting() {
        let server = Server::start("one 1\n".to_owned(), Duration::from_secs(3600));
        let eight: Vec<_> = (0..8).map(|_| server.connect()).collect();
        server.check();
        let more: Vec<_> = (0..2 * MOST).map(|_| server.connect()).collect();
        server.check();
        // Room was made.
        assert_eq!((&eight[0]).read(&mut [0; 1]).unwrap(), 0);
        drop((eight, more));
        server.check();
    }

    #[test]
    fn what_is_no_request_for_them_is_answered_so_or_not_at_all() {
        let server = Server::start("one 1\n".to_owned(), LONG);
        assert_eq!(server.ask(&"x".repeat(3 * REQUEST)), "");
        assert!(server.ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
        // In pieces.
        let mut stream = server.connect();
        for piece in ["GET /met", "rics HTTP/1.1\r\n", "\r", "\n"] {
            stream.write_all(piece.as_bytes()).unwrap();
            sleep(Duration::from_millis(20));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("one 1\n"), "{answer}");
    }

    #[test]
    fn the_time_of_who_says_nothing_is_up() {
        let server = Server::start(String::new(), Duration::from_millis(100));
        assert_eq!(server.connect().read(&mut [0; 1]).unwrap(), 0);
    }

    /// Each piece comes in time, and all of them do not.
    #[test]
    fn who_takes_the_answer_slowly_does_not_get_all_of_it() {
        let all = 64 << 20;
        let server = Server::start("x".repeat(all), Duration::from_millis(500));
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut taken = 0;
        let mut part = vec![0; 64 << 10];
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            taken += stream.read(&mut part).unwrap_or(0);
            sleep(Duration::from_millis(5));
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(taken + rest.len() < all, "{taken} and {}", rest.len());
    }
}
