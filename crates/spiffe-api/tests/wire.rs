//! The wire is others': SPIRE's and SPIFFE's clients know methods by these names and fields by these numbers. The
//! expected bytes are derived by hand from the numbers of the published formats (a tag is `number << 3 | wire type`;
//! 0 is a varint, 2 has a length before it), and not by encoding anything.

use std::collections::BTreeMap;
use std::fmt::Debug;

use portcullis_spiffe_api::FILE_DESCRIPTOR_SET;
use portcullis_spiffe_api::spire::api::server::bundle::v1::{
    BatchDeleteFederatedBundleRequest, batch_delete_federated_bundle_request::Mode,
};
use portcullis_spiffe_api::spire::api::server::entry::v1::{ListEntriesRequest, list_entries_request};
use portcullis_spiffe_api::spire::api::server::localauthority::v1::{AuthorityState, GetX509AuthorityStateResponse};
use portcullis_spiffe_api::spire::api::types::federation_relationship::BundleEndpointProfile;
use portcullis_spiffe_api::spire::api::types::{
    Bundle, Entry, EntryMask, FederationRelationship, HttpsspiffeProfile, JwtKey, Selector, Spiffeid, WitKey,
    X509Certificate, entry::AdditionalAttributes,
};
use portcullis_spiffe_api::workload;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{FileDescriptorSet, Struct, Value};

/// Every service and its methods, in the order of their definition; `<` and `>` mark streams from and to the client.
const SERVICES: &[(&str, &str)] = &[
    (
        "SpiffeWorkloadAPI",
        "FetchX509SVID> FetchX509Bundles> FetchJWTSVID FetchJWTBundles> ValidateJWTSVID FetchWITSVID> FetchWITBundles>",
    ),
    ("portcullis.decision.v1.Decisions", "PurgeCache"),
    ("portcullis.delegation.v1.Delegation", "RevokeToken RevokeMember ListRevocations Restore"),
    ("portcullis.federation.v1.Federation", "ListPeers"),
    ("portcullis.identity.v1.Identity", "Explain RevokeX509SVID ListRevokedX509SVIDs"),
    (
        "spire.api.server.agent.v1.Agent",
        "CountAgents ListAgents GetAgent DeleteAgent BanAgent AttestAgent<> RenewAgent CreateJoinToken PostStatus",
    ),
    (
        "spire.api.server.bundle.v1.Bundle",
        "CountBundles GetBundle AppendBundle PublishJWTAuthority PublishWITAuthority ListFederatedBundles \
         GetFederatedBundle BatchCreateFederatedBundle BatchUpdateFederatedBundle BatchSetFederatedBundle \
         BatchDeleteFederatedBundle",
    ),
    ("spire.api.server.debug.v1.Debug", "GetInfo"),
    (
        "spire.api.server.entry.v1.Entry",
        "CountEntries ListEntries GetEntry BatchCreateEntry BatchUpdateEntry BatchDeleteEntry GetAuthorizedEntries \
         SyncAuthorizedEntries<>",
    ),
    (
        "spire.api.server.localauthority.v1.LocalAuthority",
        "GetJWTAuthorityState PrepareJWTAuthority ActivateJWTAuthority TaintJWTAuthority RevokeJWTAuthority \
         GetX509AuthorityState PrepareX509Authority ActivateX509Authority TaintX509Authority \
         TaintX509UpstreamAuthority RevokeX509Authority RevokeX509UpstreamAuthority GetWITAuthorityState \
         PrepareWITAuthority ActivateWITAuthority TaintWITAuthority RevokeWITAuthority",
    ),
    ("spire.api.server.logger.v1.Logger", "GetLogger SetLogLevel ResetLogLevel"),
    (
        "spire.api.server.svid.v1.SVID",
        "MintX509SVID MintJWTSVID MintWITSVID BatchNewX509SVID NewJWTSVID BatchNewWITSVID NewDownstreamX509CA",
    ),
    (
        "spire.api.server.trustdomain.v1.TrustDomain",
        "ListFederationRelationships GetFederationRelationship BatchCreateFederationRelationship \
         BatchUpdateFederationRelationship BatchDeleteFederationRelationship RefreshBundle",
    ),
];

