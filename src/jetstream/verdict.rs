//! The one match from a server's error code to what is done about it.

/// What a publisher does about a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// A passing state of the server: pause briefly, send again.
    RetrySoon,
    /// Somebody must act, or an election end: pause, longer each time, and send again.
    RetrySlowly,
    /// This message will never be taken.
    Reject,
    /// No message will be taken before the configuration changes.
    Fatal,
    /// A code that is not known: tried three times, then the message is rejected.
    Unlisted,
}

/// Times a message with an unlisted refusal is sent before it is rejected.
pub(crate) const UNLISTED_SENDS_MAX: u8 = 3;

impl Verdict {
    /// The verdict on a JetStream error. Codes are those of nats-server's `errors.json`; texts are never looked at.
    pub(crate) fn of(code: u16, err_code: u16) -> Self {
        match err_code {
            // Duplicate id in process, expected-per-subject not ready, in-flight conflict, too many requests or batches.
            10158 | 10163 | 10164 | 10167 | 10210 | 10211 => Self::RetrySoon,
            // Account limits, JetStream not available, resources, storage full, offline.
            10002 | 10008 | 10009 | 10023 | 10028 | 10047 | 10077 | 10118 | 10194 => Self::RetrySlowly,
            // Too large, headers too large, TTL, and a sequence expectation that came with the message.
            10054 | 10097 | 10165 | 10166 | 10070 | 10071 => Self::Reject,
            // JetStream disabled, stream not found, wrong stream, disabled for the account, sealed, API level.
            10039 | 10059 | 10060 | 10076 | 10109 | 10185 => Self::Fatal,
            0 if code == 503 || code == 429 => Self::RetrySlowly,
            _ => Self::Unlisted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn classes() {
        assert_eq!(Verdict::of(409, 10158), Verdict::RetrySoon);
        assert_eq!(Verdict::of(503, 10077), Verdict::RetrySlowly);
        assert_eq!(Verdict::of(400, 10054), Verdict::Reject);
        assert_eq!(Verdict::of(400, 10060), Verdict::Fatal);
        assert_eq!(Verdict::of(503, 0), Verdict::RetrySlowly);
        assert_eq!(Verdict::of(500, 19999), Verdict::Unlisted);
        assert_eq!(Verdict::of(400, 0), Verdict::Unlisted);
    }
}
