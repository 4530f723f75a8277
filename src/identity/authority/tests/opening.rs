//! Starts: what they find, what they refuse, and what a crash leaves to them.

use super::*;

#[tokio::test]
async fn a_restart_finds_the_same_authorities_and_sequence() {
    let estate = Estate::new();
    let before = bundle(&estate.open().await.unwrap());
    assert_eq!(counts(&before), (1, 1, 2));
    let authority = estate.open().await.unwrap();
    assert_eq!(bundle(&authority), before);
    assert_eq!(signers(&authority, estate.clock.now()), (0, 0));
    assert_eq!(estate.keys().len(), 2);
}

#[tokio::test]
async fn killed_before_the_journal_took_it_a_key_is_an_orphan_and_the_next_start_is_clean() {
    let estate = Estate::new();
    estate.journal.fail_next(Fault::BeforeCommit);
    assert!(matches!(estate.open().await, Err(AuthorityError::Journal(_))));
    assert_eq!((estate.keys().len(), estate.journaled().await), (1, Journaled::default()));

    let authority = estate.open().await.unwrap();
    let journaled = estate.journaled().await;
    assert_eq!((journaled.authorities.len(), journaled.sequence, estate.keys().len()), (2, 2, 3));
    assert_eq!(counts(&bundle(&authority)), (1, 1, 2));
    assert_eq!(bundle(&estate.open().await.unwrap()), bundle(&authority));
}

#[tokio::test]
async fn killed_after_the_journal_took_it_the_authority_is_the_one() {
    let estate = Estate::new();
    estate.journal.fail_next(Fault::AfterCommit);
    assert!(matches!(estate.open().await, Err(AuthorityError::Journal(_))));
    let [first] = &estate.journaled().await.authorities[..] else { panic!("not one") };
    let AuthorityPublic::X509 { certificate } = &first.public else { panic!("{first:?}") };
    let authority = estate.open().await.unwrap();
    assert_eq!(estate.keys().len(), 2);
    assert_eq!(bundle(&authority).x509_authorities, [CertificateDer::from(&**certificate).into_owned().into()]);
}

/// The state of version 0.1, which knew X.509 authorities only.
#[tokio::test]
async fn a_journal_without_jwt_authorities_gets_one_that_signs_at_once() {
    let estate = Estate::new();
    estate.journal.fail_next(Fault::AfterCommit);
    estate.open().await.unwrap_err();
    estate.advance_to(500);
    let authority = estate.open().await.unwrap();
    assert_eq!(counts(&bundle(&authority)), (1, 1, 2));
    assert_eq!(signers(&authority, estate.clock.now()), (0, 0));
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
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let id = estate.open().await.unwrap().slots(kind).active.unwrap().id;
        let journaled = estate.journaled().await;
        fs::remove_file(estate.key_of(&id)).unwrap();
        let error = estate.open().await.unwrap_err().to_string();
        assert!(error.contains("restore the file"), "{error}");
        assert_eq!((estate.journaled().await, estate.keys().len()), (journaled, 1));
    }
}

#[tokio::test]
async fn a_tampered_or_readable_key_is_a_refusal_to_start() {
    use std::os::unix::fs::PermissionsExt as _;
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let id = estate.open().await.unwrap().slots(kind).active.unwrap().id;
        let journaled = estate.journaled().await;
        let path = estate.key_of(&id);
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
        assert_eq!((estate.journaled().await, estate.keys().len()), (journaled, 2));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        estate.open().await.unwrap();
    }
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

/// Who can write to the database can't put a certificate or a key of their own into the bundle.
#[tokio::test]
async fn what_was_swapped_in_the_journal_is_refused() {
    for kind in AuthorityKind::ALL {
        let (mut estate, stranger) = (Estate::new(), Estate::new());
        estate.open().await.unwrap();
        stranger.open().await.unwrap();
        let mut entries = estate.journaled().await.authorities;
        let theirs = stranger.journaled().await.authorities.into_iter().find(|entry| entry.kind() == kind).unwrap();
        entries.iter_mut().find(|entry| entry.kind() == kind).unwrap().public = theirs.public;
        estate.journal = MemoryJournal::default();
        let steps: Vec<_> = entries.iter().map(JournalStep::Add).collect();
        estate.journal.apply(&ours(), &steps, estate.clock.now()).await.unwrap();
        assert!(matches!(estate.open().await, Err(AuthorityError::Foreign { .. })));
    }
}

#[tokio::test]
async fn two_first_starts_on_one_directory_make_one_authority_of_each_kind() {
    let estate = Estate::new();
    let (one, other) = tokio::join!(estate.open(), estate.open());
    assert_eq!(bundle(&one.unwrap()), bundle(&other.unwrap()));
    assert_eq!((estate.journaled().await.sequence, estate.keys().len()), (2, 2));
}

#[tokio::test]
async fn without_a_record_there_is_no_authority() {
    let estate = Estate::new();
    estate.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(estate.open().await, Err(AuthorityError::Record(AppendError::Full))));
    assert_eq!(estate.journaled().await, Journaled::default());
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let seal_key = fs::read(Path::new(&authority.config.seal_key_file)).unwrap();
    let (leaf, token) = (sign(&authority, LIFE, now).unwrap(), sign_token(&authority, LIFE, now).unwrap());
    let shown = format!("{authority:?} {leaf:?} {token:?}");
    let mut secrets = vec![seal_key, leaf.key.expose()[36..68].to_vec(), token.token.expose().clone().into_bytes()];
    for entry in estate.journaled().await.authorities {
        secrets.push(authority.vault.unseal(&entry.id).unwrap().to_pkcs8().unwrap().expose()[36..68].to_vec());
    }
    for secret in secrets {
        let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!shown.contains(&hex::encode(&secret)) && !shown.contains(&list));
        assert!(!shown.contains(&*String::from_utf8_lossy(&secret)));
    }
}
