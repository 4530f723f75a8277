//! The client side of the rust-spiffe cases: each verb is one scenario that prints a line per step for `run.py` to follow.
//!
//! It finds the Workload API as every rust-spiffe program does, by `SPIFFE_ENDPOINT_SOCKET`.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use spiffe::workload_api::error::WorkloadApiError;
use spiffe::{BundleSource, JwtSource, JwtSvid, TrustDomain, WorkloadApiClient, X509Source};

type Outcome = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let scenario = std::env::args().nth(1).unwrap_or_default();
    let outcome = tokio::time::timeout(PATIENCE, run(&scenario)).await;
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error.to_string()),
        Err(_) => failed("too late"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

async fn run(scenario: &str) -> Outcome {
    match scenario {
        "rotate" => rotate().await,
        "jwt" => jwt().await,
        "denied" => denied().await,
        _ => Err("usage: rust-spiffe rotate|jwt|denied".into()),
    }
}

/// Waits until the source has a certificate other than its first one, of the same identity.
async fn rotate() -> Outcome {
    let source = X509Source::new().await?;
    let mut updates = source.updated();
    let first = source.svid()?;
    println!("svid {}", first.spiffe_id());
    let domain = TrustDomain::new("example.org")?;
    let bundle = source.bundle_for_trust_domain(&domain)?.ok_or("no bundle")?;
    if bundle.authorities().is_empty() {
        return Err("the bundle has no authorities".into());
    }
    loop {
        updates.changed().await?;
        let second = source.svid()?;
        if second.leaf().as_bytes() == first.leaf().as_bytes() {
            continue;
        }
        if second.spiffe_id() != first.spiffe_id() {
            return Err(format!("the identity became {}", second.spiffe_id()).into());
        }
        println!("rotated {}", second.spiffe_id());
        return Ok(());
    }
}

/// Fetches a token, validates it by itself and by the API, and expects both to refuse it for another audience.
async fn jwt() -> Outcome {
    let source = JwtSource::new().await?;
    let client = WorkloadApiClient::connect_env().await?;
    let svid = source.fetch_jwt_svid(&["billing", "ledger"]).await?;
    let token = svid.token();
    let bundles = source.bundle_set()?;
    let mine = JwtSvid::parse_and_validate(token, &*bundles, &["billing"])?;
    let theirs = client.validate_jwt_token("billing", token).await?;
    if mine.spiffe_id() != svid.spiffe_id() || theirs.spiffe_id() != svid.spiffe_id() {
        return Err("the token has several subjects".into());
    }
    println!("valid {}", svid.spiffe_id());
    if JwtSvid::parse_and_validate(token, &*bundles, &["other"]).is_ok() {
        return Err("the library takes the token for another audience".into());
    }
    if client.validate_jwt_token("other", token).await.is_ok() {
        return Err("the API takes the token for another audience".into());
    }
    println!("refused another audience");
    Ok(())
}

/// Without an entry the API must answer in the words by which this library tells "no identity" from other refusals.
async fn denied() -> Outcome {
    let client = WorkloadApiClient::connect_env().await?;
    no_identity(client.fetch_x509_svid().await)?;
    no_identity(client.fetch_x509_bundles().await)?;
    no_identity(client.fetch_jwt_bundles().await)?;
    no_identity(client.fetch_jwt_svid(&["billing"], None).await)?;
    println!("denied");
    Ok(())
}

fn no_identity<T>(answer: Result<T, WorkloadApiError>) -> Outcome {
    match answer {
        Err(WorkloadApiError::NoIdentityIssued) => Ok(()),
        Err(other) => Err(format!("refused, but for another reason: {other}").into()),
        Ok(_) => Err("not refused".into()),
    }
}
