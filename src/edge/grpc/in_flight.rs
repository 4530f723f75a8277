//! How many calls of one user are being read or worked on at once, and for how long. Streams are counted where they are
//! served: here they are done as soon as they are open.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::time::timeout;
use tonic::Status;

use crate::server::{ConnectionInfo, Peer, Places};

/// Calls at once, three quarters of them by one user. Each may hold a message of the size that its service takes.
const MAX_CALLS: usize = 512;

/// How long a call may take, from its first byte. Attestation may wait for daemons.
const PATIENCE: Duration = Duration::from_mins(1);

/// `router`, for callers whom nobody knows yet.
pub fn with_bounds(router: Router) -> Router {
    router.layer(from_fn_with_state(Places::new(MAX_CALLS), admit))
}

async fn admit(State(places): State<Places>, request: Request, next: Next) -> Response {
    let user = match request.extensions().get::<ConnectionInfo>().map(|connection| &connection.peer) {
        Some(Peer::Unix(peer)) => Some(peer.uid),
        _ => None,
    };
    let Some(_place) = places.take(user) else {
        return Status::resource_exhausted("too many calls are under way").into_http();
    };
    let answer = timeout(PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_elapsed| Status::deadline_exceeded("the call took too long").into_http())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use nix::unistd::{getgid, getuid};
    use tower::ServiceExt as _;

    use super::*;
    use crate::server::UnixPeer;

    fn call(uid: u32) -> Request {
        let peer = UnixPeer { pid: 1, uid, gid: getgid().as_raw(), pidfd: None };
        let mut request = Request::post("/").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectionInfo::of(Peer::Unix(peer)));
        request
    }

    fn status(response: &Response) -> Option<&str> {
        response.headers().get("grpc-status").map(|status| status.to_str().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_can_not_take_all_calls_and_a_call_that_never_comes_ends() {
        let router = with_bounds(Router::new().route("/", post(std::future::pending::<()>)));
        let uid = getuid().as_raw();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..MAX_CALLS * 3 / 4 {
            waiting.spawn(router.clone().oneshot(call(uid)));
        }
        // Time stands still until every call is in its place.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let refused = router.clone().oneshot(call(uid)).await.unwrap();
        assert_eq!(status(&refused), Some("8"), "RESOURCE_EXHAUSTED");
        let other = router.clone().oneshot(call(uid + 1)).await.unwrap();
        assert_eq!(status(&other), Some("4"), "DEADLINE_EXCEEDED");
        while let Some(ended) = waiting.join_next().await {
            assert_eq!(status(&ended.unwrap().unwrap()), Some("4"));
        }
    }
}
