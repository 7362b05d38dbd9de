//! `-ERR`: the server's complaints, read once from their text into a type.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How much is kept of a text that is not known, bytes.
const OTHER_LEN_MAX: usize = 1024;

/// What a server complained about. The texts are those of nats-server 2.15, read by prefix and in any case.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ServerError {
    /// The user may not publish to this subject. The message is gone, the connection stays.
    PermissionsViolationForPublish {
        /// The subject of the publish, exactly.
        subject: String,
    },
    /// The user may not use this reply subject. The message is gone, the connection stays.
    PermissionsViolationForReply {
        /// The reply subject of the publish, exactly.
        reply: String,
    },
    /// The user may not subscribe to this, or it has too many tokens. The connection stays.
    PermissionsViolationForSubscription {
        /// The pattern of the subscription, exactly.
        subject: String,
        /// The queue group, where one was asked for.
        queue: Option<String>,
    },
    /// The credentials are not accepted.
    AuthorizationViolation,
    /// CONNECT came too late.
    AuthenticationTimeout,
    /// The user's credentials ran out.
    AuthenticationExpired,
    /// The user's credentials were revoked.
    AuthenticationRevoked,
    /// The account's credentials ran out.
    AccountAuthenticationExpired,
    /// A message was larger than `max_payload`.
    MaximumPayloadViolation,
    /// A control line was longer than the server takes.
    MaximumControlLine,
    /// An op that is none.
    UnknownProtocolOperation,
    /// The server has all the connections it takes.
    MaximumConnectionsExceeded,
    /// The account has all the connections it may have.
    MaximumAccountConnectionsExceeded,
    /// Too many connections at once: come back later.
    ConnectionThrottling,
    /// TLS was required and did not come.
    SecureConnectionRequired,
    /// Too many PINGs without PONG.
    StaleConnection,
    /// No more subscriptions on this connection.
    MaximumSubscriptionsExceeded,
    /// A subscription to something that is no subject.
    InvalidSubject,
    /// A publish to something that is no subject; the message was processed all the same.
    InvalidPublishSubject,
    /// CONNECT asked for a protocol that is none.
    InvalidClientProtocol,
    /// CONNECT asked for no-responders answers without headers.
    NoRespondersRequiresHeaders,
    /// The account could not be registered.
    FailedAccountRegistration,
    /// Anything else: the first 1024 bytes of it.
    Other(String),
}

/// The texts without arguments: the one the server writes, by which it is also recognised.
const TEXTS: [(&str, ServerError); 19] = {
    use ServerError::*;
    [
        ("Authorization Violation", AuthorizationViolation),
        ("Authentication Timeout", AuthenticationTimeout),
        ("User Authentication Expired", AuthenticationExpired),
        ("User Authentication Revoked", AuthenticationRevoked),
        ("Account Authentication Expired", AccountAuthenticationExpired),
        ("Maximum Payload Violation", MaximumPayloadViolation),
        ("maximum control line exceeded", MaximumControlLine),
        ("Unknown Protocol Operation", UnknownProtocolOperation),
        ("maximum connections exceeded", MaximumConnectionsExceeded),
        ("maximum account active connections exceeded", MaximumAccountConnectionsExceeded),
        ("Connection throttling is active. Please try again later.", ConnectionThrottling),
        ("Secure Connection - TLS Required", SecureConnectionRequired),
        ("Stale Connection", StaleConnection),
        ("maximum subscriptions exceeded", MaximumSubscriptionsExceeded),
        ("Invalid Subject", InvalidSubject),
        ("Invalid Publish Subject", InvalidPublishSubject),
        ("invalid client protocol", InvalidClientProtocol),
        ("no responders requires headers support", NoRespondersRequiresHeaders),
        ("Failed Account Registration", FailedAccountRegistration),
    ]
};

const FOR_PUBLISH: &str = "Permissions Violation for Publish to ";
const FOR_REPLY: &str = "Permissions Violation for Publish with Reply of ";
const FOR_SUBSCRIPTION: &str = "Permissions Violation for Subscription to ";
const USING_QUEUE: &str = " using queue ";

impl ServerError {
    /// Reads the text of a `-ERR`, without the quotes around it.
    pub fn parse(text: &[u8]) -> Self {
        let known = violation(text).or_else(|| {
            TEXTS.iter().find(|(words, _)| strip_prefix(text, words).is_some()).map(|(_, error)| error.clone())
        });
        known.unwrap_or_else(|| {
            let text = &text[..text.len().min(OTHER_LEN_MAX)];
            Self::Other(String::from_utf8_lossy(text).into_owned())
        })
    }

