//! The listeners: what is behind each, what the encrypted ones show, and opening them all.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;

use super::AppError;
use super::build::Common;
use super::identity::IdentityPlane;
use super::tls::{Use, certificate, server_tls};
use crate::config::{self, Config, ServerTls};
use crate::decision::Authorizer;
use crate::edge::envoy::ext_authz::ExtAuthz;
use crate::edge::http::authzen::{Access, AuthzenApi};
use crate::edge::http::turned_away::accounted;
use crate::evidence::TurnedAway;
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::server::{
    Admission, InheritedSockets, Limits, Prepared, ServerMetrics, Tls, prepare, serve, serve_exchange,
};

/// The mode of a Unix socket whose address names none; the configuration gives each one.
const UNIX_MODE: u32 = 0o600;

/// Opens listeners and serves on them.
pub(super) struct Listeners {
    pub(super) inherited: InheritedSockets,
    limits: Limits,
    metrics: ServerMetrics,
    takeover: bool,
    /// The names of all that were prepared, each once.
    names: BTreeSet<&'static str>,
    prepared: Vec<(&'static str, Prepared, Served)>,
}

/// What encrypted listeners show.
pub(super) struct Encryption {
    /// Of each listener of `AuthZEN`, in their order.
    pub(super) authzen: Vec<Option<Tls>>,
    pub(super) web: Option<Tls>,
    pub(super) spiffe: Option<Tls>,
    pub(super) oidc: Option<Tls>,
    pub(super) token: Option<Tls>,
}

/// What is behind a listener.
#[derive(Clone)]
pub(super) enum Served {
    Http(Router, Option<Tls>),
    Checks(Arc<ExtAuthz>, Admission, Arc<dyn Clock>),
}

impl Encryption {
    pub(super) async fn build(
        config: &Config,
        common: &Common,
        identity: &IdentityPlane,
        (tasks, shutdown): (&mut TaskGroup, &Shutdown),
    ) -> Result<Self, AppError> {
        let spiffe = config.federation.endpoint.spiffe_id.clone();
        let spiffe = spiffe.map(|spiffe_id| ServerTls::Svid { spiffe_id, dns_names: Vec::new(), ttl: None });
        let web = config.federation.endpoint.web.as_ref();
        let mut show = async |name: Cow<'static, str>, setting: Cow<'static, str>, tls: Option<&ServerTls>| match tls {
            Some(tls) => {
                certificate(Use { name, setting }, tls, common, identity, (&mut *tasks, shutdown)).await.map(Some)
            }
            None => Ok(None),
        };
        let shared = show("authzen_tls".into(), "authzen.tls".into(), config.authzen.tls.as_ref()).await?;
        let mut authzen = Vec::new();
        for (place, listener) in config.listen.authzen.iter().enumerate() {
            let own = (format!("authzen_tls_{place}").into(), format!("listen.authzen[{place}].tls").into());
            let shown = match &listener.tls {
                Some(tls) => show(own.0, own.1, Some(tls)).await?,
                None => shared.clone(),
            };
            let callers_show_theirs = listener.callers(&config.authzen).mtls;
            authzen.push(shown.map(|shown| server_tls(shown, callers_show_theirs)).transpose()?);
        }
        let mut build = async |name: &'static str, setting: &'static str, tls, ask_for_certificates| {
            let shown = show(name.into(), setting.into(), tls).await?;
            shown.map(|shown| server_tls(shown, ask_for_certificates)).transpose()
        };
        Ok(Self {
            authzen,
            web: build("bundle_web_tls", "federation.endpoint.web", web, false).await?,
            spiffe: build("bundle_spiffe_tls", "federation.endpoint.spiffe_id", spiffe.as_ref(), false).await?,
            oidc: build("oidc_tls", "oidc.tls", config.oidc.tls.as_ref(), false).await?,
            token: build("token_tls", "delegation.tls", config.delegation.tls.as_ref(), true).await?,
        })
    }
}

impl Listeners {
    pub(super) fn new(
        config: &config::Limits,
        metrics: ServerMetrics,
        inherited: InheritedSockets,
        takeover: bool,
    ) -> Self {
        Self { inherited, limits: limits(config), metrics, takeover, names: BTreeSet::new(), prepared: Vec::new() }
    }

    pub(super) fn prepare(
        &mut self,
        name: &'static str,
        addresses: &[config::Address],
        served: &Served,
    ) -> Result<(), AppError> {
        for address in addresses {
            let prepared = prepare(&address.listen, UNIX_MODE, self.takeover, &mut self.inherited)?;
            let served = match served {
                // A listener that should be encrypted is never opened in the clear.
                Served::Http(_, None) if address.tls => {
                    return Err(AppError::Setting(format!(
                        "`{address}` of `listen.{name}` has no certificate to show"
                    )));
                }
                Served::Http(router, _) if !address.tls => Served::Http(router.clone(), None),
                other => other.clone(),
            };
            self.names.insert(name);
            self.prepared.push((name, prepared, served));
        }
        Ok(())
    }

    /// Prepares those of `AuthZEN`, for each of which there is who may ask and what it shows.
    pub(super) fn prepare_authzen(
        &mut self,
        listeners: &[config::AuthzenListener],
        (api, turned_away): (&AuthzenApi<Authorizer>, &TurnedAway),
        access: Vec<Access>,
        shown: Vec<Option<Tls>>,
    ) -> Result<(), AppError> {
        for ((listener, access), tls) in listeners.iter().zip(access).zip(shown) {
            let served = Served::Http(accounted(api.router(access), turned_away.clone(), "authzen"), tls);
            self.prepare("authzen", std::slice::from_ref(&listener.address), &served)?;
        }
        Ok(())
    }

    /// That were all: no socket is left that was handed over, and those are on record whose connections are not served.
    pub(super) fn complete(&mut self, turned_away: &TurnedAway) -> Result<(), AppError> {
        std::mem::take(&mut self.inherited).finish()?;
        for name in &self.names {
            for (reason, counter) in self.metrics.listener(name).turned_away() {
                turned_away.follow(name, reason, counter);
            }
        }
        Ok(())
    }

    /// Serves on all that was prepared.
    pub(super) fn open(&mut self, tasks: &mut TaskGroup, shutdown: &Shutdown) -> Result<(), AppError> {
        for (name, prepared, served) in self.prepared.drain(..) {
            let metrics = self.metrics.listener(name);
            // Who asks for identities is written in any language; who asks for decisions is Envoy.
            let limits = Limits { paths_as_authority: matches!(name, "workload" | "admin"), ..self.limits.clone() };
            let (bound, signal) = (prepared.publish()?, shutdown.signal());
            match served {
                Served::Http(router, tls) => tasks.spawn(name, serve(bound, tls, router, limits, metrics, signal)),
                Served::Checks(checks, admission, clock) => {
                    tasks.spawn(name, serve_exchange(bound, checks, admission, clock, limits, metrics, signal));
                }
            }
        }
        Ok(())
    }
}

fn limits(config: &config::Limits) -> Limits {
    Limits {
        max_connections: config.connections,
        max_concurrent_streams: config.streams_per_connection,
        max_header_list: config.header_bytes,
        header_read_timeout: config.header_timeout,
        keepalive_interval: config.keepalive_interval,
        keepalive_timeout: config.keepalive_timeout,
        max_connection_age: Some(config.connection_age).filter(|age| !age.is_zero()),
        ..Limits::default()
    }
}
