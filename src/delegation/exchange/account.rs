//! What is known of an exchange on its way: what its record will say, wherever it ends.

use std::borrow::Cow;

use super::input::Input;
use super::metrics::ISSUED;
use super::{Client, ExchangeError, ExchangeRequest, Exchanged};
use crate::evidence::record::ExchangedToken;
use crate::evidence::{Actor, DecisionId, ExchangeRecord, Outcome};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::printable;
use crate::identity::delegation::Party;

/// How much of a client's, or a token's, own words goes into a record, in bytes.
const SHOWN: usize = 1024;

/// An exchange on its way.
#[derive(Debug)]
pub(super) struct Account(ExchangeRecord);

impl Account {
    /// One of which nothing is known but what the client wants.
    pub(super) fn new(client: &Client, request: &ExchangeRequest<'_>, now: Timestamp) -> Self {
        let shown = |text: &str| printable(text, SHOWN);
        Self(ExchangeRecord {
            time: now,
            client: client.id.as_str().to_owned(),
            outcome: Outcome::Error,
            reason: Cow::Borrowed(""),
            subject: None,
            actors: Vec::new(),
            inputs: Vec::new(),
            wanted: Cow::Borrowed(request.wanted.name()),
            audience: request.audience.map(shown),
            requested: request.scope.map(shown),
            scope: String::new(),
            decisions: Vec::new(),
            token: None,
            jti: None,
            transaction: None,
            authority: None,
            not_after: None,
            request_id: request.request_id.map(shown),
        })
    }

    /// A token went in.
    pub(super) fn took(&mut self, input: &Input) {
        self.0.inputs.push(ExchangedToken {
            token: input.token.digest,
            issuer: printable(&input.token.issuer, SHOWN),
            jti: input.id.as_deref().map(|id| printable(id, SHOWN)),
        });
    }

    /// It is about this one.
    pub(super) fn is_about(&mut self, subject: &Party) {
        self.0.subject = Some(actor(subject));
    }

    /// These act.
    pub(super) fn has_act(&mut self, actors: &[Party]) {
        self.0.actors = actors.iter().map(actor).collect();
    }

    /// This was decided about it.
    pub(super) fn decided(&mut self, decision: DecisionId) {
        self.0.decisions.push(decision);
    }

    /// Its end.
    pub(super) fn concluded(self, ended: &Result<Exchanged, ExchangeError>) -> ExchangeRecord {
        match ended {
            Err(error) => ExchangeRecord { outcome: error.outcome(), reason: Cow::Borrowed(error.reason()), ..self.0 },
            Ok(issued) => ExchangeRecord {
                outcome: Outcome::Allow,
                reason: Cow::Borrowed(ISSUED),
                scope: issued.scope.clone(),
                token: Some(Digest::of(issued.token.expose().as_bytes())),
                jti: Some(issued.jti.clone()),
                transaction: issued.transaction.clone(),
                authority: Some(issued.authority.to_string()),
                not_after: Some(issued.not_after),
                ..self.0
            },
        }
    }
}

fn actor(party: &Party) -> Actor {
    let issuer = party.issuer.as_deref().map(|issuer| printable(issuer, SHOWN));
    Actor { subject: printable(&party.subject, SHOWN), issuer }
}
