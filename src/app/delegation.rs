//! The exchange of tokens, as the configuration says.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use super::build::Common;
use super::identity::IdentityPlane;
use super::tokens::{TokenMetrics, issuers};
use crate::config::Config;
use crate::decision::Authorizer;
use crate::delegation::exchange::{Clients, Exchange, ExchangeConfig, ExchangeMetrics, Ports};
use crate::edge::http::authzen::Identifier;
use crate::edge::http::token::{self, TokenConfig, token_router};
use crate::edge::http::turned_away::accounted;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::identity::authority::DelegatedKind;
use crate::identity::svid::LeafVerifier;
use crate::identity::token::{Algorithm, Issuer, IssuerRules, Tokens};

/// The name of the notice while keys of an issuer of subjects' tokens can't be had.
const NOTICE: &str = "delegation";

/// How many verified leaves of clients are remembered.
const LEAVES: u64 = 10_000;

/// The token endpoint; nothing at all, unless tokens are issued.
pub(super) async fn token_endpoint(
    config: &Config,
    common: &Common,
    identity: &IdentityPlane,
    authorizer: Arc<Authorizer>,
    (token_metrics, exchange_metrics, metrics): (TokenMetrics, ExchangeMetrics, token::Metrics),
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Router {
    let Some(issuer) = config.delegation.issuer.clone() else { return Router::new() };
    let subjects = &config.delegation.subjects;
    let (bundles, believed) = (identity.authority.bundles(), (&*subjects.issuers, Cow::Borrowed(NOTICE)));
    let trusted = (&config.trust_domain, bundles);
    let mut believed = issuers(believed, common, trusted, token_metrics, (tasks, shutdown)).await;
    believed.push(Issuer::own(own_rules(config, &issuer), config.trust_domain.clone(), Arc::clone(bundles)));
    let ports = Ports {
        tokens: Arc::new(Tokens::new(believed, u64::try_from(subjects.remembered).unwrap_or(u64::MAX))),
        revocations: Arc::clone(&identity.revocations),
        grants: authorizer,
        authority: Arc::clone(&identity.authority),
        audit: Arc::clone(&common.audit),
        entropy: Arc::clone(&common.entropy),
    };
    let exchange = Exchange::new(exchange_config(config, &issuer), ports, exchange_metrics);
    let served = TokenConfig {
        scopes: config.delegation.scopes.iter().cloned().collect(),
        keys: config.oidc.issuers.contains(&issuer).then(|| format!("{issuer}/keys")),
        max_concurrent_requests: config.delegation.max_concurrent_requests,
        issuer,
    };
    let clients = clients(config, common, identity);
    let router = token_router((exchange, clients), &served, Arc::clone(&common.clock), metrics);
    accounted(router, common.turned_away.clone(), "token")
}

fn exchange_config(config: &Config, issuer: &Identifier) -> ExchangeConfig {
    let delegation = config.delegation.clone();
    ExchangeConfig {
        issuer: issuer.as_str().into(),
        trust_domain: config.trust_domain.clone(),
        audiences: delegation.audiences,
        scopes: delegation.scopes,
        unscoped: delegation.subjects.unscoped,
        forwarded: delegation.subjects.forwarded,
        profiles: delegation.profiles,
        max_ttl: delegation.max_ttl,
        max_actors: delegation.max_actors,
        bind_to_certificate: delegation.bind_to_certificate,
    }
}

/// What our own tokens must be to be exchanged again: whom each was made for is looked at by the exchange itself.
fn own_rules(config: &Config, issuer: &Identifier) -> IssuerRules {
    let ours = config.trust_domain.as_str().to_owned();
    IssuerRules {
        issuer: issuer.as_str().into(),
        audiences: config.delegation.audiences.keys().cloned().chain([ours]).collect(),
        algorithms: Algorithm::ALL.into_iter().filter(|algorithm| algorithm.signs_svids()).collect(),
        types: DelegatedKind::ALL.map(|kind| kind.typ().to_owned()).to_vec(),
        leeway: Duration::ZERO,
        single_use: None,
    }
}

/// Workloads, by their certificates or by JWT-SVIDs that are for us alone and good for one use.
fn clients(config: &Config, common: &Common, identity: &IdentityPlane) -> Clients {
    let bundles = identity.authority.bundles();
    let rules = IssuerRules {
        issuer: "spiffe".into(),
        audiences: config.delegation.assertion_audiences(),
        algorithms: Vec::new(),
        types: Vec::new(),
        leeway: Duration::ZERO,
        single_use: Some((config.delegation.assertions, common.clock.now())),
    };
    // None is of any use twice, so there is nothing to remember but that it was used.
    let assertions = Tokens::new(vec![Issuer::spiffe(rules, Arc::clone(bundles))], 1);
    let leaves = LeafVerifier::new(Arc::clone(bundles), LEAVES).with_keeper(Arc::clone(&common.certificates));
    let uses = Arc::new(identity.store.uses(config.trust_domain.clone()));
    Clients::new(leaves, (Arc::new(assertions), uses), Arc::clone(&identity.revocations))
}
