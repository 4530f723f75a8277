//! The SPIFFE Workload API as its clients see it.

mod profile;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_spiffe_api::spire::api::server::bundle::v1::BatchSetFederatedBundleRequest;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_client::BundleClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::entry_client::EntryClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest,
};
use portcullis_spiffe_api::spire::api::types::Entry;
use portcullis_spiffe_api::workload::{WitBundlesRequest, WitsvidRequest, X509svidRequest};
use prost_types::value::Kind;
use serde_json::{Value, json};
use spiffe::{TrustDomain, WorkloadApiError};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::admin::mine;
use crate::federation::Other;
use crate::support::gateway::{Gateway, Home};
use crate::support::sds;
use crate::support::workload_api::{Client, entries_for_us, next, rust_spiffe, with_header};

const WEB: &str = "spiffe://example.org/web";

/// Entries that fit nobody here.
const FOR_OTHERS: &str =
    r#"[{"id": "other", "spiffe_id": "spiffe://example.org/other", "selectors": ["unix:path:/nonexistent"]}]"#;

async fn start(settings: &[(&str, &str)]) -> (Home, Gateway, Client) {
    let home = Home::new();
    let gateway = Gateway::start(&home, settings).await;
    let client = Client::connect(&home.workload_socket()).await;
    (home, gateway, client)
}

