use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::foundation::clock::{Clock as _, ManualClock};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::files::write_private;
use crate::identity::journal::memory::{Fault, MemoryJournal};

const LIFE: Duration = Duration::from_mins(20);

/// A data directory and a journal: what survives a process.
struct Estate {
    directory: TempDir,
    journal: MemoryJournal,
    clock: ManualClock,
}

impl Estate {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000));
        Self { directory: tempfile::tempdir().unwrap(), journal: MemoryJournal::default(), clock }
    }

    async fn open(&self) -> Result<Authority, AuthorityError> {
        let data_dir = self.directory.path().join("data");
        let config =
            AuthorityConfig { trust_domain: ours(), ttl: LIFE, seal_key_file: data_dir.join("seal.key"), data_dir };
        let journal = Arc::new(self.journal.clone());
        Authority::open(config, journal, Arc::new(SystemEntropy::new()), Metrics::default(), self.clock.now()).await
    }

    async fn journaled(&self) -> Journaled {
        self.journal.read(&ours()).await.unwrap()
    }

    fn keys(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.path().join("data/keys")).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn key_of(&self, entry: &AuthorityEntry) -> PathBuf {
        self.directory.path().join(format!("data/keys/{}.sealed", entry.id))
    }

    /// Moves the clock to `seconds` after its start.
    fn advance_to(&self, seconds: u64) {
        let target = Timestamp::from_unix_seconds(1_800_000_000).after(Duration::from_secs(seconds));
        self.clock.advance(target.since(self.clock.now()));
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

/// The position in the bundle of who signs now.
fn signer(authority: &Authority, now: Timestamp) -> usize {
    let signed = sign(authority, Duration::from_mins(1), now).unwrap();
    let authorities: Vec<_> = bundle(authority).certificates().cloned().collect();
    authorities.iter().position(|known| *known == signed.authority_certificate).unwrap()
}

#[tokio::test]
async fn a_restart_finds_the_same_authority_and_sequence() {
    let estate = Estate::new();
    let before = bundle(&estate.open().await.unwrap());
    assert_eq!((before.x509_authorities.len(), before.sequence), (1, 1));
    let authority = estate.open().await.unwrap();
    assert_eq!(bundle(&authority), before);
    sign(&authority, LIFE, estate.clock.now()).unwrap();
    assert_eq!(estate.keys().len(), 1);
}

#[tokio::test]
async fn killed_before_the_journal_took_it_a_key_is_an_orphan_and_the_next_start_is_clean() {
    let estate = Estate::new();
    estate.journal.fail_next(Fault::BeforeCommit);
    assert!(matches!(estate.open().await, Err(AuthorityError::Journal(_))));
    assert_eq!((estate.keys().len(), estate.journaled().await), (1, Journaled::default()));

    let authority = estate.open().await.unwrap();
    let journaled = estate.journaled().await;
    assert_eq!((journaled.authorities.len(), journaled.sequence, estate.keys().len()), (1, 1, 2));
    assert_eq!(bundle(&authority).x509_authorities.len(), 1);
    assert_eq!(bundle(&estate.open().await.unwrap()), bundle(&authority));
}

#[tokio::test]
async fn killed_after_the_journal_took_it_the_authority_is_the_one() {
    let estate = Estate::new();
    estate.journal.fail_next(Fault::AfterCommit);
    assert!(matches!(estate.open().await, Err(AuthorityError::Journal(_))));
    let authority = estate.open().await.unwrap();
    let journaled = estate.journaled().await;
    assert_eq!((journaled.authorities.len(), journaled.sequence, estate.keys().len()), (1, 1, 1));
    assert_eq!(
        bundle(&authority).x509_authorities,
        [CertificateDer::from(&*journaled.authorities[0].certificate).into_owned().into()]
    );
}

#[tokio::test]
async fn killed_while_it_prepared_the_next_one_it_goes_on_with_the_first() {
    for (fault, authorities) in [(Fault::BeforeCommit, 1), (Fault::AfterCommit, 2)] {
        let estate = Estate::new();
        let running = estate.open().await.unwrap();
        estate.advance_to(600);
        estate.journal.fail_next(fault);
        assert!(running.maintain(estate.clock.now()).await.is_err());
        // What runs goes on as before, …
        assert_eq!(signer(&running, estate.clock.now()), 0);
        assert_eq!(bundle(&running).sequence, 1);
        assert_eq!(estate.journaled().await.authorities.len(), authorities);
        // … and what starts anew has the same signer and exactly one successor.
        let restarted = estate.open().await.unwrap();
        assert_eq!(signer(&restarted, estate.clock.now()), 0);
        assert_eq!((bundle(&restarted).x509_authorities.len(), bundle(&restarted).sequence), (2, 2));
    }
}

/// Found by attack: with the database gone and the keys still there, a new authority was made without a word.
#[tokio::test]
async fn a_journal_that_lost_its_authorities_is_a_refusal_to_start() {
    let mut estate = Estate::new();
    estate.open().await.unwrap();
    estate.journal = MemoryJournal::default();
    let refused = estate.open().await.unwrap_err();
    assert!(matches!(refused, AuthorityError::JournalLost { .. }), "{refused}");
    assert_eq!(estate.journaled().await, Journaled::default());
}

#[tokio::test]
async fn a_journaled_authority_without_its_key_is_a_refusal_to_start() {
    let estate = Estate::new();
    estate.open().await.unwrap();
    let journaled = estate.journaled().await;
    fs::remove_file(estate.key_of(&journaled.authorities[0])).unwrap();
    let error = estate.open().await.unwrap_err().to_string();
    assert!(error.contains("restore the file"), "{error}");
    assert_eq!((estate.journaled().await, estate.keys().len()), (journaled, 0));
}

#[tokio::test]
async fn a_tampered_or_readable_key_is_a_refusal_to_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let estate = Estate::new();
    estate.open().await.unwrap();
    let journaled = estate.journaled().await;
    let path = estate.key_of(&journaled.authorities[0]);
    let good = fs::read(&path).unwrap();

    let mut changed = good.clone();
    changed[40] ^= 1;
    write_private(&path, &changed).unwrap();
    let error = estate.open().await.unwrap_err();
    assert!(matches!(error, AuthorityError::Seal(SealError::Tampered { .. })), "{error}");

    write_private(&path, &good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = estate.open().await.unwrap_err();
    assert!(matches!(error, AuthorityError::Seal(SealError::File(PrivateFileError::TooOpen { .. }))), "{error}");
    assert_eq!((estate.journaled().await, estate.keys().len()), (journaled, 1));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    estate.open().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let estate = Estate::new();
    estate.open().await.unwrap();
    let data = estate.directory.path().join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(estate.open().await, Err(AuthorityError::DataDir(PrivateFileError::TooOpen { .. }))));
}

