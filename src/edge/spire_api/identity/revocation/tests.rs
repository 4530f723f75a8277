//! Revoking over a real authority.

use std::time::Duration;

use portcullis_spiffe_api::portcullis::identity::v1::{
    ListRevokedX509sviDsRequest, ListRevokedX509sviDsResponse, RevokeX509svidResponse,
};
use tempfile::TempDir;
use tonic::service::Routes;

use super::super::IdentityService;
use super::*;
use crate::edge::spire_api::Allowed;
use crate::edge::spire_api::tests::{Desk, clock, now, peer};
use crate::evidence::{AppendError, Audit, Record, Taken};
use crate::foundation::entropy::SystemEntropy;
use crate::identity::authority::{self, AuthorityConfig, Hash, KeyCustody, KeyType, MAX_REVOKED};
use crate::identity::explain::Explainer;
use crate::identity::journal::memory::MemoryJournal;
use crate::identity::journal::{AuthorityJournal as _, JournalStep};
use crate::identity::workload::tests::House;

const REVOKE: &str = "portcullis.identity.v1.Identity/RevokeX509SVID";
const LIST: &str = "portcullis.identity.v1.Identity/ListRevokedX509SVIDs";

/// Takes every record.
#[derive(Debug)]
struct Shredder;

impl Audit for Shredder {
    fn append(&self, _record: Record<'_>) -> Result<Taken, AppendError> {
        Ok(Taken::NOW)
    }
}

struct Office {
    _directory: TempDir,
    journal: MemoryJournal,
    authority: Arc<Authority>,
    desk: Desk,
}

impl Office {
    async fn open() -> Self {
        Self::with_room(usize::MAX).await
    }

    /// One whose audit log takes this many records.
    async fn with_room(room: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = AuthorityConfig {
            trust_domain: "example.org".parse().unwrap(),
            ttl: Duration::from_hours(24),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
            data_dir: directory.path().join("data"),
            key_type: KeyType::default(),
            custody: KeyCustody::Sealed { seal_key_file: directory.path().join("data/seal.key") },
        };
        let journal = MemoryJournal::default();
        let ports = authority::Ports {
            journal: Arc::new(journal.clone()),
            audit: Arc::new(Shredder),
            entropy: Arc::new(SystemEntropy::new()),
        };
        let authority = Authority::open(config, ports, authority::Metrics::default(), now()).await.unwrap();
        let authority = Arc::new(authority);
        let house = House::new([]).await;
        let workloads = Arc::new(house.workloads(Vec::new(), Duration::from_secs(1)));
        let explainer = Explainer::new(workloads, Arc::clone(&house.registry), house.clock.clone());
        let service = IdentityService::new(explainer, Arc::clone(&authority), clock());
        let allowed = Allowed { uids: vec![peer().uid], gids: Vec::new() };
        let desk = Desk::with(Routes::default().add_service(service.into_server()), allowed, room);
        Self { _directory: directory, journal, authority, desk }
    }

    fn active(&self) -> String {
        self.authority.slots(AuthorityKind::X509).active.unwrap().id
    }

    async fn revoke(&self, serial: &str, authority_id: &str) -> Result<RevokedX509svid, Status> {
        let request = RevokeX509svidRequest { serial: serial.to_owned(), authority_id: authority_id.to_owned() };
        let answer: RevokeX509svidResponse = self.desk.call(REVOKE, &request).await?;
        Ok(answer.revoked.unwrap())
    }

    async fn list(&self) -> Vec<RevokedX509svid> {
        let answer: ListRevokedX509sviDsResponse = self.desk.call(LIST, &ListRevokedX509sviDsRequest {}).await.unwrap();
        answer.revoked
    }
}

#[tokio::test]
async fn an_svid_is_revoked_by_the_serial_that_its_record_has() {
    let office = Office::open().await;
    let id = office.active();
    assert_eq!(office.list().await, []);
    let revoked = office.revoke("4F01", "").await.unwrap();
    let (at, until) = (1_795_325_223, 1_795_325_223 + 86_400);
    let expected =
        RevokedX509svid { serial: "4f01".into(), authority_id: id.clone(), revoked_at: at, forgotten_at: until };
    assert_eq!(revoked, expected);
    assert_eq!(office.revoke("004f01", &id).await.unwrap(), expected, "twice is once");
    assert_eq!(office.list().await, [expected]);
}

#[tokio::test]
async fn a_revocation_is_recorded_before_it_is_made_and_without_a_record_it_is_not() {
    let office = Office::open().await;
    office.revoke("4f01", "").await.unwrap();
    let records = office.desk.recorded();
    let [before, after] = &records[..] else { panic!("{records:?}") };
    for record in [before, after] {
        assert_eq!((&*record.method, &record.subjects), (REVOKE, &vec![format!("{}/4f01", office.active())]));
    }
    assert_eq!((before.code.as_deref(), after.code.as_deref()), (None, Some("ok")));

    let full = Office::with_room(0).await;
    assert_eq!(full.revoke("4f01", "").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(full.authority.revoked_leaves(), []);
}

#[tokio::test]
async fn bad_requests_change_nothing() {
    let office = Office::open().await;
    let tokens = office.authority.slots(AuthorityKind::Jwt).active.unwrap().id;
    let long = "4f".repeat(21);
    for (serial, authority_id, code, part) in [
        ("", "", Code::InvalidArgument, "no serial number"),
        ("0", "", Code::InvalidArgument, "not zero"),
        ("4f:01", "", Code::InvalidArgument, "hexadecimal"),
        ("orders\r\n", "", Code::InvalidArgument, "hexadecimal"),
        (&long, "", Code::InvalidArgument, "20 bytes"),
        ("4f01", "00", Code::NotFound, "no authority of that id"),
        ("4f01", "\u{202e}'", Code::NotFound, "no authority of that id"),
        ("4f01", &tokens, Code::NotFound, "no authority of that id"),
    ] {
        let status = office.revoke(serial, authority_id).await.unwrap_err();
        assert_eq!(status.code(), code, "{serial} {authority_id}: {status:?}");
        assert!(status.message().contains(part), "{status:?}");
    }
    assert_eq!(office.list().await, []);
}

#[tokio::test]
async fn when_too_many_are_revoked_it_says_to_change_the_authority() {
    let office = Office::open().await;
    let leaf = |number: u32| RevokedLeaf {
        serial: SerialNumber::from_bytes(&(number + 1).to_be_bytes()).unwrap(),
        authority: office.active(),
        revoked_at: now(),
    };
    let all: Vec<_> = (0..u32::try_from(MAX_REVOKED).unwrap()).map(leaf).collect();
    let steps: Vec<_> = all.iter().map(JournalStep::Revoke).collect();
    office.journal.apply(office.authority.trust_domain(), &steps, now()).await.unwrap();
    let status = office.revoke("4f010203040506", "").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("activate another authority"), "{status:?}");
    assert_eq!(office.list().await.len(), MAX_REVOKED);
}
