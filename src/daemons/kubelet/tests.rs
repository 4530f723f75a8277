use std::collections::BTreeSet;
use std::sync::Mutex as SyncMutex;

use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::PrivateKeyDer;
use rustls::{NamedGroup, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::daemons::contract::{
    Behaviour, CONTAINER, Daemon, FakeHttp, POD, caller, container, keeps_the_contract, recorded,
};
use crate::foundation::clock::SystemClock;
use crate::identity::attest::container::ContainerId;

/// A kubelet with a certificate for `node-1`, signed by a CA of its own.
struct FakeKubelet {
    _directory: TempDir,
    _serving: JoinSet<()>,
    server: FakeHttp,
    config: KubeletConfig,
    attestor: Arc<Kubelet>,
    groups: Arc<SyncMutex<Vec<NamedGroup>>>,
}

impl FakeKubelet {
    async fn new() -> Self {
        Self::with(|_config| {}).await
    }

    async fn with(change: impl FnOnce(&mut KubeletConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        std::fs::write(directory.path().join("ca.crt"), ca.pem()).unwrap();
        std::fs::write(directory.path().join("token"), "the-token\n").unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, groups) = (FakeHttp::new(), Arc::new(SyncMutex::default()));
        server.answer("/pods", StatusCode::OK, recorded("pods.json"));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), server.clone(), Arc::clone(&groups)));

        let mut config = KubeletConfig {
            node_name: None,
            port,
            ca_file: directory.path().join("ca.crt"),
            token_file: directory.path().join("token"),
            skip_verification: false,
            poll_attempts: 3,
            poll_interval: Duration::from_millis(20),
        };
        change(&mut config);
        let attestor = Arc::new(Kubelet::new(config.clone(), Arc::new(SystemClock::new())));
        Self { _directory: directory, _serving: serving, server, config, attestor, groups }
    }

    async fn found(&self, container: Container) -> Result<Vec<String>, AttestorError> {
        self.attestor.attest(&caller(Ok(Some(container)))).await
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    server: FakeHttp,
    groups: Arc<SyncMutex<Vec<NamedGroup>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, server, groups) = (acceptor.clone(), server.clone(), Arc::clone(&groups));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            groups
                .lock()
                .unwrap()
                .extend(stream.get_ref().1.negotiated_key_exchange_group().map(SupportedKxGroup::name));
            server.serve(stream).await;
        });
    }
}

fn in_pod() -> Container {
    container(Runtime::Cri, Some(Pod::Uid(POD.to_owned())))
}

impl Daemon for FakeKubelet {
    fn attestor(&self) -> Arc<dyn WorkloadAttestor> {
        Arc::clone(&self.attestor) as _
    }

    fn behave(&self, behaviour: Behaviour) {
        self.server.behave(behaviour);
    }

    fn known(&self) -> Caller {
        caller(Ok(Some(in_pod())))
    }

    fn selectors(&self) -> BTreeSet<String> {
        let digest =
            "registry.example.org/shop/web@sha256:bf862e5f5eca0a73e7e538224578c5cf867ce2be91b5eaed22afc153c00363eb";
        let init = format!("registry.example.org/shop/migrate@sha256:{}", "5".repeat(64));
        let fixed = [
            "ns:shop",
            "sa:web",
            "node-name:node-1",
            "pod-uid:a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80",
            "pod-name:web-6d4cf56db6-x7k2p",
            "pod-label:app:web",
            "pod-label:pod-template-hash:6d4cf56db6",
            "pod-owner:ReplicaSet:web-6d4cf56db6",
            "pod-owner-uid:ReplicaSet:1d7e7d9e-6a1c-4c56-8a4f-2f3f1a9a1b11",
            "pod-image-count:2",
            "pod-image:registry.example.org/shop/web:1.27",
            "pod-image:registry.example.org/shop/late:1",
            // Of a container that was not started there is no digest; SPIRE says so too.
            "pod-image:",
            "pod-init-image-count:1",
            "pod-init-image:registry.example.org/shop/migrate:3",
            "container-name:web",
            "container-image:registry.example.org/shop/web:1.27",
        ];
        let digests =
            [format!("pod-image:{digest}"), format!("container-image:{digest}"), format!("pod-init-image:{init}")];
        fixed.map(str::to_owned).into_iter().chain(digests).collect()
    }

    fn strangers(&self) -> Vec<Caller> {
        vec![caller(Ok(None)), caller(Ok(Some(container(Runtime::Docker, None))))]
    }
}

#[tokio::test]
async fn the_kubelet_keeps_the_contract_of_attestors() {
    keeps_the_contract(FakeKubelet::new).await;
}

#[tokio::test]
async fn a_container_is_found_without_the_uid_of_its_pod_and_an_init_container_is_one() {
    let kubelet = FakeKubelet::new().await;
    let found = kubelet.found(container(Runtime::Cri, Some(Pod::Untold))).await.unwrap();
    assert!(found.contains(&"container-name:web".to_owned()));
    let init = Container { id: ContainerId::parse(&"1".repeat(64)).unwrap(), ..in_pod() };
    let found = kubelet.found(init).await.unwrap();
    assert!(found.contains(&"container-name:migrate".to_owned()) && found.contains(&"ns:shop".to_owned()), "{found:?}");
}

