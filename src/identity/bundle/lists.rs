//! The revocation lists of a bundle, ready for path validation (RFC 5280 section 6.3).

use rustls_pki_types::CertificateRevocationListDer;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

/// The most bytes that the lists of one bundle may have together. Ten thousand entries take less than half of one.
const MAX_BYTES: usize = 4 << 20;

/// The lists, read.
#[derive(Debug, Default)]
pub(in crate::identity) struct RevocationLists(Vec<CertRevocationList<'static>>);

/// Why a bundle's lists can't be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// They are longer than we read.
    #[error("the revocation lists have {0} bytes, more than 4194304")]
    TooLong(usize),
    /// One is not a complete list of version 2 with a date for the next.
    #[error("revocation list {position} can't be read: {reason}")]
    Unreadable {
        /// Which one, counted from 1.
        position: usize,
        /// What is wrong with it.
        #[source]
        reason: webpki::Error,
    },
}

impl RevocationLists {
    /// Reads `lists`. Whether an authority signed them is seen when they are used.
    pub(super) fn new(lists: &[CertificateRevocationListDer<'_>]) -> Result<Self, ListError> {
        let bytes = lists.iter().map(|list| list.len()).sum();
        if bytes > MAX_BYTES {
            return Err(ListError::TooLong(bytes));
        }
        let read = lists.iter().enumerate().map(|(index, list)| {
            let read = OwnedCertRevocationList::from_der(list);
            read.map(Into::into).map_err(|reason| ListError::Unreadable { position: index + 1, reason })
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Has `validate` look into the lists, if there are any. Where there are lists, an authority without a good one vouches
    /// for nobody, as proxies see it too: they want a list of every authority as soon as they have one.
    pub(in crate::identity) fn consulted_by<T>(
        &self,
        validate: impl FnOnce(Option<webpki::RevocationOptions<'_>>) -> T,
    ) -> T {
        let lists: Vec<&CertRevocationList<'_>> = self.0.iter().collect();
        let options = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::EndEntity)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        validate(options)
    }

    /// Whether a list of the authority `subject` has `serial`; both are the contents of their DER.
    pub(super) fn has(&self, subject: &[u8], serial: &[u8]) -> bool {
        let mut of_authority = self.0.iter().filter(|list| list.issuer() == subject);
        of_authority.any(|list| !matches!(list.find_serial(serial), Ok(None)))
    }
}
