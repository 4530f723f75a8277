//! Cedar itself is the measure.

use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Request, eval_expression};
use proptest::prelude::*;

use super::{Extension, ExtensionKind};

/// What Cedar makes of an expression; `None` if evaluating it fails.
fn cedar(expression: &str) -> Option<EvalResult> {
    let who: EntityUid = r#"User::"a""#.parse().unwrap();
    let request = Request::new(who.clone(), who.clone(), who, Context::empty(), None).unwrap();
    let expression: Expression = expression.parse().unwrap();
    eval_expression(&request, &Entities::empty(), &expression).ok()
}

fn long(expression: &str) -> Option<i64> {
    match cedar(expression)? {
        EvalResult::Long(number) => Some(number),
        other => panic!("{other}"),
    }
}

fn agrees_on_decimal(text: &str) {
    let ours = Extension::parse(ExtensionKind::Decimal, text);
    let accepted = cedar(&format!("decimal({text:?})")).is_some();
    assert_eq!(ours.is_some(), accepted, "{text}");
    if let Some(Extension::Decimal(number)) = ours {
        let sign = if number < 0 { "-" } else { "" };
        let (whole, fraction) = (number.unsigned_abs() / 10_000, number.unsigned_abs() % 10_000);
        let spelled = format!("decimal({text:?}) == decimal(\"{sign}{whole}.{fraction:04}\")");
        assert_eq!(cedar(&spelled), Some(EvalResult::Bool(true)), "{spelled}");
    }
}

fn agrees_on_duration(text: &str) {
    let ours = Extension::parse(ExtensionKind::Duration, text);
    let theirs = long(&format!("duration({text:?}).toMilliseconds()")).map(Extension::Duration);
    assert_eq!(ours, theirs, "{text}");
}

fn agrees_on_datetime(text: &str) {
    let ours = Extension::parse(ExtensionKind::Datetime, text);
    let since = format!("datetime({text:?}).durationSince(datetime(\"1970-01-01\")).toMilliseconds()");
    assert_eq!(ours, long(&since).map(Extension::Datetime), "{text}");
}

/// At the edges of what Cedar takes for a value, on either side.
const DECIMALS: &[&str] = &[
    "922337203685477.5807",
    "922337203685477.5808",
    "-922337203685477.5808",
    "-922337203685477.5809",
    "-0.5",
    "0.0",
    "1.",
    ".1",
    "1.12345",
    "1.0000",
    "00000000000000000000001.5",
    "+1.0",
    "1",
    "-",
    "",
    "1.2.3",
    "١.٢",
    "1.-2",
    "9223372036854775807.0",
    "9223372036854775808.0",
    " 1.0",
    "1.0\n",
];

/// At the edges of what Cedar takes for a value, on either side.
const DURATIONS: &[&str] = &[
    "",
    "-",
    "1d2h3m4s5ms",
    "5ms",
    "5m",
    "5m5",
    "m",
    "2h1d",
    "1d1d",
    "-1s",
    "--1s",
    "+1s",
    "1S",
    "1 s",
    "0d0ms",
    "9223372036854775807ms",
    "9223372036854775808ms",
    "-9223372036854775808ms",
    "-9223372036854775809ms",
    "106751991167d7h12m55s807ms",
    "106751991167d7h12m55s808ms",
    "-106751991167d7h12m55s808ms",
    "18446744073709551615d",
    "18446744073709551616s",
    "000000000000000000000000001s",
    "1m1ms",
    "1µs",
];

/// At the edges of what Cedar takes for a value, on either side.
const DATETIMES: &[&str] = &[
    "2026-11-22",
    "0000-01-01",
    "9999-12-31T23:59:59.999-2359",
    "2024-02-29",
    "2023-02-29",
    "2026-13-01",
    "2026-00-01",
    "2026-01-00",
    "2026-11-22T08:00:00",
    "2026-11-22T08:00:00Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T08:60:00Z",
    "2026-11-22T08:00:60Z",
    "2026-11-22T08:00:00.12Z",
    "2026-11-22T08:00:00.123Z",
    "2026-11-22T08:00:00.1234Z",
    "2026-11-22T08:00:00+2400",
    "2026-11-22T08:00:00+0060",
    "2026-11-22T08:00:00-0000",
    "2026-11-22T08:00:00.5+01:00",
    "2026-11-22Z",
    "2026-11-22T08:00Z",
    "",
    "2026-1-1",
    "-026-01-01",
    "2026-11-22 ",
    "2026-11-22t08:00:00z",
    "2026-11-2é",
    "1969-12-31T23:59:59.999Z",
];

#[test]
fn the_edges_of_each_type_are_cedars() {
    for text in DECIMALS {
        agrees_on_decimal(text);
    }
    for text in DURATIONS {
        agrees_on_duration(text);
    }
    for text in DATETIMES {
        agrees_on_datetime(text);
    }
}

proptest! {
    #[test]
    fn a_decimal_is_what_cedar_says(text in r"-?[0-9]{0,20}\.?[0-9]{0,5}") {
        agrees_on_decimal(&text);
    }

    #[test]
    fn a_duration_is_what_cedar_says(text in r"-?([0-9]{1,20}d)?([0-9]{1,3}h)?([0-9]{1,20}m)?([0-9]{1,3}s)?([0-9]{1,20}ms)?s?") {
        agrees_on_duration(&text);
    }

    #[test]
    fn a_point_in_time_is_what_cedar_says(
        text in r"[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{3})?(Z|[+-][0-2][0-9][0-6][0-9])?)?",
    ) {
        agrees_on_datetime(&text);
    }
}
