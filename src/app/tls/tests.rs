use rcgen::{CertificateParams, KeyPair};

use super::*;

/// What is shown already is not handed out again, and so neither is its key.
#[test]
fn only_what_is_new_is_read_out() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = (home.path().join("c.pem"), home.path().join("k.pem"));
    let put = || {
        let pair = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(["pdp.test".to_owned()]).unwrap().self_signed(&pair).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
    };
    put();
    let source = Source::Files { certificate: certificate.clone(), key: key.clone() };
    let first = source.read(None).unwrap().unwrap();
    assert!(source.read(Some(first.digest)).unwrap().is_none());
    put();
    let second = source.read(Some(first.digest)).unwrap().unwrap();
    assert_ne!(second.digest, first.digest);
    ServerCertificate::new(second.chain, &second.key).unwrap();
    ServerCertificate::new(first.chain, &second.key).unwrap_err();
}
