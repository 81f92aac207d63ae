//! The ceiling: a plain tonic server that reads the message of a call and answers it with the same yes, whatever is asked.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use exhook_policy_runtime::grpc::proto;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Serves until it is killed.
pub fn run(address: SocketAddr) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    match runtime.block_on(Server::builder().serve(address, Constant)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("constant server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What tonic's generated code does for a service of two methods.
#[derive(Clone)]
struct Constant;

impl Service<http::Request<Body>> for Constant {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path() {
            "/emqx.exhook.v2.HookProvider/OnClientAuthenticate" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<proto::Valued, proto::Authenticate>::default());
                Ok(grpc.unary(Yes, request).await)
            }),
            "/emqx.exhook.v2.HookProvider/OnClientAuthorize" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<proto::Valued, proto::Authorize>::default());
                Ok(grpc.unary(Yes, request).await)
            }),
            other => panic!("{other} is not asked for"),
        }
    }
}

struct Yes;

impl<M> UnaryService<M> for Yes {
    type Response = proto::Valued;
    type Future = Ready<Result<Response<proto::Valued>, Status>>;

    fn call(&mut self, _: Request<M>) -> Self::Future {
        let value = Some(proto::valued::Value::BoolResult(true));
        ready(Ok(Response::new(proto::Valued { r#type: 2, value })))
    }
}