#[test]
fn methods_have_the_names_that_clients_call_them_by() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut served = BTreeMap::new();
    for file in &set.file {
        for service in &file.service {
            let name = [file.package(), service.name()].join(".");
            let methods: Vec<_> = (service.method.iter())
                .map(|method| {
                    let from = if method.client_streaming() { "<" } else { "" };
                    let to = if method.server_streaming() { ">" } else { "" };
                    format!("{}{from}{to}", method.name())
                })
                .collect();
            served.insert(name.trim_start_matches('.').to_owned(), methods.join(" "));
        }
    }
    let expected: BTreeMap<_, _> = SERVICES.iter().map(|(name, methods)| ((*name).into(), (*methods).into())).collect();
    assert_eq!(served, expected);
}

#[test]
fn entry() {
    let entry = Entry {
        id: "e".into(),
        spiffe_id: Some(id("/w")),
        parent_id: Some(id("/p")),
        selectors: vec![Selector { r#type: "u".into(), value: "v".into() }],
        x509_svid_ttl: 300,
        federates_with: vec!["f".into()],
        admin: true,
        downstream: true,
        expires_at: 1 << 35,
        dns_names: vec!["d".into()],
        revision_number: 2,
        store_svid: true,
        jwt_svid_ttl: 5,
        hint: "h".into(),
        created_at: 3,
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
    };
    let fields = [
        "0a 01 65",
        "12 07 0a 01 74 12 02 2f 77",
        "1a 07 0a 01 74 12 02 2f 70",
        "22 06 0a 01 75 12 01 76",
        "28 ac 02",
        "32 01 66",
        "38 01",
        "40 01",
        "48 80 80 80 80 80 01",
        "52 01 64",
        "58 02",
        "60 01",
        "68 05",
        "72 01 68",
        "78 03",
        "82 01 04 08 01 10 01",
    ];
    assert_wire(&entry, &fields.join(" "));

    let unset = Entry { additional_attributes: Some(AdditionalAttributes::default()), ..Entry::default() };
    assert_wire(&unset, "82 01 00");
    assert_wire(&Entry::default(), "");
}

#[test]
fn entry_mask_has_the_numbers_of_the_entry() {
    let mask = EntryMask {
        spiffe_id: true,
        parent_id: true,
        selectors: true,
        x509_svid_ttl: true,
        federates_with: true,
        admin: true,
        downstream: true,
        expires_at: true,
        dns_names: true,
        revision_number: true,
        store_svid: true,
        jwt_svid_ttl: true,
        hint: true,
        created_at: true,
        additional_attributes: true,
    };
    let upto_15 = "10 01 18 01 20 01 28 01 30 01 38 01 40 01 48 01 50 01 58 01 60 01 68 01 70 01 78 01";
    assert_wire(&mask, &format!("{upto_15} 80 01 01"));
    assert_wire(&EntryMask { hint: true, ..EntryMask::default() }, "70 01");
    assert_wire(&EntryMask { store_svid: true, ..EntryMask::default() }, "60 01");
}

/// The wrappers: asking for entries that are not downstream differs from not asking.
#[test]
fn filters_tell_false_from_absent() {
    let filter = list_entries_request::Filter {
        by_hint: Some("h".into()),
        by_downstream: Some(false),
        ..list_entries_request::Filter::default()
    };
    let request = ListEntriesRequest { filter: Some(filter), output_mask: None, page_size: 2, page_token: "p".into() };
    assert_wire(&request, "0a 07 2a 03 0a 01 68 32 00 18 02 22 01 70");
}

#[test]
fn bundle() {
    let bundle = Bundle {
        trust_domain: "t".into(),
        x509_authorities: vec![X509Certificate { asn1: vec![1], tainted: true }],
        jwt_authorities: vec![JwtKey { public_key: vec![2], key_id: "k".into(), expires_at: 3, tainted: true }],
        refresh_hint: 4,
        sequence_number: u64::MAX,
        wit_authorities: vec![WitKey { public_key: vec![5], key_id: "w".into(), expires_at: 6, tainted: true }],
    };
    let fields = [
        "0a 01 74",
        "12 05 0a 01 01 10 01",
        "1a 0a 0a 01 02 12 01 6b 18 03 20 01",
        "20 04",
        "28 ff ff ff ff ff ff ff ff ff 01",
        "32 0a 0a 01 05 12 01 77 18 06 20 01",
    ];
    assert_wire(&bundle, &fields.join(" "));
}

/// `Mode` is the dangerous one: what should detach entries must not delete them.
#[test]
fn numbers_of_choices() {
    let delete = |mode: Mode| BatchDeleteFederatedBundleRequest { trust_domains: vec!["t".into()], mode: mode.into() };
    assert_wire(&delete(Mode::Restrict), "0a 01 74");
    assert_wire(&delete(Mode::Delete), "0a 01 74 10 01");
    assert_wire(&delete(Mode::Dissociate), "0a 01 74 10 02");

    let profile = BundleEndpointProfile::HttpsSpiffe(HttpsspiffeProfile { endpoint_spiffe_id: "i".into() });
    let relationship = FederationRelationship {
        trust_domain: "t".into(),
        bundle_endpoint_url: "u".into(),
        trust_domain_bundle: Some(Bundle::default()),
        bundle_endpoint_profile: Some(profile),
    };
    assert_wire(&relationship, "0a 01 74 12 01 75 22 03 0a 01 69 2a 00");
}

#[test]
fn authority_state() {
    let active =
        AuthorityState { authority_id: "a".into(), expires_at: 5, upstream_authority_subject_key_id: "u".into() };
    let state = GetX509AuthorityStateResponse { active: Some(active), prepared: None, old: Some(Default::default()) };
    assert_wire(&state, "0a 08 0a 01 61 10 05 1a 01 75 1a 00");
}

#[test]
fn workload_api() {
    let svid = workload::X509svid {
        spiffe_id: "i".into(),
        x509_svid: vec![1],
        x509_svid_key: vec![2].into(),
        bundle: vec![3],
        hint: "h".into(),
    };
    let x509 = workload::X509svidResponse {
        svids: vec![svid],
        crl: vec![vec![9]],
        federated_bundles: [("t".into(), vec![7])].into(),
    };
    assert_wire(&x509, "0a 0f 0a 01 69 12 01 01 1a 01 02 22 01 03 2a 01 68 12 01 09 1a 06 0a 01 74 12 01 07");

    let asked = workload::JwtsvidRequest { audience: vec!["a".into(), "b".into()], spiffe_id: "i".into() };
    assert_wire(&asked, "0a 01 61 0a 01 62 12 01 69");

    let token = workload::Jwtsvid { spiffe_id: "i".into(), svid: "s".into(), hint: "h".into() };
    assert_wire(&workload::JwtsvidResponse { svids: vec![token] }, "0a 09 0a 01 69 12 01 73 1a 01 68");

    let bundles = workload::JwtBundlesResponse { bundles: [("t".into(), b"{}".to_vec())].into() };
    assert_wire(&bundles, "0a 07 0a 01 74 12 02 7b 7d");

    let claim = Value { kind: Some(Kind::StringValue("v".into())) };
    let claims = Struct { fields: [("k".into(), claim)].into() };
    let valid = workload::ValidateJwtsvidResponse { spiffe_id: "i".into(), claims: Some(claims) };
    assert_wire(&valid, "0a 01 69 12 0a 0a 08 0a 01 6b 12 03 1a 01 76");
}

fn id(path: &str) -> Spiffeid {
    Spiffeid { trust_domain: "t".into(), path: path.into() }
}

/// Both ways: `message` is written as these bytes, in hexadecimal with spaces, and read from them.
#[track_caller]
fn assert_wire<M: Message + Default + PartialEq + Debug>(message: &M, expected: &str) {
    let written: Vec<_> = message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written.join(" "), expected);
    let bytes: Vec<_> = expected.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert_eq!(M::decode(&*bytes).unwrap(), *message);
}
