//! Which agents are asked for: all that is set has to hold.

use portcullis_spiffe_api::spire::api::server::agent::v1::{count_agents_request, list_agents_request};
use portcullis_spiffe_api::spire::api::types;
use time::OffsetDateTime;
use time::format_description::parse_borrowed;
use tonic::Status;

use super::super::matching::SetMatch;
use super::super::{matching, status};
use crate::identity::selector::Selector;

/// How a time is written, but for the hours of the offset that SPIRE wants a second time at its end.
const TIME: &str = "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Filter {
    attestation_type: String,
    selectors: Option<SetMatch<Selector>>,
    banned: Option<bool>,
    can_reattest: Option<bool>,
    /// In seconds since 1970.
    expires_before: Option<i64>,
}

impl Filter {
    /// What `ListAgents` asks for.
    pub(super) fn of_list(filter: Option<list_agents_request::Filter>) -> Result<Self, Status> {
        let Some(filter) = filter else { return Ok(Self::default()) };
        let selectors = filter.by_selector_match.map(|asked| matching::selector_match(&asked)).transpose();
        Ok(Self {
            attestation_type: filter.by_attestation_type,
            selectors: selectors.map_err(|fault| status::invalid("failed to parse selectors", fault))?,
            banned: filter.by_banned,
            can_reattest: filter.by_can_reattest,
            expires_before: expires_before(&filter.by_expires_before)?,
        })
    }

    /// What `CountAgents` asks for: the same in a message of its own.
    pub(super) fn of_count(filter: Option<count_agents_request::Filter>) -> Result<Self, Status> {
        Self::of_list(filter.map(|filter| list_agents_request::Filter {
            by_attestation_type: filter.by_attestation_type,
            by_selector_match: filter.by_selector_match,
            by_banned: filter.by_banned,
            by_can_reattest: filter.by_can_reattest,
            by_expires_before: filter.by_expires_before,
        }))
    }

    /// Whether `agent` is asked for.
    pub(super) fn holds(&self, agent: &types::Agent) -> bool {
        let selectors = || matching::selectors(&agent.selectors).unwrap_or_default();
        (self.attestation_type.is_empty() || self.attestation_type == agent.attestation_type)
            && self.selectors.as_ref().is_none_or(|asked| asked.holds(&selectors()))
            && self.banned.is_none_or(|banned| banned == agent.banned)
            && self.can_reattest.is_none_or(|can_reattest| can_reattest == agent.can_reattest)
            && self.expires_before.is_none_or(|moment| agent.x509svid_expires_at < moment)
    }
}

/// SPIRE takes a time that it can't read for none, and so for every agent; a purge should not rest on that.
fn expires_before(text: &str) -> Result<Option<i64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (time, hours) = text.rsplit_once(' ')?;
        let offset = time.rsplit_once(' ')?.1;
        let format = parse_borrowed::<2>(TIME).ok()?;
        let time = OffsetDateTime::parse(time, &format).ok()?;
        offset.starts_with(hours).then(|| time.unix_timestamp())
    };
    let time = read().ok_or_else(|| Status::invalid_argument("failed to parse expires before: not a time"))?;
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_form_of_spires_command_line() {
        let read = |text| expires_before(text).map_err(|status| status.code());
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("1970-01-01 00:00:10 +0000 +00"), Ok(Some(10)));
        assert_eq!(read("1970-01-01 02:00:10 +0200 +02"), Ok(Some(10)));
        assert_eq!(read("1969-12-31 18:30:10 -0530 -05"), Ok(Some(10)));
        for text in [
            "bad",
            " ",
            "2030-01-01 00:00:00 +0000 UTC",
            "2030-01-01 00:00:00 +0000 +01",
            "2030-13-01 00:00:00 +0000 +00",
        ] {
            assert_eq!(read(text), Err(tonic::Code::InvalidArgument), "{text}");
        }
    }
}
