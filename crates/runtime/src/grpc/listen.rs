//! Connections: where they come from, what is asked of them, TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, CertificateError, OtherError, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::links::{Link, Links};
use super::places::{ConnectionPlaces, SILENT, lock};
use crate::files::input;
use crate::files::stamp::Stamp;
use crate::log::Log;

/// The most bytes of a file of certificates: all that a browser trusts have some 200 KiB.
const LARGEST: u64 = 16 << 20;
/// A broker that was silent for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A peer that does not acknowledge or take what was sent for so long is given up.
const UNREAD: Duration = Duration::from_secs(60);
/// How often the files of TLS are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Where no connection can be accepted, it is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// How long those take that give way to others.
const MOMENT: Duration = Duration::from_millis(1);

/// The files that TLS needs, in PEM form.
#[derive(Debug, Clone)]
pub struct Tls {
    /// This server's certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The roots of the certificates that clients must have; `None` asks them for none.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file it is, and what is wrong with it.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(ring::default_provider());
        let problem = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain = certificates(&self.certificate)?;
        let key = input::read_regular(&self.key, LARGEST).map_err(|error| problem(&self.key, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| problem(&self.key, &error))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).map_err(|error| problem(path, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| problem(path, &error))?)
            }
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| problem(&self.certificate, &in_words(&error)))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn stamps(&self) -> Stamps {
        let Tls { certificate, key, client_ca } = self;
        [Stamp::at(certificate), Stamp::at(key), client_ca.as_ref().and_then(|path| Stamp::at(path))]
    }
}

/// Of the certificate, its key, and the roots.
type Stamps = [Option<Stamp>; 3];

/// What is wrong with a certificate, where rustls says it in words of its own.
fn in_words(error: &rustls::Error) -> String {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
        && inner.to_string() == "UnsupportedCertVersion"
    {
        return "the certificate has version 1 of X.509; make it again with version 3, which has extensions such as \
                subjectAltName"
            .to_owned();
    }
    if let rustls::Error::InvalidCertificate(problem) = error {
        return format!("the certificate cannot be used: {problem}");
    }
    if let rustls::Error::InconsistentKeys(_) = error {
        return "the certificate is not for this private key".to_owned();
    }
    error.to_string()
}

/// As [`in_words`], where it is a fault of TLS.
fn refusal(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(error @ rustls::Error::InvalidCertificate(CertificateError::Other(_))) => in_words(error),
        Some(_) | None => error.to_string(),
    }
}

/// TLS with the files as they are, which certificates that run out make necessary.
pub struct Renewed {
    tls: Tls,
    /// The files before they were read for the first time.
    read: Stamps,
    acceptor: ArcSwap<TlsAcceptor>,
}

impl Renewed {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Which file it is, and what is wrong with it.
    pub fn new(tls: &Tls) -> Result<Arc<Self>, String> {
        let read = tls.stamps();
        Ok(Arc::new(Renewed { tls: tls.clone(), read, acceptor: ArcSwap::from_pointee(tls.acceptor()?) }))
    }

    fn now(&self) -> TlsAcceptor {
        TlsAcceptor::clone(&self.acceptor.load())
    }

    /// Looks at the files for ever. Those that changed, and have been left alone for a look, are for the connections that come then; if
    /// they cannot be used, what was there stays.
    pub(super) async fn watch(self: Arc<Self>, log: Log) {
        let mut looks = interval(LOOK);
        let mut known = self.read;
        let mut before = known;
        loop {
            looks.tick().await;
            let stamps = self.stamps().await;
            if stamps == known || stamps != std::mem::replace(&mut before, stamps) {
                continue;
            }
            known = stamps;
            let files = self.tls.clone();
            // A disk that hangs must not take a thread that calls need.
            match spawn_blocking(move || files.acceptor()).await {
                Ok(Ok(acceptor)) => {
                    self.acceptor.store(Arc::new(acceptor));
                    log.line(format_args!(
                        "connections from now on get the certificate {} anew",
                        self.tls.certificate.display()
                    ));
                }
                Ok(Err(problem)) => log.line(format_args!("the files of TLS stay as they were: {problem}")),
                Err(_) => {}
            }
        }
    }

