//! Client assertions: for whom there is one, what it says, and that no two are the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;

const SERVER: &str = "https://login.example.com";

fn claims(svid: &JwtSvid) -> Value {
    let payload = svid.token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn an_assertion_names_the_client_to_one_server_for_a_minute_and_is_never_shown_twice() {
    let house = House::new([entry("web", 1)]).await;
    let web: SpiffeId = "spiffe://example.org/web".parse().unwrap();
    let [first, second] = [(); 2].map(|()| house.issuer.assertion(&web, SERVER).unwrap());
    let (one, other) = (claims(&first), claims(&second));
    assert_eq!((one["sub"].as_str(), &one["aud"]), (Some(web.as_str()), &serde_json::json!([SERVER])));
    assert_eq!(one["exp"].as_u64(), Some(house.clock.now().after(Duration::from_mins(1)).unix_seconds()));
    assert_ne!(one["jti"].as_str().unwrap(), other["jti"].as_str().unwrap());
    let records = house.log.tokens.lock().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!((&*records[0].entry_id, records[0].jti.as_deref()), (&*first.entry_id, one["jti"].as_str()));
}

#[tokio::test]
async fn nobody_speaks_for_who_is_granted_by_no_entry_or_by_one_for_no_workload() {
    let soon = Timestamp::from_unix_seconds(1_800_000_060);
    let brief = but(entry("brief", 1), |terms| terms.expires_at = Some(soon));
    let stored = but(entry("stored", 2), |terms| terms.store_svid = true);
    let house = House::new([brief, stored]).await;
    let id = |name: &str| format!("spiffe://example.org/{name}").parse::<SpiffeId>().unwrap();
    assert!(house.issuer.grants(&id("brief")) && house.issuer.assertion(&id("brief"), SERVER).is_ok());
    house.clock.set(soon);
    for name in ["brief", "stored", "stranger"] {
        assert!(!house.issuer.grants(&id(name)), "{name}");
        assert!(matches!(house.issuer.assertion(&id(name), SERVER), Err(IssueError::NotGranted(_))), "{name}");
    }
}
