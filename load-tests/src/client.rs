//! One HTTP/2 connection, over TCP, a Unix socket or mTLS, on which many questions are under way at once.
//!
//! On the `h2` crate alone: the less the client costs, the more of the machine is the server's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::HeaderMap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::Failure;
use crate::address::Address;
use crate::wire::{Answer, Prepared, Wire};

/// How many bytes of answers may be under way: more than ever are.
const WINDOW: u32 = 1 << 24;

/// Who the client says it is, and whom it takes the server for: a directory as `portcullis x509 mint -write` leaves it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `svid.pem`, `key.pem` and `bundle.pem` are here.
    pub directory: PathBuf,
    /// A DNS name in the server's certificate.
    pub server_name: String,
}

/// A connection. Its clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    wire: Wire,
    sender: SendRequest<Bytes>,
}

impl Client {
    /// Connects. What drives the connection is left in `tasks`, on this thread.
    ///
    /// # Errors
    /// [`Failure`] if nobody is there, or TLS or HTTP/2 do not come about.
    pub async fn connect(
        address: &Address,
        identity: Option<&Identity>,
        wire: Wire,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Failure> {
        let fail = |error: &dyn std::fmt::Display| Failure::new(format_args!("connecting to {address:?}"), error);
        match address {
            Address::Unix(path) => {
                let socket = UnixStream::connect(path).await.map_err(|error| fail(&error))?;
                Self::over(socket, wire, tasks).await
            }
            Address::Tcp(socket) => {
                let socket = TcpStream::connect(socket).await.map_err(|error| fail(&error))?;
                socket.set_nodelay(true).map_err(|error| fail(&error))?;
                match identity {
                    None => Self::over(socket, wire, tasks).await,
                    Some(identity) => {
                        let name = ServerName::try_from(identity.server_name.clone()).map_err(|error| fail(&error))?;
                        let connector = TlsConnector::from(Arc::new(tls(&identity.directory)?));
                        let stream = connector.connect(name, socket).await.map_err(|error| fail(&error))?;
                        Self::over(stream, wire, tasks).await
                    }
                }
            }
        }
    }

    async fn over<S>(socket: S, wire: Wire, tasks: &mut JoinSet<()>) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
        let (sender, connection) =
            builder.handshake(socket).await.map_err(|error| Failure::new("beginning HTTP/2", error))?;
        tasks.spawn_local(async move { drop(connection.await) });
        Ok(Self { wire, sender })
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Why there is none, or what is wrong with it.
    pub async fn ask(&mut self, prepared: &Prepared, item: u64, request: u64) -> Result<Answer, String> {
        let (head, body) = prepared.fill(item, request);
        let sender = self.sender.clone().ready().await.map_err(|error| error.to_string())?;
        self.sender = sender;
        let (answer, mut stream) =
            self.sender.send_request(head, body.is_empty()).map_err(|error| error.to_string())?;
        if !body.is_empty() {
            stream.send_data(body, true).map_err(|error| error.to_string())?;
        }
        let (head, mut body) = answer.await.map_err(|error| error.to_string())?.into_parts();
        let mut read = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(|error| error.to_string())?;
            body.flow_control().release_capacity(part.len()).map_err(|error| error.to_string())?;
            read.extend_from_slice(&part);
        }
        let trailers: Option<HeaderMap> = body.trailers().await.map_err(|error| error.to_string())?;
        self.wire.read(head.status, trailers.as_ref().unwrap_or(&head.headers), &read)
    }
}

fn tls(directory: &Path) -> Result<rustls::ClientConfig, Failure> {
    let fail = |file: &str, error: &dyn std::fmt::Display| Failure::new(directory.join(file).display(), error);
    let certificates = |file: &str| -> Result<Vec<CertificateDer<'static>>, Failure> {
        let read = CertificateDer::pem_file_iter(directory.join(file)).map_err(|error| fail(file, &error))?;
        read.collect::<Result<_, _>>().map_err(|error| fail(file, &error))
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates("bundle.pem")? {
        roots.add(authority).map_err(|error| fail("bundle.pem", &error))?;
    }
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).map_err(|error| fail("key.pem", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fail("", &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("svid.pem")?, key)
        .map_err(|error| fail("svid.pem", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
