//! How it is started: by systemd, with its sockets and its watchdog, and with what it cannot be started.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, KeyPair};

use super::broker::{ALLOWED, Broker};
use super::dialect::named;
use super::server::{Place, RULES};
use super::story::Call::Authenticate;
use super::story::client;
use crate::support::wait::PATIENCE;

#[tokio::test]
async fn systemd_is_told_when_it_serves_that_it_is_alive_and_when_it_ends() {
    let place = Place::new(RULES);
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 100];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim_end().to_owned()
    };
    let mut command = place.command();
    command.args(["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "200000");
    let server = place.start(command);
    assert_eq!([told(), told(), told()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    server.end().await;
    let last = std::iter::repeat_with(told).find(|text| text != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[tokio::test]
async fn sockets_that_systemd_made_are_used() {
    let place = Place::new(RULES);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = place.command();
    // The process must know its own id before it is that program.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 </dev/null"]);
    command.arg(serve.get_program()).args(serve.get_args()).stdin(Stdio::from(OwnedFd::from(listener)));
    let server = place.start(command);
    assert_eq!(server.address, address);
    let broker = Broker::at(named("v3"), address);
    assert_eq!(broker.call(Authenticate(client("dev-1"), b"right")).await, ALLOWED);
}

#[track_caller]
fn check_refuses(arguments: &[&str], expected: &str) {
    let place = Place::new(RULES);
    std::fs::write(place.path("empty.pem"), "").unwrap();
    let output = place.command().args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).replace(&place.path("").display().to_string(), "");
    assert_eq!(said.lines().last(), Some(expected), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = format!("error: cannot listen on {address}: Address already in use (os error 98)");
    check_refuses(&["--listen", &address], &in_use);
    let here = ["--listen", "127.0.0.1:0", "--tls-cert", "empty.pem", "--tls-key"];
    check_refuses(&[&here[..], &["empty.pem"]].concat(), "error: empty.pem: it has no certificate");
}

/// A certificate of version 1, as `openssl x509 -req` made it up to OpenSSL 3.1.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBJDCBywIUB+7IetDFOqirpEUsc1N+DKUEPGgwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDE2MTQwOVoYDzIxMjYxMTA2MTYxNDA5
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAR7tjCfoPeRuyJhdgNGCm1PNNOg2StNVZ376N0ouIovQLGVR+8LIxH95VewqFj/
IUXrDOUfxI3B/NKsA+++S5GgMAoGCCqGSM49BAMCA0gAMEUCIQDu5rcPRjCkii5P
JfZ+bT4+agztDnwN/wZ/B6lo/5wPlwIgC7jakRK1t61AAkm+D2SofwwuUUkdD5SX
RWQ8Z6lxElY=
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_that_cannot_be_used_is_said_before_listening() {
    let key = KeyPair::generate().unwrap();
    let other = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    for (pem, expected) in [
        (
            VERSION_1,
            "error: server.pem: the certificate has version 1 of X.509; make it again with version 3, which has extensions such as \
             subjectAltName\n",
        ),
        (&other, "error: server.pem: the certificate is not for this private key\n"),
    ] {
        let place = Place::new(RULES);
        std::fs::write(place.path("server.pem"), pem).unwrap();
        std::fs::write(place.path("server.key"), key.serialize_pem()).unwrap();
        let mut command = place.command();
        command.args(["--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key"]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(2));
    }
}
