//! Signatures a second over the API, beside what the library alone can sign on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use portcullis_spiffe_api::spire::api::server::svid::v1::svid_client::SvidClient;
use portcullis_spiffe_api::spire::api::server::svid::v1::{MintJwtsvidRequest, MintX509svidRequest};
use portcullis_spiffe_api::spire::api::types::Spiffeid;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::gateway::Gateway;
use crate::stopwatch::Stopwatch;

/// Calls under way at once, over as many connections.
const CALLERS: usize = 16;

pub(crate) async fn run(gateway: &Gateway, time: Duration) {
    let limit = raw(time);
    println!("  the library alone, ECDSA P-256, all cores   {limit:>9.0}/s");
    let csr = signing_request();
    let x509 = over_the_api(gateway, time, move |channel| {
        let (mut client, csr) = (SvidClient::new(channel), csr.clone());
        async move { drop(client.mint_x509svid(MintX509svidRequest { csr, ttl: 0 }).await.unwrap()) }
    });
    tell("X.509-SVIDs over the API", x509.await, limit);
    let jwt = over_the_api(gateway, time, |channel| {
        let mut client = SvidClient::new(channel);
        let id = Some(Spiffeid { trust_domain: "example.org".into(), path: "/bench".into() });
        async move {
            let request = MintJwtsvidRequest { id, audience: vec!["bench".into()], ttl: 0 };
            drop(client.mint_jwtsvid(request).await.unwrap());
        }
    });
    tell("JWT-SVIDs over the API", jwt.await, limit);
}

fn tell(what: &str, rate: f64, limit: f64) {
    println!("  {what:<44}{rate:>9.0}/s  {:>5.1} % of that", rate / limit * 100.0);
}

/// Signatures a second of the library on all cores.
fn raw(time: Duration) -> f64 {
    let threads = std::thread::available_parallelism().unwrap().get();
    let signed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
                let watch = Stopwatch::start();
                while watch.elapsed() < time {
                    key.sign_digest(&digest(&SHA256, &[0; 400])).unwrap();
                    signed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    rate(signed.load(Ordering::Relaxed), time)
}

/// Calls a second of `call`.
async fn over_the_api<F: Future<Output = ()> + Send + 'static>(
    gateway: &Gateway,
    time: Duration,
    call: impl Fn(Channel) -> F + Clone + Send + 'static,
) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..CALLERS {
        let (channel, call, done) = (gateway.connect("admin.sock").await, call.clone(), Arc::clone(&done));
        callers.spawn(async move {
            while watch.elapsed() < time {
                call(channel.clone()).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.join_all().await;
    rate(done.load(Ordering::Relaxed), watch.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn signing_request() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names.push(SanType::URI("spiffe://example.org/bench".try_into().unwrap()));
    params.serialize_request(&key).unwrap().der().to_vec()
}
