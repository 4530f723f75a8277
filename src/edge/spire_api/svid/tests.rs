//! Minting and the life of authorities, over a real authority. What is expected is what SPIRE 1.15 answered to the same,
//! but where a test says otherwise.

use portcullis_spiffe::x509::Leaf;
use portcullis_spiffe_api::spire::api::server::localauthority::v1 as authorities;
use prost::Message;
use rcgen::{CertificateParams, KeyPair, SanType};
use tempfile::TempDir;
use tonic::Code;
use tonic::service::Routes;
use types::Spiffeid;

use super::super::LocalAuthorityService;
use super::super::tests::{Desk, clock, now};
use super::*;
use crate::evidence::{AppendError, Audit, Record, Taken};
use crate::foundation::entropy::SystemEntropy;
use crate::identity::authority::{self, Authority, AuthorityConfig, Hash, KeyCustody, KeyType};
use crate::identity::issue::{self, IssueConfig};
use crate::identity::journal::memory::MemoryJournal;
use crate::identity::registry::Registry;
use crate::identity::registry::memory::MemoryRegistry;

/// Takes every record.
#[derive(Debug)]
struct Shredder;

impl Audit for Shredder {
    fn append(&self, _record: Record<'_>) -> Result<Taken, AppendError> {
        Ok(Taken::NOW)
    }
}

/// Both services over one authority.
struct Office {
    _directory: TempDir,
    desk: Desk,
}

impl Office {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (trust_domain, entropy): (TrustDomain, _) =
            ("example.org".parse().unwrap(), Arc::new(SystemEntropy::new()));
        let config = AuthorityConfig {
            trust_domain: trust_domain.clone(),
            ttl: Duration::from_hours(24),
            jwt_key_type: KeyType::default(),
            jwt_rsa_hash: Hash::default(),
            data_dir: directory.path().join("data"),
            key_type: KeyType::default(),
            custody: KeyCustody::Sealed { seal_key_file: directory.path().join("data/seal.key") },
        };
        let journal = Arc::new(MemoryJournal::default());
        let ports = authority::Ports { journal, audit: Arc::new(Shredder), entropy: Arc::clone(&entropy) as _ };
        let authority = Authority::open(config, ports, authority::Metrics::default(), now()).await.unwrap();
        let authority = Arc::new(authority);
        let registry = Registry::open(trust_domain.clone(), Arc::new(MemoryRegistry::default()), entropy.clone());
        let ports = issue::Ports {
            authority: Arc::clone(&authority),
            registry: Arc::new(registry.await.unwrap()),
            audit: Arc::new(Shredder),
            clock: clock(),
            entropy,
        };
        let (hour, minute) = (Duration::from_hours(1), Duration::from_mins(5));
        let config = IssueConfig { x509_svid_ttl: hour, jwt_svid_ttl: minute, jwt_issuer: None };
        let issuer = Arc::new(Issuer::new(ports, config, issue::Metrics::default()));
        let services = Routes::default()
            .add_service(SvidService::new(trust_domain, issuer).into_server())
            .add_service(LocalAuthorityService::new(authority, clock()).into_server());
        Self { _directory: directory, desk: Desk::new(services) }
    }

    async fn mint(&self, csr: Vec<u8>, ttl: i32) -> Result<types::X509svid, Status> {
        let question = MintX509svidRequest { csr, ttl };
        let answer: MintX509svidResponse =
            self.desk.call("spire.api.server.svid.v1.SVID/MintX509SVID", &question).await?;
        Ok(answer.svid.unwrap())
    }

    async fn mint_jwt(&self, id: Option<Spiffeid>, audience: &[&str], ttl: i32) -> Result<types::Jwtsvid, Status> {
        let audience = audience.iter().map(ToString::to_string).collect();
        let question = MintJwtsvidRequest { id, audience, ttl };
        let answer: MintJwtsvidResponse =
            self.desk.call("spire.api.server.svid.v1.SVID/MintJWTSVID", &question).await?;
        Ok(answer.svid.unwrap())
    }

    async fn authority<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.desk.call(&format!("spire.api.server.localauthority.v1.LocalAuthority/{method}"), question).await
    }
}

fn csr(uri: &str, dns_names: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.subject_alt_names.extend(dns_names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())));
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[expect(clippy::unnecessary_wraps, reason = "as messages have it")]
fn id(path: &str) -> Option<Spiffeid> {
    Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
}

fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn an_x509_svid_is_minted_for_the_key_and_the_names_of_a_request() {
    let office = Office::open().await;
    let svid = office.mint(csr("spiffe://example.org/x", &["a.example.org"]), 60).await.unwrap();
    assert_eq!((&svid.id, svid.expires_at, svid.hint.as_str()), (&id("/x"), 1_795_325_283, ""));
    assert_eq!(svid.cert_chain.len(), 1);
    assert_eq!(Leaf::parse(&svid.cert_chain[0]).unwrap().id.as_str(), "spiffe://example.org/x");
    assert_eq!(office.desk.recorded().last().unwrap().subjects, ["spiffe://example.org/x"]);
    // Nothing and less than nothing is the default, too much is cut.
    for (ttl, seconds) in [(0, 3600), (-1, 3600), (i32::MIN, 3600), (i32::MAX, 4 * 3600)] {
        let svid = office.mint(csr("spiffe://example.org/x", &[]), ttl).await.unwrap();
        assert_eq!(svid.expires_at, 1_795_325_223 + seconds, "{ttl}");
    }
    for (csr, message) in [
        (vec![], "missing CSR"),
        (vec![0, 0, 0], "malformed CSR: not a PKCS#10 request in DER"),
        (csr("http://example.org/x", &[]), "CSR URI SAN is invalid: scheme is missing or invalid"),
        (
            csr("spiffe://other.org/x", &[]),
            r#"CSR URI SAN is invalid: "spiffe://other.org/x" is not a member of trust domain "example.org""#,
        ),
        (
            csr("spiffe://example.org", &[]),
            r#"CSR URI SAN is invalid: "spiffe://example.org" is not a workload in trust domain "example.org"; path is empty"#,
        ),
        (
            csr("spiffe://example.org/spire/server", &[]),
            r#"CSR URI SAN is invalid: "spiffe://example.org/spire/server" is not a workload in trust domain "example.org"; path is in the reserved namespace"#,
        ),
    ] {
        assert_eq!(told(office.mint(csr, 60).await), (Code::InvalidArgument, message.to_owned()));
    }
    for names in [vec!["*.example.org"], vec!["bad name"], vec!["a"; 101]] {
        let (code, message) = told(office.mint(csr("spiffe://example.org/x", &names), 60).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.starts_with("CSR DNS name is invalid: "), "{message}");
    }
}

