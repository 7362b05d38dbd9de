//! What moves bytes and tells the time: the one floor that touches sockets.
//!
//! Two drivers stand here, the async one and the blocking one, and a virtual one drives the simulations. Whichever it is,
//! callers see the same outcomes, since all that is decided is decided in the [`Session`](crate::session::Session).
//!
//! # What every driver owes a session
//!
//! This is the contract, and `tests/driver_contract` holds all three to it. Whoever drives a session by hand owes it the
//! same.
//!
//! 1. **Facts have an epoch and an order.** Of one link are told: connected, then what came, as it came, then its end,
//!    once. A fact of an earlier epoch may come at any time and means nothing, so nobody has to be joined or waited for
//!    before the next dial.
//! 2. **What came is told before the end.** A server says why it closes, and then closes. So after a failed write reading
//!    goes on until its end; and a driver that ends a link by its own hand tells the cause first and shuts the socket
//!    afterwards, lest the shut socket be taken for the cause.
//! 3. **Bytes belong to one socket.** What was carried off with `poll_transmit` is written to the socket of that epoch and
//!    to no other, in order, all of it before more is carried off; `handle_transmitted` tells what the socket took, when
//!    it took it. The rest is dropped with the socket: what has to be sent again is the session's to know.
//! 4. **Wishes are done in the order in which they come**, at once, and none twice.
//!    - `Dial`: the name is looked up for each dial; addresses are tried in turn. Whether a dial takes too long is the
//!      session's to say: it hangs up.
//!    - `StartTls`: from that moment on nothing is read in clear and nothing is written until `handle_secured`. A driver
//!      without TLS tells the link's end with `TlsError::NotBuilt`.
//!    - `Authenticate`: the authenticator is asked once, where blocking is allowed; meanwhile time goes on, and a panic of
//!      its is an answer, too.
//!    - `Hangup`: the socket or the dial is over at once, however it is stuck. Nothing is told of it.
//! 5. **Time goes on whatever the socket does.** `handle_timeout` is called when `poll_timeout` wants it, not before, and
//!    soon afterwards also while a write, a dial or an authenticator is stuck: this is how dead links are found.
//! 6. **The lock is short.** It is never held across a system call, an authenticator or the waking of somebody; wakers are
//!    taken under the lock and woken outside.
//! 7. **No sleep misses anything.** A driver looks for what is left to do and leaves its waker with `Session::sleep` under
//!    one and the same lock. One that reads on another thread than it writes asks `Session::is_due` after each fact.
//! 8. **It ends.** With the last handle, or with the session, its sockets, tasks and threads end. A driver that ends before,
//!    because its runtime shuts down or by a panic, closes the session: what is not settled is `Unknown`, and nobody waits
//!    for ever.

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(any(feature = "tokio", feature = "blocking"))]
mod broken;
#[cfg(feature = "nkeys")]
pub mod credentials;
#[cfg(any(feature = "tokio", feature = "blocking"))]
#[cfg_attr(not(feature = "tokio"), allow(unreachable_pub, reason = "the async driver shows them"))]
mod handles;
#[cfg(any(feature = "tls", feature = "nkeys"))]
mod small_file;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(any(feature = "tokio", feature = "blocking"))]
mod transport;

#[cfg(all(feature = "tokio", feature = "sink"))]
pub use self::handles::Sink;
#[cfg(feature = "tokio")]
pub use self::handles::{Ack, Client, Publisher, Subscription};
#[cfg(all(any(feature = "tokio", feature = "blocking"), feature = "sink"))]
pub use self::handles::{BatchResult, Delivered, SinkError, SinkOpenError, SinkOptions};
#[cfg(feature = "tokio")]
pub use self::tokio::connect;