/// Who can write to the database can't put a certificate of their own into the bundle.
#[tokio::test]
async fn a_certificate_that_was_swapped_in_the_journal_is_refused() {
    let (mut estate, stranger) = (Estate::new(), Estate::new());
    estate.open().await.unwrap();
    stranger.open().await.unwrap();
    let certificate = stranger.journaled().await.authorities[0].certificate.clone();
    let swapped = AuthorityEntry { certificate, ..estate.journaled().await.authorities[0].clone() };
    estate.journal = MemoryJournal::default();
    estate.journal.add_authority(&ours(), &swapped).await.unwrap();
    assert!(matches!(estate.open().await, Err(AuthorityError::Foreign { .. })));
}

#[tokio::test]
async fn an_authority_is_published_long_before_it_signs_and_trusted_until_it_expires() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let first = bundle(&authority).x509_authorities;
    // (second, authorities in the bundle, sequence, position of the signer, seconds to the next step)
    let timeline = [
        (0, 1, 1, 0, 600),
        (599, 1, 1, 0, 1),
        (600, 2, 2, 0, 400),
        (999, 2, 2, 0, 1),
        (1000, 2, 2, 1, 200),
        (1199, 2, 2, 1, 1),
        // The first has expired, and the second is at half of its life: one leaves, one comes.
        (1200, 2, 4, 0, 400),
        (1599, 2, 4, 0, 1),
        (1600, 2, 4, 1, 200),
    ];
    for (second, authorities, sequence, position, pause) in timeline {
        estate.advance_to(second);
        let now = estate.clock.now();
        let next = authority.maintain(now).await.unwrap();
        let bundle = bundle(&authority);
        let seen = (bundle.x509_authorities.len(), bundle.sequence, signer(&authority, now), next.since(now).as_secs());
        assert_eq!(seen, (authorities, sequence, position, pause), "second {second}");
        assert_eq!(bundle.x509_authorities.contains(&first[0]), second < 1200);
    }
    assert_eq!(estate.keys().len(), 2, "the key of the expired one is gone");
}

#[tokio::test]
async fn the_hand_over_needs_no_maintenance_at_its_moment() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    estate.advance_to(600);
    authority.maintain(estate.clock.now()).await.unwrap();
    estate.advance_to(1000);
    assert_eq!(signer(&authority, estate.clock.now()), 1);
}

