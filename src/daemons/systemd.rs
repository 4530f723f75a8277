//! What systemd knows of the unit that a process belongs to (`org.freedesktop.systemd1(5)`, over D-Bus). Selectors:
//! `systemd:id:NAME` and `systemd:fragment_path:PATH`, the latter empty for a unit without a file.
//!
//! systemd is asked by a handle on the process, which no other process can take over; one before version 253 does not
//! know that question, and is asked by the number.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tokio::sync::Mutex;
use zbus::connection::Builder;
use zbus::{Connection, Error, Fd, Message, OwnedObjectPath, OwnedVariant, fdo};

use crate::identity::attest::{AttestFuture, AttestorError, Caller, WorkloadAttestor};
use crate::server::UnixPeer;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// systemd's word for a process that is in none of its units, as one in a container may be.
const NO_UNIT: [&str; 2] = ["org.freedesktop.systemd1.NoUnitForPID", "org.freedesktop.systemd1.NoSuchUnit"];

/// Asks systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Systemd {
    /// Asks over the system bus, which listens on `bus`.
    pub fn new(bus: PathBuf) -> Self {
        Self { bus, connection: Mutex::default() }
    }

    async fn selectors(&self, peer: &UnixPeer) -> zbus::Result<Vec<String>> {
        let connection = self.connection().await?;
        let Some(unit) = unit(&connection, peer).await? else { return Ok(Vec::new()) };
        let id = property(&connection, &unit, "Id").await?;
        let fragment_path = property(&connection, &unit, "FragmentPath").await?;
        Ok(vec![format!("id:{id}"), format!("fragment_path:{fragment_path}")])
    }

    /// The connection that all questions share; a new one if it has ended.
    async fn connection(&self) -> zbus::Result<Connection> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        // Connecting to a Unix socket waits for nobody but a full queue, and this bus is the system's own.
        let stream = UnixStream::connect(&self.bus)?;
        let new = Builder::unix_stream(stream).build().await?;
        Ok(connection.insert(new).clone())
    }
}

impl WorkloadAttestor for Systemd {
    fn kind(&self) -> &'static str {
        "systemd"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> AttestFuture<'a> {
        Box::pin(async {
            let found = self.selectors(&caller.peer).await;
            found.map_err(|error| AttestorError::Daemon(format!("`{}`: {error}", self.bus.display())))
        })
    }
}

/// The unit that `peer` belongs to; `None` if there is none.
async fn unit(connection: &Connection, peer: &UnixPeer) -> zbus::Result<Option<OwnedObjectPath>> {
    if let Some(pidfd) = &peer.pidfd {
        let body = (Fd::from(pidfd.as_fd()),);
        let asked = connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "GetUnitByPIDFD", &body).await;
        match asked {
            Ok(answer) => {
                let (path, _id, _invocation): (OwnedObjectPath, String, Vec<u8>) = answer.body().deserialize()?;
                return Ok(Some(path));
            }
            Err(Error::FDO(error)) if matches!(*error, fdo::Error::UnknownMethod(_)) => {}
            Err(error) => return no_unit(error),
        }
    }
    let Ok(pid) = u32::try_from(peer.pid) else { return Ok(None) };
    match connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "GetUnitByPID", &(pid,)).await {
        Ok(answer) => Ok(Some(answer.body().deserialize()?)),
        Err(error) => no_unit(error),
    }
}

fn no_unit(error: Error) -> zbus::Result<Option<OwnedObjectPath>> {
    match error {
        Error::MethodError(name, ..) if NO_UNIT.contains(&name.as_str()) => Ok(None),
        error => Err(error),
    }
}

async fn property(connection: &Connection, unit: &OwnedObjectPath, name: &str) -> zbus::Result<String> {
    let answer: Message = connection.call_method(Some(SYSTEMD), unit, Some(PROPERTIES), "Get", &(UNIT, name)).await?;
    let value: OwnedVariant = answer.body().deserialize()?;
    String::try_from(value)
}

#[cfg(test)]
mod tests;
