//! The claims of well-known issuers, so that nobody has to look them up.

use super::template::ClaimPath;

/// An issuer, or a kind of issuers, whose claims are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preset {
    /// Kubernetes: tokens of service accounts, bound to pods.
    Kubernetes,
    /// GitHub Actions: tokens of jobs.
    GithubActions,
    /// GitLab: ID tokens of jobs.
    Gitlab,
    /// A provider of `OpenID` Connect: tokens of its users.
    Oidc,
    /// Trust domains of SPIFFE: JWT-SVIDs.
    Spiffe,
}

/// What a job on GitHub says of itself (GitHub Docs, "OpenID Connect reference").
const GITHUB: [&str; 14] = [
    "actor",
    "environment",
    "event_name",
    "job_workflow_ref",
    "ref",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_owner",
    "repository_visibility",
    "run_attempt",
    "runner_environment",
    "sha",
    "workflow",
];

/// What a job on GitLab says of itself (GitLab Docs, "OpenID Connect (OIDC) Authentication Using ID Tokens").
const GITLAB: [&str; 14] = [
    "ci_config_ref_uri",
    "deployment_tier",
    "environment",
    "environment_protected",
    "namespace_path",
    "pipeline_source",
    "project_path",
    "project_visibility",
    "ref",
    "ref_protected",
    "ref_type",
    "runner_environment",
    "sha",
    "user_login",
];

/// What a provider says of a user (OpenID Connect Core section 5.1), and of a token (RFC 9068 section 2.2, RFC 8176).
const OIDC: [&str; 9] =
    ["acr", "amr", "auth_time", "client_id", "email", "email_verified", "name", "preferred_username", "scope"];

/// What Kubernetes says of a pod, by our names (KEP-1205).
const KUBERNETES: [(&str, &str); 4] = [
    ("name", "/kubernetes.io/serviceaccount/name"),
    ("namespace", "/kubernetes.io/namespace"),
    ("node", "/kubernetes.io/node/name"),
    ("pod", "/kubernetes.io/pod/name"),
];

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kubernetes, Self::GithubActions, Self::Gitlab, Self::Oidc, Self::Spiffe];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::GithubActions => "github-actions",
            Self::Gitlab => "gitlab",
            Self::Oidc => "oidc",
            Self::Spiffe => "spiffe",
        }
    }

    /// The issuer, where there is but one, or one that most use.
    pub const fn issuer(self) -> Option<&'static str> {
        match self {
            Self::GithubActions => Some("https://token.actions.githubusercontent.com"),
            Self::Gitlab => Some("https://gitlab.com"),
            Self::Kubernetes | Self::Oidc | Self::Spiffe => None,
        }
    }

    /// The type of its entities.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Kubernetes => "ServiceAccount",
            Self::GithubActions => "GitHubJob",
            Self::Gitlab => "GitLabJob",
            Self::Oidc => "Human",
            Self::Spiffe => "Workload",
        }
    }

    /// The template of their ids.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Kubernetes => "{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}",
            Self::GithubActions | Self::Gitlab | Self::Oidc | Self::Spiffe => "{sub}",
        }
    }

    /// Their attributes, as far as the schema declares them.
    pub fn attributes(self) -> Vec<(String, ClaimPath)> {
        let same = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ClaimPath::new(*name))).collect();
        match self {
            Self::Kubernetes => {
                KUBERNETES.iter().map(|(name, path)| ((*name).to_owned(), ClaimPath::new(*path))).collect()
            }
            Self::GithubActions => same(&GITHUB),
            Self::Gitlab => same(&GITLAB),
            Self::Oidc => same(&OIDC),
            Self::Spiffe => Vec::new(),
        }
    }
}
