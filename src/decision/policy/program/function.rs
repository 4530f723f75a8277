//! Functions of extension types (language reference, "Functions").

use super::datum::Datum;
use super::evaluate::GaveUp;
use crate::decision::value::{Extension, IpNet};

/// One day in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A function that a program knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::decision::policy) enum Function {
    Ip,
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    IsInRange,
    LessThan,
    LessThanOrEqual,
    GreaterThan,
    GreaterThanOrEqual,
    Offset,
    DurationSince,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

impl Function {
    /// The function of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ip" => Self::Ip,
            "isIpv4" => Self::IsIpv4,
            "isIpv6" => Self::IsIpv6,
            "isLoopback" => Self::IsLoopback,
            "isMulticast" => Self::IsMulticast,
            "isInRange" => Self::IsInRange,
            "lessThan" => Self::LessThan,
            "lessThanOrEqual" => Self::LessThanOrEqual,
            "greaterThan" => Self::GreaterThan,
            "greaterThanOrEqual" => Self::GreaterThanOrEqual,
            "offset" => Self::Offset,
            "durationSince" => Self::DurationSince,
            "toDate" => Self::ToDate,
            "toTime" => Self::ToTime,
            "toMilliseconds" => Self::ToMilliseconds,
            "toSeconds" => Self::ToSeconds,
            "toMinutes" => Self::ToMinutes,
            "toHours" => Self::ToHours,
            "toDays" => Self::ToDays,
            _ => return None,
        })
    }

    /// What it makes of its arguments.
    pub(super) fn call<'v>(self, arguments: &[Datum<'v>]) -> Result<Datum<'v>, GaveUp> {
        use Datum::Extension as Value;
        use Extension::{Datetime, Decimal, Duration, Ip};

        Ok(match (self, arguments) {
            (Self::Ip, [Datum::Text(text)]) => Value(Ip(IpNet::parse(text).ok_or(GaveUp)?)),
            (Self::IsIpv4, [Value(Ip(ip))]) => Datum::Bool(ip.address().is_ipv4()),
            (Self::IsIpv6, [Value(Ip(ip))]) => Datum::Bool(ip.address().is_ipv6()),
            (Self::IsLoopback, [Value(Ip(ip))]) => Datum::Bool(ip.is_loopback()),
            (Self::IsMulticast, [Value(Ip(ip))]) => Datum::Bool(ip.is_multicast()),
            (Self::IsInRange, [Value(Ip(ip)), Value(Ip(range))]) => Datum::Bool(ip.is_in_range(range)),
            (Self::LessThan, [Value(Decimal(a)), Value(Decimal(b))]) => Datum::Bool(a < b),
            (Self::LessThanOrEqual, [Value(Decimal(a)), Value(Decimal(b))]) => Datum::Bool(a <= b),
            (Self::GreaterThan, [Value(Decimal(a)), Value(Decimal(b))]) => Datum::Bool(a > b),
            (Self::GreaterThanOrEqual, [Value(Decimal(a)), Value(Decimal(b))]) => Datum::Bool(a >= b),
            (Self::Offset, [Value(Datetime(at)), Value(Duration(by))]) => {
                Value(Datetime(at.checked_add(*by).ok_or(GaveUp)?))
            }
            (Self::DurationSince, [Value(Datetime(at)), Value(Datetime(start))]) => {
                Value(Duration(at.checked_sub(*start).ok_or(GaveUp)?))
            }
            (Self::ToDate, [Value(Datetime(at))]) => Value(Datetime(at.checked_sub(at.rem_euclid(DAY)).ok_or(GaveUp)?)),
            (Self::ToTime, [Value(Datetime(at))]) => Value(Duration(at.rem_euclid(DAY))),
            (Self::ToMilliseconds, [Value(Duration(time))]) => Datum::Long(*time),
            (Self::ToSeconds, [Value(Duration(time))]) => Datum::Long(time / 1000),
            (Self::ToMinutes, [Value(Duration(time))]) => Datum::Long(time / (60 * 1000)),
            (Self::ToHours, [Value(Duration(time))]) => Datum::Long(time / (60 * 60 * 1000)),
            (Self::ToDays, [Value(Duration(time))]) => Datum::Long(time / DAY),
            _ => return Err(GaveUp),
        })
    }
}
