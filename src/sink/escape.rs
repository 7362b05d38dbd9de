//! Percent escapes that keep the fields of an id apart, and the id itself legal.

use alloc::string::String;

/// Which bytes are written as `%XX`: always all that are not printable ASCII and `%` itself, and the ones that separate
/// fields. Different texts stay different, and none of them can be taken for a separator.
#[derive(Clone, Debug)]
pub(super) struct Escape([bool; 256]);

impl Escape {
    pub(super) const fn of(separators: &[u8]) -> Self {
        let mut escaped = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            escaped[byte] = byte <= 0x20 || byte >= 0x7f || byte == b'%' as usize;
            byte += 1;
        }
        let mut i = 0;
        while i < separators.len() {
            escaped[separators[i] as usize] = true;
            i += 1;
        }
        Self(escaped)
    }

    /// Escapes one more byte.
    pub(super) fn add(&mut self, separator: u8) {
        self.0[usize::from(separator)] = true;
    }

    /// Adds `text` to `id`.
    pub(super) fn append(&self, text: &str, id: &mut String) {
        if !text.bytes().any(|byte| self.0[usize::from(byte)]) {
            id.push_str(text);
            return;
        }
        for byte in text.bytes() {
            if self.0[usize::from(byte)] {
                id.push('%');
                push_hex(byte, id);
            } else {
                id.push(char::from(byte));
            }
        }
    }
}

/// Adds two upper-case digits.
fn push_hex(byte: u8, text: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut id = String::new();
        Escape::of(b"|:").append(text, &mut id);
        id
    }

    #[test]
    fn escapes() {
        assert_eq!(escaped("mysql-bin.000003"), "mysql-bin.000003");
        assert_eq!(escaped("a|b:c%d e\r\n"), "a%7Cb%3Ac%25d%20e%0D%0A");
        assert_eq!(escaped("ü"), "%C3%BC");
        assert_eq!(escaped(""), "");
    }

    fn unescaped(id: &str) -> String {
        let mut text = Vec::new();
        let mut bytes = id.bytes();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b'%' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(core::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn every_text_can_be_told_from_every_other(text in ".*") {
            let id = escaped(&text);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'|' && byte != b':'));
            prop_assert_eq!(unescaped(&id), text);
        }
    }
}
