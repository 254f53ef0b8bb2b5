//! Parses values from text: numbers, dates and times. Each parser returns `None` for other text.
//!
//! These are stricter than Arrow's parsers, which accept a timestamp as a date and truncate 1.5 to an integer and
//! 19.999 to a DECIMAL(10,2).

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// A timestamp, with the zone if one was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    /// Date and time in the zone given.
    pub(crate) local: NaiveDateTime,
    /// The offset of the zone from UTC.
    pub(crate) offset: Option<TimeDelta>,
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("t") || text == "1" {
        return Some(true);
    }
    (is("false") || is("f") || text == "0").then_some(false)
}

/// `17`, or `17.0` as written by programs that store integers as floats.
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| i64::try_from(decimal(text, 38, 0)?).ok())
}

/// A double; it is infinite only if spelled so.
pub(crate) fn double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || !has_digit(text)).then_some(value)
}

/// A single, parsed directly: rounding twice, through a double, can differ in the last bit.
pub(crate) fn single(text: &str) -> Option<f32> {
    let value: f32 = text.parse().ok()?;
    (value.is_finite() || !has_digit(text)).then_some(value)
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// The number in units of 10^-scale, if it is exact in them and has at most `precision` digits.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if (whole.is_empty() && fraction.is_empty()) || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Trailing zeros are moved to the exponent: 19.9900 has the same scale as 19.99.
    let zeros = digits().rev().take_while(|b| *b == b'0').count();
    let mut value: i128 = 0;
    for digit in digits().take(whole.len() + fraction.len() - zeros) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if value == 0 {
        return Some(0);
    }
    let places = i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let shift = places + i64::from(exponent) + i64::from(scale);
    value = value.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    if value >= 10_i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// `2026-02-14`.
pub(crate) fn date(text: &str) -> Option<NaiveDate> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, two(bytes, 5)?, two(bytes, 8)?)
}

/// `09:30`, `09:30:00`, `09:30:00.125`.
pub(crate) fn time(text: &str) -> Option<NaiveTime> {
    let (time, rest) = time_and_rest(text.as_bytes())?;
    rest.is_empty().then_some(time)
}

/// A date, then `T` or a space and the time, then an optional zone: `Z`, `UTC`, `+01:00`, `+0100`, `+01`.
pub(crate) fn moment(text: &str) -> Option<Moment> {
    let day = date(text.get(..10)?)?;
    let Some((separator, rest)) = text.as_bytes()[10..].split_first() else {
        return Some(Moment { local: day.and_time(NaiveTime::MIN), offset: None });
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let (time, zone) = time_and_rest(rest)?;
    Some(Moment { local: day.and_time(time), offset: offset(zone)? })
}

/// The moment in UTC; without a zone it is assumed to be in UTC.
pub(crate) fn in_utc(moment: Moment) -> Option<DateTime<chrono::Utc>> {
    Some(moment.local.checked_sub_signed(moment.offset.unwrap_or_default())?.and_utc())
}

fn time_and_rest(bytes: &[u8]) -> Option<(NaiveTime, &[u8])> {
    if bytes.get(2) != Some(&b':') {
        return None;
    }
    let (hour, minute) = (two(bytes, 0)?, two(bytes, 3)?);
    let mut rest = &bytes[5..];
    let (mut second, mut nano) = (0, 0);
    if rest.first() == Some(&b':') {
        second = two(rest, 1)?;
        rest = &rest[3..];
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            nano = (0..9).fold(0, |n, i| n * 10 + if i < digits { u32::from(fraction[i] - b'0') } else { 0 });
            rest = &fraction[digits..];
        }
    }
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nano)?, rest))
}

/// The zone at the end of a timestamp: no zone is `Some(None)`.
fn offset(zone: &[u8]) -> Option<Option<TimeDelta>> {
    let zone = zone.strip_prefix(b" ").unwrap_or(zone);
    let (sign, digits) = match zone {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" => return Some(Some(TimeDelta::zero())),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let minutes = match (digits.len(), digits.get(2)) {
        (2, _) => 0,
        (4, _) => two(digits, 2)?,
        (5, Some(b':')) => two(digits, 3)?,
        _ => return None,
    };
    let hours = two(digits, 0)?;
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some(Some(TimeDelta::minutes(sign * i64::from(hours * 60 + minutes))))
}

fn two(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let check = |text: &str, expected: Option<i128>| assert_eq!(decimal(text, 10, 2), expected, "{text}");
        check("299.99", Some(29999));
        check("-0.5", Some(-50));
        check("+7", Some(700));
        check(".25", Some(25));
        check("19.9900", Some(1999));
        check("100", Some(10000));
        check("1.9999e1", None);
        check("1.999e1", Some(1999));
        check("1.99e1", Some(1990));
        check("1200e-2", Some(1200));
        check("99999999.99", Some(9_999_999_999));
        check("100000000", None);
        check("19.999", None);
        check("0.000", Some(0));
        check("0e9999", Some(0));
        check("1e9999", None);
        check(&format!("1.{}", "0".repeat(200)), Some(100));
        for wrong in ["", "-", ".", "1,5", "1.2.3", "abc", "1e", "e5", "--1", "1 "] {
            check(wrong, None);
        }
    }

    #[test]
    fn integers_are_whole() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(integer(text), expected, "{text}");
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("17.0", Some(17));
        check("17.5", None);
        check("abc", None);
    }

    #[test]
    fn a_number_too_large_is_not_infinity() {
        assert_eq!(double("1e308"), Some(1e308));
        assert_eq!(double("1e309"), None);
        assert_eq!(double("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(single("1e39"), None);
    }

    #[test]
    fn moments_in_their_spellings() {
        let check = |text: &str, expected: Option<&str>| {
            let utc = moment(text).and_then(in_utc).map(|m| m.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
            assert_eq!(utc.as_deref(), expected, "{text}");
        };
        check("2026-02-14", Some("2026-02-14T00:00:00Z"));
        check("2026-02-14 09:00", Some("2026-02-14T09:00:00Z"));
        check("2026-02-14 09:00:15", Some("2026-02-14T09:00:15Z"));
        check("2026-02-14T09:00:15.5Z", Some("2026-02-14T09:00:15.500Z"));
        check("2026-02-14T09:00:15.1234567891+01:00", Some("2026-02-14T08:00:15.123456789Z"));
        check("2026-02-14 09:00:15-0530", Some("2026-02-14T14:30:15Z"));
        check("2026-02-14 09:00:15 UTC", Some("2026-02-14T09:00:15Z"));
        check("2026-02-14 09:00:15+02", Some("2026-02-14T07:00:15Z"));
        for wrong in [
            "",
            "2026",
            "2026-02-30",
            "14.02.2026",
            "2026-02-14 ",
            "2026-02-14X09:00",
            "2026-02-14 9:00",
            "2026-02-14 24:00:00",
            "2026-02-14 09:00:15.",
            "2026-02-14 09:00:15 CET",
            "2026-02-14 09:00:15+1",
            "2026-02-1é",
            "２026-02-14",
        ] {
            check(wrong, None);
        }
    }
}
