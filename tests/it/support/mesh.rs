//! A caller and a service, each behind a real Envoy, and the gateway between them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::envoy::{Sidecar, configuration, free_port};
use super::gateway::{Gateway, Home};
use super::http::{self, Answer};

/// The whole path: web → its Envoy → mTLS → the Envoy of `orders` (which asks the gateway) → `orders`.
pub(crate) struct Mesh {
    /// The gateway's files.
    pub(crate) home: Home,
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// The caller's sidecar.
    pub(crate) web: Sidecar,
    /// The service's sidecar.
    pub(crate) orders: Sidecar,
    /// Where the caller's sidecar takes plain HTTP.
    pub(crate) web_port: u16,
    /// Where the service's sidecar takes mTLS.
    pub(crate) orders_port: u16,
    _upstream: JoinSet<()>,
}

impl Mesh {
    /// Starts all of it, with settings over the quickstart's.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(settings, |backend| backend).await
    }

    /// Starts all of it, the service's sidecar on a changed configuration.
    pub(crate) async fn start_with(settings: &[(&str, &str)], change: impl FnOnce(String) -> String) -> Self {
        Self::start_in(Home::new(), settings, change).await
    }

    /// Starts all of it, both sidecars on changed configurations.
    pub(crate) async fn start_with_both(settings: &[(&str, &str)], change: impl Fn(&str) -> String) -> Self {
        let home = Home::new();
        let gateway = Gateway::start(&home, settings).await;
        Self::around(home, gateway, |backend| change(&backend), |caller| change(&caller)).await
    }

    /// Starts all of it, the gateway under what stands for a service manager.
    pub(crate) async fn start_activated() -> Self {
        let home = Home::new();
        let gateway = Gateway::start_activated(&home).await;
        Self::around(home, gateway, |backend| backend, |caller| caller).await
    }

    /// Starts all of it on files that are there already, before a service of the test's own, whose sidecar runs on this
    /// configuration.
    pub(crate) async fn start_before(home: Home, settings: &[(&str, &str)], sidecar: &str, service_port: u16) -> Self {
        let gateway = Gateway::start(&home, settings).await;
        let change = |backend: String| {
            let ports: Vec<&str> =
                backend.split("port_value: ").skip(1).map(|rest| &rest[..rest.find(' ').unwrap()]).collect();
            let [orders_port, _upstream] = ports[..] else { panic!("{ports:?}") };
            settled(sidecar, orders_port, service_port)
        };
        Self::around(home, gateway, change, |caller| caller).await
    }

    /// Starts all of it on files that are there already, the service's sidecar on a changed configuration.
    pub(crate) async fn start_in(home: Home, settings: &[(&str, &str)], change: impl FnOnce(String) -> String) -> Self {
        let gateway = Gateway::start(&home, settings).await;
        Self::around(home, gateway, change, |caller| caller).await
    }

    async fn around(
        home: Home,
        gateway: Gateway,
        change: impl FnOnce(String) -> String,
        change_caller: impl FnOnce(String) -> String,
    ) -> Self {
        let (web_port, orders_port) = (free_port(), free_port());
        let mut upstream = JoinSet::new();
        let upstream_port = serve_upstream(&mut upstream).await;
        let backend = settled(&configuration("backend.yaml"), &orders_port.to_string(), upstream_port);
        let caller = configuration("caller.yaml")
            .replace("18443", &orders_port.to_string())
            .replace("18001", &web_port.to_string())
            .replace("max_connection_duration: 300s", "max_connection_duration: 1s");
        let mut orders = Sidecar::spawn(&home, "orders", &change(backend));
        let mut web = Sidecar::spawn(&home, "web", &change_caller(caller));
        orders.ready().await;
        web.ready().await;
        Self { home, gateway, web, orders, web_port, orders_port, _upstream: upstream }
    }

    /// `GET path` by `web`, through both sidecars.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::get(self.web_port, path).await
    }
}

/// The configuration of a service's sidecar with these ports.
fn settled(sidecar: &str, port: &str, service_port: u16) -> String {
    sidecar
        .replace("18443", port)
        .replace("18080", &service_port.to_string())
        // A test machine may be busy with other things; a check must be answered here, not answered fast.
        .replace("timeout: 0.2s", "timeout: 10s")
        .replace("connect_timeout: 0.1s", "connect_timeout: 10s")
}

/// A service that answers every request with 200 and the headers that it got, as text.
pub(crate) async fn serve_upstream(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    request.extend_from_slice(&buffer[..read]);
                    if !request.windows(4).any(|window| window == b"\r\n\r\n") {
                        continue;
                    }
                    let length = request.len();
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
                    if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&request).await.is_err() {
                        return;
                    }
                    request.clear();
                }
            });
        }
    });
    port
}

/// Policies mounted as Kubernetes mounts a `ConfigMap`: every file a symlink through `..data`, itself a symlink to a
/// directory of one generation.
impl Mesh {
    /// Starts all of it on mounted policies.
    pub(crate) async fn start_with_mounted_policies() -> Self {
        let home = Home::new();
        let mount = home.policies();
        let generation = mount.join("..gen-1");
        std::fs::create_dir(&generation).unwrap();
        for file in ["orders.cedar", "portcullis.cedarschema", "entities.json"] {
            std::fs::rename(mount.join(file), generation.join(file)).unwrap();
            std::os::unix::fs::symlink(format!("..data/{file}"), mount.join(file)).unwrap();
        }
        std::os::unix::fs::symlink("..gen-1", mount.join("..data")).unwrap();
        Self::start_in(home, &[], |backend| backend).await
    }

    /// Swaps the mount to a generation with `more` at the end of its policies, as the kubelet does: by a rename.
    pub(crate) fn swap_mounted_policies(&self, more: &str) {
        let mount = self.home.policies();
        let (old, new) = (mount.join("..gen-1"), mount.join("..gen-2"));
        std::fs::create_dir(&new).unwrap();
        for file in std::fs::read_dir(&old).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), new.join(file.file_name())).unwrap();
        }
        let orders = std::fs::read_to_string(new.join("orders.cedar")).unwrap();
        std::fs::write(new.join("orders.cedar"), format!("{orders}\n{more}\n")).unwrap();
        std::os::unix::fs::symlink("..gen-2", mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        std::fs::remove_dir_all(old).unwrap();
    }
}
