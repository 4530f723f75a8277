//! The composition root: the one place that knows both a port and its adapter. It builds the process from its
//! configuration, runs it, and ends it in order.
//!
//! The operations listener comes first, so that `/readyz` can name what the start is waiting for; those that others
//! depend on come last. A successor takes over all listeners, that one too, at once and only when it can answer: one that
//! fails to start must not take anything from the process that runs.

mod admin;
mod build;
mod bundle_map;
mod callers;
mod chronicle;
mod delegation;
mod entities;
pub(crate) mod evidence;
mod federation;
mod identity;
mod listeners;
mod mapping;
mod metrics;
mod outbound;
mod policies;
mod retention;
mod tls;
mod tokens;
mod witnesses;

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::chronicle::Chronicle;
use crate::config::Config;
use crate::decision::policy::LoadError;
use crate::edge::grpc::ReflectionError;
use crate::evidence::export::{Exports, SinkError};
use crate::evidence::log::{self as audit_log, FinishError, Keeper};
use crate::evidence::witness::BookError;
use crate::foundation::shutdown::{Phase, Shutdown, TaskGroup};
use crate::foundation::telemetry::{LogError, start_logging};
use crate::identity::authority::AuthorityError;
use crate::identity::delegation::RevocationStoreError;
use crate::identity::federation::FederationStoreError;
use crate::identity::registry::{ReconcileError, RegistryError};
use crate::server::{BindError, InheritedSockets};
use crate::store::{Store, StoreError};

/// The stack of a thread that decides, in bytes: enough to evaluate and to drop the longest policy that loads. Only what
/// is used of it takes memory.
const STACK: usize = 32 << 20;

/// How long what was accepted for the audit log may take to reach the disk at the end.
const AUDIT_DEADLINE: Duration = Duration::from_secs(10);

/// Why the process did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Logging can't be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The runtime, or a signal handler, can't be set up.
    #[error("the process can't be set up: {0}")]
    Runtime(std::io::Error),
    /// A listener can't be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log can't be opened.
    #[error("the audit log can't be opened: {0}")]
    Audit(#[from] audit_log::LogError),
    /// Records can't be given to who is to have them.
    #[error("records can't be exported: {0}")]
    Export(#[from] SinkError),
    /// We can't be a witness.
    #[error("the witness can't be opened: {0}")]
    Witness(#[from] BookError),
    /// Not every record reached the audit log.
    #[error(transparent)]
    Unwritten(#[from] FinishError),
    /// The first set of policies does not load; later there is a last good one.
    #[error("{0}")]
    Policies(#[from] LoadError),
    /// The registration entries can't be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Those of the configuration can't stand.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The bundles of others, or the relationships with them, can't be read.
    #[error("the federation can't be read: {0}")]
    Federation(#[from] FederationStoreError),
    /// What is revoked of delegations can't be read.
    #[error("the revocations of delegations can't be read: {0}")]
    Revocations(#[from] RevocationStoreError),
    /// The authority can't be opened.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The gRPC services can't be described.
    #[error(transparent)]
    Reflection(#[from] ReflectionError),
    /// A setting that another room refuses.
    #[error("{0}")]
    Setting(String),
    /// A task that should run until the end did not.
    #[error("{0} ended by itself, so the process ends too")]
    TaskEnded(&'static str),
}

impl AppError {
    /// Whether what the operator wrote is to blame, and not what the machine did.
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Log(_) | Self::Policies(_) | Self::Setting(_) | Self::Reconcile(ReconcileError::Entry { .. })
        )
    }
}

/// Serves as `config` says until SIGTERM or SIGINT, then drains. With `takeover`, Unix sockets that another process
/// still listens on are replaced by ours.
///
/// # Errors
/// [`AppError`]: whatever keeps the process from starting or from going on.
pub fn serve(config: &Config, inherited: InheritedSockets, takeover: bool) -> Result<(), AppError> {
    let log = start_logging(&config.log)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .map_err(AppError::Runtime)?;
    runtime.block_on(async {
        let app = App::build(config, log.levels(), inherited, takeover).await?;
        app.run(config.shutdown.deadline).await
    })
}

/// As many open files as the system allows: each connection takes two. Service managers start processes with 1024, for
/// the sake of programs that use select(2).
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files can't be raised");
        }
    }
}

/// The process, serving.
#[derive(Debug)]
pub struct App {
    tasks: TaskGroup,
    shutdown: Shutdown,
    stop: StopSignals,
    chronicle: Chronicle,
    audit: Keeper,
    exports: Exports,
    store: Arc<Store>,
}

impl App {
    /// Runs until told to stop or until a task ends that should not, then drains for at most `deadline`.
    ///
    /// # Errors
    /// [`AppError::TaskEnded`], [`AppError::Unwritten`].
    pub async fn run(mut self, deadline: Duration) -> Result<(), AppError> {
        // A terminal that closes, or a habit of reloading by SIGHUP, must not end the process without a drain. Nothing here
        // needs a signal to be reloaded, so it is taken and means nothing.
        let _ignored = signal(SignalKind::hangup()).map_err(AppError::Runtime)?;
        let ended = tokio::select! {
            name = self.stop.next() => {
                tracing::info!(signal = name, "told to stop; draining for at most {deadline:?}");
                None
            }
            name = self.tasks.first_ended() => Some(name),
        };
        self.drain(deadline).await;
        self.store.close().await;
        self.chronicle.end();
        let written = tokio::task::spawn_blocking(move || self.audit.finish(AUDIT_DEADLINE)).await;
        if let Ok(written) = written {
            written?;
        }
        self.exports.finish(AUDIT_DEADLINE).await;
        match ended {
            Some(name) => Err(AppError::TaskEnded(name)),
            None => Ok(()),
        }
    }

    /// No new work; what is under way may end until the deadline, or until a second signal.
    async fn drain(&mut self, deadline: Duration) {
        self.shutdown.advance(Phase::Draining);
        let (tasks, stop, shutdown) = (std::mem::take(&mut self.tasks), &mut self.stop, &self.shutdown);
        let cut = async {
            tokio::select! {
                () = tokio::time::sleep(deadline) => tracing::warn!("the drain deadline has passed; cutting off the rest"),
                _ = stop.next() => tracing::warn!("told to stop again; cutting off the rest"),
            }
            shutdown.advance(Phase::Stopped);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // A second after the cut whatever does not obey it is ended by force.
            in_time = tasks.finish(deadline.saturating_add(Duration::from_secs(1))) => {
                tracing::info!(in_time, "drained");
            }
            () = cut => {}
        }
        self.shutdown.advance(Phase::Stopped);
    }
}

/// SIGTERM and SIGINT: they mean a drain from before the process is ready, since what it has recorded by then is to be kept.
#[derive(Debug)]
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install() -> Result<Self, AppError> {
        let install = |kind| signal(kind).map_err(AppError::Runtime);
        Ok(Self { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    /// Waits for one of them and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
