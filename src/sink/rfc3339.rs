//! The notation of moments: RFC 3339 in UTC with milliseconds, such as `2026-01-31T23:59:59.123Z`.

use alloc::string::String;
use core::fmt::Write as _;
use core::ops::RangeInclusive;

const DAY_MILLIS: i64 = 86_400_000;
/// The milliseconds from 1970 on that the notation has a year for: the years 0 to 9999.
pub(crate) const MILLIS: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// Adds a moment, in milliseconds from 1970 on; one that the notation cannot tell as the nearest that it can.
pub(crate) fn push_rfc3339(millis: i64, text: &mut String) {
    let millis = millis.clamp(*MILLIS.start(), *MILLIS.end());
    let (days, rest) = (millis.div_euclid(DAY_MILLIS), millis.rem_euclid(DAY_MILLIS));
    let (year, month, day) = date(days);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a String cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

/// The Gregorian date so many days after 1970-01-01. The year is counted from 1 March, so that the leap day comes last.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // From 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (7, "1970-01-01T00:00:00.007Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_210_096_000, "2024-02-29T12:34:56.000Z"),
            (1_764_028_800_123, "2025-11-25T00:00:00.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (*MILLIS.start(), "0000-01-01T00:00:00.000Z"),
            (*MILLIS.end(), "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let mut text = String::new();
            push_rfc3339(millis, &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before_it() {
        let first = MILLIS.start() / DAY_MILLIS;
        let mut before = date(first);
        for days in first + 1..200_000 {
            let next = date(days);
            let divides = |divisor: i64| before.0 % divisor == 0;
            let leap = divides(4) && (!divides(100) || divides(400));
            let lengths = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let expected = match before {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == lengths[month as usize - 1] => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!(next, expected, "{days}");
            before = next;
        }
    }
}
