//! Whoever has no certificate of the right authority has no say.

use std::fs;
use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::Status;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::broker::Broker;
use super::dialect::named;
use super::server::{Place, RULES, Server};

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

/// Serves with a certificate of this authority, and asks clients for one where it is told to.
fn serve(place: &Place, ours: &Authority, asks: bool) -> Server {
    let (certificate, key) = ours.issue();
    for (name, pem) in [("server.pem", certificate), ("server.key", key), ("ca.pem", ours.pem())] {
        fs::write(place.path(name), pem).unwrap();
    }
    let mut command = place.command();
    command.args(["--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key"]);
    if asks {
        command.args(["--client-ca", "ca.pem"]);
    }
    place.start(command)
}

/// Loads the provider by TLS, with a certificate where there is one.
async fn load(address: SocketAddr, ours: &Authority, own: Option<(String, String)>) -> Result<usize, Status> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ours.pem())).domain_name("localhost");
    if let Some((certificate, key)) = own {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    Broker { dialect: named("v3"), channel: endpoint.connect_lazy() }.load().await.map(|hooks| hooks.len())
}

#[tokio::test]
async fn clients_without_the_right_certificate_are_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    let place = Place::new(RULES);
    let mut server = serve(&place, &ours, true);
    let refused = |server: &Server| server.console().matches(" is refused: ").count();
    server.wait_for_line(" by TLS, from clients with a certificate");

    assert_eq!(load(server.address, &ours, Some(ours.issue())).await.unwrap(), 16);
    assert_eq!(refused(&server), 0);
    load(server.address, &ours, None).await.unwrap_err();
    server.wait_for_line(" is refused: peer sent no certificates");
    load(server.address, &ours, Some(other.issue())).await.unwrap_err();
    server.wait_for_line(" is refused: invalid peer certificate");
    Broker::at(named("v3"), server.address).load().await.unwrap_err();
    server.wait_for_line(" is refused: received corrupt message");
    assert_eq!(load(server.address, &ours, Some(ours.issue())).await.unwrap(), 16);
}

#[tokio::test]
async fn without_an_authority_for_clients_anyone_is_served_by_tls() {
    let (ours, other) = (Authority::new(), Authority::new());
    let place = Place::new(RULES);
    let mut server = serve(&place, &ours, false);
    server.wait_for_line(" by TLS");
    assert_eq!(load(server.address, &ours, None).await.unwrap(), 16);
    // A client that does not trust it is not deceived.
    load(server.address, &other, None).await.unwrap_err();
    Broker::at(named("v3"), server.address).load().await.unwrap_err();
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_for_the_connections_that_come_then() {
    let (before, after) = (Authority::new(), Authority::new());
    let place = Place::new(RULES);
    let mut server = serve(&place, &before, true);
    assert_eq!(load(server.address, &before, Some(before.issue())).await.unwrap(), 16);
    let put = |ours: &Authority, key: Option<String>| {
        let (certificate, own) = ours.issue();
        for (name, pem) in [("server.pem", certificate), ("server.key", key.unwrap_or(own)), ("ca.pem", ours.pem())] {
            fs::write(place.path(name), pem).unwrap();
        }
    };
    // A key that is not the certificate's changes nothing.
    put(&after, Some(before.issue().1));
    server.wait_for_line("the files of TLS stay as they were: ");
    assert_eq!(load(server.address, &before, Some(before.issue())).await.unwrap(), 16);
    put(&after, None);
    server.wait_for_line("connections from now on get the certificate server.pem anew");
    assert_eq!(load(server.address, &after, Some(after.issue())).await.unwrap(), 16);
    load(server.address, &before, Some(before.issue())).await.unwrap_err();
}
