//! The secrets service as its clients see it.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use tonic::Code;
use x509_parser::prelude::*;

use crate::support::gateway::{Gateway, Home};
use crate::support::sds::{certificate, delta, fetch, fetch_code, secrets, stream};

/// S1.
#[tokio::test(flavor = "multi_thread")]
async fn this_process_gets_the_identity_that_its_executable_is_entitled_to() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let response = fetch(&home.workload_socket(), &["default", "spiffe://example.org/web"]).await.unwrap();
    let found = secrets(&response);
    let names: Vec<_> = found.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["default", "spiffe://example.org/web"]);
    let (chain, _key) = certificate(&found[0]);
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 1);
    let (_, pem) = parse_x509_pem(chain.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://example.org/web")]);
    assert!(!leaf.is_ca());
    assert!(leaf.key_usage().unwrap().unwrap().critical);
}

/// S3: unknown names, among them those that Istio asks for beside its own (spiffe/spire#3325, #5687).
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_no_entry_grants() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let socket = home.workload_socket();
    for names in
        [&["spiffe://example.org/orders"][..], &["spiffe://other.org/web"], &["file-root:system"], &["*"], &[""]]
    {
        let code = fetch_code(&socket, names).await;
        assert!(matches!(code, Code::PermissionDenied | Code::InvalidArgument), "{names:?}: {code:?}");
    }
    let all = fetch(&socket, &[]).await;
    assert!(all.is_err() || all.unwrap().resources.is_empty(), "a wildcard must hand out nothing");
}

/// S3: an unknown name is left out of the stream, or ends it.
#[tokio::test(flavor = "multi_thread")]
async fn istios_names_take_nothing_with_them_unless_that_is_wanted() {
    let names = ["file-root:system", "file-cert:/etc/tls.crt~/etc/tls.key", "default"];
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let response = stream(&home.workload_socket(), &names).await.unwrap();
    assert_eq!(secrets(&response).iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["default"]);
    let response = delta(&home.workload_socket(), &names).await.unwrap();
    assert_eq!(response.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["default"]);
    drop(gateway);

    let _gateway = Gateway::start(&home, &[("IDENTITY__SDS__UNKNOWN_NAMES", "refuse")]).await;
    for refused in [
        stream(&home.workload_socket(), &names).await.unwrap_err(),
        delta(&home.workload_socket(), &names).await.unwrap_err(),
        fetch(&home.workload_socket(), &names).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument);
        let words = "workload is not authorized for the requested identities [\"file-cert:";
        assert!(refused.message().starts_with(words), "{refused}");
    }
    assert_eq!(secrets(&stream(&home.workload_socket(), &["default"]).await.unwrap()).len(), 1);
}

/// S1, S2.
#[tokio::test(flavor = "multi_thread")]
async fn validation_contexts_carry_the_spiffe_validator() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let response = fetch(&home.workload_socket(), &["ROOTCA", "ALL", "spiffe://example.org"]).await.unwrap();
    let found = secrets(&response);
    assert_eq!(found.len(), 3);
    for secret in found {
        let Some(Type::ValidationContext(context)) = &secret.r#type else { panic!("{secret:?}") };
        let validator = context.custom_validator_config.as_ref().unwrap();
        assert_eq!(validator.name, "envoy.tls.cert_validator.spiffe");
    }
}
