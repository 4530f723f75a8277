//! The authorities that are in the bundle, with their keys.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::jwt::JwtSigner;
use super::revocation::Revocations;
use super::rotation::{Plan, Standing, plan};
use super::template::Validity;
use super::x509::X509Signer;
use super::{Authority, AuthorityError, AuthorityKind, Term};
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::{Bundle, JwtAuthority, X509Authority};
use crate::identity::journal::{AuthorityEntry, AuthorityPublic, AuthorityStage, Journaled};

/// All of them, of each kind oldest first.
#[derive(Debug, Default)]
pub(super) struct Signers {
    pub(super) x509: Vec<Held<X509Signer>>,
    pub(super) jwt: Vec<Held<JwtSigner>>,
    pub(super) revocations: Revocations,
}

/// One authority: what the journal says of it, and what signs.
#[derive(Debug)]
pub(super) struct Held<S> {
    pub(super) id: Arc<str>,
    pub(super) stage: AuthorityStage,
    pub(super) tainted: bool,
    pub(super) superseded_at: Option<Timestamp>,
    pub(super) term: Term,
    pub(super) signer: Arc<S>,
}

impl<S> Held<S> {
    pub(super) const fn standing(&self) -> Standing {
        Standing { stage: self.stage, tainted: self.tainted, term: self.term }
    }
}

/// Who of `held` signs at `now`.
pub(super) fn current<S>(held: &[Held<S>], now: Timestamp) -> Option<&Held<S>> {
    plan_of(held, now).signer.and_then(|index| held.get(index))
}

fn plan_of<S>(held: &[Held<S>], now: Timestamp) -> Plan {
    plan(&held.iter().map(Held::standing).collect::<Vec<_>>(), now)
}

/// An authority without its signer, of whatever kind.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    pub(super) id: Arc<str>,
    pub(super) standing: Standing,
    pub(super) superseded_at: Option<Timestamp>,
}

impl Signers {
    pub(super) fn outlines(&self, kind: AuthorityKind) -> Vec<Outline> {
        fn all<S>(held: &[Held<S>]) -> Vec<Outline> {
            let outline = |one: &Held<S>| Outline {
                id: one.id.clone(),
                standing: one.standing(),
                superseded_at: one.superseded_at,
            };
            held.iter().map(outline).collect()
        }
        match kind {
            AuthorityKind::X509 => all(&self.x509),
            AuthorityKind::Jwt => all(&self.jwt),
        }
    }

    pub(super) fn plan(&self, kind: AuthorityKind, now: Timestamp) -> Plan {
        match kind {
            AuthorityKind::X509 => plan_of(&self.x509, now),
            AuthorityKind::Jwt => plan_of(&self.jwt, now),
        }
    }
}

impl Authority {
    /// The journal's authorities with their keys; those that are in memory already are not opened again.
    pub(super) fn load(&self, journaled: &Journaled, now: Timestamp) -> Result<Signers, AuthorityError> {
        let loaded = self.signers.load();
        let mut signers = Signers::default();
        for entry in &journaled.authorities {
            match &entry.public {
                AuthorityPublic::X509 { certificate } => {
                    let signer = known(&loaded.x509, entry).map_or_else(|| self.open_x509(entry, certificate), Ok)?;
                    let term = Term { created_at: entry.created_at, validity: signer.validity };
                    signers.x509.push(held(entry, term, signer));
                }
                AuthorityPublic::Jwt { public_key, expires_at } => {
                    let signer = known(&loaded.jwt, entry).map_or_else(|| self.open_jwt(entry, public_key), Ok)?;
                    // A token has no date before which it is not good, but a clock that was set back must show.
                    let validity = Validity {
                        not_before: Validity::new(entry.created_at, Duration::ZERO).not_before,
                        not_after: *expires_at,
                    };
                    let term = Term { created_at: entry.created_at, validity };
                    signers.jwt.push(held(entry, term, signer));
                }
            }
        }
        signers.revocations = Revocations::load(journaled, &signers.x509, &loaded.revocations, now)?;
        Ok(signers)
    }

    /// Shows the authorities in the bundle, and only then lets them sign. What else is in the bundle stays.
    pub(super) fn publish(&self, signers: Signers, sequence: u64, now: Timestamp) {
        let x509 = signers.x509.iter();
        let x509_authorities = x509.map(|one| one.signer.in_bundle(one.tainted)).collect::<Vec<X509Authority>>();
        let jwt = signers.jwt.iter();
        let jwt_authorities = jwt.map(|one| one.signer.in_bundle(one)).collect::<Vec<JwtAuthority>>();
        let revocations = signers.revocations.in_bundle();
        let trust_domain = self.trust_domain();
        self.bundles.update(|bundles| {
            let now = bundles.get(trust_domain).map_or_else(
                || Bundle::of_x509(trust_domain.clone(), Vec::<CertificateDer<'static>>::new(), sequence),
                |bundle| Bundle::clone(bundle),
            );
            bundles.with(Bundle { x509_authorities, jwt_authorities, revocations, sequence, ..now })
        });
        self.metrics.sequence.set(sequence);
        if let Some(signer) = current(&signers.x509, now) {
            self.metrics.expiry.set(signer.term.validity.not_after.unix_seconds());
        }
        if let Some(signer) = current(&signers.jwt, now) {
            self.metrics.jwt_expiry.set(signer.term.validity.not_after.unix_seconds());
        }
        self.signers.store(Arc::new(signers));
    }
}

fn known<S>(loaded: &[Held<S>], entry: &AuthorityEntry) -> Option<Arc<S>> {
    loaded.iter().find(|one| *one.id == entry.id).map(|one| Arc::clone(&one.signer))
}

fn held<S>(entry: &AuthorityEntry, term: Term, signer: Arc<S>) -> Held<S> {
    let (stage, tainted, superseded_at) = (entry.stage(), entry.tainted_at.is_some(), entry.superseded_at);
    Held { id: entry.id.as_str().into(), stage, tainted, superseded_at, term, signer }
}
