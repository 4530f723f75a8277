//! Requests that are refused before anybody is asked about them are counted for the audit log.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::StatusCode;

use crate::evidence::TurnedAway;
use crate::server::{ConnectionInfo, Peer};

/// What `router` serves, with an account of whom it turns away at `edge`.
pub fn accounted(router: Router, turned_away: TurnedAway, edge: &'static str) -> Router {
    router.layer(from_fn_with_state((turned_away, edge), account))
}

async fn account(
    State((turned_away, edge)): State<(TurnedAway, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let from = request.extensions().get::<ConnectionInfo>().map(|connection| From::of(&connection.peer));
    let response = next.run(request).await;
    let reason = match response.status() {
        StatusCode::UNAUTHORIZED => "unknown_caller",
        StatusCode::TOO_MANY_REQUESTS => "overloaded",
        StatusCode::PAYLOAD_TOO_LARGE => "too_long",
        _ => return response,
    };
    turned_away.count(edge, reason, from.map_or_else(String::new, From::name));
    response
}

/// Where a request came from: nothing that has to be given back.
enum From {
    Address(std::net::IpAddr),
    User(u32),
}

impl From {
    const fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Tcp(address) => Self::Address(address.ip()),
            Peer::Unix(peer) => Self::User(peer.uid),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::User(uid) => format!("uid {uid}"),
        }
    }
}
