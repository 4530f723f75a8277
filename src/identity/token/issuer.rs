//! One issuer that is believed, and how far.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::ParsedPublicKey;
use portcullis_spiffe::TrustDomain;
use serde_json::Value;

use super::header::{Header, JWT};
use super::published::PublishedKeys;
use super::single_use::SingleUse;
use super::{Algorithm, TokenError, VerifiedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::printable;
use crate::foundation::watched::{Epoch, Snapshot, Watched};
use crate::identity::bundle::{Bundle, Bundles, JwtAuthority};
use crate::identity::svid::jwt::parts::{Claims, Parts};
use crate::identity::svid::jwt::{self, TokenError as JwtError};

/// How much of a token's own words an error repeats, in bytes.
const SHOWN: usize = 128;

/// What is taken from an issuer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerRules {
    /// Its `iss`, to the letter. Of SPIFFE, whose issuers are trust domains, only a name in messages.
    pub issuer: Arc<str>,
    /// Whom its tokens must be for, one of these; never empty.
    pub audiences: Vec<String>,
    /// What they may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Which `typ` they may have; one that has none is a `JWT`.
    pub types: Vec<String>,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// Whether each is good for one use, and then how many used ones are remembered, since when.
    pub single_use: Option<(usize, Timestamp)>,
}

/// An issuer that is believed.
#[derive(Debug)]
pub struct Issuer {
    rules: IssuerRules,
    keys: Keys,
    single_use: Option<SingleUse>,
}

#[derive(Debug)]
enum Keys {
    Published(Arc<PublishedKeys>),
    Bundles(Arc<Watched<Bundles>>),
    /// Those of one trust domain, for tokens that name their issuer.
    Own(TrustDomain, Arc<Watched<Bundles>>),
}

impl Issuer {
    /// One that publishes its keys.
    pub fn publishing(rules: IssuerRules, keys: Arc<PublishedKeys>) -> Self {
        Self::of(rules, Keys::Published(keys))
    }

    /// The trust domains of `bundles`, which issue JWT-SVIDs. Of the rules, audiences and use count; the rest is settled by
    /// the standard.
    pub fn spiffe(rules: IssuerRules, bundles: Arc<Watched<Bundles>>) -> Self {
        Self::of(rules, Keys::Bundles(bundles))
    }

    /// Ourselves, under a name of our own: the tokens that we exchange, signed by an authority of `trust_domain` as its bundle
    /// has it now.
    pub fn own(rules: IssuerRules, trust_domain: TrustDomain, bundles: Arc<Watched<Bundles>>) -> Self {
        Self::of(rules, Keys::Own(trust_domain, bundles))
    }

    fn of(rules: IssuerRules, keys: Keys) -> Self {
        let shared = matches!(keys, Keys::Bundles(_));
        let single_use = rules.single_use.map(|(capacity, since)| SingleUse::new(capacity, since, shared));
        Self { rules, keys, single_use }
    }

    /// Whether it is the one whose keys must have signed a token that says this of itself.
    pub(super) fn is_of(&self, issuer: Option<&Value>, subject: &str) -> bool {
        match &self.keys {
            Keys::Published(_) | Keys::Own(..) => issuer.and_then(Value::as_str) == Some(&*self.rules.issuer),
            // The trust domain vouches for its subjects; whom a JWT-SVID names as its issuer says nothing.
            Keys::Bundles(_) => subject.starts_with("spiffe://"),
        }
    }

    /// Whether it is found by the subject alone, after all that are found by their name.
    pub(super) const fn is_spiffe(&self) -> bool {
        matches!(self.keys, Keys::Bundles(_))
    }

    /// Whether what was verified once is still so.
    pub(super) fn still_vouches(&self, token: &VerifiedToken, now: Timestamp) -> bool {
        let keys = match &self.keys {
            Keys::Published(keys) => keys.usable(now).map(|keys| keys.epoch()),
            Keys::Bundles(bundles) | Keys::Own(_, bundles) => Some(bundles.load().epoch()),
        };
        let leeway = self.rules.leeway;
        let begun = token.not_before.is_none_or(|begin| begin.before(leeway) <= now);
        keys == Some(token.keys) && begun && now < token.not_after
    }

    /// Uses the token, if it is good for one use.
    pub(super) fn take(&self, token: &VerifiedToken, now: Timestamp) -> Result<(), TokenError> {
        let end = token.not_after.after(self.rules.leeway);
        self.single_use.as_ref().map_or(Ok(()), |single_use| single_use.take(token, end, now))
    }