    /// Whether the server closes the connection after it. What is not known is taken to close nothing: a server that does
    /// close will be noticed anyway.
    pub const fn closes(&self) -> bool {
        !matches!(
            self,
            Self::PermissionsViolationForPublish { .. }
                | Self::PermissionsViolationForReply { .. }
                | Self::PermissionsViolationForSubscription { .. }
                | Self::MaximumSubscriptionsExceeded
                | Self::InvalidSubject
                | Self::InvalidPublishSubject
                | Self::FailedAccountRegistration
                | Self::Other(_)
        )
    }

    /// Whether it is about what this client wrote: written again, the same would end the next connection, too.
    pub const fn is_about_input(&self) -> bool {
        matches!(self, Self::MaximumPayloadViolation | Self::MaximumControlLine | Self::UnknownProtocolOperation)
    }

    /// Whether other credentials could help.
    pub const fn is_auth(&self) -> bool {
        matches!(
            self,
            Self::AuthorizationViolation
                | Self::AuthenticationTimeout
                | Self::AuthenticationExpired
                | Self::AuthenticationRevoked
                | Self::AccountAuthenticationExpired
        )
    }
}

/// The complaints that name a subject. One whose quotes are not as they must be names none, and is none of these.
fn violation(text: &[u8]) -> Option<ServerError> {
    if let Some(rest) = strip_prefix(text, FOR_PUBLISH) {
        return Some(ServerError::PermissionsViolationForPublish { subject: quoted(rest)? });
    }
    if let Some(rest) = strip_prefix(text, FOR_REPLY) {
        return Some(ServerError::PermissionsViolationForReply { reply: quoted(rest)? });
    }
    let rest = strip_prefix(text, FOR_SUBSCRIPTION)?;
    // A subject holds no space, so what follows it cannot begin inside of it.
    let subject_end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let (subject, after) = rest.split_at(subject_end);
    let subject = quoted(subject.strip_suffix(b",").unwrap_or(subject))?;
    let queue = match strip_prefix(after, USING_QUEUE) {
        Some(queue) => Some(quoted(queue.split(|&byte| byte == b' ').next()?)?),
        None => None,
    };
    Some(ServerError::PermissionsViolationForSubscription { subject, queue })
}

fn strip_prefix<'a>(text: &'a [u8], words: &str) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(words.len())?;
    head.eq_ignore_ascii_case(words.as_bytes()).then_some(rest)
}

/// What stands between the quotes that must be the first and the last byte. The server writes it with Go's `%q`; an escape
/// that is none stays as it is.
fn quoted(text: &[u8]) -> Option<String> {
    let mut rest = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut plain = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let len = unescape(rest, &mut plain).unwrap_or_else(|| {
            plain.push(b'\\');
            1
        });
        rest = &rest[len..];
    }
    plain.extend_from_slice(rest);
    String::from_utf8(plain).ok()
}

/// Appends what the escape at the beginning of `text` stands for, and tells how long the escape is.
fn unescape(text: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    let digits = match text.get(1)? {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        letter => {
            plain.push(match letter {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                b'"' | b'\\' => *letter,
                _ => return None,
            });
            return Some(2);
        }
    };
    let hex = text.get(2..2 + digits).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
    let code = u32::from_str_radix(core::str::from_utf8(hex).ok()?, 16).ok()?;
    if digits == 2 {
        plain.push(u8::try_from(code).ok()?);
    } else {
        plain.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(2 + digits)
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermissionsViolationForPublish { subject } => write!(f, "{FOR_PUBLISH}{subject:?}"),
            Self::PermissionsViolationForReply { reply } => write!(f, "{FOR_REPLY}{reply:?}"),
            Self::PermissionsViolationForSubscription { subject, queue: None } => {
                write!(f, "{FOR_SUBSCRIPTION}{subject:?}")
            }
            Self::PermissionsViolationForSubscription { subject, queue: Some(queue) } => {
                write!(f, "{FOR_SUBSCRIPTION}{subject:?}{USING_QUEUE}{queue:?}")
            }
            Self::Other(text) => {
                for c in text.chars() {
                    if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
                }
                Ok(())
            }
            known => match TEXTS.iter().find(|(_, error)| error == known) {
                Some((words, _)) => f.write_str(words),
                None => write!(f, "{known:?}"),
            },
        }
    }
}

