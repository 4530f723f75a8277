use super::*;
use crate::identity::issue::OwnIdentity;

fn pdp() -> OwnIdentity {
    OwnIdentity::new("spiffe://example.org/pdp".parse().unwrap(), vec!["pdp.test".to_owned()], None)
}

#[tokio::test]
async fn it_is_kept_until_half_of_its_life_and_then_renewed_and_recorded_without_an_entry() {
    let (house, own) = (House::new([]).await, pdp());
    let first = house.issuer.own_svid(&own).unwrap();
    assert_eq!(house.issuer.own_svid(&own).unwrap().chain, first.chain);
    house.clock.set(first.renew_at);
    let second = house.issuer.own_svid(&own).unwrap();
    assert_ne!(second.chain, first.chain);
    let records = house.log.records.lock().unwrap();
    let issued: Vec<_> = records.iter().map(|record| (&*record.spiffe_id, &*record.entry_id)).collect();
    assert_eq!(issued, [("spiffe://example.org/pdp", ""); 2]);
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_shown() {
    let (house, own) = (House::new([]).await, pdp());
    house.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(house.issuer.own_svid(&own), Err(IssueError::Record(_))));
}