/// The pod in the control group and that of the container must be the same.
#[tokio::test]
async fn a_container_of_another_pod_is_not_found() {
    let kubelet = FakeKubelet::new().await;
    let other = Some(Pod::Uid("ffffffff-0000-4000-8000-000000000000".to_owned()));
    let error = kubelet.found(container(Runtime::Cri, other)).await.unwrap_err().to_string();
    assert!(error.contains("is not in the kubelet's list of pods"), "{error}");
}

/// spire#1216, spire#3092: a container asks before the kubelet's list has it.
#[tokio::test]
async fn a_container_that_is_not_in_the_list_yet_is_waited_for_and_then_told_as_a_reason() {
    let kubelet = FakeKubelet::with(|config| config.poll_attempts = 500).await;
    kubelet.server.answer("/pods", StatusCode::OK, "{\"items\": null}");
    let (server, waiting) = (kubelet.server.clone(), kubelet.found(in_pod()));
    let appear = async {
        while server.asked().len() < 3 {
            sleep(Duration::from_millis(1)).await;
        }
        server.answer("/pods", StatusCode::OK, recorded("pods.json"));
    };
    let (found, ()) = tokio::join!(waiting, appear);
    assert_eq!(found.unwrap().len(), kubelet.selectors().len());

    let kubelet = FakeKubelet::new().await;
    kubelet.server.answer("/pods", StatusCode::OK, "{\"items\": []}");
    let reason = kubelet.found(in_pod()).await.unwrap_err().to_string();
    let expected = format!("the container `{CONTAINER}` of the pod `{POD}` is not in the kubelet's list of pods (yet)");
    assert_eq!((reason, kubelet.server.asked().len()), (expected, 3));
}

/// spire#3957: the kubelet's JSON was most of the attestor's work.
#[tokio::test]
async fn callers_share_one_list() {
    let kubelet = FakeKubelet::with(|config| config.poll_interval = Duration::from_mins(10)).await;
    let callers = (0..32).map(|_| kubelet.found(in_pod()));
    for found in futures_util::future::join_all(callers).await {
        found.unwrap();
    }
    assert_eq!(kubelet.server.asked(), [("/pods".to_owned(), Some("Bearer the-token".to_owned()))]);
}

#[tokio::test]
async fn two_pods_with_the_same_container_are_not_believed() {
    let kubelet = FakeKubelet::new().await;
    let mut list: serde_json::Value = serde_json::from_str(&recorded("pods.json")).unwrap();
    let twin = list["items"][0].clone();
    list["items"].as_array_mut().unwrap().push(twin);
    kubelet.server.answer("/pods", StatusCode::OK, list.to_string());
    let error = kubelet.found(in_pod()).await.unwrap_err().to_string();
    assert!(error.contains("two pods"), "{error}");
}

#[tokio::test]
async fn only_the_kubelet_is_believed() {
    // By name, which is in the certificate.
    let named = FakeKubelet::with(|config| config.node_name = Some("localhost".to_owned())).await;
    assert!(named.found(in_pod()).await.is_ok());
    // By another name, it is someone else.
    let other = FakeKubelet::with(|config| config.node_name = Some("127.0.0.1".to_owned())).await;
    assert!(other.found(in_pod()).await.unwrap_err().to_string().contains("certificate"));
    // Signed by someone else.
    let (one, two) = (FakeKubelet::new().await, FakeKubelet::new().await);
    let config = KubeletConfig { ca_file: two.config.ca_file.clone(), ..one.config.clone() };
    let mistrusting = Kubelet::new(config.clone(), Arc::new(SystemClock::new()));
    let error = mistrusting.attest(&one.known()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(one.server.asked().is_empty(), "the token went to someone else");
    let careless = Kubelet::new(KubeletConfig { skip_verification: true, ..config }, Arc::new(SystemClock::new()));
    assert!(careless.attest(&one.known()).await.is_ok());
}

#[tokio::test]
async fn the_key_exchange_is_post_quantum() {
    let kubelet = FakeKubelet::new().await;
    kubelet.found(in_pod()).await.unwrap();
    assert_eq!(*kubelet.groups.lock().unwrap(), [NamedGroup::X25519MLKEM768]);
}

#[tokio::test]
async fn a_kubelet_that_refuses_or_raves_is_told_as_a_reason_without_our_token() {
    for (status, body, reason) in [
        (StatusCode::UNAUTHORIZED, "", "401"),
        (StatusCode::OK, "[1, 2", "can't be understood"),
        (StatusCode::OK, "{\"items\": [{}]}", "can't be understood"),
    ] {
        let kubelet = FakeKubelet::new().await;
        kubelet.server.answer("/pods", status, body);
        let error = kubelet.found(in_pod()).await.unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("the-token"), "{error}");
    }
    let absent = FakeKubelet::with(|config| config.token_file = "/nonexistent/token".into()).await;
    assert!(absent.found(in_pod()).await.unwrap_err().to_string().contains("/nonexistent/token"));
}
