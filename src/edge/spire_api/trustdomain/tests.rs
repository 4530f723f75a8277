//! The service behind the gate. What is expected is what SPIRE 1.15 answered to the same, but where a test says otherwise.

use portcullis_spiffe_api::portcullis::federation::v1::{ListPeersRequest, ListPeersResponse};
use portcullis_spiffe_api::spire::api::types::federation_relationship::BundleEndpointProfile;
use portcullis_spiffe_api::spire::api::types::{FederationRelationship, HttpsWebProfile, HttpsspiffeProfile};
use prost::Message;

use super::super::bundle::tests::{Office, authority, of, plain};
use super::*;

fn web(name: &str, url: &str) -> FederationRelationship {
    FederationRelationship {
        trust_domain: name.into(),
        bundle_endpoint_url: url.into(),
        bundle_endpoint_profile: Some(BundleEndpointProfile::HttpsWeb(HttpsWebProfile {})),
        trust_domain_bundle: None,
    }
}

fn spiffe(id: &str) -> BundleEndpointProfile {
    BundleEndpointProfile::HttpsSpiffe(HttpsspiffeProfile { endpoint_spiffe_id: id.into() })
}

impl Office {
    async fn relate<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.desk.call(&format!("spire.api.server.trustdomain.v1.TrustDomain/{method}"), question).await
    }

    async fn begin(&self, given: FederationRelationship) -> (i32, String) {
        let question =
            BatchCreateFederationRelationshipRequest { federation_relationships: vec![given], output_mask: None };
        let answer: BatchCreateFederationRelationshipResponse =
            self.relate("BatchCreateFederationRelationship", &question).await.unwrap();
        let [result] = answer.results.try_into().unwrap();
        plain(result.status)
    }

    async fn change(
        &self,
        given: FederationRelationship,
        input_mask: Option<FederationRelationshipMask>,
    ) -> (i32, String) {
        let question = BatchUpdateFederationRelationshipRequest {
            federation_relationships: vec![given],
            input_mask,
            output_mask: None,
        };
        let answer: BatchUpdateFederationRelationshipResponse =
            self.relate("BatchUpdateFederationRelationship", &question).await.unwrap();
        let [result] = answer.results.try_into().unwrap();
        plain(result.status)
    }

    async fn get(&self, name: &str) -> Result<FederationRelationship, Status> {
        let question = GetFederationRelationshipRequest { trust_domain: name.into(), output_mask: None };
        self.relate("GetFederationRelationship", &question).await
    }
}

#[tokio::test]
async fn a_relationship_is_made_changed_and_ended() {
    let office = Office::open().await;
    let certificate = types::X509Certificate { asn1: authority("f.org"), tainted: false };
    let bundle = types::Bundle { x509_authorities: vec![certificate], sequence_number: 5, ..of("f.org") };
    let given = FederationRelationship {
        bundle_endpoint_profile: Some(spiffe("spiffe://f.org/b")),
        trust_domain_bundle: Some(bundle),
        ..web("f.org", "https://h/b")
    };
    assert_eq!(office.begin(given.clone()).await, (0, "OK".into()));
    assert_eq!(office.get("f.org").await.unwrap(), given);
    // The bundle is in force.
    assert!(office.bundles.load().get(&"f.org".parse().unwrap()).is_some());
    // SPIRE: `Internal`, and what its database said.
    assert_eq!(office.begin(web("f.org", "https://h/b")).await.0, 6);

    let url = FederationRelationshipMask { bundle_endpoint_url: true, ..FederationRelationshipMask::default() };
    // SPIRE wants the fields too that its mask leaves out.
    let moved = FederationRelationship { bundle_endpoint_profile: None, ..web("f.org", "https://h/c") };
    assert_eq!(office.change(moved, Some(url)).await, (0, "OK".into()));
    let expected = FederationRelationship { bundle_endpoint_url: "https://h/c".into(), ..given.clone() };
    assert_eq!(office.get("f.org").await.unwrap(), expected);
    assert_eq!(office.change(web("f.org", "https://h/d"), None).await, (0, "OK".into()));
    let expected =
        FederationRelationship { trust_domain_bundle: given.trust_domain_bundle, ..web("f.org", "https://h/d") };
    assert_eq!(office.get("f.org").await.unwrap(), expected);
    // SPIRE: `Internal`.
    assert_eq!(office.change(web("nope.org", "https://h/b"), None).await.0, 5);

    let names = ["", "nope.org", "example.org", "Bad!", "spiffe://f.org"].map(String::from).to_vec();
    let question = BatchDeleteFederationRelationshipRequest { trust_domains: names };
    let answer: BatchDeleteFederationRelationshipResponse =
        office.relate("BatchDeleteFederationRelationship", &question).await.unwrap();
    let results: Vec<_> = answer.results.into_iter().map(|r| (plain(r.status), r.trust_domain)).collect();
    assert_eq!(results[0], ((3, "missing trust domain".into()), String::new()));
    assert_eq!(results[1], ((5, "federation relationship not found".into()), "nope.org".into()));
    assert_eq!(results[2].0.0, 5);
    assert_eq!((results[3].0.0, results[3].1.as_str()), (3, "Bad!"));
    assert_eq!(results[4], ((0, "OK".into()), "f.org".into()));
    assert_eq!(office.get("f.org").await.unwrap_err().message(), "federation relationship does not exist");
    assert!(office.bundles.load().get(&"f.org".parse().unwrap()).is_some());
    let recorded = office.desk.recorded();
    let deletion = recorded.iter().rfind(|record| record.method.contains("BatchDelete")).unwrap();
    assert_eq!((deletion.subjects.clone(), deletion.code.as_deref()), (vec!["f.org".to_owned()], Some("ok")));
}

