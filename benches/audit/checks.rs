//! What recording costs of a Check: gateways that differ in where they record, each a process of its own, are asked the same over
//! the wire, in turns. All of them verify the caller, decide by the quickstart's policies and answer from their cache.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis::decision::cache::DecisionCache;
use portcullis::decision::policy::PolicySet;
use portcullis::decision::{Authorizer, DecisionMetrics, Ports};
use portcullis::foundation::clock::SystemClock;
use portcullis::foundation::entropy::PooledEntropy;
use portcullis::foundation::telemetry::Registry;
use portcullis::foundation::watched::Watched;
use portcullis::identity::bundle::{Bundle, Bundles};
use portcullis::identity::svid::LeafVerifier;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::load::Load;
use super::peers::{self, Peer};
use super::question;
use super::recorder::{COMPARED, PLACES, Recorder};

/// At most this much less than without a record, in `group`.
const LIMIT: f64 = 0.9;

/// How many of the Checks of the others those are asked that wait for a disk each time.
const FEW: usize = 20;

/// Asks all of them, and says what that took.
pub(crate) async fn measure(rounds: usize, checks: usize) {
    let directory = tempfile::tempdir().unwrap();
    let frame = estate(directory.path());
    let mut gateways = Vec::new();
    for (place, name) in PLACES {
        let authority = directory.path().join("authority.der");
        let peer = Peer::start(&[place, authority.to_str().unwrap()]).await;
        let checks = if matches!(place, "none" | "group") { checks } else { checks / FEW };
        gateways.push((name, checks, peer, Load::default()));
    }
    for turns in gateways.chunks_mut(COMPARED) {
        for _ in 0..rounds {
            for (_, checks, peer, load) in &mut *turns {
                load.run(&peer.socket(), peer.pid(), &frame, *checks).await;
            }
        }
    }
    println!(
        "\n| Checks, in {rounds} turns, recorded in | a second | of those without, median | CPU each | of that without |"
    );
    println!("|---|---|---|---|---|");
    let (_, _, _, without) = gateways.first().unwrap();
    let mut kept = Vec::new();
    for (name, _, _, load) in &gateways {
        let (share, more) = (load.share_of(without), load.cpu_micros() / without.cpu_micros());
        println!("| {name} | {:.0} | {share:.3} | {:.1} us | {more:.2} |", load.a_second(), load.cpu_micros());
        kept.push(share);
    }
    if let Some(group) = kept.get(1) {
        println!("\n`group` keeps {:.0} % of the Checks a second (goal: {:.0} %)", group * 100.0, LIMIT * 100.0);
    }
}

/// An authority, in a file, and what one whom it vouches for asks.
fn estate(directory: &Path) -> Bytes {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI("spiffe://example.org/web".try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    std::fs::write(directory.join("authority.der"), authority.self_signed(&key).unwrap().der()).unwrap();
    let issuer = Issuer::new(authority, key);
    question::framed(&leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem())
}

/// Serves Checks that are recorded in this place, until ended.
pub(crate) async fn serve(place: &str, authority: &Path, socket: &Path) {
    let recorder = Recorder::start(place, socket.parent().unwrap()).await;
    let authority = std::fs::read(authority).unwrap().into();
    let bundle = Bundle::of_x509("example.org".parse().unwrap(), [authority], 1);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart");
    let ports = Ports {
        policies: Arc::new(Watched::new(PolicySet::load(&policies).unwrap())),
        leaves: LeafVerifier::new(Arc::new(Watched::new(Bundles::new([bundle]))), 100),
        cache: DecisionCache::new(100, Duration::from_mins(1), Arc::default()),
        audit: Arc::clone(&recorder.audit),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(PooledEntropy::default()),
    };
    let authorizer = Authorizer::new(ports, DecisionMetrics::new(&mut Registry::default()));
    peers::serve(socket, Arc::new(authorizer)).await;
}
