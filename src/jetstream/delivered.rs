//! What the reply subject of a consumer's message tells: which message of which stream it is, and how many are left.

use crate::proto::decimal::parse_decimal;

/// A message as its consumer counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Delivered<'a> {
    pub(crate) stream: &'a [u8],
    pub(crate) consumer: &'a [u8],
    /// Its sequence in the stream.
    pub(crate) seq: u64,
    /// The how-many-eth it is of this consumer.
    pub(crate) number: u64,
    /// How many more the consumer has now.
    pub(crate) pending: u64,
}

impl<'a> Delivered<'a> {
    /// Reads `$JS.ACK.{stream}.{consumer}.{deliveries}.{seq}.{number}.{time}.{pending}`, and the longer form with a domain
    /// and an account before the stream and perhaps a token at the end (ADR-15).
    pub(crate) fn parse(reply: &'a [u8]) -> Option<Self> {
        let rest = reply.strip_prefix(b"$JS.ACK.")?;
        let mut tokens = [&[][..]; 10];
        let mut count = 0;
        for token in rest.split(|byte| *byte == b'.') {
            *tokens.get_mut(count)? = token;
            count += 1;
        }
        let first = match count {
            7 => 0,
            9 | 10 => 2,
            _ => return None,
        };
        let [stream, consumer, deliveries, seq, number, time, pending] = tokens[first..first + 7] else { return None };
        parse_decimal(deliveries).and(parse_decimal(time))?;
        Some(Self {
            stream,
            consumer,
            seq: parse_decimal(seq)?,
            number: parse_decimal(number)?,
            pending: parse_decimal(pending)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Some(Delivered { stream: b"S", consumer: b"natsink-1", seq: 4, number: 1, pending: 6 });
        for reply in [
            &b"$JS.ACK.S.natsink-1.1.4.1.1795597513828903506.6"[..],
            b"$JS.ACK._.Abc123.S.natsink-1.1.4.1.1795597513828903506.6",
            b"$JS.ACK.hub.Abc123.S.natsink-1.1.4.1.1795597513828903506.6.rAnDom",
        ] {
            assert_eq!(Delivered::parse(reply), expected);
        }
    }

    #[test]
    fn anything_else_is_none() {
        for reply in [
            &b""[..],
            b"$JS.ACK.",
            b"$JS.FC.S.natsink-1.abc",
            b"$JS.ACK.S.natsink-1.1.4.1.1795597513828903506",
            b"$JS.ACK.S.natsink-1.1.x.1.1795597513828903506.6",
            b"$JS.ACK.S.natsink-1.1.99999999999999999999.1.1795597513828903506.6",
            b"$JS.ACK.S.natsink-1.1.4.1.1795597513828903506.-6",
            b"$JS.ACK.a.b.S.natsink-1.1.4.1.1795597513828903506.6.x.y",
            b"$JS.ACK..................",
        ] {
            assert_eq!(Delivered::parse(reply), None);
        }
    }
}
