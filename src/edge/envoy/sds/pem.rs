//! Textual encoding of keys and certificates (RFC 7468), in memory that never moves, so that the text of a key leaves
//! no copy behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Bytes of DER on a line of 64 characters.
const LINE: usize = 48;

/// `blocks` one after the other, each under `label`: one block a certificate, since Envoy refuses several certificates
/// in one.
pub(super) fn encode<'a>(label: &str, blocks: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>) -> Vec<u8> {
    let blocks = blocks.into_iter();
    let mut text = Vec::with_capacity(blocks.clone().map(|der| encoded_len(label, der)).sum());
    for der in blocks {
        append(&mut text, label, der);
    }
    text
}

fn append(text: &mut Vec<u8>, label: &str, der: &[u8]) {
    let boundary = |text: &mut Vec<u8>, word: &str| {
        for part in ["-----", word, " ", label, "-----\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    };
    boundary(text, "BEGIN");
    let mut line = Zeroizing::new([0; LINE / 3 * 4]);
    for chunk in der.chunks(LINE) {
        // The line holds what a chunk encodes to, so this can't fail.
        let length = STANDARD.encode_slice(chunk, line.as_mut_slice()).unwrap_or_default();
        text.extend_from_slice(line.get(..length).unwrap_or_default());
        text.push(b'\n');
    }
    boundary(text, "END");
}

fn encoded_len(label: &str, der: &[u8]) -> usize {
    let boundaries = "-----BEGIN -----\n-----END -----\n".len() + 2 * label.len();
    boundaries + der.len().div_ceil(3) * 4 + der.len().div_ceil(LINE)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_many_blocks_without_growing(ders in vec(vec(any::<u8>(), 1..300), 0..5)) {
            let blocks = ders.iter().map(Vec::as_slice);
            let expected: usize = ders.iter().map(|der| encoded_len("CERTIFICATE", der)).sum();
            let text = encode("CERTIFICATE", blocks);
            prop_assert_eq!(text.len(), expected);
            prop_assert!(text.split(|&byte| byte == b'\n').all(|line| line.len() <= 64));
            let read: Vec<_> = CertificateDer::pem_slice_iter(&text).map(|der| der.unwrap().to_vec()).collect();
            prop_assert_eq!(read, ders);
        }
    }
}
