use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;

use super::super::fixture::{NOW, bytes, decode, two_svids_two_bundles};
use super::*;
use crate::foundation::secret::Secret as Hidden;
use crate::identity::credential::Credential;

const BILLING: &str = "outbound/billing";

fn subscribed(held: Option<Held>) -> Subscriptions {
    let mut subscriptions = Subscriptions::new(Arc::new(SdsConfig::new("prod.example".parse().unwrap())));
    subscriptions.want(BILLING, held);
    subscriptions
}

fn with(value: Option<&str>) -> Identities {
    let value = value.map(|value| Hidden::new(value.as_bytes().to_vec()));
    Identities { credentials: vec![Credential { name: BILLING.into(), value }], ..two_svids_two_bundles() }
}

/// What the client is given that is news to it.
fn news(look: &Look) -> Vec<Vec<u8>> {
    let secrets = decode(look.given.iter().filter(|given| given.is_news).map(|given| &given.secret));
    let value = |secret: &envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret| match &secret.r#type {
        Some(Type::GenericSecret(generic)) => bytes(generic.secret.as_ref()).to_vec(),
        other => panic!("{other:?}"),
    };
    secrets.iter().map(value).collect()
}

#[test]
fn a_credential_is_given_whole_renewed_and_emptied_when_it_is_over() {
    let mut subscriptions = subscribed(None);
    for value in [Some("Bearer one"), Some("Bearer two"), None, Some("Bearer three")] {
        let look = subscriptions.look(&with(value), NOW);
        assert_eq!(news(&look), [value.unwrap_or_default().as_bytes()]);
        assert!(news(&subscriptions.look(&with(value), NOW)).is_empty(), "it has that already");
    }
}

#[test]
fn a_credential_that_is_no_longer_granted_is_taken_back_also_from_an_earlier_stream() {
    let mut subscriptions = subscribed(None);
    subscriptions.look(&with(Some("Bearer one")), NOW);
    for mut subscriptions in [subscriptions, subscribed(Some(Held::Something))] {
        let look = subscriptions.look(&two_svids_two_bundles(), NOW);
        assert_eq!(news(&look), [b""]);
        assert_eq!((look.notices, look.withdrawn), (vec![Notice::Emptied(BILLING.to_owned())], vec![]));
    }
}

#[test]
fn a_credential_that_was_never_granted_is_as_unknown_as_any_name() {
    let look = subscribed(None).look(&two_svids_two_bundles(), NOW);
    assert_eq!((look.given.len(), look.missing), (0, vec![BILLING.to_owned()]));
    assert_eq!(look.notices, [Notice::Unanswered(BILLING.to_owned(), Missing::NotGranted)]);
}
