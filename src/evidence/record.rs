//! The record of what happened. Its fields are those the tamper-evident log will hash, so none may be left out here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde::Serialize;
use uuid::Uuid;

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::watched::Epoch;

pub use self::detail::{Actor, Field, Sealed, TokenClaims, TraceId};
pub use self::exchange::{ExchangeRecord, ExchangedToken};
pub use self::gateway::{
    BundleRecord, EntityLoadRecord, ProcessEvent, ProcessRecord, TurnedAwayRecord, UnrecordedRecord,
};
pub use self::outbound::OutboundRecord;
pub use self::refusal::RefusalRecord;
pub use self::search::{SearchKind, SearchRecord};
pub use self::upkeep::{PruneRecord, WitnessFinding, WitnessRecord};

mod detail;
pub mod encoding;
mod exchange;
mod gateway;
mod outbound;
mod refusal;
mod search;
pub(in crate::evidence) mod shorten;
mod upkeep;

#[cfg(test)]
pub(in crate::evidence) mod tests;

/// Names one decision, in the answer, in Envoy's metadata, in the log: a UUID of version 7 (RFC 9562 section 5.7), so
/// that ids sort by time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DecisionId(Uuid);

impl DecisionId {
    /// Names nothing: what an answer carries when not even an id could be made.
    pub const NIL: Self = Self(Uuid::nil());

    /// A new id for a decision made at `now`.
    ///
    /// # Errors
    /// [`EntropyError`].
    pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let random = random::<10>(entropy)?;
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(now.unix_millis(), &random).into_uuid()))
    }

    /// The 16 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the decision was made, in milliseconds since 1970, as far as its name says so.
    pub const fn unix_millis(&self) -> u64 {
        let bytes = self.0.as_u128();
        (bytes >> 80) as u64
    }
}

impl FromStr for DecisionId {
    type Err = uuid::Error;

    /// In the one form that ids are shown in.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which wire a question came in by.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Edge {
    /// `AuthZEN` over HTTP.
    #[n(0)]
    Authzen,
    /// Envoy's `ext_authz`.
    #[n(1)]
    ExtAuthz,
    /// The exchange of tokens.
    #[n(2)]
    Token,
}

impl Edge {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authzen => "authzen",
            Self::ExtAuthz => "ext_authz",
            Self::Token => "token",
        }
    }
}

/// How a question ended.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Outcome {
    /// Permitted.
    #[n(0)]
    Allow,
    /// Not permitted.
    #[n(1)]
    Deny,
    /// A fault of ours: the caller must not go on.
    #[n(2)]
    Error,
}

impl Outcome {
    /// The name in metrics, logs and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

/// What the decision cache had to do with an answer.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum CacheState {
    /// The answer was there.
    #[n(0)]
    Hit,
    /// It was evaluated, and kept.
    #[n(1)]
    Miss,
    /// It was never asked: the question was refused before, or can't be cached.
    #[n(2)]
    Bypass,
}

