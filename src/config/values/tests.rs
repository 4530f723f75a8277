use proptest::prelude::*;

use super::*;
use crate::config::origin::Origin;

fn read<T: Setting>(value: Value) -> Result<T, String> {
    T::read(&Node { origin: Origin::Default, value }, Path::new("/base"))
}

fn read_text<T: Setting>(text: &str) -> Result<T, String> {
    read(Value::Text(text.to_owned()))
}

#[test]
fn a_duration_has_a_number_and_a_unit() {
    for (text, millis) in
        [("500ms", 500), ("90s", 90_000), ("15m", 900_000), ("24h", 86_400_000), ("30d", 2_592_000_000)]
    {
        let duration: Duration = read_text(text).unwrap();
        assert_eq!(duration, Duration::from_millis(millis), "{text}");
    }
    for text in ["", "5", "s", "1.5h", "-1s", "1 s", "1h30m", "1S", "99999999999999999999s", "99999999999999999d"] {
        assert!(read_text::<Duration>(text).is_err(), "{text}");
    }
    assert!(read::<Duration>(Value::Number(5)).unwrap_err().ends_with("found a number"));
}

#[test]
fn a_time_is_rfc_3339() {
    let moment = Timestamp::from_unix_nanos(1_800_000_000_500_000_000);
    for text in ["2027-01-15T08:00:00.5Z", "2027-01-15T09:00:00.500+01:00"] {
        assert_eq!(read_text::<Timestamp>(text).unwrap(), moment, "{text}");
    }
    for text in
        ["", "now", "2027-01-15", "2027-01-15 08:00:00", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "1800000000"]
    {
        assert!(read_text::<Timestamp>(text).is_err(), "{text}");
    }
}

#[test]
fn a_selector_that_can_never_match_is_refused() {
    let digest = "0123456789abcdef".repeat(4);
    for good in ["unix:uid:0", "unix:gid:4294967295", "unix:user:web", "unix:path:/usr/bin/envoy", "k8s:ns:default"] {
        assert!(read_text::<Selector>(good).is_ok(), "{good}");
    }
    assert!(read_text::<Selector>(&format!("unix:sha256:{digest}")).is_ok());
    for bad in [
        "unix",
        "unix:",
        "unix:uid",
        "unix:uid:",
        "unix:uid:web",
        "unix:uid:007",
        "unix:uid:+7",
        "unix:uid:4294967296",
        "unix:user:",
        "unix:path:envoy",
        "unix:sha256:abc",
        "unix:colour:red",
        "gcp:zone:a",
    ] {
        assert!(read_text::<Selector>(bad).is_err(), "{bad}");
    }
    assert!(read_text::<Selector>(&format!("unix:sha256:{}", digest.to_uppercase())).is_err());
}

#[test]
fn a_header_that_frames_the_message_is_refused() {
    assert_eq!(read_text::<HeaderName>("X-Caller").unwrap(), "x-caller");
    for bad in ["", "x y", "x:y", ":path", "x\r\n", "Host", "content-length", "transfer-encoding"] {
        assert!(read_text::<HeaderName>(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_duration_reads_back_as_it_is_spoken(millis in 1..=u64::MAX / 100_000_000) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(read_text::<Duration>(&duration.spoken()).unwrap(), duration);
    }

    #[test]
    fn no_text_makes_a_value_panic(text in ".{0,60}") {
        let _any = read_text::<Duration>(&text);
        let _any = read_text::<Selector>(&text);
        let _any = read_text::<Timestamp>(&text);
        let _any = read_text::<HeaderName>(&text);
        let _any = read_text::<SpiffeId>(&text);
    }
}
