//! Base64 (RFC 4648): as JSON has bytes, and as CONNECT has signatures.

#[cfg(any(feature = "cli", feature = "nkeys", feature = "sim"))]
use alloc::string::String;
use alloc::vec::Vec;

/// The standard alphabet, with padding.
#[cfg(any(feature = "cli", feature = "sim"))]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    push(&mut text, bytes, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The alphabet for URLs, without padding.
#[cfg(feature = "nkeys")]
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    push(&mut text, bytes, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    text
}

/// Standard base64 with padding, as Go's `encoding/json` writes bytes.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|digit| **digit == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(any(feature = "cli", feature = "nkeys", feature = "sim"))]
fn push(text: &mut String, bytes: &[u8], digits: &[u8; 64]) {
    for group in bytes.chunks(3) {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        text.extend((0..=group.len()).map(|i| char::from(digits[(bits >> (18 - 6 * i) & 63) as usize])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_4648: [(&[u8], &str); 8] = [
        (b"", ""),
        (b"f", "Zg=="),
        (b"fo", "Zm8="),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg=="),
        (b"fooba", "Zm9vYmE="),
        (b"foobar", "Zm9vYmFy"),
        (b"\xff\xfe\xfd", "//79"),
    ];

    #[test]
    fn bytes_are_read_as_rfc_4648_has_them() {
        for (bytes, text) in RFC_4648 {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for text in ["Z", "Zg=", "Z===", "Zm9v\n", "=Zm9", "_-79"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[cfg(any(feature = "cli", feature = "sim"))]
    #[test]
    fn bytes_are_written_as_rfc_4648_has_them() {
        for (bytes, text) in RFC_4648 {
            assert_eq!(encode(bytes), text);
        }
    }

    #[cfg(feature = "nkeys")]
    #[test]
    fn signatures_are_written_for_urls_without_padding() {
        for (bytes, text) in RFC_4648 {
            assert_eq!(encode_url(bytes), text.trim_end_matches('=').replace('/', "_").replace('+', "-"));
        }
        assert_eq!(encode_url(b"\xfb\xff\xbf\xfb"), "-_-_-w");
    }
}
