//! `portcullis entry`: registration entries.

mod data;
mod terms;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portcullis_spiffe_api::spire::api::server::entry::v1::entry_client::EntryClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::{
    BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest, BatchDeleteEntryResponse,
    BatchUpdateEntryRequest, CountEntriesRequest, GetEntryRequest, ListEntriesRequest, ListEntriesResponse,
    count_entries_request, list_entries_request,
};
use portcullis_spiffe_api::spire::api::types::{
    Entry, FederatesWithMatch, SelectorMatch, Spiffeid, Status, federates_with_match, selector_match,
};
use tonic::Code;
use tonic::transport::Channel;

pub(super) use self::data::read_bytes;

use self::terms::TermsArgs;
use super::connection::MAX_ANSWER;
use super::console::{Console, Failure, code_name};
use super::{AdminArgs, Outcome, go};

/// How many entries of a file are sent at once: well below what a message and a batch may have.
const BATCH: usize = 500;

/// How many entries are asked for at once.
const PAGE: i32 = 500;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Create entries.
    Create(Create),
    /// Change entries: what is not named goes back to its default.
    Update(Update),
    /// Delete entries.
    Delete(Delete),
    /// Show entries.
    Show(Show),
    /// Count entries.
    Count(Count),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// The entry is an alias of agents, and not for workloads.
    #[arg(long)]
    node: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    terms: TermsArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    admin: AdminArgs,
    /// The entry's id.
    #[arg(long = "entryID", value_name = "ID", required_unless_present = "file")]
    entry_id: Option<String>,
    /// A file with `{"ids": ["…"]}`, or `-` for standard input.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only this entry.
    #[arg(long = "entryID", value_name = "ID", conflicts_with_all = ["parent_id", "spiffe_id", "selectors"])]
    entry_id: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Count {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
struct FilterArgs {
    /// Only entries with this parent.
    #[arg(long = "parentID", value_name = "ID")]
    parent_id: Option<String>,
    /// Only entries that grant this SPIFFE ID.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: Option<String>,
    /// Only entries with these selectors, `type:value`. May be repeated.
    #[arg(long = "selector", value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// Only entries that federate with this trust domain. May be repeated.
    #[arg(long = "federatesWith", value_name = "ID")]
    federates_with: Vec<String>,
    /// Only entries of servers that have an authority below ours.
    #[arg(long)]
    downstream: bool,
    /// How an entry's trust domains must relate to those named.
    #[arg(long = "matchFederatesWithOn", value_enum, value_name = "MODE", default_value_t = MatchMode::Superset)]
    match_federates_with_on: MatchMode,
    /// How an entry's selectors must relate to those named.
    #[arg(long = "matchSelectorsOn", value_enum, value_name = "MODE", default_value_t = MatchMode::Superset)]
    match_selectors_on: MatchMode,
    /// Only entries with this hint.
    #[arg(long, value_name = "HINT", default_value = "")]
    hint: String,
}

/// A set in relation to another.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum MatchMode {
    /// The same.
    Exact,
    /// At least one in common.
    Any,
    /// All of those named, and maybe more.
    Superset,
    /// None but those named.
    Subset,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Create(asked) => asked.run(console).await,
            Self::Update(asked) => asked.run(console).await,
            Self::Delete(asked) => asked.run(console).await,
            Self::Show(asked) => asked.run(console).await,
            Self::Count(asked) => asked.run(console).await,
        }
    }
}

impl Create {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let entries = self.terms.to_create(self.node)?;
        let mut client = client(&self.admin, console).await?;
        let mut answer = BatchCreateEntryResponse::default();
        for batch in entries.chunks(BATCH) {
            let request = BatchCreateEntryRequest { entries: batch.to_vec(), output_mask: None };
            answer.results.extend(client.batch_create_entry(request).await?.into_inner().results);
        }
        // A result says nothing of an entry that was not made.
        for (result, asked) in answer.results.iter_mut().zip(entries) {
            if !is_ok(result.status.as_ref()) {
                result.entry = Some(asked);
            }
        }
        if console.json(&answer)? {
            return Ok(());
        }
        let results = answer.results.into_iter().map(|result| (result.status, result.entry)).collect();
        print_results(results, "create", console)
    }
}

impl Update {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut entries = self.terms.to_update()?;
        let mut client = client(&self.admin, console).await?;
        if let (Some(asked), [entry]) = (self.terms.additional_attributes(), entries.as_mut_slice()) {
            // There is no mask for each attribute, so those that were not named must be sent as they are.
            let request = GetEntryRequest { id: entry.id.clone(), output_mask: None };
            let known = client.get_entry(request).await.map_err(|status| {
                Failure::of("failed to fetch existing entry to merge additional attributes", Failure::from(status))
            })?;
            entry.additional_attributes = Some(asked.over(known.into_inner().additional_attributes));
        }
        let request = BatchUpdateEntryRequest { entries: entries.clone(), input_mask: None, output_mask: None };
        let mut answer = client.batch_update_entry(request).await?.into_inner();
        for (result, asked) in answer.results.iter_mut().zip(entries) {
            if !is_ok(result.status.as_ref()) {
                result.entry = Some(asked);
            }
        }
        if console.json(&answer)? {
            return Ok(());
        }
        let results = answer.results.into_iter().map(|result| (result.status, result.entry)).collect();
        print_results(results, "update", console)
    }
}