#[tokio::test]
async fn a_jwt_svid_is_minted_for_its_audiences() {
    let office = Office::open().await;
    let svid = office.mint_jwt(id("/x"), &["a", ""], -1).await.unwrap();
    assert_eq!((&svid.id, svid.issued_at, svid.expires_at), (&id("/x"), 1_795_325_223, 1_795_325_523));
    assert_eq!(svid.token.split('.').count(), 3);
    assert!(!format!("{:?}", office.desk.recorded()).contains(&svid.token));
    for (id, audience, message) in [
        (None, &["a"][..], "invalid SPIFFE ID: request must specify SPIFFE ID"),
        (Some(Spiffeid::default()), &["a"], "invalid SPIFFE ID: trust domain is missing"),
        (id("x"), &["a"], "invalid SPIFFE ID: path must have a leading slash"),
        (id("/x"), &[], "at least one audience is required"),
        // SPIRE says `Internal`.
        (id("/x"), &[""], "at least one audience is required"),
    ] {
        assert_eq!(told(office.mint_jwt(id, audience, 0).await), (Code::InvalidArgument, message.to_owned()));
    }
    let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(told(office.mint_jwt(id("/x"), &many, 0).await).0, Code::InvalidArgument);
    for method in ["BatchNewX509SVID", "NewJWTSVID", "MintWITSVID", "BatchNewWITSVID", "NewDownstreamX509CA"] {
        let method = format!("spire.api.server.svid.v1.SVID/{method}");
        assert_eq!(told(office.desk.call::<_, ()>(&method, &()).await).0, Code::Unimplemented, "{method}");
    }
}

#[tokio::test]
async fn an_authority_is_replaced_step_by_step() {
    let office = Office::open().await;
    for kind in ["X509", "JWT"] {
        let state = async || {
            let method = format!("Get{kind}AuthorityState");
            // The messages of both kinds have the same fields under the same numbers.
            let state: authorities::GetX509AuthorityStateResponse = office.authority(&method, &()).await.unwrap();
            let id = |state: Option<authorities::AuthorityState>| state.map(|state| state.authority_id);
            (id(state.active).unwrap(), id(state.prepared), id(state.old))
        };
        let step = async |step: &str, authority_id: &str| {
            let question = authorities::TaintX509AuthorityRequest { authority_id: authority_id.into() };
            let answer = office.authority(&format!("{step}{kind}Authority"), &question).await;
            answer.map(|answer: authorities::TaintX509AuthorityResponse| answer.tainted_authority.unwrap())
        };
        let (first, prepared, old) = state().await;
        assert_eq!((prepared, old), (None, None));
        for method in ["Activate", "Taint", "Revoke"] {
            assert_eq!(told(step(method, "").await).0, Code::InvalidArgument);
            assert_eq!(told(step(method, "nope\0").await).0, Code::InvalidArgument);
            assert_eq!(told(step(method, &first).await).0, Code::InvalidArgument);
        }
        office.desk.recorded();
        let second = step("Prepare", "").await.unwrap();
        let [before, end] = office.desk.recorded().try_into().unwrap();
        assert_eq!((before.code.as_deref(), before.subjects.len()), (None, 0));
        assert_eq!(end.subjects, [second.authority_id.as_str()]);
        assert_eq!(second.expires_at, 1_795_325_223 + 24 * 3600);
        let second = second.authority_id;
        assert_eq!(state().await, (first.clone(), Some(second.clone()), None));
        assert_eq!(told(step("Taint", &second).await).0, Code::InvalidArgument);
        step("Activate", &second).await.unwrap();
        assert_eq!(state().await, (second.clone(), None, Some(first.clone())));
        assert_eq!(told(step("Activate", &first).await).0, Code::FailedPrecondition);
        assert_eq!(told(step("Revoke", &first).await).0, Code::FailedPrecondition, "it is not tainted");
        step("Taint", &first).await.unwrap();
        assert_eq!(told(step("Taint", &first).await).0, Code::FailedPrecondition);
        step("Revoke", &first).await.unwrap();
        assert_eq!(state().await, (second, None, None));
        assert_eq!(told(step("Revoke", &first).await).0, Code::InvalidArgument);
    }
    for (method, code) in [
        ("TaintX509UpstreamAuthority", Code::FailedPrecondition),
        ("RevokeX509UpstreamAuthority", Code::FailedPrecondition),
        ("GetWITAuthorityState", Code::Unimplemented),
        ("PrepareWITAuthority", Code::Unimplemented),
        ("RevokeWITAuthority", Code::Unimplemented),
    ] {
        assert_eq!(told(office.authority::<_, ()>(method, &()).await).0, code, "{method}");
    }
}
