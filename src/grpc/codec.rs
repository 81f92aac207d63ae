//! How a call is carried: one message in, one message out.

use std::future::Future;
use std::marker::PhantomData;

use prost::Message;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec};
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Bytes that most calls and answers need; the usual setting is 8 KiB, a call.
const ROOM: usize = 512;
/// So much is written before the rest is made. No answer has more but one that brings a message back.
const AT_ONCE: usize = 32 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An empty message, as a client sends it.
const EMPTY: &str = "\0\0\0\0\0";

/// Reads the message of a request, which may have so many bytes, and writes the answer that `answer` makes of it. Where
/// there is no such message, the response is a gRPC error.
pub(super) async fn unary<B, I, O, F, Answer>(
    request: http::Request<B>,
    largest: usize,
    mut answer: F,
) -> http::Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<BoxError> + Send,
    I: Message + Default + 'static,
    O: Message + 'static,
    F: FnMut(I) -> Answer,
    Answer: Future<Output = O>,
{
    let once = Once(|message| {
        let answer = answer(message);
        async { Ok(Response::new(answer.await)) }
    });
    let mut grpc = Grpc::new(Carry(PhantomData)).max_decoding_message_size(largest);
    grpc.unary(once, request).await
}

/// The response with this message, whatever the request was.
pub(super) async fn fixed(message: impl Message + Clone + 'static) -> http::Response<Body> {
    let request = http::Request::new(EMPTY.to_owned());
    unary(request, 0, |_: super::proto::Empty| std::future::ready(message.clone())).await
}

/// The error that a response is, if it is one.
pub(super) fn error_of(response: &http::Response<Body>) -> Option<Status> {
    Status::from_header_map(response.headers()).filter(|status| status.code() != tonic::Code::Ok)
}

struct Once<F>(F);

impl<I, O, F, Answer> UnaryService<I> for Once<F>
where
    F: FnMut(I) -> Answer,
    Answer: Future<Output = Result<Response<O>, Status>>,
{
    type Response = O;
    type Future = Answer;

    fn call(&mut self, request: Request<I>) -> Answer {
        (self.0)(request.into_inner())
    }
}

/// prost's codec, with little room to begin with.
struct Carry<O, I>(PhantomData<(O, I)>);

impl<O, I> Codec for Carry<O, I>
where
    O: Message + 'static,
    I: Message + Default + 'static,
{
    type Encode = O;
    type Decode = I;
    type Encoder = <ProstCodec<O, I> as Codec>::Encoder;
    type Decoder = <ProstCodec<O, I> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<O, I>::raw_encoder(BufferSettings::new(ROOM, AT_ONCE))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<O, I>::raw_decoder(BufferSettings::new(ROOM, AT_ONCE))
    }
}
