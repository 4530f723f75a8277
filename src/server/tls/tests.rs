use futures_util::FutureExt as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::*;

type Made = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A certificate for `name` that signed itself.
fn made(name: &str) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn shown((certificate, key): &Made) -> Arc<ServerCertificate> {
    Arc::new(ServerCertificate::new(vec![certificate.clone()], key).unwrap())
}

fn host(number: u8) -> Owner {
    Owner::Host([192, 0, 2, number].into())
}

/// A client that believes `root` alone.
fn client(root: &CertificateDer<'static>, identity: Option<Made>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// What the server sees of the client's certificate, if they come to terms.
async fn shake(tls: &Tls, client: TlsConnector) -> Result<Option<CertificateDer<'static>>, String> {
    let (ours, theirs) = duplex(64 * 1024);
    let name = ServerName::try_from("pdp.test").unwrap();
    let (server, client) = tokio::join!(tls.accept(ours, host(1)), async {
        let mut stream = client.connect(name, theirs).await?;
        stream.write_all(b"hello").await?;
        Ok::<_, io::Error>(stream)
    });
    let (_client, (mut stream, certificate)) =
        (client.map_err(|error| error.to_string())?, server.map_err(|error| error.to_string())?);
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    Ok(certificate)
}

#[tokio::test]
async fn a_certificate_is_replaced_between_two_handshakes() {
    let (old, new) = (made("pdp.test"), made("pdp.test"));
    let certificate = shown(&old);
    let tls = Tls::new(Arc::clone(&certificate), false).unwrap();
    assert_eq!(shake(&tls, client(&old.0, None)).await, Ok(None));
    assert!(shake(&tls, client(&new.0, None)).await.is_err());
    certificate.replace(vec![new.0.clone()], &new.1).unwrap();
    assert_eq!(shake(&tls, client(&new.0, None)).await, Ok(None));
    assert!(shake(&tls, client(&old.0, None)).await.is_err());
    certificate.replace(vec![new.0.clone()], &old.1).unwrap_err();
    assert_eq!(shake(&tls, client(&new.0, None)).await, Ok(None), "a key of another certificate changes nothing");
}

#[tokio::test]
async fn a_clients_certificate_is_seen_only_where_it_is_asked_for() {
    let (server, someone) = (made("pdp.test"), made("someone"));
    let identity = || Some((someone.0.clone(), someone.1.clone_key()));
    let asking = Tls::new(shown(&server), true).unwrap();
    assert_eq!(shake(&asking, client(&server.0, identity())).await, Ok(Some(someone.0.clone())));
    assert_eq!(shake(&asking, client(&server.0, None)).await, Ok(None));
    let silent = Tls::new(shown(&server), false).unwrap();
    assert_eq!(shake(&silent, client(&server.0, identity())).await, Ok(None));
}

#[tokio::test]
async fn who_does_not_have_the_key_of_its_certificate_is_refused() {
    let (server, someone, thief) = (made("pdp.test"), made("someone"), made("thief"));
    let provider = aws_lc_rs::default_provider();
    let stolen = CertifiedKey::new(
        vec![someone.0.clone()],
        provider.key_provider.load_private_key(thief.1.clone_key()).unwrap(),
    );
    let mut roots = RootCertStore::empty();
    roots.add(server.0.clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let asking = Tls::new(shown(&server), true).unwrap();
    assert!(shake(&asking, TlsConnector::from(Arc::new(config))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_given_up() {
    let tls = Tls::new(shown(&made("pdp.test")), false).unwrap();
    let (ours, _theirs) = duplex(1024);
    assert!(matches!(tls.accept(ours, host(1)).await, Err(HandshakeError::Late)));
}

#[tokio::test]
async fn there_are_only_so_many_handshakes_at_a_time_and_one_host_has_a_share_of_them() {
    let server = made("pdp.test");
    let tls = Tls::new(shown(&server), false).unwrap();
    let (mut clients, mut waiting): (Vec<DuplexStream>, Vec<_>) = (Vec::new(), Vec::new());
    for from in 2..=5 {
        assert_eq!(shake(&tls, client(&server.0, None)).await, Ok(None), "another host has its own");
        for _ in 0..OF_ONE {
            let (ours, theirs) = duplex(64);
            clients.push(theirs);
            let mut handshake = Box::pin(tls.accept(ours, host(from)));
            assert!(handshake.as_mut().now_or_never().is_none());
            waiting.push(handshake);
        }
        assert!(matches!(tls.accept(duplex(64).0, host(from)).await, Err(HandshakeError::Full)));
    }
    assert!(matches!(tls.accept(duplex(64).0, host(1)).await, Err(HandshakeError::Full)), "all are taken");
    waiting.pop();
    assert_eq!(shake(&tls, client(&server.0, None)).await, Ok(None), "a place that is free again is used");
}

#[tokio::test]
async fn noise_is_no_handshake() {
    let tls = Tls::new(shown(&made("pdp.test")), false).unwrap();
    let (ours, mut theirs) = duplex(1024);
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(tls.accept(ours, host(1)).await, Err(HandshakeError::Failed(_))));
}
