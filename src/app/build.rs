//! Building the process, part by part.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use nix::unistd::geteuid;
use tokio::runtime::Handle;

use super::callers::access;
use super::chronicle::{Chronicle, Counted};
use super::delegation::token_endpoint;
use super::entities::{EntityMetrics, entities};
use super::evidence::Evidence;
use super::identity::IdentityPlane;
use super::listeners::{Encryption, Listeners, Served};
use super::mapping::mapping;
use super::metrics::Metrics;
use super::policies::{PolicyMetrics, PolicyNews};
use super::tokens::principals;
use super::witnesses;
use super::{App, AppError, StopSignals, retention};
use crate::config::{self, Config};
use crate::decision::cache::{DecisionCache, Purges};
use crate::decision::entity::watched::InForce;
use crate::decision::policy::source::Sources;
use crate::decision::policy::{LoadError, PolicyEvents as _, PolicyGate, PolicySet, Problem, watch};
use crate::decision::{Authorizer, DecisionMetrics, Ports as DecisionPorts, Shadow, ShadowMetrics};
use crate::edge::envoy::ext_authz::{self, Answers, ExtAuthz, ExtAuthzConfig, HeaderNames};
use crate::edge::http::authzen::{AuthzenApi, AuthzenConfig, Metadata};
use crate::edge::http::bundle::{BundleEndpointConfig, bundle_router};
use crate::edge::http::oidc::{OidcConfig, oidc_router};
use crate::edge::http::operations::operations_router;
use crate::edge::receipts::{Awaited, ReceiptDesk, ReceiptOffer};
use crate::edge::spire_api::{self, AdminApi, Allowed};
use crate::evidence::backlog::Insistent;
use crate::evidence::export::ExportMetrics;
use crate::evidence::log::{Archive, CertificateKeeper, Durability, LogMetrics};
use crate::evidence::{Audit, Backlog, BacklogMetrics, TurnedAway};
use crate::foundation::clock::{Clock, SystemClock};
use crate::foundation::entropy::{Entropy, PooledEntropy, SystemEntropy};
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::telemetry::LogLevels;
use crate::foundation::watched::Watched;
use crate::identity::authority::{Authority, Statement};
use crate::identity::bundle::Bundles;
use crate::identity::svid::LeafVerifier;
use crate::server::{Admission, AdmissionLimits, InheritedSockets, Tls};
use crate::store;

/// What every part needs.
pub(super) struct Common {
    pub(super) audit: Arc<dyn Audit>,
    /// For records of what happens either way.
    pub(super) backlog: Backlog,
    /// Whom we turn away.
    pub(super) turned_away: TurnedAway,
    pub(super) archive: Archive,
    pub(super) certificates: Arc<CertificateKeeper>,
    pub(super) receipts: Option<ReceiptOffer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) readiness: Readiness,
}

impl Common {
    fn new(
        (evidence, receipts): (&Evidence, Option<ReceiptOffer>),
        (backlog, counted): (BacklogMetrics, Counted<'_>),
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        readiness: Readiness,
    ) -> Self {
        let (audit, archive) = (Arc::clone(&evidence.log) as Arc<dyn Audit>, evidence.archive.clone());
        let certificates = Arc::clone(&evidence.certificates);
        let insistent = Arc::new(Insistent(Arc::clone(&evidence.log)));
        let backlog = Backlog::new(insistent, readiness.clone(), backlog);
        let turned_away = counted.turned_away(Arc::clone(&clock));
        Self { audit, backlog, turned_away, archive, certificates, receipts, clock, entropy, readiness }
    }
}

impl App {
    /// Builds all parts and starts serving.
    ///
    /// # Errors
    /// [`AppError`]: the first thing that keeps the process from serving all that it was told to.
    pub async fn build(
        config: &Config,
        log: LogLevels,
        inherited: InheritedSockets,
        takeover: bool,
    ) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (metrics, metrics_registry) = Metrics::register(clock.now());
        let (shutdown, mut tasks, readiness) = (Shutdown::default(), TaskGroup::default(), Readiness::default());
        let starting = readiness.block("start", "the process is starting");
        let mut listeners = Listeners::new(&config.limits, metrics.server, inherited, takeover);
        let desk = receipt_desk(config, &clock);
        let operations = operations_router(readiness.clone(), metrics_registry, desk.clone());
        listeners.prepare("operations", &config.listen.operations, &Served::Http(operations, None))?;
        if !takeover {
            listeners.open(&mut tasks, &shutdown)?;
        }