impl Delete {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let ids = match &self.file {
            Some(path) => data::ids(path)?,
            None => self.entry_id.into_iter().collect(),
        };
        let mut client = client(&self.admin, console).await?;
        let answer = client.batch_delete_entry(BatchDeleteEntryRequest { ids }).await?.into_inner();
        if console.json(&answer)? { Ok(()) } else { print_deleted(&answer, console) }
    }
}

impl Show {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let filter = self.filter.of_list()?;
        let mut client = client(&self.admin, console).await?;
        let mut found = ListEntriesResponse::default();
        if let Some(id) = self.entry_id {
            let answer = client.get_entry(GetEntryRequest { id: id.clone(), output_mask: None }).await;
            let failed = |status| Failure::of(&format!("error fetching entry ID {id}"), Failure::from(status));
            found.entries.push(answer.map_err(failed)?.into_inner());
        } else {
            list(&mut client, filter, &mut found).await?;
        }
        found.entries.sort_by_key(sort_key);
        if !console.json(&found)? {
            console.say(format!("Found {}\n", go::count(found.entries.len(), "entry", "entries")));
            for entry in &found.entries {
                console.say(block(entry));
            }
        }
        Ok(())
    }
}

impl Count {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let filter = Some(self.filter.of_count()?);
        let mut client = client(&self.admin, console).await?;
        let answer = client.count_entries(CountEntriesRequest { filter }).await?.into_inner();
        if !console.json(&answer)? {
            let number = usize::try_from(answer.count).unwrap_or_default();
            console.say(format!("{}\n", go::count(number, "registration entry", "registration entries")));
        }
        Ok(())
    }
}

