//! The last token of an inbox subject: which message an answer is for, and which sending of it.

/// Bytes of an ack token.
pub(crate) const TOKEN_LEN: usize = 7;

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const ORDINAL_BITS: u32 = 30;
const ORDINAL_MASK: u64 = (1 << ORDINAL_BITS) - 1;
const PASS_MASK: u32 = (1 << 12) - 1;

/// Writes the token of a message's ordinal (its low 30 bits, five digits) and pass (its low 12 bits, two digits).
pub(crate) fn write(ordinal: u64, pass: u32, out: &mut [u8]) {
    let value = ((ordinal & ORDINAL_MASK) << 12) | u64::from(pass & PASS_MASK);
    for (i, digit) in out.iter_mut().take(TOKEN_LEN).enumerate() {
        *digit = DIGITS[(value >> (36 - 6 * i)) as usize & 63];
    }
}

/// Reads a token; the ordinal is the one at or after `front` with these low bits.
pub(crate) fn read(token: &[u8], front: u64) -> Option<(u64, Pass)> {
    if token.len() != TOKEN_LEN {
        return None;
    }
    let mut value = 0u64;
    for &digit in token {
        let digit = VALUES[usize::from(digit)];
        if digit == NO_DIGIT {
            return None;
        }
        value = (value << 6) | u64::from(digit);
    }
    let ordinal = front + ((value >> 12).wrapping_sub(front) & ORDINAL_MASK);
    Some((ordinal, Pass((value & u64::from(PASS_MASK)) as u32)))
}

/// The low bits of a pass, as a token keeps them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pass(u32);

impl Pass {
    pub(crate) fn is(self, pass: u32) -> bool {
        self.0 == pass & PASS_MASK
    }
}

/// The value of each digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (ordinal, pass, front) in
            [(0, 0, 0), (63, 1, 60), (1 << 30, 4095, (1 << 30) - 5), ((1 << 40) + 7, 4096 * 3 + 2, (1 << 40) - 1)]
        {
            let mut token = [0; TOKEN_LEN];
            write(ordinal, pass, &mut token);
            let (read_ordinal, read_pass) = read(&token, front).unwrap();
            assert_eq!(read_ordinal, ordinal);
            assert!(read_pass.is(pass) && !read_pass.is(pass + 1));
        }
    }

    #[test]
    fn an_ordinal_before_the_front_reads_as_one_far_ahead() {
        let mut token = [0; TOKEN_LEN];
        write(9, 0, &mut token);
        assert!(read(&token, 10).unwrap().0 > 1 << 29);
    }

    #[test]
    fn other_tokens_are_none() {
        for token in [&b""[..], b"123456", b"12345678", b"12345.7", b"123456\xff"] {
            assert_eq!(read(token, 0), None);
        }
    }
}
