//! Reads the body of a question, with bounds on how long it is, on how long it takes, and on what all that are being
//! read hold together: streams and connections are many, and each could bring its body byte by byte, for ever.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::super::failure::Failure;

/// What all bodies that are being read may hold together, in bytes, unless one alone may be longer.
const TOGETHER: usize = 64 << 20;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bounds, shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    longest: usize,
    room: Arc<Semaphore>,
}

/// A whole body, and its share of the room.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: BytesMut,
    share: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Bounds for bodies of at most `longest` bytes each.
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, room: Arc::new(Semaphore::new(TOGETHER.max(longest).min(Semaphore::MAX_PERMITS))) }
    }

    /// Reads all of `body`.
    ///
    /// # Errors
    /// The answer to give instead: 400, 408, 413 or 429.
    pub(super) async fn read(&self, body: Body) -> Result<Whole, Failure> {
        let late = |_elapsed| Failure::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
        timeout(PATIENCE, self.read_all(body)).await.map_err(late)?
    }

    async fn read_all(&self, mut body: Body) -> Result<Whole, Failure> {
        let mut whole = Whole { bytes: BytesMut::new(), share: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Failure::bad_request("the body could not be read"))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.bytes.len().saturating_add(data.len()) > self.longest {
                return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
            }
            whole.add(&data, &self.room)?;
        }
        Ok(whole)
    }
}

impl Whole {
    fn add(&mut self, data: &[u8], room: &Arc<Semaphore>) -> Result<(), Failure> {
        let share =
            u32::try_from(data.len()).ok().and_then(|bytes| Arc::clone(room).try_acquire_many_owned(bytes).ok());
        let full = || Failure::too_many("too many bodies are being read");
        let share = share.ok_or_else(full)?;
        match &mut self.share {
            Some(whole) => whole.merge(share),
            none => *none = Some(share),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    /// A body of these parts that then never ends.
    fn endless(parts: &[&'static [u8]]) -> Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, Infallible>(Bytes::from_static(part))).collect();
        Body::from_stream(stream::iter(parts).chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit() {
        let bodies = Bodies::new(4);
        assert_eq!(bodies.read(Body::from("")).await.unwrap().bytes, "");
        assert_eq!(bodies.read(Body::from("abcd")).await.unwrap().bytes, "abcd");
        assert_eq!(bodies.read(Body::from("abcde")).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(bodies.read(endless(&[b"abc", b"de"])).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(bodies.room.available_permits(), TOGETHER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let bodies = Bodies::new(1024);
        let refused = bodies.read(endless(&[b"{"])).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(bodies.room.available_permits(), TOGETHER);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_bound() {
        let bodies = Bodies { longest: 4, room: Arc::new(Semaphore::new(6)) };
        let first = bodies.read(Body::from("abcd")).await.unwrap();
        let mut second = Box::pin(bodies.read(endless(&[b"ab"])));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(bodies.read(Body::from("a")).await.unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
        drop((first, second));
        assert_eq!(bodies.read(Body::from("abcd")).await.unwrap().bytes, "abcd");
    }
}