async fn client(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Result<EntryClient<Channel>, Failure> {
    Ok(EntryClient::new(admin.connect(console).await?.channel).max_decoding_message_size(MAX_ANSWER))
}

async fn list(
    client: &mut EntryClient<Channel>,
    filter: list_entries_request::Filter,
    found: &mut ListEntriesResponse,
) -> Outcome {
    let mut page_token = String::new();
    loop {
        let request =
            ListEntriesRequest { filter: Some(filter.clone()), output_mask: None, page_size: PAGE, page_token };
        let page = client.list_entries(request).await;
        let page = page.map_err(|status| Failure::of("error fetching entries", Failure::from(status)))?.into_inner();
        found.entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

impl FilterArgs {
    fn of_list(&self) -> Result<list_entries_request::Filter, Failure> {
        Ok(list_entries_request::Filter {
            by_spiffe_id: self.spiffe_id.as_deref().map(go::spiffe_id).transpose()?,
            by_parent_id: self.parent_id.as_deref().map(go::spiffe_id).transpose()?,
            by_selectors: self.selectors()?,
            by_federates_with: self.trust_domains(),
            by_hint: (!self.hint.is_empty()).then(|| self.hint.clone()),
            // As SPIRE's: what is not asked for is left out.
            by_downstream: Some(self.downstream),
        })
    }

    fn of_count(&self) -> Result<count_entries_request::Filter, Failure> {
        let of_list = self.of_list()?;
        Ok(count_entries_request::Filter {
            by_spiffe_id: of_list.by_spiffe_id,
            by_parent_id: of_list.by_parent_id,
            by_selectors: of_list.by_selectors,
            by_federates_with: of_list.by_federates_with,
            by_hint: of_list.by_hint,
            by_downstream: of_list.by_downstream,
        })
    }

    fn selectors(&self) -> Result<Option<SelectorMatch>, Failure> {
        if self.selectors.is_empty() {
            return Ok(None);
        }
        let selectors = self.selectors.iter().map(|text| go::selector(text)).collect::<Result<_, _>>();
        let selectors = selectors.map_err(|failure| Failure::of("error parsing selectors", failure))?;
        Ok(Some(SelectorMatch { selectors, r#match: self.match_selectors_on.of_selectors().into() }))
    }

    fn trust_domains(&self) -> Option<FederatesWithMatch> {
        let trust_domains = self.federates_with.clone();
        let behavior = self.match_federates_with_on.of_trust_domains().into();
        (!trust_domains.is_empty()).then_some(FederatesWithMatch { trust_domains, r#match: behavior })
    }
}

impl MatchMode {
    pub(super) const fn of_selectors(self) -> selector_match::MatchBehavior {
        match self {
            Self::Exact => selector_match::MatchBehavior::MatchExact,
            Self::Any => selector_match::MatchBehavior::MatchAny,
            Self::Superset => selector_match::MatchBehavior::MatchSuperset,
            Self::Subset => selector_match::MatchBehavior::MatchSubset,
        }
    }

    const fn of_trust_domains(self) -> federates_with_match::MatchBehavior {
        match self {
            Self::Exact => federates_with_match::MatchBehavior::MatchExact,
            Self::Any => federates_with_match::MatchBehavior::MatchAny,
            Self::Superset => federates_with_match::MatchBehavior::MatchSuperset,
            Self::Subset => federates_with_match::MatchBehavior::MatchSubset,
        }
    }
}

/// One entry, for people.
pub(super) fn block(entry: &Entry) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("Entry ID", if entry.id.is_empty() { String::from("(none)") } else { entry.id.clone() }),
        ("SPIFFE ID", go::id_text(entry.spiffe_id.as_ref())),
        ("Parent ID", go::id_text(entry.parent_id.as_ref())),
        ("Revision", entry.revision_number.to_string()),
    ];
    let ttl = |seconds: i32| if seconds == 0 { String::from("default") } else { seconds.to_string() };
    let yes = || String::from("true");
    lines.extend(entry.downstream.then(|| ("Downstream", yes())));
    lines.push(("X509-SVID TTL", ttl(entry.x509_svid_ttl)));
    lines.push(("JWT-SVID TTL", ttl(entry.jwt_svid_ttl)));
    lines.extend((entry.expires_at != 0).then(|| ("Expiration time", go::time(entry.expires_at))));
    lines.extend(entry.selectors.iter().map(|it| ("Selector", format!("{}:{}", it.r#type, it.value))));
    lines.extend(entry.federates_with.iter().map(|domain| ("FederatesWith", domain.clone())));
    lines.extend(entry.dns_names.iter().map(|name| ("DNS name", name.clone())));
    lines.extend(entry.admin.then(|| ("Admin", yes())));
    lines.extend(entry.store_svid.then(|| ("StoreSvid", yes())));
    lines.extend((!entry.hint.is_empty()).then(|| ("Hint", entry.hint.clone())));
    let attributes = entry.additional_attributes.unwrap_or_default();
    lines.extend(attributes.disable_x509_svid_prefetch.then(|| ("DisableX509SvidPrefetch", yes())));
    lines.extend(attributes.jwt_svid_include_jti.then(|| ("JwtSvidIncludeJti", yes())));
    go::table(24, lines) + "\n"
}

/// SPIRE's order: by SPIFFE ID, then parent, then id.
fn sort_key(entry: &Entry) -> (String, String, String) {
    let text = |id: &Option<Spiffeid>| go::id_text(id.as_ref());
    (text(&entry.spiffe_id), text(&entry.parent_id), entry.id.clone())
}

fn is_ok(status: Option<&Status>) -> bool {
    status.is_none_or(|status| status.code == 0)
}

/// A status with its code's name.
pub(super) fn code_and_message(status: Option<&Status>) -> String {
    let (code, message) = status.map_or((0, ""), |status| (status.code, status.message.as_str()));
    format!("(code: {}, msg: {message:?})", code_name(Code::from_i32(code)))
}

fn print_results(results: Vec<(Option<Status>, Option<Entry>)>, verb: &str, console: &mut Console<'_, '_>) -> Outcome {
    let (made, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(|(status, _)| is_ok(status.as_ref()));
    for (_, entry) in &made {
        console.say(block(&entry.clone().unwrap_or_default()));
    }
    for (status, entry) in &failed {
        let why = code_and_message(status.as_ref());
        let block = block(&entry.clone().unwrap_or_default());
        console.complain(format!("Failed to {verb} the following entry {why}:\n{}", block.trim_end_matches('\n')));
        console.complain("");
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("failed to {verb} one or more entries"))) }
}

fn print_deleted(answer: &BatchDeleteEntryResponse, console: &mut Console<'_, '_>) -> Outcome {
    let (deleted, failed): (Vec<_>, Vec<_>) = answer.results.iter().partition(|result| is_ok(result.status.as_ref()));
    for result in &deleted {
        console.say(format!("Deleted entry with ID: {}\n", result.id));
    }
    if !deleted.is_empty() {
        console.say("\n\n");
    }
    for result in &failed {
        let why = code_and_message(result.status.as_ref());
        console.complain(format!("Failed to delete entry with ID {} {why}", result.id));
    }
    if failed.is_empty() {
        console.say(format!("Deleted {} entries successfully", deleted.len()));
        return Ok(());
    }
    console.say("\n\n");
    console.say(match deleted.len() {
        0 => format!("Failed to delete {} entries", failed.len()),
        some => format!("Deleted {some} entries successfully, but failed to delete {} entries", failed.len()),
    });
    Err(Failure::new("failed to delete one or more entries"))
}