    /// Verifies a token that claims to be of this issuer.
    pub(super) fn verify(
        &self,
        token: &str,
        (parts, claims): (&Parts<'_>, Claims),
        index: usize,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenError> {
        match &self.keys {
            Keys::Published(keys) => {
                let (epoch, kind) = self.verify_signature(parts, keys, now)?;
                self.check(&claims, now)?;
                Ok(self.named(token, claims, index, (epoch, kind)))
            }
            Keys::Own(trust_domain, bundles) => {
                let bundles = bundles.load();
                let own = bundles.get(trust_domain).map(|bundle| &*bundle.jwt_authorities);
                let kind = self.verify_own(parts, own.unwrap_or_default(), now)?;
                self.check(&claims, now)?;
                Ok(self.named(token, claims, index, (bundles.epoch(), kind)))
            }
            Keys::Bundles(bundles) => self.verify_svid(token, claims, &bundles.load(), index, now),
        }
    }

    /// What a token proves that names this issuer.
    fn named(&self, token: &str, claims: Claims, index: usize, (keys, kind): (Epoch, String)) -> VerifiedToken {
        VerifiedToken {
            issuer: Arc::clone(&self.rules.issuer),
            issuer_index: index,
            kind,
            subject: claims.subject,
            audience: claims.audience,
            not_after: claims.expires_at,
            claims: claims.all,
            digest: Digest::of(token.as_bytes()),
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            keys,
        }
    }

    fn verify_own(&self, parts: &Parts<'_>, own: &[JwtAuthority], now: Timestamp) -> Result<String, TokenError> {
        let header = Header::parse(&parts.header)?;
        let algorithm = header.algorithm.parse().ok().filter(|algorithm| self.rules.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| TokenError::Algorithm(printable(&header.algorithm, SHOWN)))?;
        let kind = header.check_kind(&self.rules.types)?;
        let is_meant = |key: &&JwtAuthority| {
            Some(&*key.key_id) == header.key_id.as_deref() && key.expires_at.is_none_or(|end| now < end)
        };
        let Some(key) = own.iter().find(is_meant) else {
            let key_id = header.key_id.map(|key_id| printable(&key_id, SHOWN));
            return Err(TokenError::UnknownKey { issuer: Arc::clone(&self.rules.issuer), key_id });
        };
        let mismatch = |_reason| JwtError::KeyKind { algorithm: algorithm.name(), key_id: key.key_id.clone() };
        let public = ParsedPublicKey::new(algorithm.verification(), &key.public_key).map_err(mismatch)?;
        public.verify_sig(parts.signed.as_bytes(), &parts.signature).map_err(|_unspecified| JwtError::Signature)?;
        Ok(kind)
    }

    fn verify_signature(
        &self,
        parts: &Parts<'_>,
        keys: &PublishedKeys,
        now: Timestamp,
    ) -> Result<(Epoch, String), TokenError> {
        let header = Header::parse(&parts.header)?;
        let algorithm = header.algorithm.parse().ok().filter(|algorithm| self.rules.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| TokenError::Algorithm(printable(&header.algorithm, SHOWN)))?;
        let kind = header.check_kind(&self.rules.types)?;
        let Some(known) = keys.usable(now) else {
            keys.want();
            return Err(TokenError::NoKeys(Arc::clone(&self.rules.issuer)));
        };
        let Some(key) = known.find(header.key_id.as_deref()) else {
            keys.want();
            let key_id = header.key_id.map(|key_id| printable(&key_id, SHOWN));
            return Err(TokenError::UnknownKey { issuer: Arc::clone(&self.rules.issuer), key_id });
        };
        if let Some(only) = key.algorithm.filter(|only| *only != algorithm) {
            return Err(TokenError::OtherAlgorithm(only));
        }
        let mismatch = |_reason| JwtError::KeyKind {
            algorithm: algorithm.name(),
            key_id: printable(header.key_id.as_deref().unwrap_or_default(), SHOWN),
        };
        let public = ParsedPublicKey::new(algorithm.verification(), &key.spki).map_err(mismatch)?;
        let genuine = public.verify_sig(parts.signed.as_bytes(), &parts.signature);
        genuine.map_err(|_unspecified| JwtError::Signature)?;
        Ok((known.epoch(), kind))
    }

    /// Whether claims that are known to be genuine hold now, for us.
    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
        if claims.subject.is_empty() {
            return Err(JwtError::Missing("sub").into());
        }
        let leeway = self.rules.leeway;
        if claims.expires_at.after(leeway) <= now {
            return Err(JwtError::Expired(claims.expires_at).into());
        }
        let latest = now.after(leeway);
        if let Some(begin) = claims.not_before.filter(|begin| *begin > latest) {
            return Err(JwtError::NotYetValid(begin).into());
        }
        if let Some(issued) = claims.issued_at.filter(|issued| *issued > latest) {
            return Err(JwtError::FromTheFuture(issued).into());
        }
        if claims.audience.iter().any(|name| self.rules.audiences.contains(name)) {
            return Ok(());
        }
        let found = claims.audience.iter().take(8).map(|name| printable(name, SHOWN)).collect();
        Err(JwtError::Audience { wanted: self.rules.audiences.join(", "), found }.into())
    }

    fn verify_svid(
        &self,
        token: &str,
        claims: Claims,
        bundles: &Snapshot<Bundles>,
        index: usize,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenError> {
        let all: Vec<Arc<Bundle>> = bundles.iter().cloned().collect();
        // The standard's verifier takes one audience, so it is asked about the one that the token and we have in common.
        let ours = self.rules.audiences.iter().find(|name| claims.audience.contains(name));
        let ours = ours.or(self.rules.audiences.first()).map_or("", String::as_str);
        let verified = jwt::verify_admitted(token, ours, (&all, bundles.foreign()), now)?;
        Ok(VerifiedToken {
            issuer: format!("spiffe://{}", verified.id.trust_domain()).into(),
            issuer_index: index,
            kind: JWT.to_owned(),
            subject: verified.id.as_str().to_owned(),
            audience: claims.audience,
            not_after: verified.expires_at,
            claims: verified.claims,
            digest: Digest::of(token.as_bytes()),
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            keys: bundles.epoch(),
        })
    }
}