    async fn stamps(&self) -> Stamps {
        let files = self.tls.clone();
        spawn_blocking(move || files.stamps()).await.unwrap_or_default()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = input::read_regular(path, LARGEST).map_err(|error| problem(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(problem(&"it has no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(problem(&error)),
    }
}

/// Accepts connections for ever, and hands over those that are ready to be served. What is refused is logged.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Renewed>>,
    ready: mpsc::Sender<GrpcConnection>,
    (places, links): (Arc<ConnectionPlaces>, Arc<Links>),
) {
    loop {
        // Those that gave way have a descriptor for a moment longer.
        while places.is_crowded() {
            sleep(MOMENT).await;
        }
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                places.lines().line(format_args!("no connection can be accepted: {error}"));
                sleep(TRY_AGAIN).await;
                continue;
            }
        };
        let Some(socket) = Socket::of(stream, peer, &places, &links) else {
            places.lines().line(format_args!("a connection from {peer} is refused: brokers have all places"));
            continue;
        };
        match tls.as_ref().map(|tls| tls.now()) {
            None => {
                if ready.send(GrpcConnection::Plain(socket)).await.is_err() {
                    return;
                }
            }
            Some(tls) => {
                let (ready, places) = (ready.clone(), Arc::clone(&places));
                tokio::spawn(async move {
                    let refused = match timeout(SILENT, tls.accept(socket)).await {
                        Ok(Ok(stream)) => {
                            let _ = ready.send(GrpcConnection::Tls(Box::new(stream))).await;
                            return;
                        }
                        Ok(Err(error)) => refusal(&error),
                        Err(_) => format!("no TLS handshake within {SILENT:?}"),
                    };
                    places.lines().line(format_args!("a connection from {peer} is refused: {refused}"));
                });
            }
        }
    }
}

/// A connection that is ready to be served.
pub(super) enum GrpcConnection {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl GrpcConnection {
    pub(super) fn link(&self) -> &Arc<Link> {
        match self {
            GrpcConnection::Plain(socket) => &socket.link,
            GrpcConnection::Tls(stream) => &stream.get_ref().0.link,
        }
    }
}

/// A TCP stream that has a place, and knows whence it comes.
pub(super) struct Socket {
    /// Shared with its place, which sets options and shuts it down, so that there is one
    /// descriptor. Each holds the lock for one call of the system that does not wait.
    stream: Arc<Mutex<TcpStream>>,
    is_vectored: bool,
    link: Arc<Link>,
}

impl Socket {
    /// `None` if there is no place for it.
    fn of(stream: TcpStream, peer: SocketAddr, places: &Arc<ConnectionPlaces>, links: &Arc<Links>) -> Option<Self> {
        // Without these it works all the same.
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(&stream, true);
        let _ = sockopt::set_tcp_keepidle(&stream, KEEPALIVE);
        let _ = sockopt::set_tcp_user_timeout(&stream, UNREAD.as_millis().try_into().unwrap_or(u32::MAX));
        let is_vectored = stream.is_write_vectored();
        let stream = Arc::new(Mutex::new(stream));
        let place = places.take(peer.ip().to_canonical(), Arc::downgrade(&stream))?;
        Some(Socket { stream, is_vectored, link: Link::new(place, Arc::clone(links)) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.link.place.leave();
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.stream)).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.stream)).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.stream)).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }
}

/// Hands each method on to the stream that it is.
macro_rules! either {
    ($connection:ident, $stream:ident => $call:expr) => {
        match &mut *$connection {
            GrpcConnection::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            GrpcConnection::Tls(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for GrpcConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = either!(self, stream => stream.poll_read(cx, buffer));
        self.link().place.received(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            GrpcConnection::Plain(stream) => stream.is_write_vectored(),
            GrpcConnection::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[tokio::test]
    async fn files_that_change_before_they_are_watched_are_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let write = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            fs::write(dir.path().join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
            fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        };
        write();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let renewed = Renewed::new(&Tls { certificate, key, client_ca: None }).unwrap();
        let first = Arc::as_ptr(&renewed.acceptor.load_full());
        sleep(Duration::from_millis(50)).await;
        write();
        let watching = tokio::spawn(Arc::clone(&renewed).watch(Log::stderr()));
        let read_anew = async {
            while Arc::as_ptr(&renewed.acceptor.load_full()) == first {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(60), read_anew).await.unwrap();
        watching.abort();
    }
}