fn told(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

/// W1, W9.
#[tokio::test(flavor = "multi_thread")]
async fn the_security_header_is_demanded_of_this_service_alone() {
    let (home, _gateway, mut client) = start(&[]).await;
    for values in [&[][..], &["True"], &["false"], &["true", "true"]] {
        let mut request = Request::new(X509svidRequest {});
        for value in values {
            request.metadata_mut().append("workload.spiffe.io", value.parse().unwrap());
        }
        let refused = client.0.fetch_x509svid(request).await.unwrap_err();
        assert_eq!(told(&refused), (Code::InvalidArgument, "security header missing from request"), "{values:?}");
    }
    assert!(sds::fetch(&home.workload_socket(), &["default"]).await.is_ok(), "SDS knows no such header");
    let wit = WitsvidRequest { spiffe_id: String::new() };
    assert_eq!(client.0.fetch_witsvid(with_header(wit)).await.unwrap_err().code(), Code::Unimplemented);
    let wit = client.0.fetch_wit_bundles(with_header(WitBundlesRequest {})).await.unwrap_err();
    assert_eq!(wit.code(), Code::Unimplemented);
}

/// W2.
#[tokio::test(flavor = "multi_thread")]
async fn who_fits_no_entry_gets_nothing_but_may_verify() {
    let (home, gateway, mut client) = start(&[("IDENTITY__ENTRIES", FOR_OTHERS)]).await;
    let none = (Code::PermissionDenied, "no identity issued");
    assert_eq!(told(&client.x509_svids().await.message().await.unwrap_err()), none);
    assert_eq!(told(&client.x509_bundles().await.message().await.unwrap_err()), none);
    assert_eq!(told(&client.jwt_bundles().await.message().await.unwrap_err()), none);
    assert_eq!(told(&client.tokens("orders", "").await.unwrap_err()), none);
    assert_eq!(client.validate("orders", "a.b.c").await.unwrap_err().code(), Code::InvalidArgument);
    assert!(gateway.metric("portcullis_workload_api_refusals_total").await >= 4.0);
    assert!(gateway.metric("portcullis_svids_issued_total").await < 1.0);
    let refusals: Vec<_> = home.records().into_iter().filter(|record| record["record"] == "refusal").collect();
    let [refusal] = &*refusals else { panic!("one a minute: {refusals:?}") };
    assert_eq!((&refusal["reason"], &refusal["count"]), (&"no_entry".into(), &1.into()));
    assert_eq!(refusal["uid"], nix::unistd::geteuid().as_raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn verifiers_without_an_identity_get_our_bundles_where_that_is_allowed() {
    let allowed = ("IDENTITY__WORKLOAD_API__ALLOW_UNAUTHENTICATED_VERIFIERS", "true");
    let (_home, _gateway, mut client) = start(&[("IDENTITY__ENTRIES", FOR_OTHERS), allowed]).await;
    let bundles = next(&mut client.x509_bundles().await).await.bundles;
    assert_eq!(bundles.keys().collect::<Vec<_>>(), ["spiffe://example.org"]);
    assert!(!bundles["spiffe://example.org"].is_empty());
    assert!(next(&mut client.jwt_bundles().await).await.bundles.contains_key("spiffe://example.org"));
    assert_eq!(client.x509_svids().await.message().await.unwrap_err().code(), Code::PermissionDenied);
}

/// W6.
#[tokio::test(flavor = "multi_thread")]
async fn identities_come_in_the_order_of_their_entries_and_no_hint_twice() {
    let named = [("web", "internal"), ("api", ""), ("batch", "internal"), ("api2", ""), ("edge", "external")];
    let (_home, _gateway, mut client) = start(&[("IDENTITY__ENTRIES", &entries_for_us(&named))]).await;
    let shown = |names: Vec<(String, String)>| {
        names
            .into_iter()
            .map(|(id, hint)| format!("{} {hint}", id.trim_start_matches("spiffe://example.org/")))
            .collect::<Vec<_>>()
    };
    let expected = ["web internal", "api ", "api2 ", "edge external"];
    let svids = next(&mut client.x509_svids().await).await.svids;
    assert_eq!(shown(svids.into_iter().map(|svid| (svid.spiffe_id, svid.hint)).collect()), expected);
    let tokens = client.tokens("orders", "").await.unwrap();
    assert_eq!(shown(tokens.into_iter().map(|token| (token.spiffe_id, token.hint)).collect()), expected);
    let one = client.tokens("orders", "spiffe://example.org/edge").await.unwrap();
    assert_eq!(one.len(), 1);
}

/// W3: and that what comes is complete and fits together.
#[tokio::test(flavor = "multi_thread")]
async fn rust_spiffe_reads_all_that_is_sent() {
    let (home, _gateway, _client) = start(&[]).await;
    let client = rust_spiffe(&home.workload_socket()).await;
    let context = client.fetch_x509_context().await.unwrap();
    let svid = context.default_svid().unwrap();
    assert_eq!(svid.spiffe_id().to_string(), WEB);
    assert_eq!(svid.cert_chain().len(), 1);
    let ours = TrustDomain::new("example.org").unwrap();
    assert_eq!(context.bundle_set().get(&ours).unwrap().authorities().len(), 1);
    assert_eq!(client.fetch_x509_bundles().await.unwrap().len(), 1);

    let token = client.fetch_jwt_svid(["orders", "audit"], None).await.unwrap();
    assert_eq!(token.spiffe_id().to_string(), WEB);
    assert_eq!(token.audience(), ["orders", "audit"]);
    let keys = client.fetch_jwt_bundles().await.unwrap();
    let keys = keys.get(&ours).unwrap();
    assert!(keys.find_jwt_authority(token.key_id()).is_some(), "the key that signed is in the bundle");
    assert_eq!(client.validate_jwt_token("audit", token.token()).await.unwrap().spiffe_id(), token.spiffe_id());
    assert!(client.validate_jwt_token("batch", token.token()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_spiffe_knows_our_refusal_as_no_identity() {
    let (home, _gateway, _client) = start(&[("IDENTITY__ENTRIES", FOR_OTHERS)]).await;
    let client = rust_spiffe(&home.workload_socket()).await;
    let error = client.fetch_x509_context().await.unwrap_err();
    assert!(matches!(error, WorkloadApiError::NoIdentityIssued), "{error:?}");
}

/// W7.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ours_holds_and_one_that_was_tampered_with_does_not() {
    let (home, gateway, mut client) = start(&[]).await;
    let token = client.tokens("orders", WEB).await.unwrap().remove(0).svid;
    let verified = client.validate("orders", &token).await.unwrap();
    assert_eq!(verified.spiffe_id, WEB);
    let claims = verified.claims.unwrap().fields;
    assert_eq!(claims["sub"].kind, Some(Kind::StringValue(WEB.to_owned())));
    assert!(matches!(claims["aud"].kind, Some(Kind::ListValue(_))), "{claims:?}");
    assert!(matches!(claims["exp"].kind, Some(Kind::NumberValue(_))), "{claims:?}");

    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{token}") };
    let decoded = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let with = |part: &str, name: &str, value: Value| {
        let mut part = decoded(part);
        part[name] = value;
        encoded(&part)
    };
    let admin = with(claims, "sub", json!("spiffe://example.org/admin"));
    for forged in [
        format!("{}.{claims}.", with(header, "alg", json!("none"))),
        format!("{}.{claims}.{signature}", with(header, "alg", json!("HS256"))),
        format!("{header}.{admin}.{signature}"),
        format!("{header}.{}.{signature}", with(claims, "exp", json!(9_999_999_999_u64))),
        format!("{header}.{claims}."),
        format!("{}.{claims}.{signature}", with(header, "jku", json!("https://evil.example/keys"))),
        String::from("rubbish"),
    ] {
        let refused = client.validate("orders", &forged).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{forged}: {refused}");
    }
    let other = client.validate("batch", &token).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    for (audience, spiffe_id, code) in [
        ("", "", Code::InvalidArgument),
        ("orders", "bad", Code::InvalidArgument),
        ("orders", "spiffe://example.org/orders", Code::PermissionDenied),
    ] {
        assert_eq!(client.tokens(audience, spiffe_id).await.unwrap_err().code(), code, "{audience} {spiffe_id}");
    }
    assert!(gateway.metric("portcullis_workload_api_tokens_rejected_total").await >= 8.0);
    let recorded = home.records().into_iter().filter(|record| record["record"] == "jwt_issuance").count();
    assert_eq!(recorded, 1, "one token was issued, and that is on record");
}

/// W8.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_tokens_are_a_plain_key_set() {
    let (_home, _gateway, mut client) = start(&[]).await;
    let bundles = next(&mut client.jwt_bundles().await).await.bundles;
    assert_eq!(bundles.keys().collect::<Vec<_>>(), ["spiffe://example.org"]);
    let set: Value = serde_json::from_slice(&bundles["spiffe://example.org"]).unwrap();
    assert_eq!(set.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
    let keys = set["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        assert!(!key["kid"].as_str().unwrap().is_empty());
        assert!(key.get("x5c").is_none() && key.get("use").is_none(), "{key}");
    }
}

/// W10.
#[tokio::test(flavor = "multi_thread")]
async fn the_socket_says_what_it_serves_and_that_it_is_well() {
    let (home, _gateway, _client) = start(&[]).await;
    let channel = sds::channel(&home.workload_socket()).await;
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let mut answers = reflection.server_reflection_info(tokio_stream::once(question)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) = next(&mut answers).await.message_response else {
        panic!("no list")
    };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "SpiffeWorkloadAPI",
        "envoy.service.secret.v3.SecretDiscoveryService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(names, expected);
    let mut health = HealthClient::new(channel);
    for service in ["", "SpiffeWorkloadAPI"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_is_renewed_on_its_stream_before_it_ends_and_bundles_are_not_repeated() {
    let (_home, _gateway, mut client) = start(&[("IDENTITY__X509_SVID_TTL", "10s")]).await;
    let mut bundles = client.x509_bundles().await;
    next(&mut bundles).await;
    let mut svids = client.x509_svids().await;
    let mut last = next(&mut svids).await.svids.remove(0);
    for _ in 0..2 {
        let renewed = next(&mut svids).await.svids.remove(0);
        let end_of_last = profile::validity(&last.x509_svid).1;
        let start = profile::validity(&renewed.x509_svid).0;
        assert!(start < end_of_last, "a gap: one ended at {end_of_last}, the next starts at {start}");
        assert_ne!((&last.x509_svid, &last.x509_svid_key), (&renewed.x509_svid, &renewed.x509_svid_key));
        assert_eq!(last.bundle, renewed.bundle);
        last = renewed;
    }
    let repeated = tokio::time::timeout(Duration::from_millis(1), bundles.message()).await;
    assert!(repeated.is_err(), "nothing has changed: {repeated:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_streams_with_a_word_that_lets_clients_come_back() {
    let (_home, mut gateway, mut client) = start(&[("SHUTDOWN__DEADLINE", "30s")]).await;
    let (mut svids, mut keys) = (client.x509_svids().await, client.jwt_bundles().await);
    next(&mut svids).await;
    next(&mut keys).await;
    gateway.process.terminate();
    assert_eq!(svids.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(keys.message().await.unwrap_err().code(), Code::Unavailable);
    drop(client);
    assert!(gateway.process.ended().await.success());
}

/// W4, W5: what an entry no longer grants is gone from the next message, and with the entry the stream ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_its_entry_and_ends_with_it() {
    let (home, _gateway, mut client) = start(&[("IDENTITY__ENTRIES", FOR_OTHERS)]).await;
    let admin = sds::channel(&home.admin_socket()).await;
    let (mut bundles, mut entries) = (BundleClient::new(admin.clone()), EntryClient::new(admin));
    let bundle = vec![Other::new().bundle()];
    let set = BatchSetFederatedBundleRequest { bundle, output_mask: None };
    let set = bundles.batch_set_federated_bundle(set).await.unwrap().into_inner();
    assert_eq!(set.results[0].status.as_ref().unwrap().code, 0, "{set:?}");
    let entry = Entry { federates_with: vec!["other.org".into()], ..mine("fed") };
    let create = BatchCreateEntryRequest { entries: vec![entry.clone()], output_mask: None };
    let created = entries.batch_create_entry(create.clone()).await.unwrap().into_inner();
    assert_eq!(created.results[0].status.as_ref().unwrap().code, 0, "{created:?}");

    let mut stream = client.0.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert_eq!(first.federated_bundles.keys().collect::<Vec<_>>(), ["spiffe://other.org"]);
    let update = BatchUpdateEntryRequest {
        entries: vec![Entry { federates_with: Vec::new(), ..entry }],
        input_mask: None,
        output_mask: None,
    };
    entries.batch_update_entry(update).await.unwrap();
    let second = next(&mut stream).await;
    assert_eq!((second.svids.len(), second.federated_bundles.len()), (1, 0));

    entries.batch_delete_entry(BatchDeleteEntryRequest { ids: vec!["fed".into()] }).await.unwrap();
    let ended = stream.message().await.unwrap_err();
    assert_eq!(told(&ended), (Code::PermissionDenied, "no identity issued"));
    let refused = client.0.fetch_x509svid(with_header(X509svidRequest {})).await;
    let refused = match refused {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!(told(&refused), (Code::PermissionDenied, "no identity issued"));
    entries.batch_create_entry(create).await.unwrap();
    let mut again = client.0.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner();
    assert_eq!(next(&mut again).await.svids[0].spiffe_id, "spiffe://example.org/fed");
}