impl CacheState {
    /// The name in metrics, logs and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record<'a> {
    /// A question was answered. Of these there are as many as requests, so it is written down from where it lies.
    Decision(&'a DecisionRecord<'a>),
    /// A page of a search was answered.
    Search(Box<SearchRecord<'a>>),
    /// An X.509-SVID was signed.
    Issuance(Box<IssuanceRecord>),
    /// A JWT-SVID was signed.
    JwtIssuance(Box<JwtIssuanceRecord>),
    /// One of our authorities changes its place.
    AuthorityChange(Box<AuthorityChangeRecord>),
    /// A policy directory was read, for good or ill.
    PolicyLoad(Box<PolicyLoadRecord>),
    /// The routes of the mapping were read, for good or ill.
    MappingLoad(Box<MappingLoadRecord>),
    /// The admin API was called.
    Administration(Box<AdministrationRecord>),
    /// Somebody asked for identities and got none.
    Refusal(Box<RefusalRecord>),
    /// A process begins or ends.
    Process(Box<ProcessRecord>),
    /// Answers were given without a record.
    Unrecorded(Box<UnrecordedRecord>),
    /// The bundle of a trust domain is another.
    Bundle(Box<BundleRecord>),
    /// Requests were answered without being looked at any further.
    TurnedAway(Box<TurnedAwayRecord>),
    /// A source of entities was read.
    EntityLoad(Box<EntityLoadRecord>),
    /// A witness has found something wrong with a log.
    Witness(Box<WitnessRecord>),
    /// Entries were taken out of the log.
    Prune(Box<PruneRecord>),
    /// A token was exchanged, or was not.
    Exchange(Box<ExchangeRecord>),
    /// A token of others was asked for.
    Outbound(Box<OutboundRecord>),
}

/// A question and its answer.
#[derive(Clone, Debug, Decode, PartialEq, Serialize)]
#[cfg_attr(test, derive(Encode))]
#[cbor(map)]
pub struct DecisionRecord<'a> {
    /// The decision's name.
    #[n(0)]
    pub decision_id: DecisionId,
    /// When it was made.
    #[n(1)]
    pub time: Timestamp,
    /// Which wire asked.
    #[n(2)]
    pub edge: Edge,
    /// Who asked, as `Type::"id"`; empty if the caller could not be authenticated.
    #[b(3)]
    pub principal: Cow<'a, str>,
    /// SHA-256 of the leaf certificate that proved the principal, or over AuthZEN the caller, if one did.
    #[n(4)]
    pub leaf: Option<Digest>,
    /// The workload that leaf is of, if the principal is another.
    #[b(19)]
    pub peer: Option<Cow<'a, str>>,
    /// SHA-256 of the token that was verified, if one was.
    #[n(20)]
    pub token: Option<Digest>,
    /// Who issued it.
    #[b(21)]
    pub token_issuer: Option<Cow<'a, str>>,
    /// Who put the question over `AuthZEN`, if that had to be proved: a name of the configuration, a SPIFFE ID, or
    /// `Type::"id"` of whom a token names.
    #[b(22)]
    pub caller: Option<Cow<'a, str>>,
    /// What they wanted to do.
    #[b(5)]
    pub action: Cow<'a, str>,
    /// To what, as `Type::"id"`.
    #[b(6)]
    pub resource: Cow<'a, str>,
    /// SHA-256 over everything else that could enter the decision.
    #[n(7)]
    pub context_digest: Option<Digest>,
    /// The answer.
    #[n(8)]
    pub decision: Outcome,
    /// Why, in a word of a fixed list; see `docs/reasons.md`.
    #[b(9)]
    pub reason: Cow<'a, str>,
    /// The ids of the policies that decided, sorted.
    #[n(10)]
    #[cbor(with = "encoding::texts")]
    pub policies: Arc<[Arc<str>]>,
    /// Policies that failed to evaluate, as `id: message`.
    #[n(11)]
    #[cbor(with = "encoding::texts")]
    pub policy_errors: Arc<[Arc<str>]>,
    /// SHA-256 over the policy set, schema included, that decided; `None` if none was asked.
    #[n(12)]
    pub policy_digest: Option<Digest>,
    /// SHA-256 over the entities that the set was evaluated with.
    #[n(13)]
    pub entity_digest: Option<Digest>,
    /// Which load of policies and entities, counted since the process started.
    #[n(14)]
    pub policy_epoch: Epoch,
    /// Which state of the trust bundles the caller was verified against.
    #[n(15)]
    pub bundle_epoch: Epoch,
    /// Whether the cache answered.
    #[n(16)]
    pub cache: CacheState,
    /// From the decoded question to the answer, in microseconds.
    #[n(17)]
    pub latency_us: u64,
    /// The caller's own name for its request (`x-request-id`), sanitised, if it gave one.
    #[b(18)]
    pub request_id: Option<Cow<'a, str>>,
    /// The route of the mapping that the request took, if it took one.
    #[n(23)]
    #[cbor(with = "encoding::shared_text", has_nil)]
    pub route: Option<Arc<str>>,
    /// SHA-256 over the schema.
    #[n(32)]
    pub schema_digest: Option<Digest>,
    /// SHA-256 of the authority's certificate that vouched for the leaf.
    #[n(33)]
    pub authority: Option<Digest>,
    /// The `spiffe_sequence` of the bundle that has it.
    #[n(34)]
    pub bundle_sequence: Option<u64>,
    /// Who acts for the token's subject, by its claim `act`.
    #[n(35)]
    pub actors: Option<Vec<Actor>>,
    /// The trace that the request belongs to, if it says so.
    #[n(36)]
    pub trace_id: Option<TraceId>,
    /// What else of the question is kept, by the configuration.
    #[n(37)]
    pub fields: Option<Vec<Field>>,
    /// What the token says of itself.
    #[n(38)]
    pub token_claims: Option<TokenClaims>,
}

