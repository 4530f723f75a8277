//! Bare TCP connections through a real Envoy: asked about once, as the action `connect`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::envoy::{Sidecar, configuration, free_port};
use crate::support::gateway::{Gateway, Home};
use crate::support::{eventually, sds, tls};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_proxied_only_if_a_policy_permits_it() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let port = free_port();
    let mut echo = JoinSet::new();
    let text = configuration("backend-tcp.yaml")
        .replace("18443", &port.to_string())
        .replace("18080", &serve_echo(&mut echo).await.to_string())
        .replace("timeout: 0.2s", "timeout: 10s");
    let mut orders = Sidecar::spawn(&home, "orders", &text);
    orders.ready().await;
    let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
    let identity = sds::certificate(&sds::secrets(&response)[0]);

    assert_eq!(echoed(port, &identity).await, "", "nothing permits it yet");
    let denied = home.records().into_iter().find(|record| record["record"] == "decision").unwrap();
    assert_eq!((&denied["action"], &denied["decision"]), (&"connect".into(), &"deny".into()));
    assert_eq!(denied["resource"], r#"Service::"spiffe://example.org/orders""#);

    let permit = r#"@id("web-connects") permit (principal == Workload::"spiffe://example.org/web",
        action == Action::"connect", resource == Service::"spiffe://example.org/orders");"#;
    std::fs::write(home.policies().join("tcp.cedar"), permit).unwrap();
    eventually("the permitted connection is proxied", async || (echoed(port, &identity).await == "ping").then_some(()))
        .await;
}

/// What comes back for `ping` on a new connection; nothing if it is closed.
async fn echoed(port: u16, identity: &(String, String)) -> String {
    let mut stream = tls::connect(port, Some(identity)).await.unwrap();
    let mut answer = [0; 4];
    let both = async {
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut answer).await
    };
    both.await.map_or_else(|_closed| String::new(), |_| String::from_utf8_lossy(&answer).into_owned())
}

async fn serve_echo(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _closed = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    port
}
