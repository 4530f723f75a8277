use std::os::unix::fs::PermissionsExt as _;

use rcgen::PublicKeyData as _;
use tempfile::TempDir;

use super::super::keys::KeyType;
use super::*;
use crate::foundation::entropy::SystemEntropy;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("seal.key")
    }

    fn sealed(&self, id: &str) -> PathBuf {
        self.0.path().join(format!("keys/{id}.sealed"))
    }

    fn open(&self, in_use: bool) -> Result<Vault, SealError> {
        Vault::open(self.0.path().join("keys"), &self.key_file(), in_use, &SystemEntropy::new())
    }

    /// A new key, sealed; its id and public half.
    fn seal_one(&self) -> (String, Vec<u8>) {
        let key = SigningKey::generate(KeyType::EcP256).unwrap();
        let id = hex::encode(key.id());
        self.open(false).unwrap().seal(&id, &key, &SystemEntropy::new()).unwrap();
        (id, key.subject_public_key_info())
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sealed_key_opens_again_and_is_not_readable_in_its_file() {
    let place = Place::new();
    let (id, public_key) = place.seal_one();
    let vault = place.open(true).unwrap();
    let key = vault.unseal(&id).unwrap();
    assert_eq!(key.subject_public_key_info(), public_key);
    assert_eq!(vault.ids().unwrap(), std::slice::from_ref(&id));

    let file = fs::read(place.sealed(&id)).unwrap();
    let document = key.to_pkcs8().unwrap();
    let scalar = &document.expose()[36..68];
    assert!(!file.windows(scalar.len()).any(|window| window == scalar));
    assert_eq!(place.sealed(&id).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.key_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.0.path().join("keys").metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn no_byte_of_a_sealed_key_can_change_unseen() {
    let place = Place::new();
    let (id, _) = place.seal_one();
    let vault = place.open(true).unwrap();
    let good = fs::read(place.sealed(&id)).unwrap();
    for index in 0..good.len() {
        let mut changed = good.clone();
        changed[index] ^= 0x10;
        write_private(&place.sealed(&id), &changed).unwrap();
        match (index, vault.unseal(&id)) {
            (0, Err(SealError::Version { version: 0x11, .. })) | (1.., Err(SealError::Tampered { .. })) => {}
            (_, other) => panic!("byte {index}: {other:?}"),
        }
    }
    for length in 0..good.len() {
        write_private(&place.sealed(&id), &good[..length]).unwrap();
        assert!(matches!(vault.unseal(&id), Err(SealError::Tampered { .. })), "cut to {length}");
    }
}

#[test]
fn a_sealed_key_does_not_open_under_the_name_of_another() {
    let place = Place::new();
    let ((first, _), (second, _)) = (place.seal_one(), place.seal_one());
    fs::rename(place.sealed(&first), place.sealed(&second)).unwrap();
    let vault = place.open(true).unwrap();
    assert!(matches!(vault.unseal(&second), Err(SealError::Tampered { .. })));
    let missing = vault.unseal(&first).unwrap_err().to_string();
    assert!(missing.contains(&first) && missing.contains("restore the file"), "{missing}");
}

#[test]
fn a_lost_sealing_key_is_never_replaced() {
    let place = Place::new();
    let (id, _) = place.seal_one();
    fs::remove_file(place.key_file()).unwrap();
    for in_use in [false, true] {
        assert!(matches!(place.open(in_use), Err(SealError::NoSealingKey { .. })));
    }
    fs::remove_file(place.sealed(&id)).unwrap();
    assert!(matches!(place.open(true), Err(SealError::NoSealingKey { .. })));
    assert!(!place.key_file().exists());
    place.open(false).unwrap();
}

#[test]
fn another_sealing_key_opens_nothing() {
    let place = Place::new();
    let (id, _) = place.seal_one();
    write_private(&place.key_file(), &[7; 32]).unwrap();
    assert!(matches!(place.open(true).unwrap().unseal(&id), Err(SealError::Tampered { .. })));
    for length in [0, 31, 33, 64] {
        write_private(&place.key_file(), &vec![7; length]).unwrap();
        match place.open(true) {
            Err(SealError::SealingKeyLength { length: found, .. }) => assert_eq!(found, length),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_others_may_read_is_refused() {
    let too_open = |error: SealError| matches!(error, SealError::File(PrivateFileError::TooOpen { .. }));
    let place = Place::new();
    let (id, _) = place.seal_one();
    for mode in [0o644, 0o640, 0o604, 0o620] {
        set_mode(&place.sealed(&id), mode);
        assert!(too_open(place.open(true).unwrap().unseal(&id).unwrap_err()), "{mode:o}");
    }
    set_mode(&place.key_file(), 0o644);
    assert!(too_open(place.open(true).unwrap_err()));
    set_mode(&place.key_file(), 0o600);
    set_mode(&place.0.path().join("keys"), 0o755);
    assert!(too_open(place.open(true).unwrap_err()));
}

#[test]
fn two_seals_of_one_key_share_no_bytes() {
    let place = Place::new();
    let (id, _) = place.seal_one();
    let vault = place.open(true).unwrap();
    let first = fs::read(place.sealed(&id)).unwrap();
    vault.seal(&id, &vault.unseal(&id).unwrap(), &SystemEntropy::new()).unwrap();
    let second = fs::read(place.sealed(&id)).unwrap();
    assert_ne!(first[1..13], second[1..13]);
    assert_ne!(first[13..], second[13..]);
}

#[test]
fn destroying_removes_the_file_and_can_be_repeated() {
    let place = Place::new();
    let (id, _) = place.seal_one();
    let vault = place.open(true).unwrap();
    vault.destroy(&id).unwrap();
    vault.destroy(&id).unwrap();
    assert!(vault.ids().unwrap().is_empty());
}