        let opening = readiness.block("store", "waiting for the database");
        let store = Arc::new(store::open(config.store.url.expose().expose()).await?);
        drop(opening);
        let counted = Counted { checks: &metrics.ext_authz, sds: &metrics.sds, workload_api: &metrics.workload_api };
        let counted = (metrics.audit, metrics.exports, metrics.backlog, counted);
        let (begun, running) = ((clock, readiness, takeover), (&mut tasks, &shutdown));
        let (evidence, common, chronicle) = evidence_plane(config, desk, begun, counted, running).await?;
        let witness = witnesses::start(config, &common, &evidence, metrics.witness, (&mut tasks, &shutdown))?;

        let counted = (metrics.authority, metrics.issue, metrics.federation);
        let identity = IdentityPlane::build(config, &common, &store, counted, &metrics.attest).await?;
        identity.maintain(&mut tasks, &common, &shutdown);
        let served = (metrics.sds, metrics.workload_api, metrics.outbound);
        let workloads = identity.workload_router(config, &common, served, (&mut tasks, &shutdown))?;
        let (admin, purges) = (admin_api(&config.admin, &common, metrics.admin), Arc::new(Purges::default()));
        let administration = admin.router(identity.admin_services(config, &common, log, &purges, shutdown.signal())?);
        tasks.spawn("the calls of the admin API", admin.finish(shutdown.signal()));

        let counted = (metrics.policies, metrics.entities);
        let policies = decision_data(config, &common, counted, (&mut tasks, &shutdown)).await?;

        let routes = mapping(&config.decision, &common, &policies, metrics.mapping, (&mut tasks, &shutdown)).await?;
        let (bundles, tokens) = (identity.authority.bundles(), metrics.tokens);
        let trusted = (&config.trust_domain, bundles, &identity.revocations);
        let principals = principals(&config.tokens, &common, trusted, tokens.clone(), (&mut tasks, &shutdown)).await;
        let access = access(config, &common, trusted, tokens.clone(), (&mut tasks, &shutdown)).await?;
        let encryption = Encryption::build(config, &common, &identity, (&mut tasks, &shutdown)).await?;
        let ports = decision_ports(&config.decision, &common, policies, &identity.authority, purges);
        let authorizer = authorizer(config, ports, (metrics.decision, metrics.shadow))?;
        let authorizer = authorizer.with_mapping(routes).with_principals(principals);
        let authorizer = Arc::new(authorizer.with_recording(evidence.recording));
        let checks = checks(config, Arc::clone(&authorizer), &common, metrics.ext_authz)?;
        let authzen = authzen_config(&config.authzen, &identity.authority, &common);
        let questions = AuthzenApi::new(Arc::clone(&authorizer), authzen, metrics.authzen);
        let (counted, running) = ((tokens, metrics.exchange, metrics.token), (&mut tasks, &shutdown));
        let exchange = token_endpoint(config, &common, &identity, authorizer, counted, running).await;

        listeners.prepare("admin", &config.listen.admin, &Served::Http(administration, None))?;
        publish(&mut listeners, config, (&common, bundles), &encryption)?;
        let asked = (&questions, &common.turned_away);
        listeners.prepare_authzen(&config.listen.authzen, asked, access, encryption.authzen)?;
        listeners.prepare("ext_authz", &config.listen.ext_authz, &checks)?;
        listeners.prepare("token", &config.listen.token, &Served::Http(exchange, encryption.token))?;
        listeners.prepare("witness", &config.listen.witness, &Served::Http(witness, None))?;
        listeners.prepare("workload", &config.listen.workload, &Served::Http(workloads, None))?;
        listeners.complete(&common.turned_away)?;
        listeners.open(&mut tasks, &shutdown)?;
        let stop = StopSignals::install()?;
        drop(starting);
        tracing::info!(trust_domain = %config.trust_domain, version = env!("CARGO_PKG_VERSION"), "serving");
        Ok(Self { tasks, shutdown, stop, chronicle, audit: evidence.keeper, exports: evidence.exports, store })
    }
}

