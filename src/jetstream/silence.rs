//! How long the first unsettled message has been out without an answer, and whether the server is known to have read it.

use core::time::Duration;

use crate::time::Instant;

/// The silence of the first unsettled message.
///
/// That the socket took a message does not say that the server has read it: on a slow link it may be on its way for
/// minutes, and every further copy would wait behind it. So a PING is sent after it. It is taken for lost only once that
/// is answered; a link on which it is not is another matter, and has timers of its own. But nothing new is written behind
/// a message that is silent for so long: the server may have refused it, and would store what comes after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Silence {
    since: Instant,
    proof: Proof,
    is_stalled: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    /// To be asked for at this moment.
    Due(Instant),
    Asked,
    /// The server had read the message at this moment.
    Read(Instant),
}

impl Silence {
    /// The message is out. On a link that is quick, the server is asked early enough to know in time.
    pub(crate) fn new(now: Instant, send_timeout: Duration) -> Self {
        Self { since: now, proof: Proof::Due(now + send_timeout / 4), is_stalled: false }
    }

    /// Whether the server is to be asked now, which is then taken to be done.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let is_due = matches!(self.proof, Proof::Due(at) if at <= now);
        if is_due {
            self.proof = Proof::Asked;
        }
        is_due
    }

    /// It could not be asked: once more, later.
    pub(crate) fn ask_again(&mut self, now: Instant, send_timeout: Duration) {
        self.proof = Proof::Due(now + send_timeout / 4);
    }

    /// The server has answered.
    pub(crate) fn read(&mut self, now: Instant) {
        if self.proof == Proof::Asked {
            self.proof = Proof::Read(now);
        }
    }

    /// Whether nothing new is to be written from now on. Said once.
    pub(crate) fn stall(&mut self, now: Instant, send_timeout: Duration) -> bool {
        let begins = !self.is_stalled && self.since + send_timeout <= now;
        self.is_stalled |= begins;
        begins
    }

    /// Whether it has lasted for as long as `send_timeout`.
    pub(crate) fn is_over(&self, now: Instant, send_timeout: Duration) -> bool {
        self.end(send_timeout).is_some_and(|end| end <= now)
    }

    /// When something is to be done about it.
    pub(crate) fn timeout(&self, send_timeout: Duration) -> Option<Instant> {
        match self.proof {
            Proof::Due(at) => Some(at),
            Proof::Read(_) => self.end(send_timeout),
            Proof::Asked => (!self.is_stalled).then(|| self.since + send_timeout),
        }
    }

    /// Where the answer came quickly the message was read when it left, and else when the answer came.
    fn end(&self, send_timeout: Duration) -> Option<Instant> {
        let Proof::Read(at) = self.proof else { return None };
        let is_quick = at.since(self.since) <= send_timeout / 2;
        Some(if is_quick { self.since } else { at } + send_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn on_a_quick_link_it_counts_from_the_leaving() {
        let mut silence = Silence::new(at(0), TIMEOUT);
        assert_eq!(silence.timeout(TIMEOUT), Some(at(1)));
        assert!(!silence.ask(at(0)) && silence.ask(at(1)) && !silence.ask(at(1)), "asked once");
        assert_eq!(silence.timeout(TIMEOUT), Some(at(4)));
        silence.read(at(1));
        assert_eq!(silence.timeout(TIMEOUT), Some(at(4)));
        assert!(!silence.is_over(at(3), TIMEOUT) && silence.is_over(at(4), TIMEOUT));
    }

    #[test]
    fn on_a_slow_link_it_counts_from_the_reading() {
        let mut silence = Silence::new(at(0), TIMEOUT);
        assert!(!silence.is_over(at(1000), TIMEOUT), "nothing is known");
        assert!(!silence.stall(at(3), TIMEOUT) && silence.stall(at(4), TIMEOUT) && !silence.stall(at(5), TIMEOUT));
        silence.read(at(1000));
        assert!(!silence.is_over(at(1000), TIMEOUT), "nobody has asked");
        assert!(silence.ask(at(1000)));
        silence.ask_again(at(1000), TIMEOUT);
        assert!(!silence.ask(at(1000)) && silence.ask(at(1001)));
        assert_eq!(silence.timeout(TIMEOUT), None, "there is nothing more to do but wait");
        silence.read(at(1064));
        assert_eq!(silence.timeout(TIMEOUT), Some(at(1068)));
    }
}
