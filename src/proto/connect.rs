//! CONNECT: what a client says of itself, and nothing else.

use alloc::vec::Vec;
use core::fmt;

/// The fields that a CONNECT can have. Secrets are written to the wire and nowhere else: `Debug` leaves them out.
///
/// Protocol 1, headers and no-responders answers are always asked for, verbose and pedantic mode never.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// The connection's name, for the server's operators.
    pub name: Option<&'a str>,
    /// The user.
    pub user: Option<&'a str>,
    /// The user's password.
    pub pass: Option<&'a str>,
    /// A token instead of user and password.
    pub auth_token: Option<&'a str>,
    /// The public nkey whose seed signed the nonce.
    pub nkey: Option<&'a str>,
    /// The user's JWT.
    pub jwt: Option<&'a str>,
    /// The signed nonce, base64url without padding.
    pub sig: Option<&'a str>,
    /// Whether the server delivers this connection's own publishes to its own subscriptions.
    pub echo: bool,
    /// Whether this client goes on only under TLS.
    pub tls_required: bool,
}

impl Default for Connect<'_> {
    /// Nobody in particular, with echo, without TLS.
    fn default() -> Self {
        Self {
            name: None,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            jwt: None,
            sig: None,
            echo: true,
            tls_required: false,
        }
    }
}

impl Connect<'_> {
    /// Appends the JSON object, one line. Written by hand so that no copy of a secret is left behind on the way.
    pub(super) fn push_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            concat!(
                r#"{"verbose":false,"pedantic":false,"protocol":1,"headers":true,"no_responders":true,"#,
                r#""lang":"rust","version":""#,
                env!("CARGO_PKG_VERSION"),
                r#"","echo":"#
            )
            .as_bytes(),
        );
        push_bool(out, self.echo);
        out.extend_from_slice(br#","tls_required":"#);
        push_bool(out, self.tls_required);
        let texts = [
            ("name", self.name),
            ("user", self.user),
            ("pass", self.pass),
            ("auth_token", self.auth_token),
            ("nkey", self.nkey),
            ("jwt", self.jwt),
            ("sig", self.sig),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                out.push(b',');
                push_json_text(out, name);
                out.push(b':');
                push_json_text(out, text);
            }
        }
        out.push(b'}');
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: Option<&str>| secret.map(|_| "(hidden)");
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("user", &self.user)
            .field("pass", &hidden(self.pass))
            .field("auth_token", &hidden(self.auth_token))
            .field("nkey", &self.nkey)
            .field("jwt", &hidden(self.jwt))
            .field("sig", &hidden(self.sig))
            .field("echo", &self.echo)
            .field("tls_required", &self.tls_required)
            .finish()
    }
}

fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A JSON string, RFC 8259 section 7: quote, backslash and everything below a space are escaped.
fn push_json_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use serde_json::Value;

    fn json(connect: &Connect<'_>) -> Value {
        let mut out = Vec::new();
        connect.push_json(&mut out);
        assert!(!out.iter().any(|byte| byte.is_ascii_control()));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn only_what_is_given_is_said() {
        let value = json(&Connect::default());
        assert_eq!(value["protocol"], 1);
        assert_eq!(value["headers"], true);
        assert_eq!(value["no_responders"], true);
        assert_eq!(value["verbose"], false);
        assert_eq!(value["pedantic"], false);
        assert_eq!(value["echo"], true);
        assert_eq!(value["tls_required"], false);
        assert_eq!(value.as_object().unwrap().len(), 9);
    }

    #[test]
    fn every_text_arrives_as_it_was() {
        let odd = "a\"b\\c\r\nPING\r\n\0\u{7f}ü\u{2028}";
        let connect = Connect {
            name: Some(odd),
            user: Some("u"),
            pass: Some(odd),
            auth_token: Some("t"),
            nkey: Some("U1"),
            jwt: Some("j"),
            sig: Some("s"),
            echo: false,
            tls_required: true,
        };
        let mut out = Vec::new();
        connect.push_json(&mut out);
        assert!(!out.contains(&b'\r') && !out.contains(&b'\n'));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["name"], odd);
        assert_eq!(value["pass"], odd);
        assert_eq!(value["user"], "u");
        assert_eq!(value["auth_token"], "t");
        assert_eq!(value["nkey"], "U1");
        assert_eq!(value["jwt"], "j");
        assert_eq!(value["sig"], "s");
        assert_eq!(value["echo"], false);
        assert_eq!(value["tls_required"], true);
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Some("s3cr3t");
        let connect = Connect {
            pass: secret,
            auth_token: secret,
            jwt: secret,
            sig: secret,
            user: Some("me"),
            ..Default::default()
        };
        let shown = format!("{connect:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("me"), "{shown}");
    }
}
