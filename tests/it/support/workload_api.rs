//! The Workload API as a client: the generated one, and rust-spiffe's.

use std::path::Path;

use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use portcullis_spiffe_api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
    X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use serde_json::{Value, json};
use spiffe::WorkloadApiClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::sds;

/// One connection.
pub(crate) struct Client(pub(crate) SpiffeWorkloadApiClient<Channel>);

impl Client {
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self(SpiffeWorkloadApiClient::new(sds::channel(socket).await))
    }

    pub(crate) async fn x509_svids(&mut self) -> Streaming<X509svidResponse> {
        self.0.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner()
    }

    pub(crate) async fn x509_bundles(&mut self) -> Streaming<X509BundlesResponse> {
        self.0.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner()
    }

    pub(crate) async fn jwt_bundles(&mut self) -> Streaming<JwtBundlesResponse> {
        self.0.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await.unwrap().into_inner()
    }

    pub(crate) async fn tokens(&mut self, audience: &str, spiffe_id: &str) -> Result<Vec<Jwtsvid>, Status> {
        let request = JwtsvidRequest { audience: vec![audience.to_owned()], spiffe_id: spiffe_id.to_owned() };
        Ok(self.0.fetch_jwtsvid(with_header(request)).await?.into_inner().svids)
    }

    pub(crate) async fn validate(&mut self, audience: &str, svid: &str) -> Result<ValidateJwtsvidResponse, Status> {
        let request = ValidateJwtsvidRequest { audience: audience.to_owned(), svid: svid.to_owned() };
        self.0.validate_jwtsvid(with_header(request)).await.map(Response::into_inner)
    }
}

/// rust-spiffe's client on `socket`.
pub(crate) async fn rust_spiffe(socket: &Path) -> WorkloadApiClient {
    WorkloadApiClient::connect_to(format!("unix://{}", socket.display())).await.unwrap()
}

/// A request with the security header.
pub(crate) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

/// The next message of a stream that must have one.
pub(crate) async fn next<T>(stream: &mut Streaming<T>) -> T {
    stream.message().await.unwrap().unwrap()
}

/// `identity.entries` with one entry for each of `named`, a SPIFFE ID's path and a hint, all for this test process; the
/// first has a DNS name too.
pub(crate) fn entries_for_us(named: &[(&str, &str)]) -> String {
    let us = std::env::current_exe().unwrap();
    let entry = |(index, (name, hint)): (usize, &(&str, &str))| {
        json!({
            "id": format!("entry-{index}"),
            "spiffe_id": format!("spiffe://example.org/{name}"),
            "selectors": [format!("unix:path:{}", us.display())],
            "hint": hint,
            "dns_names": if index == 0 { vec![format!("{name}.example.org")] } else { Vec::new() },
        })
    };
    Value::Array(named.iter().enumerate().map(entry).collect()).to_string()
}
