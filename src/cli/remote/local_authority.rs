//! `portcullis localauthority`: the authorities that sign, and their succession by hand.

use clap::{Args, Subcommand};
use portcullis_spiffe_api::spire::api::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use portcullis_spiffe_api::spire::api::server::localauthority::v1::{
    ActivateJwtAuthorityRequest, ActivateX509AuthorityRequest, AuthorityState, GetJwtAuthorityStateRequest,
    GetX509AuthorityStateRequest, PrepareJwtAuthorityRequest, PrepareX509AuthorityRequest, RevokeJwtAuthorityRequest,
    RevokeX509AuthorityRequest, TaintJwtAuthorityRequest, TaintX509AuthorityRequest,
};
use prost::{Message, Name};
use tonic::Status;
use tonic::transport::Channel;

use super::console::{Console, Failure};
use super::{AdminArgs, Outcome, go};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// The authorities that sign X.509-SVIDs.
    #[command(subcommand)]
    X509(Step),
    /// The authorities that sign JWT-SVIDs.
    #[command(subcommand)]
    Jwt(Step),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Step {
    /// Show which authority signs, which is next and which was before.
    Show(Plain),
    /// Make the next authority and publish it in the bundle.
    Prepare(Plain),
    /// Let the next authority sign from now on.
    Activate(Named),
    /// Trust the authority's key no longer: whatever it signed is replaced at once.
    Taint(Named),
    /// Take a tainted authority out of the bundle: whatever it signed is refused.
    Revoke(Named),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Plain {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Named {
    #[command(flatten)]
    admin: AdminArgs,
    /// Which authority.
    #[arg(long = "authorityID", value_name = "ID")]
    authority_id: String,
}

/// Which kind of authority, in the words of the output.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    is_x509: bool,
}

const X509: Kind = Kind { name: "X.509", is_x509: true };
const JWT: Kind = Kind { name: "JWT", is_x509: false };

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::X509(step) => step.of_x509(console).await,
            Self::Jwt(step) => step.of_jwt(console).await,
        }
    }
}

impl Step {
    async fn of_x509(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = client(self.admin(), console).await?;
        match self {
            Self::Show(_) => {
                let answer = client.get_x509_authority_state(GetX509AuthorityStateRequest {}).await;
                let slots = answer.map_err(|status| not_got(X509, status))?.into_inner();
                let states = [slots.active.as_ref(), slots.prepared.as_ref(), slots.old.as_ref()];
                show(&slots, states, X509, console)
            }
            Self::Prepare(_) => {
                let answer = client.prepare_x509_authority(PrepareX509AuthorityRequest {}).await;
                let made = answer.map_err(|status| not_done("prepare", X509, status))?.into_inner();
                tell(&made, made.prepared_authority.as_ref(), "Prepared", X509, console)
            }
            Self::Activate(Named { authority_id, .. }) => {
                let answer = client.activate_x509_authority(ActivateX509AuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("activate", X509, status))?.into_inner();
                tell(&made, made.activated_authority.as_ref(), "Activated", X509, console)
            }
            Self::Taint(Named { authority_id, .. }) => {
                let answer = client.taint_x509_authority(TaintX509AuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("taint", X509, status))?.into_inner();
                tell(&made, made.tainted_authority.as_ref(), "Tainted", X509, console)
            }
            Self::Revoke(Named { authority_id, .. }) => {
                let answer = client.revoke_x509_authority(RevokeX509AuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("revoke", X509, status))?.into_inner();
                tell(&made, made.revoked_authority.as_ref(), "Revoked", X509, console)
            }
        }
    }