#[tokio::test]
async fn what_can_not_be_a_relationship_is_refused() {
    let office = Office::open().await;
    let with = |profile| FederationRelationship { bundle_endpoint_profile: profile, ..web("f.org", "https://h/b") };
    let bringing = |bundle| FederationRelationship { trust_domain_bundle: Some(bundle), ..web("f.org", "https://h/b") };
    let certificate = types::X509Certificate { asn1: authority("other.org"), tainted: false };
    let converted = "failed to convert federation relationship: ";
    for (given, message) in [
        (web("", ""), format!("{converted}failed to parse trust domain: trust domain is missing")),
        (web("f.org", ""), format!("{converted}bundle endpoint URL must use the https scheme")),
        (web("f.org", "http://h/b"), format!("{converted}bundle endpoint URL must use the https scheme")),
        (web("f.org", "https://"), format!("{converted}bundle endpoint URL must specify the host")),
        (web("f.org", "https://u:p@h"), format!("{converted}bundle endpoint URL must not contain user info")),
        (web("f.org", "https://x y"), format!("{converted}failed to parse bundle endpoint URL: ")),
        (with(None), format!("{converted}missing bundle endpoint profile")),
        (with(Some(spiffe(""))), format!("{converted}failed to parse endpoint SPIFFE ID: ")),
        (with(Some(spiffe("bad"))), format!("{converted}failed to parse endpoint SPIFFE ID: ")),
        (
            bringing(of("other.org")),
            format!(
                "{converted}trust domain bundle (\"other.org\") must match the trust domain of the federation \
                 relationship (\"f.org\")"
            ),
        ),
        (
            bringing(types::Bundle { x509_authorities: vec![certificate], ..of("f.org") }),
            format!("{converted}failed to parse bundle: certificate 1 "),
        ),
        (
            web("example.org", "https://h/b"),
            "unable to create federation relationship for server trust domain".to_owned(),
        ),
    ] {
        let (code, told) = office.begin(given).await;
        assert!(code == 3 && told.starts_with(&message), "{told}");
    }
    let answer: ListFederationRelationshipsResponse =
        office.relate("ListFederationRelationships", &ListFederationRelationshipsRequest::default()).await.unwrap();
    assert!(answer.federation_relationships.is_empty());
    assert_eq!(office.bundles.load().iter().count(), 1);
}

#[tokio::test]
async fn relationships_are_listed_by_pages_and_masks() {
    let office = Office::open().await;
    for name in ["f2.org", "f1.org"] {
        office.begin(web(name, "https://h/b")).await;
    }
    let list = async |page_size, page_token: String, output_mask| {
        let question = ListFederationRelationshipsRequest { output_mask, page_size, page_token };
        office.relate::<_, ListFederationRelationshipsResponse>("ListFederationRelationships", &question).await
    };
    let first = list(1, String::new(), Some(FederationRelationshipMask::default())).await.unwrap();
    let bare = FederationRelationship { trust_domain: "f1.org".into(), ..FederationRelationship::default() };
    assert_eq!(first.federation_relationships, [bare]);
    let second = list(1, first.next_page_token, None).await.unwrap();
    assert_eq!(second.federation_relationships, [web("f2.org", "https://h/b")]);
    assert_eq!(second.next_page_token, "");
    let bogus = list(1, "bogus".into(), None).await.unwrap_err();
    assert_eq!(bogus.message(), "failed to list federation relationships: could not parse token 'bogus'");
}

#[tokio::test]
async fn a_refresh_asks_the_endpoint_and_says_why_nothing_came() {
    let office = Office::open().await;
    office.begin(web("f.org", "https://h/b")).await;
    for (name, code, message) in [
        ("", Code::InvalidArgument, "failed to parse trust domain: trust domain is missing"),
        ("nope.org", Code::NotFound, "no relationship with trust domain \"nope.org\""),
        ("f.org", Code::Unavailable, "failed to refresh bundle: nobody is there"),
    ] {
        let question = RefreshBundleRequest { trust_domain: name.into() };
        let refused = office.relate::<_, ()>("RefreshBundle", &question).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, message));
    }
    let answer: ListPeersResponse =
        office.desk.call("portcullis.federation.v1.Federation/ListPeers", &ListPeersRequest {}).await.unwrap();
    let [peer] = answer.peers.try_into().unwrap();
    assert_eq!((&*peer.trust_domain, &*peer.failure, peer.failures), ("f.org", "nobody is there", 1));
    assert_eq!((peer.reached_at, peer.failed_at > 0, peer.stale, peer.configured), (0, true, false, false));
}
