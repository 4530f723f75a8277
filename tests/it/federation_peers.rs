//! Two gateways that federate: each fetches the other's bundle, one by a certificate of the Web, the other by an SVID.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use crate::federation::{federating_home, passes};
use crate::support::envoy::free_port;
use crate::support::gateway::{Gateway, Home};
use crate::support::{eventually, http, sds};

/// `portcullis …` at the admin socket of `home`.
fn admin(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).arg("-socketPath").arg(home.admin_socket()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `https://127.0.0.1` with a certificate of its own: what others believe, and the files that prove it.
fn web_server(directory: &Path) -> (String, String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut server = CertificateParams::default();
    server.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let key = KeyPair::generate().unwrap();
    let leaf = server.signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    (write("web-ca.pem", authority.pem()), write("web.pem", leaf.pem()), write("web.key", key.serialize_pem()))
}

/// The two, `ours` of `example.org` and `theirs` of `other.org`.
struct Peers {
    ours: (Home, Gateway),
    theirs: (Home, Gateway),
    our_settings: Vec<(&'static str, String)>,
}

impl Peers {
    async fn start() -> Self {
        let (our_port, their_port) = (free_port(), free_port());
        let theirs = Home::new();
        let (web_ca, web_certificate, web_key) = web_server(theirs.path());
        let tests = std::env::current_exe().unwrap();
        let entries = json!([{
            "id": "tester", "spiffe_id": "spiffe://other.org/web",
            "selectors": [format!("unix:path:{}", tests.display())],
        }]);
        let relationships = json!([{
            "trust_domain": "example.org", "endpoint": format!("https://127.0.0.1:{our_port}/"), "profile": "https_web",
        }]);
        let gateway = Gateway::start(
            &theirs,
            &[
                ("TRUST_DOMAIN", "other.org"),
                ("IDENTITY__ENTRIES", &entries.to_string()),
                ("LISTEN__BUNDLE_SPIFFE", &format!("tls:127.0.0.1:{their_port}")),
                ("FEDERATION__ENDPOINT__SPIFFE_ID", "spiffe://other.org/bundle"),
                ("FEDERATION__ENDPOINT__REFRESH_HINT", "1s"),
                ("FEDERATION__RELATIONSHIPS", &relationships.to_string()),
                ("FEDERATION__WEB_AUTHORITIES", &web_ca),
                ("FEDERATION__SHORTEST_INTERVAL", "1s"),
            ],
        )
        .await;
        let first = theirs.path().join("first.json");
        std::fs::write(&first, said(&admin(&theirs, &["bundle", "show", "-format", "spiffe"]))).unwrap();

        let (ours, entries) = federating_home();
        let relationships = json!([{
            "trust_domain": "other.org", "endpoint": format!("https://127.0.0.1:{their_port}/"),
            "profile": "https_spiffe", "spiffe_id": "spiffe://other.org/bundle", "bundle": first,
        }]);
        let our_settings = vec![
            ("IDENTITY__ENTRIES", entries),
            ("LISTEN__BUNDLE_WEB", format!("tls:127.0.0.1:{our_port}")),
            ("FEDERATION__ENDPOINT__WEB__CERTIFICATE_FILE", web_certificate),
            ("FEDERATION__ENDPOINT__WEB__KEY_FILE", web_key),
            ("FEDERATION__RELATIONSHIPS", relationships.to_string()),
            ("FEDERATION__SHORTEST_INTERVAL", "1s".to_owned()),
            ("FEDERATION__MAX_STALE", "2h".to_owned()),
        ];
        let ours_gateway = Self::start_ours(&ours, &our_settings).await;
        Self { ours: (ours, ours_gateway), theirs: (theirs, gateway), our_settings }
    }

    async fn start_ours(home: &Home, settings: &[(&'static str, String)]) -> Gateway {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Gateway::start(home, &settings).await
    }

    /// Stops ours, has it remember all that it fetched as of 1970 if `long_ago`, and starts it anew.
    async fn restart_ours(&mut self, long_ago: bool) {
        self.ours.1.process.kill_hard();
        let ages = self.ours.0.path().join("data/federation.json");
        if long_ago {
            std::fs::write(&ages, r#"{"other.org":{"since":1,"reached":1}}"#).unwrap();
        }
        self.ours.1 = Self::start_ours(&self.ours.0, &self.our_settings).await;
    }

    /// A leaf of `spiffe://other.org/web`, of the authority that signs now.
    async fn leaf(&self) -> String {
        let response = sds::fetch(&self.theirs.0.workload_socket(), &["default"]).await.unwrap();
        sds::certificate(&sds::secrets(&response)[0]).0
    }
}

/// The X.509 authorities of `trust_domain` as `home` holds them, PEM.
fn held(home: &Home, trust_domain: &str) -> String {
    said(&admin(home, &["bundle", "list", "-id", &format!("spiffe://{trust_domain}")]))
}

fn authority(home: &Home, arguments: &[&str]) -> String {
    let all = [&["localauthority", "x509"], arguments, &["-output", "json"]].concat();
    let answer: Value = serde_json::from_str(&said(&admin(home, &all))).unwrap();
    let state = answer.as_object().unwrap().values().next().unwrap();
    state["authority_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_follows_the_other_through_three_changes_of_its_authority() {
    let peers = Peers::start().await;
    let (ours, theirs) = (&peers.ours.0, &peers.theirs.0);
    let checks = ours.ext_authz_socket();
    assert!(passes(&checks, &peers.leaf().await).await);
    eventually("theirs has our bundle", async || {
        admin(theirs, &["bundle", "list", "-id", "spiffe://example.org"]).status.success().then_some(())
    })
    .await;
    assert_eq!(held(theirs, "example.org"), said(&admin(ours, &["bundle", "show"])));

    for _change in 0..3 {
        let old = authority(theirs, &["show"]);
        let next = authority(theirs, &["prepare"]);
        let expected = said(&admin(theirs, &["bundle", "show"]));
        eventually("the next authority is known before it signs", async || {
            (held(ours, "other.org") == expected).then_some(())
        })
        .await;
        authority(theirs, &["activate", "-authorityID", &next]);
        // The endpoint itself soon shows an SVID of the new authority, which was in the last bundle that came.
        authority(theirs, &["taint", "-authorityID", &old]);
        let leaf = eventually("a leaf of the new authority", async || {
            let leaf = peers.leaf().await;
            passes(&checks, &leaf).await.then_some(leaf)
        })
        .await;
        authority(theirs, &["revoke", "-authorityID", &old]);
        let expected = said(&admin(theirs, &["bundle", "show"]));
        eventually("the old authority is gone", async || (held(ours, "other.org") == expected).then_some(())).await;
        assert!(passes(&checks, &leaf).await);
    }
    let shown = said(&admin(ours, &["federation", "show", "-trustDomain", "other.org", "-state"]));
    assert!(shown.contains("Bundle                    : current\n"), "{shown}");
    assert!(shown.contains("the configuration"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_keeps_its_bundle_and_is_told_of() {
    let peers = Peers::start().await;
    let (ours, gateway) = &peers.ours;
    let leaf = peers.leaf().await;
    assert!(passes(&ours.ext_authz_socket(), &leaf).await);
    drop(peers.theirs.1);
    let shown = eventually("the failure is shown", async || {
        let shown = said(&admin(ours, &["federation", "list", "-state"]));
        shown.contains(": failing\n").then_some(shown)
    })
    .await;
    assert!(shown.contains("can't connect"), "{shown}");
    assert!(passes(&ours.ext_authz_socket(), &leaf).await, "what was fetched stays in force");
    let ready = gateway.operations("/readyz").await;
    assert_eq!((ready.status, ready.json()["notices"]["federation"].is_string()), (200, true));
    let refreshed = admin(ours, &["federation", "refresh", "-id", "other.org"]);
    assert!(String::from_utf8(refreshed.stderr).unwrap().contains("can't connect"));
    // A relationship of the configuration is changed there.
    let refused = admin(ours, &["federation", "delete", "-id", "other.org"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("stands in the configuration"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_too_old_at_the_start_counts_for_nobody_until_an_operator_sets_it() {
    let mut peers = Peers::start().await;
    let leaf = peers.leaf().await;
    let checks = peers.ours.0.ext_authz_socket();
    let bundle = held(&peers.ours.0, "other.org");
    assert!(passes(&checks, &leaf).await);
    peers.theirs.1.process.kill_hard();
    peers.restart_ours(false).await;
    assert!(passes(&checks, &leaf).await, "it was fetched a moment ago");

    peers.restart_ours(true).await;
    assert!(!passes(&checks, &leaf).await);
    assert_eq!(held(&peers.ours.0, "other.org"), "");
    let shown = said(&admin(&peers.ours.0, &["federation", "show", "-trustDomain", "other.org", "-state"]));
    assert!(shown.contains(": stale: nobody is believed\n"), "{shown}");
    let listed = said(&admin(&peers.ours.0, &["federation", "list", "-state", "-output", "json"]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["federation_relationships"][0]["trust_domain"], "other.org");
    let peer = &listed["peers"][0];
    assert_eq!((&peer["stale"], &peer["reached_at"], &peer["ageing_since"]), (&json!(true), &json!("1"), &json!("1")));

    let file = peers.ours.0.path().join("again.pem");
    std::fs::write(&file, bundle).unwrap();
    said(&admin(&peers.ours.0, &["bundle", "set", "-id", "spiffe://other.org", "-path", file.to_str().unwrap()]));
    assert!(passes(&checks, &leaf).await, "an operator says that it is good");
    let shown = said(&admin(&peers.ours.0, &["federation", "show", "-trustDomain", "other.org", "-state"]));
    assert!(shown.contains("Bundle age") && !shown.contains("stale"), "{shown}");
    // It is written down a moment later.
    eventually("its age is known to the next process", async || {
        let ages = std::fs::read_to_string(peers.ours.0.path().join("data/federation.json")).unwrap();
        (!ages.contains("\"since\":1,")).then_some(())
    })
    .await;
    peers.restart_ours(false).await;
    assert!(passes(&checks, &leaf).await, "it is as new as it was set");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_our_tokens_are_served_as_an_openid_provider_does() {
    let (home, port) = (Home::new(), free_port());
    let issuer = "https://id.example.org";
    let _gateway = Gateway::start(
        &home,
        &[
            ("LISTEN__OIDC", &format!("tcp:127.0.0.1:{port}")),
            ("OIDC__ISSUERS", issuer),
            ("IDENTITY__JWT_ISSUER", issuer),
        ],
    )
    .await;
    let metadata = http::get(port, "/.well-known/openid-configuration").await;
    assert_eq!((metadata.status, &metadata.json()["jwks_uri"]), (200, &json!("https://id.example.org/keys")));
    let minted = said(&admin(&home, &["jwt", "mint", "-spiffeID", "spiffe://example.org/web", "-audience", "cloud"]));
    let header = minted.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header.trim()).unwrap()).unwrap();
    let keys = http::get(port, "/keys").await.json();
    let [key] = &keys["keys"].as_array().unwrap()[..] else { panic!("{keys}") };
    assert_eq!((&key["kid"], &key["alg"], &key["use"]), (&header["kid"], &header["alg"], &json!("sig")));
}
