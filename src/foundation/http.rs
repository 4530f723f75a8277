//! One exchange over a stream that is open already: all that others are asked, or told, over HTTP.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{ACCEPT, HOST};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Get<'a> {
    /// The name of the other end.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// What else is said, e.g. who asks.
    pub headers: HeaderMap,
    /// The most bytes that an answer may have.
    pub limit: usize,
}

/// What is told.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// The name of the other end.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// What kind of thing is told, and what else is said.
    pub headers: HeaderMap,
    /// It.
    pub body: Bytes,
    /// The most bytes that an answer may have.
    pub limit: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The question can't be written.
    #[error("can't be asked: {0}")]
    Question(#[from] http::Error),
    /// The stream broke, or what came over it is not HTTP.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// It is too long.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// It broke off.
    #[error("the answer broke off: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl Get<'_> {
    /// Asks over `stream`, which ends with the answer.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn over(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Response<Bytes>, HttpError> {
        let request = Request::get(self.path).header(HOST, self.host).header(ACCEPT, "application/json");
        let mut request = request.body(Full::default())?;
        request.headers_mut().extend(self.headers);
        exchange(request, self.limit, stream).await
    }
}

impl Post<'_> {
    /// Tells it over `stream`, which ends with the answer.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn over(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Response<Bytes>, HttpError> {
        let mut request = Request::post(self.path).header(HOST, self.host).body(Full::new(self.body))?;
        request.headers_mut().extend(self.headers);
        exchange(request, self.limit, stream).await
    }
}

async fn exchange(
    request: Request<Full<Bytes>>,
    limit: usize,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Response<Bytes>, HttpError> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let exchange = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { HttpError::TooLong(limit) } else { HttpError::Broken(error) }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    match select(exchange, pin!(connection)).await {
        Either::Left((answer, _connection)) => answer,
        // It may end as soon as all has arrived, before all was taken.
        Either::Right((_ended, exchange)) => exchange.await,
    }
}
