use super::*;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::watched::Watched;
use crate::identity::api_key::ApiKey;
use crate::identity::bundle::Bundles;

const KEY: &str = "a-key-that-was-drawn-and-not-chosen";

fn callers() -> Callers {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let keys = ApiKeys::new(vec![ApiKey { name: "gateway".into(), digest: Digest::of(KEY.as_bytes()) }]);
    Callers::new(clock).with_keys(keys).with_users([(1000, Arc::from("sidecar"))].into())
}

fn shown(callers: &Callers, credentials: Credentials<'_>) -> Result<String, String> {
    match callers.authenticate(credentials) {
        Ok(caller) => Ok(caller.name().to_owned()),
        Err(CallerError::Missing) => Err("missing".to_owned()),
        Err(CallerError::Several) => Err("several".to_owned()),
        Err(CallerError::NotAdmitted(_)) => Err("not admitted".to_owned()),
        Err(CallerError::Unproved(_)) => Err("unproved".to_owned()),
    }
}

#[test]
fn there_is_one_caller_or_none() {
    let noise = CertificateDer::from(b"noise".to_vec());
    let nothing = Credentials::default();
    let key = Credentials { bearer: Some(KEY), ..nothing };
    let certificate = Credentials { certificate: Some(&noise), ..nothing };
    for (credentials, expected) in [
        (nothing, Err("missing")),
        (key, Ok("gateway")),
        (Credentials { bearer: Some("another-key-that-nobody-knows"), ..nothing }, Err("unproved")),
        (Credentials { bearer: Some(""), ..nothing }, Err("unproved")),
        (Credentials { user: Some(1000), ..nothing }, Ok("sidecar")),
        (Credentials { user: Some(0), ..nothing }, Err("missing")),
        (Credentials { user: Some(1000), ..key }, Ok("gateway")),
        (Credentials { user: Some(1000), bearer: Some("wrong"), ..nothing }, Err("unproved")),
        (Credentials { bearer: Some(KEY), ..certificate }, Err("several")),
        (certificate, Err("missing")),
    ] {
        let found = shown(&callers(), credentials);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{credentials:?}");
    }
}

#[test]
fn a_certificate_that_proves_nobody_is_not_passed_over() {
    let nobody = Arc::new(Watched::new(Bundles::new([])));
    let callers = callers().with_workloads(LeafVerifier::new(nobody, 1));
    let noise = CertificateDer::from(b"noise".to_vec());
    let credentials = Credentials { certificate: Some(&noise), bearer: None, user: Some(1000) };
    assert_eq!(shown(&callers, credentials), Err("unproved".to_owned()));
}

mod delegated;
