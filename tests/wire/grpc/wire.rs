//! HTTP/2 by hand: requests that no gRPC client makes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::codegen::http::{HeaderMap, Request};

use super::broker::Broker;
use super::story::Call;
use crate::support::wait::PATIENCE;

/// A connection.
pub(crate) struct Wire(SendRequest<Bytes>);

/// A request of which more may be sent.
pub(crate) struct Open {
    pub(crate) body: SendStream<Bytes>,
    response: ResponseFuture,
}

/// What came back: the gRPC status, and the bytes of the messages with their frames.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: String,
    pub(crate) bytes: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Answers may come by the thousand before the first is read.
        let (wire, connection) = Builder::new().data_frame_budget(1 << 30).handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Wire(wire)
    }

    /// Sends the headers alone.
    pub(crate) async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Open {
        let mut request = Request::post(format!("http://broker{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let mut wire = self.0.clone().ready().await.unwrap();
        let (response, body) = wire.send_request(request.body(()).unwrap(), false).unwrap();
        Open { body, response }
    }

    /// Sends headers and a body.
    pub(crate) async fn send(&self, path: &str, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Open {
        let mut open = self.open(path, headers).await;
        open.body.send_data(body.into(), true).unwrap();
        open
    }

    /// Makes a call as a broker does.
    pub(crate) async fn call(&self, broker: &Broker, call: Call) -> Reply {
        let path = broker.dialect.path(broker.method(&call).name());
        self.send(&path, &[], in_body(&broker.bytes(&call))).await.reply().await
    }
}

impl Open {
    pub(crate) async fn reply(self) -> Reply {
        timeout(PATIENCE, self.response()).await.unwrap_or_else(|_| panic!("no response"))
    }

    async fn response(self) -> Reply {
        let response = self.response.await.unwrap();
        assert_eq!(response.status(), 200);
        let status = |headers: &HeaderMap| headers.get("grpc-status").map(|v| v.to_str().unwrap().to_owned());
        let at_once = status(response.headers());
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
            bytes.extend_from_slice(&part);
        }
        let trailers = body.trailers().await.unwrap();
        let status = at_once.or_else(|| trailers.as_ref().and_then(status)).unwrap();
        Reply { status, bytes }
    }

    /// Waits for the beginning of the answer. Dropped, both parts give the call up.
    pub(crate) async fn begun(self) -> (SendStream<Bytes>, RecvStream) {
        let response = timeout(PATIENCE, self.response).await.unwrap_or_else(|_| panic!("no response")).unwrap();
        (self.body, response.into_body())
    }

    /// Whether it is still not answered after a while.
    pub(crate) async fn waits(&mut self, time: Duration) -> bool {
        timeout(time, &mut self.response).await.is_err()
    }
}

/// A message as gRPC puts it into a body.
pub(crate) fn in_body(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}
