//! What Docker and Podman know of their containers (Docker Engine API, `/containers/ID/json` and `/images/ID/json`, which
//! Podman answers alike). Selectors: `docker:label:KEY:VALUE`, `docker:env:KEY=VALUE`, `docker:image_id:NAME` and
//! `docker:image_config_digest:DIGEST`.
//!
//! What a container is made of never changes, so it is asked for once. Of images, SPIRE asks for the one that now has the
//! name that the container was started from; we ask for the one that it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use moka::sync::Cache;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::foundation::http::Get;
use crate::identity::attest::container::{Container, ContainerId, Runtime};
use crate::identity::attest::{AttestFuture, AttestorError, Caller, WorkloadAttestor};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// How many questions are open at a time.
const MAX_ASKING: usize = 16;

/// How many containers are remembered.
const REMEMBERED: u64 = 1024;

/// How long a question that failed is left alone, each time; SPIRE's.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// Where the daemons listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DockerConfig {
    /// Docker's socket.
    pub socket: PathBuf,
    /// That of root's Podman. A user's own Podman is not asked: it says whatever its user wants.
    pub podman_socket: PathBuf,
}

/// Asks Docker and Podman.
#[derive(Debug)]
pub struct Docker {
    config: DockerConfig,
    known: Cache<ContainerId, Arc<[String]>>,
    turns: Semaphore,
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// There is no such thing.
    Unknown(String),
    /// Anything else.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    /// The id of the image that it runs.
    #[serde(default)]
    image: String,
    config: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
    /// The name by which the image was asked for.
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    #[serde(default)]
    id: String,
}

impl Docker {
    /// Asks the daemons that `config` says where to find.
    pub fn new(config: DockerConfig) -> Self {
        Self { config, known: Cache::new(REMEMBERED), turns: Semaphore::new(MAX_ASKING) }
    }

    async fn inspect(&self, container: &Container) -> Result<Arc<[String]>, AttestorError> {
        let socket = match container.runtime {
            Runtime::Docker | Runtime::Untold => &self.config.socket,
            Runtime::Podman => &self.config.podman_socket,
            // Their containers are only the kubelet's to tell of.
            Runtime::Cri => return Ok(Arc::default()),
        };
        if let Some(known) = self.known.get(&container.id) {
            return Ok(known);
        }
        let _turn =
            self.turns.acquire().await.map_err(|_closed| AttestorError::Daemon("the process is stopping".into()))?;
        let mut pauses = PAUSES.into_iter();
        let failure = loop {
            match inspect(socket, &container.id).await {
                Ok(found) => {
                    let found: Arc<[String]> = found.into();
                    self.known.insert(container.id.clone(), Arc::clone(&found));
                    return Ok(found);
                }
                // Some other runtime's, and no word of it in its name.
                Err(Failure::Unknown(_)) if container.runtime == Runtime::Untold => return Ok(Arc::default()),
                Err(failure) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => break failure,
                },
            }
        };
        let (Failure::Unknown(reason) | Failure::Other(reason)) = failure;
        Err(AttestorError::Daemon(format!("`{}`: {reason}", socket.display())))
    }
}

impl WorkloadAttestor for Docker {
    fn kind(&self) -> &'static str {
        "docker"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> AttestFuture<'a> {
        Box::pin(async {
            match &caller.container {
                Ok(Some(container)) => Ok(self.inspect(container).await?.to_vec()),
                Ok(None) => Ok(Vec::new()),
                Err(error) => Err(error.clone().into()),
            }
        })
    }
}

async fn inspect(socket: &Path, id: &ContainerId) -> Result<Vec<String>, Failure> {
    let found: Inspected = parse(&get(socket, &format!("/containers/{id}/json")).await?)?;
    // Names are looked up too, and another container can be called like this one's id.
    if found.id != id.as_str() {
        return Err(Failure::Unknown(format!("there is no container `{id}`")));
    }
    let labels = found.config.labels.unwrap_or_default();
    let mut selectors: Vec<String> = labels.iter().map(|(key, value)| format!("label:{key}:{value}")).collect();
    selectors.extend(found.config.env.unwrap_or_default().iter().map(|variable| format!("env:{variable}")));
    let name = found.config.image.filter(|name| !name.is_empty());
    selectors.extend(name.map(|name| format!("image_id:{name}")));
    if is_path_safe(&found.image) {
        match get(socket, &format!("/images/{}/json", found.image)).await {
            Ok(answer) => {
                let image: Image = parse(&answer)?;
                selectors.extend((!image.id.is_empty()).then(|| format!("image_config_digest:{}", image.id)));
            }
            // An image can be removed by force while containers run it.
            Err(Failure::Unknown(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(selectors)
}

/// Whether `id` is an image's id that can stand in a path: `sha256:HEX`.
fn is_path_safe(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, Failure> {
    let other = |reason: String| Failure::Other(reason);
    let stream = UnixStream::connect(socket).await.map_err(|error| other(format!("can't connect: {error}")))?;
    let question = Get { host: "docker", path, headers: HeaderMap::new(), limit: MAX_ANSWER };
    let answer = question.over(stream).await.map_err(|error| other(error.to_string()))?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        StatusCode::NOT_FOUND => Err(Failure::Unknown(format!("there is no `{path}`"))),
        status => Err(other(format!("`{path}` is answered with {status}"))),
    }
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| Failure::Other(format!("the answer can't be understood: {error}")))
}

#[cfg(test)]
mod tests;
