//! `portcullis.decision.v1.Decisions`: what operators do about decisions.

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::decision::v1::decisions_server::{Decisions, DecisionsServer};
use portcullis_spiffe_api::portcullis::decision::v1::purge_cache_request::What;
use portcullis_spiffe_api::portcullis::decision::v1::{Entity, PurgeCacheRequest, PurgeCacheResponse};
use tonic::{Request, Response, Status};

use super::{Call, MAX_MESSAGE_BYTES};
use crate::decision::cache::{Purge, Purges};

/// The service.
#[derive(Clone, Debug)]
pub struct DecisionsService(Arc<Purges>);

impl DecisionsService {
    /// A service that adds to `purges`.
    pub const fn new(purges: Arc<Purges>) -> Self {
        Self(purges)
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> DecisionsServer<Self> {
        DecisionsServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl Decisions for DecisionsService {
    async fn purge_cache(&self, request: Request<PurgeCacheRequest>) -> Result<Response<PurgeCacheResponse>, Status> {
        let (call, request) = Call::open(request)?;
        let purge =
            purge(request).ok_or_else(|| Status::invalid_argument("say what to purge: all, principal or policy"))?;
        call.changing([purge.to_string()]).await?;
        self.0.purge(purge);
        Ok(Response::new(PurgeCacheResponse {}))
    }
}

fn purge(request: PurgeCacheRequest) -> Option<Purge> {
    match request.what? {
        What::All(all) => all.then_some(Purge::All),
        What::Principal(Entity { r#type, id }) => (!r#type.is_empty()).then_some(Purge::Principal { kind: r#type, id }),
        What::Policy(id) => (!id.is_empty()).then_some(Purge::Policy(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_says_what_it_is_about() {
        let of = |what| purge(PurgeCacheRequest { what: Some(what) });
        let entity = |kind: &str, id: &str| Entity { r#type: kind.to_owned(), id: id.to_owned() };
        assert_eq!(of(What::All(true)), Some(Purge::All));
        assert_eq!(of(What::Policy("p".to_owned())), Some(Purge::Policy("p".to_owned())));
        let user = Purge::Principal { kind: "User".to_owned(), id: String::new() };
        assert_eq!(of(What::Principal(entity("User", ""))), Some(user), "an id may be empty");
        let nothing = [What::All(false), What::Policy(String::new()), What::Principal(entity("", "a"))].map(of);
        assert_eq!((nothing, purge(PurgeCacheRequest { what: None })), ([None, None, None], None));
    }
}
