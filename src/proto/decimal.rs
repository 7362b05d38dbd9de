//! Decimal numbers as the protocol writes them: digits, no sign, no fraction.

use alloc::string::String;
use alloc::vec::Vec;

/// The digits of the longest number, `u64::MAX`.
pub(crate) const DECIMAL_LEN_MAX: usize = 20;

const PAIRS: [u8; 200] = pairs();

const fn pairs() -> [u8; 200] {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
}

/// The number that `digits` write; `None` for anything but digits, for none at all, and for more than a `u64` holds.
pub(crate) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for &digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(value))?;
    }
    Some(number)
}

/// How many digits `number` has.
pub(crate) const fn decimal_len(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// Writes `number` to the beginning of `out`, which must have room for it, and tells how many digits that were.
pub(crate) fn put_decimal(out: &mut [u8], number: u64) -> usize {
    let len = decimal_len(number);
    let (mut at, mut left) = (len, number);
    while left >= 100 {
        let pair = (left % 100) as usize * 2;
        left /= 100;
        at -= 2;
        out[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if left >= 10 {
        let pair = left as usize * 2;
        out[..2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        out[0] = b'0' + left as u8;
    }
    len
}

/// Appends `number` to `out`.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; DECIMAL_LEN_MAX];
    let len = put_decimal(&mut digits, number);
    out.extend_from_slice(&digits[..len]);
}

/// Appends `number` to a text.
pub(crate) fn push_decimal_str(out: &mut String, number: u64) {
    let mut digits = [0; DECIMAL_LEN_MAX];
    let len = put_decimal(&mut digits, number);
    out.push_str(core::str::from_utf8(&digits[..len]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn written_as_the_standard_library_does_and_read_back() {
        let powers = (0..20).map(|log| 10_u64.pow(log)).flat_map(|power| [power - 1, power, power + 1]);
        for number in powers.chain([u64::MAX, 12_345_678_901_234_567_890, 42, 100, 909]) {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            assert_eq!(decimal_len(number), out.len());
            assert_eq!(parse_decimal(&out), Some(number));
        }
    }

    #[test]
    fn only_digits_are_a_number() {
        for text in
            ["", "+1", "-1", "0x10", "1e3", "5 5", "1.0", " 1", "18446744073709551616", "99999999999999999999", "٣"]
        {
            assert_eq!(parse_decimal(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_decimal(b"007"), Some(7));
        assert_eq!(parse_decimal(b"000000000000000000000000001"), Some(1));
    }
}