impl DecisionRecord<'_> {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().flatten().find(|field| field.name == name)
    }

    /// Whether it says anything that version 1 of the encoding has no place for.
    pub(super) const fn needs_version_2(&self) -> bool {
        self.caller.is_some()
            || self.schema_digest.is_some()
            || self.authority.is_some()
            || self.bundle_sequence.is_some()
            || self.actors.is_some()
            || self.trace_id.is_some()
            || self.fields.is_some()
            || self.token_claims.is_some()
    }

    /// The same record, borrowing nothing.
    pub fn into_owned(self) -> DecisionRecord<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        DecisionRecord {
            decision_id: self.decision_id,
            time: self.time,
            edge: self.edge,
            principal: owned(self.principal),
            leaf: self.leaf,
            peer: self.peer.map(owned),
            token: self.token,
            token_issuer: self.token_issuer.map(owned),
            caller: self.caller.map(owned),
            action: owned(self.action),
            resource: owned(self.resource),
            context_digest: self.context_digest,
            decision: self.decision,
            reason: owned(self.reason),
            policies: self.policies,
            policy_errors: self.policy_errors,
            policy_digest: self.policy_digest,
            entity_digest: self.entity_digest,
            policy_epoch: self.policy_epoch,
            bundle_epoch: self.bundle_epoch,
            cache: self.cache,
            latency_us: self.latency_us,
            request_id: self.request_id.map(owned),
            route: self.route,
            schema_digest: self.schema_digest,
            authority: self.authority,
            bundle_sequence: self.bundle_sequence,
            actors: self.actors,
            trace_id: self.trace_id,
            fields: self.fields,
            token_claims: self.token_claims,
        }
    }
}

/// An X.509-SVID that was signed.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct IssuanceRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// For whom.
    #[n(1)]
    pub spiffe_id: String,
    /// By which registration entry; empty if an administrator asked for it.
    #[n(2)]
    pub entry_id: String,
    /// Serial number of the certificate, hexadecimal.
    #[n(3)]
    pub serial: String,
    /// SHA-256 of the certificate.
    #[n(4)]
    pub leaf: Digest,
    /// Subject key id of the authority that signed, hexadecimal.
    #[n(5)]
    pub authority: String,
    /// Until when it is valid.
    #[n(6)]
    pub not_after: Timestamp,
}

/// A JWT-SVID that was signed. The token itself is in no record: who has it is whom it names.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct JwtIssuanceRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// For whom.
    #[n(1)]
    pub spiffe_id: String,
    /// By which registration entry; empty if an administrator asked for it.
    #[n(2)]
    pub entry_id: String,
    /// To whom it may be shown.
    #[n(3)]
    pub audience: Vec<String>,
    /// SHA-256 of the token.
    #[n(4)]
    pub token: Digest,
    /// Its `jti`, if it has one.
    #[n(5)]
    pub jti: Option<String>,
    /// The `kid` of the authority that signed.
    #[n(6)]
    pub authority: String,
    /// Until when it is valid.
    #[n(7)]
    pub not_after: Timestamp,
}