#[tokio::test]
async fn after_a_long_sleep_the_expired_authority_is_replaced() {
    let estate = Estate::new();
    let before = bundle(&estate.open().await.unwrap());
    estate.advance_to(5000);
    let authority = estate.open().await.unwrap();
    let after = bundle(&authority);
    assert_eq!((after.x509_authorities.len(), after.sequence, estate.keys().len()), (1, 3, 1));
    assert_ne!(after.x509_authorities, before.x509_authorities);
    sign(&authority, LIFE, estate.clock.now()).unwrap();
}

#[tokio::test]
async fn an_expired_authority_does_not_sign_while_maintenance_is_late() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    estate.advance_to(1200);
    let error = sign(&authority, LIFE, estate.clock.now()).unwrap_err();
    assert!(matches!(error, AuthorityError::NoSigner(_)), "{error}");
    authority.maintain(estate.clock.now()).await.unwrap();
    sign(&authority, LIFE, estate.clock.now()).unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_new_authority() {
    let estate = Estate::new();
    estate.open().await.unwrap();
    let earlier = Estate { clock: ManualClock::new(Timestamp::from_unix_seconds(5)), ..estate };
    let error = earlier.open().await.unwrap_err();
    assert!(matches!(error, AuthorityError::ClockBehind { .. }), "{error}");
    assert_eq!(earlier.journaled().await.authorities.len(), 1);
}

#[tokio::test]
async fn two_first_starts_on_one_directory_make_one_authority() {
    let estate = Estate::new();
    let (one, other) = tokio::join!(estate.open(), estate.open());
    assert_eq!(bundle(&one.unwrap()), bundle(&other.unwrap()));
    assert_eq!((estate.journaled().await.sequence, estate.keys().len()), (1, 1));
}

#[tokio::test]
async fn a_process_takes_over_what_its_successor_prepared() {
    let estate = Estate::new();
    let old = estate.open().await.unwrap();
    estate.advance_to(600);
    let new = estate.open().await.unwrap();
    assert_eq!((bundle(&new).sequence, bundle(&old).sequence), (2, 1));
    old.maintain(estate.clock.now()).await.unwrap();
    assert_eq!(bundle(&old), bundle(&new));
    estate.advance_to(1000);
    assert_eq!(signer(&old, estate.clock.now()), 1);
}

#[tokio::test]
async fn maintenance_with_nothing_to_do_moves_no_epoch_and_keeps_foreign_bundles() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let foreign = Bundle::of_x509("example.com".parse().unwrap(), [], 7);
    authority.bundles().replace(Bundles::new([bundle(&authority), foreign.clone()]));
    let epoch = authority.bundles().load().epoch();
    authority.maintain(estate.clock.now()).await.unwrap();
    assert_eq!(authority.bundles().load().epoch(), epoch);

    estate.advance_to(600);
    authority.maintain(estate.clock.now()).await.unwrap();
    assert!(authority.bundles().load().epoch() > epoch);
    assert_eq!(**authority.bundles().load().get(&foreign.trust_domain).unwrap(), foreign);
}

#[tokio::test]
async fn a_leaf_never_outlives_who_signed_it() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    for second in [0, 1, 500, 1100, 1199] {
        estate.advance_to(second);
        let now = estate.clock.now();
        let signed = sign(&authority, 10 * LIFE, now).unwrap();
        let limit = lint::validity_of(&signed.authority_certificate).unwrap().not_after;
        assert_eq!(signed.not_after, limit);
        assert_eq!(lint::validity_of(&signed.certificate).unwrap().not_after, limit);
    }
}

#[tokio::test]
async fn only_our_own_trust_domain_is_signed_for() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let spiffe_id = "spiffe://example.com/web".parse().unwrap();
    let request = LeafRequest { spiffe_id: &spiffe_id, dns_names: &[], ttl: LIFE };
    let error = authority.sign(&request, estate.clock.now()).unwrap_err();
    assert!(matches!(error, AuthorityError::ForeignTrustDomain(_)), "{error}");
}

#[tokio::test]
async fn a_life_of_less_than_a_second_is_none() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    for ttl in [Duration::ZERO, Duration::from_millis(999)] {
        assert!(matches!(sign(&authority, ttl, estate.clock.now()), Err(AuthorityError::TooShort(_))));
    }
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let seal_key = fs::read(Path::new(&authority.config.seal_key_file)).unwrap();
    let key = authority.vault.unseal(&estate.journaled().await.authorities[0].id).unwrap();
    let document = key.to_pkcs8().unwrap();
    let shown = format!("{authority:?} {:?}", sign(&authority, LIFE, estate.clock.now()).unwrap().key);
    for secret in [&seal_key[..], &document.expose()[36..68]] {
        let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!shown.contains(&hex::encode(secret)) && !shown.contains(&list));
    }
}
