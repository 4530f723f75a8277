//! The composition root: the one place that knows both a port and its adapter.

use crate::config::Config;

/// Serves as `config` says until told to stop, then drains. With `takeover`, Unix sockets that another process still
/// listens on are replaced by ours.
///
/// # Errors
/// Whatever keeps the process from starting, or from going on.
pub fn serve(config: Config, takeover: bool) -> anyhow::Result<()> {
    let Config { trust_domain, .. } = config;
    anyhow::bail!("this build has nothing to serve `{trust_domain}` with (takeover: {takeover})")
}