    async fn of_jwt(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = client(self.admin(), console).await?;
        match self {
            Self::Show(_) => {
                let answer = client.get_jwt_authority_state(GetJwtAuthorityStateRequest {}).await;
                let slots = answer.map_err(|status| not_got(JWT, status))?.into_inner();
                let states = [slots.active.as_ref(), slots.prepared.as_ref(), slots.old.as_ref()];
                show(&slots, states, JWT, console)
            }
            Self::Prepare(_) => {
                let answer = client.prepare_jwt_authority(PrepareJwtAuthorityRequest {}).await;
                let made = answer.map_err(|status| not_done("prepare", JWT, status))?.into_inner();
                tell(&made, made.prepared_authority.as_ref(), "Prepared", JWT, console)
            }
            Self::Activate(Named { authority_id, .. }) => {
                let answer = client.activate_jwt_authority(ActivateJwtAuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("activate", JWT, status))?.into_inner();
                tell(&made, made.activated_authority.as_ref(), "Activated", JWT, console)
            }
            Self::Taint(Named { authority_id, .. }) => {
                let answer = client.taint_jwt_authority(TaintJwtAuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("taint", JWT, status))?.into_inner();
                tell(&made, made.tainted_authority.as_ref(), "Tainted", JWT, console)
            }
            Self::Revoke(Named { authority_id, .. }) => {
                let answer = client.revoke_jwt_authority(RevokeJwtAuthorityRequest { authority_id }).await;
                let made = answer.map_err(|status| not_done("revoke", JWT, status))?.into_inner();
                tell(&made, made.revoked_authority.as_ref(), "Revoked", JWT, console)
            }
        }
    }

    fn admin(&self) -> &AdminArgs {
        match self {
            Self::Show(Plain { admin })
            | Self::Prepare(Plain { admin })
            | Self::Activate(Named { admin, .. })
            | Self::Taint(Named { admin, .. })
            | Self::Revoke(Named { admin, .. }) => admin,
        }
    }
}

async fn client(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Result<LocalAuthorityClient<Channel>, Failure> {
    Ok(LocalAuthorityClient::new(admin.connect(console).await?.channel))
}

fn not_got(kind: Kind, status: Status) -> Failure {
    Failure::of(&format!("could not get {} authorities", kind.name), Failure::from(status))
}

fn not_done(verb: &str, kind: Kind, status: Status) -> Failure {
    Failure::of(&format!("could not {verb} {} authority", kind.name), Failure::from(status))
}

fn show<M: Message + Name>(
    answer: &M,
    slots: [Option<&AuthorityState>; 3],
    kind: Kind,
    console: &mut Console<'_, '_>,
) -> Outcome {
    if console.json(answer)? {
        return Ok(());
    }
    let name = kind.name;
    for (slot, (title, lower)) in
        slots.into_iter().zip([("Active", "active"), ("Prepared", "prepared"), ("Old", "old")])
    {
        let gap = if title == "Active" { "" } else { "\n" };
        console.say(format!("{gap}{title} {name} authority:\n"));
        match slot {
            Some(state) => console.say(block(state, kind)),
            None => console.say(format!("  No {lower} {name} authority found\n")),
        }
    }
    Ok(())
}

fn tell<M: Message + Name>(
    answer: &M,
    state: Option<&AuthorityState>,
    done: &str,
    kind: Kind,
    console: &mut Console<'_, '_>,
) -> Outcome {
    if console.json(answer)? {
        return Ok(());
    }
    let state = state.ok_or_else(|| Failure::new("the answer does not say which authority it is about"))?;
    console.say(format!("{done} {} authority:\n{}", kind.name, block(state, kind)));
    Ok(())
}

fn block(state: &AuthorityState, kind: Kind) -> String {
    let expires = go::time(state.expires_at);
    let upstream = match state.upstream_authority_subject_key_id.as_str() {
        _ if !kind.is_x509 => String::new(),
        "" => String::from("  Upstream authority ID: No upstream authority\n"),
        id => format!("  Upstream authority Subject Key ID: {id}\n"),
    };
    format!("  Authority ID: {}\n  Expires at: {expires}\n{upstream}", state.authority_id)
}
