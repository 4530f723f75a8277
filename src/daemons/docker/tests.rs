use std::collections::BTreeSet;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::*;
use crate::daemons::contract::{
    Behaviour, CONTAINER, Daemon, FakeHttp, caller, container, keeps_the_contract, recorded,
};
use crate::identity::attest::container::{ContainerError, Pod};

const IMAGE: &str = "/images/sha256:4bb46517cac397bdb0bab6eba09b0e1f8e90ddd17cf99662997c3253531136f8/json";

/// Docker, with one container.
struct FakeDocker {
    _directory: TempDir,
    _serving: JoinSet<()>,
    server: FakeHttp,
    attestor: Arc<Docker>,
}

fn path() -> String {
    format!("/containers/{CONTAINER}/json")
}

impl FakeDocker {
    /// One that listens where Docker does; `listen` says where.
    fn at(socket: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = FakeHttp::new();
        server.answer(&path(), StatusCode::OK, recorded("docker-container.json"));
        server.answer(IMAGE, StatusCode::OK, recorded("docker-image.json"));
        let serving = server.serve_unix(UnixListener::bind(directory.path().join(socket)).unwrap());
        let config = DockerConfig {
            socket: directory.path().join("docker.sock"),
            podman_socket: directory.path().join("podman.sock"),
        };
        Self { _directory: directory, _serving: serving, server, attestor: Arc::new(Docker::new(config)) }
    }

    async fn found(&self, container: Container) -> Result<Vec<String>, AttestorError> {
        self.attestor.attest(&caller(Ok(Some(container)))).await
    }
}

impl Daemon for FakeDocker {
    fn attestor(&self) -> Arc<dyn WorkloadAttestor> {
        Arc::clone(&self.attestor) as _
    }

    fn behave(&self, behaviour: Behaviour) {
        self.server.behave(behaviour);
    }

    fn known(&self) -> Caller {
        caller(Ok(Some(container(Runtime::Docker, None))))
    }

    fn selectors(&self) -> BTreeSet<String> {
        [
            "label:com.docker.compose.project:shop",
            "label:com.docker.compose.service:web",
            "label:note:a:b=c",
            "env:PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "env:STAGE=prod",
            "env:EMPTY=",
            "image_id:registry.example.org/shop/web:1.27",
            "image_config_digest:sha256:4bb46517cac397bdb0bab6eba09b0e1f8e90ddd17cf99662997c3253531136f8",
        ]
        .map(str::to_owned)
        .into()
    }

    fn strangers(&self) -> Vec<Caller> {
        let other = ContainerId::parse(&"1".repeat(64)).unwrap();
        vec![
            caller(Ok(None)),
            caller(Ok(Some(container(Runtime::Cri, Some(Pod::Untold))))),
            // The kubelet's runtime does not say in the name of a group who it is.
            caller(Ok(Some(Container { id: other, runtime: Runtime::Untold, pod: Some(Pod::Untold) }))),
        ]
    }
}

#[tokio::test]
async fn docker_keeps_the_contract_of_attestors() {
    keeps_the_contract(async || FakeDocker::at("docker.sock")).await;
}

#[tokio::test]
async fn podman_is_asked_for_its_own_containers() {
    let podman = FakeDocker::at("podman.sock");
    podman.server.answer(&path(), StatusCode::OK, recorded("podman-container.json"));
    let found = podman.found(container(Runtime::Podman, None)).await.unwrap();
    let digest = "image_config_digest:sha256:4bb46517cac397bdb0bab6eba09b0e1f8e90ddd17cf99662997c3253531136f8";
    assert_eq!(found, ["env:container=podman", "image_id:registry.example.org/shop/web:1.27", digest]);
    let podman = FakeDocker::at("podman.sock");
    assert!(podman.found(container(Runtime::Docker, None)).await.is_err(), "Docker is not there");
}

#[tokio::test]
async fn what_a_container_is_made_of_is_asked_for_once() {
    let docker = FakeDocker::at("docker.sock");
    for _again in 0..3 {
        docker.found(container(Runtime::Docker, None)).await.unwrap();
    }
    let paths: Vec<_> = docker.server.asked().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [path(), IMAGE.to_owned()]);
}

/// Docker looks names up beside ids, and a name may be 64 hexadecimal digits.
#[tokio::test]
async fn a_container_that_is_called_like_the_id_of_another_lends_it_nothing() {
    let docker = FakeDocker::at("docker.sock");
    let other = recorded("docker-container.json").replace(CONTAINER, &"2".repeat(64));
    docker.server.answer(&path(), StatusCode::OK, other);
    let error = docker.found(container(Runtime::Docker, None)).await.unwrap_err();
    assert!(error.to_string().contains("there is no container"), "{error}");
}

#[tokio::test]
async fn an_image_that_was_removed_takes_only_its_digest_with_it() {
    let docker = FakeDocker::at("docker.sock");
    docker.server.answer(IMAGE, StatusCode::NOT_FOUND, "");
    let found = docker.found(container(Runtime::Docker, None)).await.unwrap();
    assert_eq!(found.len(), docker.selectors().len() - 1);
}

#[tokio::test]
async fn answers_that_are_too_long_odd_or_unfriendly_are_failures() {
    let too_long = "x".repeat(MAX_ANSWER + 1);
    for (status, body, reason) in [
        (StatusCode::OK, "{", "can't be understood"),
        (StatusCode::OK, "{\"Id\": 1}", "can't be understood"),
        (StatusCode::OK, too_long.as_str(), "more than 4194304 bytes"),
        (StatusCode::INTERNAL_SERVER_ERROR, "", "500"),
        (StatusCode::NOT_FOUND, "", "there is no"),
    ] {
        let docker = FakeDocker::at("docker.sock");
        docker.server.answer(&path(), status, body.to_owned());
        let error = docker.found(container(Runtime::Docker, None)).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn an_image_id_that_is_none_never_reaches_a_path() {
    let docker = FakeDocker::at("docker.sock");
    let odd = recorded("docker-container.json").replace("\"Image\": \"sha256:", "\"Image\": \"../x?sha256:");
    docker.server.answer(&path(), StatusCode::OK, odd);
    docker.found(container(Runtime::Docker, None)).await.unwrap();
    assert_eq!(docker.server.asked().len(), 1);
}

#[tokio::test]
async fn a_name_that_is_not_believed_is_a_failure() {
    let docker = FakeDocker::at("docker.sock");
    let error = ContainerError::Unbelievable("/user.slice/x".to_owned());
    let failure = docker.attestor.attest(&caller(Err(error.clone()))).await;
    assert_eq!(failure, Err(AttestorError::Container(error)));
    assert!(docker.server.asked().is_empty());
}
