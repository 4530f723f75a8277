//! The security header (SPIFFE Workload Endpoint, section 5): a caller that was tricked into forwarding a request to our
//! socket did not set it.

use tonic::{Request, Status};

use super::refusal;

const NAME: &str = "workload.spiffe.io";
const VALUE: &str = "true";

/// Lets a request through that has the header once, with the one value it may have.
pub(super) fn demand(request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all(NAME).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == VALUE => Ok(request),
        _ => Err(refusal::no_header()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn with(values: &[&'static str]) -> Result<Request<()>, Status> {
        let mut request = Request::new(());
        for value in values {
            request.metadata_mut().append(NAME, value.parse().unwrap());
        }
        demand(request)
    }

    /// W1: as SPIRE's agent, exactly one value.
    #[test]
    fn the_header_is_there_once_and_true() {
        assert!(with(&["true"]).is_ok());
        for bad in
            [&[][..], &[""], &["True"], &["TRUE"], &["1"], &["false"], &["true "], &["true,true"], &["true", "true"]]
        {
            let status = with(bad).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{bad:?}");
            assert_eq!(status.message(), "security header missing from request");
        }
    }
}
