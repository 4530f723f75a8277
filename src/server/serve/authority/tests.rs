use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::*;

/// `:method: POST`, `:authority` as a new entry of the table, and that entry again.
fn headers(flags: u8, authority: &[u8], huffman: bool) -> Vec<u8> {
    let mut encoded = Vec::new();
    httlib_huffman::encode(authority, &mut encoded).unwrap();
    let mut fields = vec![0x83, 0x41];
    if huffman {
        let start = fields.len();
        put_string(&encoded, &mut fields).unwrap();
        fields[start] |= 0x80;
    } else {
        put_string(authority, &mut fields).unwrap();
    }
    fields.push(0xbe);
    frame(HEADERS, flags, &fields)
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// What comes out of a connection on which `bytes` come in, so many at a time.
async fn through(bytes: &[u8], at_a_time: usize) -> Vec<u8> {
    let mut mock = tokio_test_chunks(bytes, at_a_time);
    let mut out = Vec::new();
    WithAuthority::new(&mut mock).read_to_end(&mut out).await.unwrap();
    out
}

/// A reader that gives `at_a_time` bytes a call.
fn tokio_test_chunks(bytes: &[u8], at_a_time: usize) -> impl AsyncRead + Unpin {
    let chunks: Vec<_> = bytes.chunks(at_a_time).map(|chunk| Ok::<_, io::Error>(BytesMut::from(chunk))).collect();
    tokio_util::io::StreamReader::new(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn the_path_of_a_socket_becomes_an_authority_as_long_and_all_else_stays() {
    let data = frame(0, 1, &vec![0xff; 40_000]);
    for huffman in [false, true] {
        for at_a_time in [1, 7, 100_000] {
            let sent =
                [PREFACE, &frame(4, 0, &[]), &headers(END_HEADERS, b"tmp%2Frun%2Fa.sock", huffman), &data].concat();
            let got = [PREFACE, &frame(4, 0, &[]), &headers(END_HEADERS, b"tmp-2Frun-2Fa.sock", false), &data].concat();
            assert!(through(&sent, at_a_time).await == got, "{huffman} {at_a_time}");
        }
    }
}

#[tokio::test]
async fn what_needs_no_change_or_can_not_be_read_is_passed_on_as_it_is() {
    let long = vec![b'%'; 300];
    for bytes in [
        headers(END_HEADERS, b"localhost", true),
        headers(END_HEADERS, b"[::1]:80", false),
        headers(0, b"a%2F", false),
        headers(END_HEADERS | PADDED, b"a%2F", false),
        frame(HEADERS, END_HEADERS, &[0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        frame(HEADERS, END_HEADERS, &[0x41, 0x7f]),
        frame(HEADERS, END_HEADERS, &[0x41, 0x85, 0xff, 0xff, 0xff, 0xff, 0xff]),
        frame(HEADERS, END_HEADERS | PADDED, &[200, 0x41]),
        frame(HEADERS, END_HEADERS | PRIORITY, &[1]),
        b"\x00\x00\x05\x01\x04half".to_vec(),
    ] {
        let sent = [PREFACE, &bytes].concat();
        assert_eq!(through(&sent, 5).await, sent);
    }
    for other in [&b"GET / HTTP/1.1\r\nhost: a%2F\r\n\r\n"[..], b"PRI * HTTP/1.1\r\n\r\n", b"P", b""] {
        assert_eq!(through(other, 3).await, other);
    }
    let sent = [PREFACE, &headers(END_HEADERS, &long, false)].concat();
    assert_eq!(through(&sent, 9).await, [PREFACE, &headers(END_HEADERS, &vec![b'-'; 300], false)].concat());
}

#[tokio::test]
async fn padding_and_priority_stay_where_they_are() {
    let fields = [0x41, 3, b'a', b'%', b'b'];
    let payload = [&[2, 0, 0, 0, 0, 9][..], &fields, &[0, 0]].concat();
    let sent = frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &payload);
    let got = through(&[PREFACE, &sent].concat(), 4).await;
    let expected: Vec<_> = sent.iter().map(|byte| if *byte == b'%' { b'-' } else { *byte }).collect();
    assert_eq!(got, [PREFACE, &expected].concat());
}

proptest! {
    #[test]
    fn whatever_comes_in_as_much_goes_out_and_nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400), raw: bool, at_a_time in 1..50_usize,
    ) {
        let sent = if raw { bytes } else { [PREFACE, &frame(HEADERS, END_HEADERS, &bytes)].concat() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(through(&sent, at_a_time));
        prop_assert_eq!(runtime.block_on(through(&got, 1)), got, "what is changed once is not changed again");
    }
}