impl core::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn publish(subject: &str) -> ServerError {
        ServerError::PermissionsViolationForPublish { subject: subject.into() }
    }

    fn subscription(subject: &str, queue: Option<&str>) -> ServerError {
        ServerError::PermissionsViolationForSubscription { subject: subject.into(), queue: queue.map(Into::into) }
    }

    #[test]
    fn known_texts_in_any_case_and_with_more_behind() {
        for (words, error) in &TEXTS {
            assert_eq!(&ServerError::parse(words.as_bytes()), error);
            assert_eq!(&ServerError::parse(words.to_uppercase().as_bytes()), error);
            assert_eq!(&ServerError::parse([words.as_bytes(), b" - and more"].concat().as_slice()), error);
            assert_eq!(&error.to_string(), words);
        }
    }

    #[test]
    fn the_subject_of_a_violation_is_exact() {
        for (text, error) in [
            (r#"Permissions Violation for Publish to "q.a""#, publish("q.a")),
            (r#"permissions violation FOR publish TO "q.a""#, publish("q.a")),
            (r#"Permissions Violation for Publish to "a\"b""#, publish("a\"b")),
            (r#"Permissions Violation for Publish to "a"b""#, publish("a\"b")),
            (r#"Permissions Violation for Publish to "a\\b""#, publish("a\\b")),
            (r#"Permissions Violation for Publish to "a\qb""#, publish("a\\qb")),
            (r#"Permissions Violation for Publish to "a\u00a0\U0001f600\xc3\xbc""#, publish("a\u{a0}\u{1f600}ü")),
            (r#"Permissions Violation for Publish to "a\u12""#, publish("a\\u12")),
            (r#"Permissions Violation for Publish to "it's""#, publish("it's")),
            (r#"Permissions Violation for Publish to "x" using queue "y""#, publish(r#"x" using queue "y"#)),
            (
                r#"Permissions Violation for Publish with Reply of "$JS.ACK.x""#,
                ServerError::PermissionsViolationForReply { reply: "$JS.ACK.x".into() },
            ),
            (r#"Permissions Violation for Subscription to "zzz""#, subscription("zzz", None)),
            (r#"Permissions Violation for Subscription to "z" using queue "q""#, subscription("z", Some("q"))),
            (
                r#"Permissions Violation for Subscription to "z" using queue "q" (sid "1")"#,
                subscription("z", Some("q")),
            ),
            (r#"Permissions Violation for Subscription to "z" (sid "1")"#, subscription("z", None)),
            (r#"Permissions Violation for Subscription to "z.a", too many tokens"#, subscription("z.a", None)),
        ] {
            assert_eq!(ServerError::parse(text.as_bytes()), error, "{text}");
        }
    }

    #[test]
    fn a_violation_with_broken_quotes_names_no_subject() {
        for text in [
            "Permissions Violation for Publish to q.a",
            r#"Permissions Violation for Publish to ""#,
            r#"Permissions Violation for Publish to "q.a"#,
            r#"Permissions Violation for Publish to "q.a"."#,
            r#"Permissions Violation for Subscription to q"#,
            r#"Permissions Violation for Subscription to "q" using queue q"#,
            r#"Permissions Violation for Publish to "\xff""#,
            "Permissions Violation",
        ] {
            assert_eq!(ServerError::parse(text.as_bytes()), ServerError::Other(text.into()));
        }
    }

    #[test]
    fn unknown_texts_are_capped_and_escaped() {
        let error = ServerError::parse(&b"\xff\x1b[31m\n".repeat(100_000));
        let ServerError::Other(text) = &error else { panic!("{error:?}") };
        assert!(text.len() <= 3 * OTHER_LEN_MAX);
        assert!(!error.to_string().chars().any(char::is_control));
        assert_eq!(ServerError::parse(b""), ServerError::Other(String::new()));
        assert_eq!(publish("a\n").to_string(), r#"Permissions Violation for Publish to "a\n""#);
    }

    #[test]
    fn what_closes_and_what_is_about_credentials() {
        assert!(ServerError::parse(b"Stale Connection").closes());
        assert!(ServerError::parse(b"Maximum Payload Violation").closes());
        assert!(!publish("a").closes() && !publish("a").is_auth());
        assert!(!ServerError::parse(b"Invalid Publish Subject").closes());
        assert!(!ServerError::parse(b"anything").closes());
        assert!(ServerError::parse(b"User Authentication Expired").is_auth());
        assert!(ServerError::parse(b"Account Authentication Expired").is_auth());
        assert!(!ServerError::parse(b"maximum connections exceeded").is_auth());
    }
}
