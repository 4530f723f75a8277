//! The kubelet's list of pods (Kubernetes API, `core/v1` `PodList`), as much of it as makes selectors.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::identity::attest::container::ContainerId;

/// A list of pods.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Pods {
    items: Option<Vec<Pod>>,
}

/// What a list says of a container.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// The values of its selectors.
    One(Vec<String>),
    /// More than one pod has it, so none is believed.
    Several,
    /// It is not there.
    None,
}

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Deserialize)]
struct Owner {
    kind: String,
    name: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: String,
    node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "imageID")]
    image_id: String,
    /// `containerd://ID`; empty before it was started.
    #[serde(rename = "containerID")]
    container_id: String,
}

impl Pods {
    /// What the list says of the container `id`, in the pod with this `uid` if it is known.
    pub(super) fn find(&self, uid: Option<&str>, id: &ContainerId) -> Found {
        let pods = self.items.iter().flatten().filter(|pod| uid.is_none_or(|uid| pod.metadata.uid == uid));
        let mut found = pods.filter_map(|pod| Some((pod, pod.container(id)?)));
        match (found.next(), found.next()) {
            (Some((pod, container)), None) => {
                Found::One(pod.selectors().into_iter().chain(container.selectors()).collect())
            }
            (Some(_), Some(_)) => Found::Several,
            (None, _) => Found::None,
        }
    }
}

impl Pod {
    fn container(&self, id: &ContainerId) -> Option<&ContainerStatus> {
        let is_it = |status: &&ContainerStatus| {
            status.container_id.split_once("://").is_some_and(|(_runtime, known)| known == id.as_str())
        };
        self.containers().chain(self.init_containers()).find(is_it)
    }

    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.container_statuses.iter().flatten()
    }

    fn init_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.init_container_statuses.iter().flatten()
    }

    fn selectors(&self) -> Vec<String> {
        let Self { metadata, spec, .. } = self;
        let mut values = vec![
            format!("sa:{}", spec.service_account_name),
            format!("ns:{}", metadata.namespace),
            format!("node-name:{}", spec.node_name),
            format!("pod-uid:{}", metadata.uid),
            format!("pod-name:{}", metadata.name),
            format!("pod-image-count:{}", self.containers().count()),
            format!("pod-init-image-count:{}", self.init_containers().count()),
        ];
        let images = |containers: &mut dyn Iterator<Item = &ContainerStatus>| -> BTreeSet<String> {
            containers.flat_map(ContainerStatus::images).map(str::to_owned).collect()
        };
        values.extend(images(&mut self.containers()).iter().map(|image| format!("pod-image:{image}")));
        values.extend(images(&mut self.init_containers()).iter().map(|image| format!("pod-init-image:{image}")));
        let labels = metadata.labels.iter().flatten();
        values.extend(labels.map(|(key, value)| format!("pod-label:{key}:{value}")));
        for Owner { kind, name, uid } in metadata.owner_references.iter().flatten() {
            values.extend([format!("pod-owner:{kind}:{name}"), format!("pod-owner-uid:{kind}:{uid}")]);
        }
        values
    }
}

impl ContainerStatus {
    /// Its image by digest and by name (spire#2026): the one is sure, the other known before the image is there.
    fn images(&self) -> [&str; 2] {
        [&self.image_id, &self.image]
    }

    fn selectors(&self) -> Vec<String> {
        let images = self.images().map(|image| format!("container-image:{image}"));
        std::iter::once(format!("container-name:{}", self.name)).chain(images).collect()
    }
}
