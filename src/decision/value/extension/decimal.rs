//! Decimals as Cedar writes them (language reference, "decimal").

/// Digits after the point that are kept.
const FRACTION: usize = 4;

/// Ten-thousandths. `-?digits.digits`, with one to four digits after the point, within 64 bits.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    if !numeric(digits) || !numeric(fraction) || fraction.len() > FRACTION {
        return None;
    }
    // Within 64 bits before the point, so what follows fits into 128.
    let whole: i64 = digits.parse().ok()?;
    let magnitude = i128::from(whole) * 10_000 + format!("{fraction:0<FRACTION$}").parse::<i128>().ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
