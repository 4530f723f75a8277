//! SVIDs that are revoked while they are handed out.

use super::*;
use crate::identity::revocation::SerialNumber;

impl House {
    async fn revoke(&self, svid: &Svid) {
        let serial = serial(svid);
        let record = self.log.records.lock().unwrap().iter().find(|one| one.serial == serial.to_string()).cloned();
        let id = record.unwrap().authority;
        self.authority.revoke_leaf(&id, &serial, self.clock.now()).await.unwrap();
    }
}

fn serial(svid: &Svid) -> SerialNumber {
    let (_, parsed) = x509_parser::parse_x509_certificate(&svid.chain[0]).unwrap();
    SerialNumber::from_bytes(parsed.raw_serial()).unwrap()
}

#[tokio::test]
async fn a_revoked_svid_is_replaced_at_once_with_a_new_key_and_others_stay() {
    let house = House::new([entry("web", 1), entry("orders", 2)]).await;
    let (bad, good) = (house.svid(1), house.svid(2));
    let mut changes = house.issuer.changes();
    house.revoke(&bad).await;
    changes.changed().await;
    let new = house.svid(1);
    assert_ne!((serial(&new), new.key.expose()), (serial(&bad), bad.key.expose()));
    assert!(new.key.expose() != bad.key.expose());
    assert!(Arc::ptr_eq(&house.svid(1), &new), "once is enough");
    assert!(Arc::ptr_eq(&house.svid(2), &good));
    assert_eq!(house.identities(1).unwrap().bundles[0].revocations.len(), 1);
}

#[tokio::test]
async fn a_revoked_svid_is_not_handed_out_though_no_other_can_be_made() {
    let house = House::new([entry("web", 1)]).await;
    let bad = house.svid(1);
    house.revoke(&bad).await;
    house.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(house.identities(1), Err(IssueError::Record(_))));
    house.log.full.store(false, Ordering::SeqCst);
    assert_ne!(serial(&house.svid(1)), serial(&bad));
}
