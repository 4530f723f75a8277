//! Who keeps the keys.

use super::*;

#[tokio::test]
async fn keys_in_memory_end_with_the_process_and_what_they_signed_stays_trusted() {
    let estate = Estate { custody: Some(KeyCustody::Memory), ..Estate::new() };
    let before = estate.open().await.unwrap();
    let old_leaf = sign(&before, LIFE, estate.clock.now()).unwrap().leaf;
    assert_eq!(estate.keys(), [""; 0], "nothing is on the disk");
    estate.advance_to(60);

    let after = estate.open().await.unwrap();
    let new_leaf = sign(&after, LIFE, estate.clock.now()).unwrap().leaf;
    assert_ne!(old_leaf.authority, new_leaf.authority);
    let bundle = bundle(&after);
    assert_eq!((bundle.x509_authorities.len(), bundle.jwt_authorities.len()), (2, 2));
    assert!(bundle.certificates().any(|certificate| *certificate == old_leaf.authority_certificate));
    let slots = after.slots(AuthorityKind::X509);
    assert_eq!(slots.old.map(|old| old.id).as_deref(), Some(&*old_leaf.authority));
    assert_eq!(slots.active.map(|active| active.id).as_deref(), Some(&*new_leaf.authority));

    // An authority without a key is tainted, revoked and forgotten like any other.
    after.taint(AuthorityKind::X509, &old_leaf.authority, estate.clock.now()).await.unwrap();
    after.revoke(AuthorityKind::X509, &old_leaf.authority, estate.clock.now()).await.unwrap();
    sign(&after, LIFE, estate.clock.now()).unwrap();
}

#[tokio::test]
async fn a_prepared_authority_whose_key_is_gone_is_dropped() {
    let estate = Estate { custody: Some(KeyCustody::Memory), ..Estate::new() };
    let before = estate.open().await.unwrap();
    let prepared = before.prepare(AuthorityKind::Jwt, estate.clock.now()).await.unwrap();
    let after = estate.open().await.unwrap();
    assert!(bundle(&after).jwt_authorities.iter().all(|authority| authority.key_id != prepared.id));
    assert_eq!(after.slots(AuthorityKind::Jwt).prepared, None);
}

#[cfg(not(feature = "pkcs11"))]
#[tokio::test]
async fn a_build_without_pkcs11_says_so() {
    let token = TokenConfig { module: "/m".into(), label: "t".into(), pin_file: "/p".into() };
    let estate = Estate { custody: Some(KeyCustody::Token(token)), ..Estate::new() };
    assert!(matches!(estate.open().await, Err(AuthorityError::Custody(CustodyError::NoPkcs11))));
}

/// Needs a token: `make test-pkcs11`.
#[cfg(feature = "pkcs11")]
mod token {
    use super::*;

    const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

    fn estate(key_type: KeyType, label: &str) -> Estate {
        let estate = Estate { key_type, jwt_key_type: key_type, ..Estate::new() };
        let pin_file = estate.directory.path().join("pin");
        write_private(&pin_file, b"1234\n").unwrap();
        let module = MODULES.iter().find(|module| std::path::Path::new(module).exists()).unwrap().into();
        Estate { custody: Some(KeyCustody::Token(TokenConfig { module, label: label.into(), pin_file })), ..estate }
    }

    #[tokio::test]
    #[ignore = "needs SoftHSM: make test-pkcs11"]
    async fn keys_in_a_token_sign_also_after_a_restart_and_never_touch_the_disk() {
        for key_type in [KeyType::EcP256, KeyType::EcP384] {
            let estate = estate(key_type, "portcullis-test");
            let first = estate.open().await.unwrap();
            let restarted = estate.open().await.unwrap();
            for authority in [&first, &restarted] {
                // The encoding of a signature differs in length every few hundred times.
                for _ in 0..300 {
                    sign(authority, LIFE, estate.clock.now()).unwrap();
                }
                sign_token(authority, LIFE, estate.clock.now()).unwrap();
            }
            assert_eq!(bundle(&first).x509_authorities, bundle(&restarted).x509_authorities);
            assert_eq!(estate.keys(), [""; 0]);
            let before = restarted.custody.ids().unwrap().len();
            let active = restarted.slots(AuthorityKind::X509).active.unwrap().id;
            restarted.custody.destroy(&active).unwrap();
            restarted.custody.destroy(&active).unwrap();
            assert_eq!(restarted.custody.ids().unwrap().len(), before - 1);
            assert!(matches!(estate.open().await, Err(AuthorityError::Custody(CustodyError::Token(_)))));
        }
    }

    #[tokio::test]
    #[ignore = "needs SoftHSM: make test-pkcs11"]
    async fn what_a_token_can_not_do_is_an_error() {
        let wrong_label = estate(KeyType::EcP256, "nowhere").open().await.unwrap_err();
        assert_eq!(wrong_label.to_string(), "there is no PKCS#11 token with the label `nowhere`");
        let wrong_kind = estate(KeyType::Rsa2048, "portcullis-test").open().await.unwrap_err();
        assert!(wrong_kind.to_string().contains("not `rsa-2048`"), "{wrong_kind}");
    }
}
