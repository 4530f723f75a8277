//! `portcullis delegation`: tokens that say who acts for whom, and an end to them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args, Subcommand};
use portcullis_spiffe_api::portcullis::delegation::v1::delegation_client::DelegationClient;
use portcullis_spiffe_api::portcullis::delegation::v1::restore_request::What as Restored;
use portcullis_spiffe_api::portcullis::delegation::v1::revocation::What;
use portcullis_spiffe_api::portcullis::delegation::v1::{
    ListRevocationsRequest, RestoreRequest, Revocation, RevokeMemberRequest, RevokeTokenRequest,
};

use super::connection::MAX_ANSWER;
use super::console::{Console, Failure};
use super::{AdminArgs, Outcome, go};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Revoke one token, or somebody with every token that rests on them.
    Revoke(Revoke),
    /// List what is revoked.
    List(List),
    /// Take a revocation back.
    Restore(Restore),
}

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true)))]
struct Named {
    /// The token's name: its `jti`.
    #[arg(long = "jti", value_name = "ID", group = "what")]
    id: Option<String>,
    /// The name of somebody in a chain: a subject or an actor, by `sub`, e.g. a SPIFFE ID.
    #[arg(long, value_name = "NAME", group = "what")]
    member: Option<String>,
    /// Who gave that name: an `iss`. Without it, it is about all of that name.
    #[arg(long, value_name = "ISSUER", default_value = "", hide_default_value = true)]
    issuer: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    named: Named,
    /// For how long, e.g. `24h`: no shorter than the tokens live. Without it, until it is restored.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "0", hide_default_value = true)]
    ttl: Duration,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Restore {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    named: Named,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Revoke(asked) => asked.run(console).await,
            Self::List(List { admin }) => list(&admin, console).await,
            Self::Restore(asked) => asked.run(console).await,
        }
    }
}

impl Revoke {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let failed = |status| Failure::of("could not revoke it", Failure::from(status));
        let mut client = DelegationClient::new(self.admin.connect(console).await?.channel);
        let Named { id, member, issuer } = self.named;
        let until = until(self.ttl);
        let (revoked, printed) = if let Some(subject) = member {
            let request = RevokeMemberRequest { subject, issuer, until };
            let answer = client.revoke_member(request).await.map_err(failed)?.into_inner();
            let printed = console.json(&answer)?;
            (answer.revoked, printed)
        } else {
            let request = RevokeTokenRequest { id: id.unwrap_or_default(), issuer, until };
            let answer = client.revoke_token(request).await.map_err(failed)?.into_inner();
            let printed = console.json(&answer)?;
            (answer.revoked, printed)
        };
        if !printed {
            console.say(format!("Revoked:\n{}", block(&revoked.unwrap_or_default())));
        }
        Ok(())
    }
}

async fn list(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Outcome {
    let channel = admin.connect(console).await?.channel;
    let mut client = DelegationClient::new(channel).max_decoding_message_size(MAX_ANSWER);
    let found = client.list_revocations(ListRevocationsRequest {}).await?.into_inner();
    if !console.json(&found)? {
        console.say(format!("Found {}\n", go::count(found.revoked.len(), "revocation", "revocations")));
        for revoked in &found.revoked {
            console.say(format!("\n{}", block(revoked)));
        }
    }
    Ok(())
}

impl Restore {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let failed = |status| Failure::of("could not restore it", Failure::from(status));
        let mut client = DelegationClient::new(self.admin.connect(console).await?.channel);
        let Named { id, member, issuer } = self.named;
        let what = member.map(Restored::Member).or_else(|| id.map(Restored::Token));
        let answer = client.restore(RestoreRequest { what, issuer }).await.map_err(failed)?.into_inner();
        if !console.json(&answer)? {
            console.say("Restored.\n");
        }
        Ok(())
    }
}

/// Seconds since 1970, or 0 for no end.
fn until(ttl: Duration) -> i64 {
    if ttl.is_zero() {
        return 0;
    }
    #[expect(clippy::disallowed_methods, reason = "a time that whoever runs the command gives, by their own clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now + ttl).as_secs()).unwrap_or(i64::MAX)
}

fn block(revocation: &Revocation) -> String {
    let (kind, name) = match &revocation.what {
        Some(What::Token(id)) => ("  Token", id.as_str()),
        Some(What::Member(subject)) => ("  Member", subject.as_str()),
        None => ("  Nothing", ""),
    };
    let mut rows = vec![(kind, name.to_owned())];
    if !revocation.issuer.is_empty() {
        rows.push(("  Issuer", revocation.issuer.clone()));
    }
    rows.push(("  Revoked at", go::time(revocation.revoked_at)));
    rows.push((
        "  Until",
        if revocation.until == 0 { "it is restored".to_owned() } else { go::time(revocation.until) },
    ));
    go::table(12, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_shown_with_what_it_names_and_how_long_it_holds() {
        let token = Revocation {
            what: Some(What::Token("b3f1".to_owned())),
            issuer: String::new(),
            revoked_at: 1_999_999_999,
            until: 0,
        };
        assert_eq!(
            block(&token),
            "  Token     : b3f1\n  Revoked at: 2033-05-18 03:33:19 +0000 UTC\n  Until     : it is restored\n"
        );
        let what = Some(What::Member("ali\u{1b}ce".to_owned()));
        let member = Revocation { what, issuer: "https://idp.example".to_owned(), until: 1_999_999_999, ..token };
        let shown = block(&member);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("  Issuer    : https://idp.example\n"), "{shown}");
        assert!(shown.contains("  Until     : 2033-05-18 03:33:19"), "{shown}");
        assert_eq!(until(Duration::ZERO), 0);
    }
}
