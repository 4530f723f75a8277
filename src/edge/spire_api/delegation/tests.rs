use tonic::service::Routes;

use super::*;
use crate::edge::spire_api::Allowed;
use crate::edge::spire_api::tests::{Desk, clock, now, peer};
use crate::identity::delegation::memory::MemoryRevocations;

const TOKEN: &str = "portcullis.delegation.v1.Delegation/RevokeToken";
const MEMBER: &str = "portcullis.delegation.v1.Delegation/RevokeMember";
const LIST: &str = "portcullis.delegation.v1.Delegation/ListRevocations";
const RESTORE_IT: &str = "portcullis.delegation.v1.Delegation/Restore";

const NOW: i64 = 1_795_325_223;

/// A desk whose audit log takes so many records.
async fn desk(room: usize) -> (Arc<Revocations>, Desk) {
    let revocations = Arc::new(Revocations::load(Arc::new(MemoryRevocations::default())).await.unwrap());
    let service = DelegationService::new(Arc::clone(&revocations), clock());
    let allowed = Allowed { uids: vec![peer().uid], gids: Vec::new() };
    (revocations, Desk::with(Routes::default().add_service(service.into_server()), allowed, room))
}

fn token(id: &str, until: i64) -> RevokeTokenRequest {
    RevokeTokenRequest { id: id.to_owned(), issuer: String::new(), until }
}

fn member(subject: &str, issuer: &str) -> RevokeMemberRequest {
    RevokeMemberRequest { subject: subject.to_owned(), issuer: issuer.to_owned(), until: 0 }
}

#[tokio::test]
async fn what_is_revoked_is_listed_until_it_is_restored() {
    let (_revocations, desk) = desk(usize::MAX).await;
    let made: RevokeTokenResponse = desk.call(TOKEN, &token("b3f1", NOW + 60)).await.unwrap();
    let one = WireRevocation {
        what: Some(What::Token("b3f1".to_owned())),
        issuer: String::new(),
        revoked_at: NOW,
        until: NOW + 60,
    };
    assert_eq!(made.revoked, Some(one.clone()));
    let made: RevokeMemberResponse = desk.call(MEMBER, &member("alice", "https://idp.example")).await.unwrap();
    let other = WireRevocation {
        what: Some(What::Member("alice".to_owned())),
        issuer: "https://idp.example".to_owned(),
        revoked_at: NOW,
        until: 0,
    };
    assert_eq!(made.revoked, Some(other.clone()));
    let listed: ListRevocationsResponse = desk.call(LIST, &ListRevocationsRequest {}).await.unwrap();
    assert_eq!(listed.revoked, [one.clone(), other]);

    let alice =
        |issuer: &str| RestoreRequest { what: Some(Restored::Member("alice".to_owned())), issuer: issuer.to_owned() };
    let refused = desk.call::<_, RestoreResponse>(RESTORE_IT, &alice("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "whoever is called so is not who that issuer calls so");
    let RestoreResponse {} = desk.call(RESTORE_IT, &alice("https://idp.example")).await.unwrap();
    let listed: ListRevocationsResponse = desk.call(LIST, &ListRevocationsRequest {}).await.unwrap();
    assert_eq!(listed.revoked, [one]);
}

#[tokio::test]
async fn a_revocation_is_recorded_before_it_is_made_and_without_a_record_it_is_not() {
    let (_revocations, desk_with_room) = desk(usize::MAX).await;
    let _made: RevokeMemberResponse =
        desk_with_room.call(MEMBER, &member("spiffe://example.org/robot", "")).await.unwrap();
    let records = desk_with_room.recorded();
    let [before, after] = &records[..] else { panic!("{records:?}") };
    for record in [before, after] {
        assert_eq!(&*record.method, MEMBER);
        assert_eq!(record.subjects, [r#"member "spiffe://example.org/robot""#]);
    }
    assert_eq!((before.code.as_deref(), after.code.as_deref()), (None, Some("ok")));

    let (revocations, full) = desk(0).await;
    let refused = full.call::<_, RevokeTokenResponse>(TOKEN, &token("b3f1", 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(revocations.list(now()), []);
}

#[tokio::test]
async fn bad_requests_change_nothing() {
    let (revocations, desk) = desk(usize::MAX).await;
    let long = "x".repeat(1025);
    for (request, part) in [
        (token("", 0), "no name"),
        (token(&long, 0), "at most 1024 bytes"),
        (token("a\r\nb", 0), "control characters"),
        (token("b3f1", NOW), "is over already"),
        (token("b3f1", -1), "is over already"),
    ] {
        let refused = desk.call::<_, RevokeTokenResponse>(TOKEN, &request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(part), "{refused:?}");
    }
    let nothing = RestoreRequest { what: None, issuer: String::new() };
    let refused = desk.call::<_, RestoreResponse>(RESTORE_IT, &nothing).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(revocations.list(now()), []);
}