/// Opens the log, says in it that the process begins, and starts what looks after it.
async fn evidence_plane(
    config: &Config,
    desk: Option<Arc<ReceiptDesk>>,
    (clock, readiness, takeover): (Arc<dyn Clock>, Readiness, bool),
    (log, exports, backlog, counted): (LogMetrics, ExportMetrics, BacklogMetrics, Counted<'_>),
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<(Evidence, Common, Chronicle), AppError> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let evidence = Evidence::open(config, &clock, &entropy, &readiness, (log.clone(), exports))?;
    let receipts = receipt_offer(config, desk, &evidence);
    let common = Common::new((&evidence, receipts), (backlog, counted), clock, entropy, readiness);
    let begun = (&evidence, takeover);
    let chronicle = Chronicle::begin(&common, &config.audit, begun, log, (tasks, shutdown)).await?;
    retention::keep(config, &common, &evidence, (tasks, shutdown));
    Ok((evidence, common, chronicle))
}

/// What others need to trust us.
fn publish(
    listeners: &mut Listeners,
    config: &Config,
    (common, bundles): (&Common, &Arc<Watched<Bundles>>),
    encryption: &Encryption,
) -> Result<(), AppError> {
    let (listen, bundle) = (&config.listen, published_bundle(config, common, bundles));
    let shown = |router: &Router, tls: &Option<Tls>| Served::Http(router.clone(), tls.clone());
    listeners.prepare("bundle_web", &listen.bundle_web, &shown(&bundle, &encryption.web))?;
    listeners.prepare("bundle_spiffe", &listen.bundle_spiffe, &shown(&bundle, &encryption.spiffe))?;
    let keys = published_keys(config, common, bundles);
    listeners.prepare("oidc", &listen.oidc, &shown(&keys, &encryption.oidc))
}

/// Our bundle, as others may fetch it.
fn published_bundle(config: &Config, common: &Common, bundles: &Arc<Watched<Bundles>>) -> Router {
    let endpoint = &config.federation.endpoint;
    let served = BundleEndpointConfig {
        trust_domain: config.trust_domain.clone(),
        refresh_hint: endpoint.refresh_hint,
        requests_per_second: endpoint.requests_per_second,
    };
    bundle_router(served, Arc::clone(bundles), Arc::clone(&common.clock))
}

/// The keys of our tokens, as others may fetch them.
fn published_keys(config: &Config, common: &Common, bundles: &Arc<Watched<Bundles>>) -> Router {
    let served = OidcConfig {
        trust_domain: config.trust_domain.clone(),
        issuers: config.oidc.issuers.clone(),
        rsa_hash: config.identity.jwt_rsa_hash,
        requests_per_second: config.oidc.requests_per_second,
    };
    oidc_router(served, Arc::clone(bundles), Arc::clone(&common.clock))
}

/// Where receipts are given out, unless they are not to be.
fn receipt_desk(config: &Config, clock: &Arc<dyn Clock>) -> Option<Arc<ReceiptDesk>> {
    config.audit.receipts.then(|| Arc::new(ReceiptDesk::new(Arc::clone(clock))))
}

/// Opens the desk, and says what answers say of it: where it is, if its URL is known, and what it has, if answers wait for the disk.
fn receipt_offer(config: &Config, desk: Option<Arc<ReceiptDesk>>, evidence: &Evidence) -> Option<ReceiptOffer> {
    let desk = desk.inspect(|desk| desk.open(evidence.receipts.clone()))?;
    let waits = config.audit.durability == Durability::Strict;
    let awaited = waits.then(|| Awaited { desk, published: evidence.log.published() });
    Some(ReceiptOffer::new(config.audit.receipt_url.as_deref()?, awaited))
}

/// Policies and entities: read once, then followed.
async fn decision_data(
    config: &Config,
    common: &Common,
    (policy_metrics, entity_metrics): (PolicyMetrics, EntityMetrics),
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Arc<Watched<PolicySet>>, AppError> {
    let news = policy_news(common, policy_metrics);
    let of_callers = config::decides_on_callers(&config.listen, &config.authzen);
    let config = &config.decision;
    let policies = policies(&config.policies, of_callers, &news).await?;
    let gate = Arc::clone(&news) as Arc<dyn PolicyGate>;
    let entities = entities(config, common, (&policies, gate), entity_metrics, (tasks, shutdown)).await?;
    let target = Arc::new(InForce { policies: Arc::clone(&policies), entities });
    let watching = watch(config.policies.clone(), target, news, config.poll_interval, shutdown.signal());
    tasks.spawn("the watch over policies", watching);
    Ok(policies)
}

/// Who is told of loads of policies.
fn policy_news(common: &Common, metrics: PolicyMetrics) -> Arc<PolicyNews> {
    Arc::new(PolicyNews {
        audit: Arc::clone(&common.audit),
        backlog: common.backlog.clone(),
        archive: common.archive.clone(),
        clock: Arc::clone(&common.clock),
        metrics,
        readiness: common.readiness.clone(),
    })
}

/// The first set. There is no last good one yet, so a broken one keeps the process from starting.
async fn policies(
    directory: &Path,
    of_callers: bool,
    news: &Arc<PolicyNews>,
) -> Result<Arc<Watched<PolicySet>>, AppError> {
    let _loading = news.readiness.block("policies", "loading the policies");
    let (owned, events) = (directory.to_owned(), Arc::clone(news));
    let load = move || {
        let sources = Sources::read(&owned)?;
        let policies = PolicySet::compile(&sources)?;
        let policies = if of_callers { policies.with_callers(&owned)? } else { policies };
        let unkept = |why| LoadError::single(Problem::new(&owned, why));
        events.accepted(&sources).map_err(unkept).map(|()| policies)
    };
    let loaded = tokio::task::spawn_blocking(load).await;
    let policies = Arc::new(Watched::new(loaded.map_err(|_panic| LoadError::fault(directory)).flatten()?));
    news.first(&policies).await;
    Ok(policies)
}

fn decision_ports(
    config: &config::Decision,
    common: &Common,
    policies: Arc<Watched<PolicySet>>,
    authority: &Authority,
    purges: Arc<Purges>,
) -> DecisionPorts {
    let remembered = u64::try_from(config.verified_leaves).unwrap_or(u64::MAX);
    DecisionPorts {
        policies,
        leaves: LeafVerifier::new(Arc::clone(authority.bundles()), remembered)
            .with_keeper(Arc::clone(&common.certificates)),
        cache: DecisionCache::new(config.cache.capacity, config.cache.ttl, purges),
        audit: Arc::clone(&common.audit),
        clock: Arc::clone(&common.clock),
        entropy: Arc::new(PooledEntropy::default()),
    }
}

/// What answers questions, with the ports that it answers by.
fn authorizer(
    config: &Config,
    ports: DecisionPorts,
    (metrics, shadow_metrics): (DecisionMetrics, ShadowMetrics),
) -> Result<Authorizer, AppError> {
    let authorizer = Authorizer::new(ports, metrics).with_shadow(shadow(&config.decision.shadow, shadow_metrics)?);
    let authorizer = authorizer.with_obligations_forwarded(config.ext_authz.forwards_obligations);
    Ok(authorizer.with_questions_mapped(config.authzen.map_routes))
}

/// Nothing, unless it is asked for.
fn shadow(config: &config::Shadow, metrics: ShadowMetrics) -> Result<Option<Shadow>, AppError> {
    let started = config.one_in.map(|one_in| Shadow::start(one_in, metrics)).transpose();
    started.map_err(AppError::Runtime)
}

fn admin_api(config: &config::Admin, common: &Common, metrics: spire_api::Metrics) -> AdminApi {
    let mut allowed = Allowed { uids: config.allowed_uids.clone(), gids: config.allowed_gids.clone() };
    allowed.uids.extend([0, geteuid().as_raw()]);
    AdminApi::new(allowed, Arc::clone(&common.audit), Arc::clone(&common.clock), metrics)
}

/// The service that Envoy asks, and what it may be asked at the same time over all of its listeners.
fn checks(
    config: &Config,
    authorizer: Arc<Authorizer>,
    common: &Common,
    metrics: ext_authz::Metrics,
) -> Result<Served, AppError> {
    let asked = &config.ext_authz;
    let limits = AdmissionLimits { requests: asked.max_concurrent_checks, bytes: asked.max_kept_bytes };
    let workers = Handle::current().metrics().num_workers();
    let admission = Admission::new(limits, metrics.under_way.clone(), metrics.kept_bytes.clone(), workers);
    let service = ExtAuthz::new(authorizer, Arc::clone(&common.clock), ext_authz_config(config, common)?, metrics);
    Ok(Served::Checks(Arc::new(service), admission, Arc::clone(&common.clock)))
}

fn ext_authz_config(config: &Config, common: &Common) -> Result<ExtAuthzConfig, AppError> {
    let config::Answers { realm, resource_metadata, messages } = config.answers.clone();
    let config = &config.ext_authz;
    let headers = HeaderNames::new(config.identity_header.as_str(), config.decision_header.as_str())
        .map_err(|error| AppError::Setting(format!("ext_authz: {error}")))?;
    Ok(ExtAuthzConfig {
        headers,
        answers: Answers { realm, resource_metadata, messages },
        forwards_obligations: config.forwards_obligations,
        max_message_bytes: config.max_message_bytes,
        receipts: common.receipts.clone(),
        ..ExtAuthzConfig::default()
    })
}

fn authzen_config(config: &config::Authzen, authority: &Arc<Authority>, common: &Common) -> AuthzenConfig {
    let metadata = config.identifiers.iter().cloned().map(Metadata::new).map(|metadata| {
        let sign = |claims| Arc::new(Statement::new(Arc::clone(authority), Arc::clone(&common.clock), claims));
        if config.signed_metadata { metadata.clone().with_statement(sign(metadata.claims())) } else { metadata }
    });
    AuthzenConfig {
        max_body_bytes: config.max_body_bytes,
        max_evaluations: config.max_evaluations,
        max_concurrent_requests: config.max_concurrent_requests,
        max_concurrent_searches: config.max_concurrent_searches,
        max_page_size: config.max_page_size,
        decision_context: config.decision_context,
        decision_context_on_request: config.decision_context_on_request,
        metadata: metadata.collect(),
        receipts: common.receipts.clone(),
    }
}
