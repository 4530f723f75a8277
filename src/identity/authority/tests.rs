use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::PublicKeyData as _;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use super::keys::SigningKey;
use super::x509::SignedLeaf;
use super::*;
use crate::evidence::{AuthorityChange, AuthorityChangeRecord, Initiator, Record, Taken};
use crate::foundation::clock::{Clock as _, ManualClock};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::files::write_private;
use crate::identity::bundle::Bundle;
use crate::identity::journal::memory::{Fault, MemoryJournal};
use crate::identity::journal::{AuthorityPublic, JournalStep, Journaled};

mod custody;
mod opening;
mod operator;
mod revocation;
mod schedule;
mod signing;
mod statement;

const LIFE: Duration = Duration::from_mins(20);
const START: u64 = 1_800_000_000;

/// Changes that were recorded; can be made to refuse.
#[derive(Debug, Default)]
struct Log {
    records: Mutex<Vec<AuthorityChangeRecord>>,
    full: AtomicBool,
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(AppendError::Full);
        }
        let Record::AuthorityChange(change) = record else { panic!("{record:?}") };
        self.records.lock().unwrap().push(*change);
        Ok(Taken::NOW)
    }
}

/// A data directory and a journal: what survives a process.
struct Estate {
    directory: TempDir,
    journal: MemoryJournal,
    log: Arc<Log>,
    clock: ManualClock,
    custody: Option<KeyCustody>,
    key_type: KeyType,
    jwt_key_type: KeyType,
    jwt_rsa_hash: Hash,
}

impl Estate {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            journal: MemoryJournal::default(),
            log: Arc::default(),
            clock: ManualClock::new(Timestamp::from_unix_seconds(START.cast_signed())),
            custody: None,
            key_type: KeyType::default(),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
        }
    }

    async fn open(&self) -> Result<Authority, AuthorityError> {
        let data_dir = self.directory.path().join("data");
        let config = AuthorityConfig {
            trust_domain: ours(),
            ttl: LIFE,
            key_type: self.key_type,
            jwt_key_type: self.jwt_key_type,
            jwt_rsa_hash: self.jwt_rsa_hash,
            custody: self
                .custody
                .clone()
                .unwrap_or_else(|| KeyCustody::Sealed { seal_key_file: data_dir.join("seal.key") }),
            data_dir,
        };
        let ports = Ports {
            journal: Arc::new(self.journal.clone()),
            audit: self.log.clone(),
            entropy: Arc::new(SystemEntropy::new()),
        };
        Authority::open(config, ports, Metrics::default(), self.clock.now()).await
    }

    async fn journaled(&self) -> Journaled {
        self.journal.read(&ours()).await.unwrap()
    }

    fn keys(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.directory.path().join("data/keys")) else { return Vec::new() };
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn key_of(&self, id: &str) -> PathBuf {
        self.directory.path().join(format!("data/keys/{id}.sealed"))
    }

    /// Moves the clock to `seconds` after its start.
    fn advance_to(&self, seconds: u64) -> Timestamp {
        self.clock.set(Timestamp::from_unix_nanos((START + seconds) * 1_000_000_000));
        self.clock.now()
    }

    /// What was recorded since the last call.
    fn recorded(&self) -> Vec<(AuthorityKind, AuthorityChange, Initiator)> {
        let records = std::mem::take(&mut *self.log.records.lock().unwrap());
        records.into_iter().map(|record| (record.kind, record.change, record.by)).collect()
    }
}

fn ours() -> TrustDomain {
    "example.org".parse().unwrap()
}

fn bundle(authority: &Authority) -> Bundle {
    (**authority.bundles().load().get(&ours()).unwrap()).clone()
}

fn sign(authority: &Authority, ttl: Duration, now: Timestamp) -> Result<SignedLeaf, AuthorityError> {
    let spiffe_id = "spiffe://example.org/web".parse().unwrap();
    authority.sign(&LeafRequest { spiffe_id: &spiffe_id, dns_names: &[], ttl }, now)
}

fn sign_token(authority: &Authority, ttl: Duration, now: Timestamp) -> Result<SignedToken, AuthorityError> {
    let spiffe_id = "spiffe://example.org/web".parse().unwrap();
    let audience = ["orders".to_owned()];
    let request = TokenRequest { spiffe_id: &spiffe_id, audience: &audience, ttl, issuer: None, jti: None };
    authority.sign_token(&request, now)
}

/// The positions in the bundle of who signs leaves and tokens now.
fn signers(authority: &Authority, now: Timestamp) -> (usize, usize) {
    let bundle = bundle(authority);
    let leaf = sign(authority, Duration::from_mins(1), now).unwrap().leaf;
    let token = sign_token(authority, Duration::from_mins(1), now).unwrap();
    let x509 = bundle.certificates().position(|known| *known == leaf.authority_certificate).unwrap();
    let jwt = bundle.jwt_authorities.iter().position(|known| *known.key_id == *token.authority).unwrap();
    (x509, jwt)
}

fn counts(bundle: &Bundle) -> (usize, usize, u64) {
    (bundle.x509_authorities.len(), bundle.jwt_authorities.len(), bundle.sequence)
}