/// What an authority signs.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AuthorityKind {
    /// X.509-SVIDs.
    #[n(0)]
    X509,
    /// JWT-SVIDs.
    #[n(1)]
    Jwt,
}

impl AuthorityKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X509, Self::Jwt];

    /// The name in records, logs and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Jwt => "jwt",
        }
    }
}

/// What becomes of an authority.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AuthorityChange {
    /// It was made, and is in the bundle before it signs.
    #[n(0)]
    Prepare,
    /// It signs from now on; the one that did until now is old.
    #[n(1)]
    Activate,
    /// It is no longer trusted to be ours alone: what it signed is replaced.
    #[n(2)]
    Taint,
    /// It leaves the bundle: what it signed is refused.
    #[n(3)]
    Revoke,
    /// It was prepared and another takes its place: it leaves the bundle without ever having signed.
    #[n(4)]
    Discard,
    /// It leaves the bundle because its time is over.
    #[n(5)]
    Expire,
}

impl AuthorityChange {
    /// The name in records and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Activate => "activate",
            Self::Taint => "taint",
            Self::Revoke => "revoke",
            Self::Discard => "discard",
            Self::Expire => "expire",
        }
    }
}

/// Who wants an authority changed.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Initiator {
    /// Someone who may call the admin API.
    #[n(0)]
    Operator,
    /// The dates of the authorities.
    #[n(1)]
    Schedule,
}

impl Initiator {
    /// The name in records and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Schedule => "schedule",
        }
    }
}

/// A change of one of our authorities.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct AuthorityChangeRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// What it signs.
    #[n(1)]
    pub kind: AuthorityKind,
    /// Its subject key id, hexadecimal; of one that signs JWT-SVIDs also the `kid`.
    #[n(2)]
    pub authority: String,
    /// What becomes of it.
    #[n(3)]
    pub change: AuthorityChange,
    /// Who wants it.
    #[n(4)]
    pub by: Initiator,
    /// Until when it is valid.
    #[n(5)]
    pub not_after: Timestamp,
}

/// An attempt to load the policy directory.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct PolicyLoadRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The digest of the set that decides from now on.
    #[n(1)]
    pub policy_digest: Digest,
    /// The digest of the entities that it decides with.
    #[n(2)]
    pub entity_digest: Digest,
    /// Its epoch.
    #[n(3)]
    pub policy_epoch: Epoch,
    /// How many policies it has.
    #[n(4)]
    pub policies: usize,
    /// Why the new files were refused, if they were; the set named here is then the one that was kept.
    #[n(5)]
    pub error: Option<String>,
}

/// An attempt to load the routes of the mapping.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct MappingLoadRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The digest of the routes that are in place from now on.
    #[n(1)]
    pub mapping_digest: Digest,
    /// Their epoch.
    #[n(2)]
    pub mapping_epoch: Epoch,
    /// How many there are.
    #[n(3)]
    pub routes: usize,
    /// Why the new files were refused, if they were, or why those in place don't fit a new schema.
    #[n(4)]
    pub error: Option<String>,
}

/// A call of the admin API. One that changes something has two: before the change, and with its end.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Serialize)]
#[cbor(map)]
pub struct AdministrationRecord {
    /// When.
    #[n(0)]
    pub time: Timestamp,
    /// The method, as the wire names it: `package.Service/Method`. Sanitised, since a caller may ask for what is not there.
    #[n(1)]
    pub method: String,
    /// Effective user of the calling process; `None` if the caller is no process of this machine.
    #[n(2)]
    pub uid: Option<u32>,
    /// The calling process, in our PID namespace; 0 if it is in one that we can't see.
    #[n(3)]
    pub pid: Option<i32>,
    /// What it was about: before a change what is to be changed, with the end what was.
    #[n(4)]
    pub subjects: Vec<String>,
    /// How the call ended, as a gRPC status code in `snake_case`; `None` if it has not yet: what it is about to change
    /// follows.
    #[n(5)]
    pub code: Option<Cow<'static, str>>,
    /// What the caller was told of an error.
    #[n(6)]
    pub error: Option<String>,
}
