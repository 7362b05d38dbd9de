//! How an async client begins, and what of it needs the runtime's clock.

use std::time::Duration;

use tokio::time::timeout;

use super::task::Driver;
use crate::connection::{CloseReason, ConnectionOptions};
use crate::driver::handles::{Client, options};
use crate::proto::{HeaderBlock, Subject};
use crate::session::{FlushError, Received, RequestError};

/// Connects with the defaults to the servers of a comma list of URLs.
///
/// # Errors
/// When the list cannot be read, when every server failed once, or when the servers refuse the credentials.
pub async fn connect(urls: &str) -> Result<Client, CloseReason> {
    Client::connect(options(urls)?).await
}

impl Client {
    /// Connects, and waits until the connection is up.
    ///
    /// Must be called within a tokio runtime with I/O and time enabled. Dropped before it is done, it gives up.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use natsink::jetstream::{Message, PublisherOptions};
    /// use natsink::proto::{MsgId, Subject};
    ///
    /// let client = natsink::connect("nats://127.0.0.1:4222").await?;
    /// let publisher = client.publisher(PublisherOptions::stream("ORDERS"))?;
    /// let message = Message::new(Subject::new("orders.created")?, b"{}").id(MsgId::new("order-17")?);
    /// let ack = publisher.publish(&message).await?;
    /// println!("{:?}", ack.await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the connection is over before it was ever up. With `retry_at_start` an unreachable server is not an
    /// error, and this waits for as long as it takes.
    pub async fn connect(options: ConnectionOptions) -> Result<Self, CloseReason> {
        let client = Self::start(options)?;
        client.connected().await?;
        Ok(client)
    }

    /// Starts to connect and returns at once. Publishers can be made and filled meanwhile.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(options: ConnectionOptions) -> Result<Self, CloseReason> {
        let client = Self::new(options)?;
        tokio::spawn(Driver::new(client.shared()));
        Ok(client)
    }

    /// Asks, and waits for one answer: for a link with room first, all within `patience`.
    ///
    /// Dropped while it waits, an answer that still comes is dropped too. A link that is lost meanwhile ends nothing: the
    /// answer may come over the next.
    ///
    /// # Errors
    /// When there is no link to ask over, nobody listens or answers, the server refuses the question, or the connection is
    /// over.
    pub async fn request(
        &self,
        subject: Subject<'_>,
        payload: &[u8],
        patience: Duration,
    ) -> Result<Received, RequestError> {
        self.request_with_headers(subject, None, payload, patience).await
    }

    /// As [`Client::request`], with headers.
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub async fn request_with_headers(
        &self,
        subject: Subject<'_>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
        patience: Duration,
    ) -> Result<Received, RequestError> {
        let mut is_asked = false;
        match timeout(patience, self.ask(subject, headers, payload, &mut is_asked)).await {
            Ok(answer) => answer,
            Err(_) if is_asked => Err(RequestError::NoAnswer),
            Err(_) => Err(RequestError::NoLink),
        }
    }

    /// Waits until the server has read all that was published to core NATS through this handle, and all that was
    /// subscribed. What publishers have in flight is [`Publisher::settled`](crate::Publisher::settled)'s to await.
    ///
    /// It is answered over the link on which it was asked, or not at all. Clones count what is published through them
    /// each for itself. Dropped, nothing has happened.
    ///
    /// # Errors
    /// When it is not known that all was read: a link was lost since this handle was last flushed and messages may be lost
    /// with it, which is told once; there is no link; or the answer does not come within `patience`.
    pub async fn flush(&self, patience: Duration) -> Result<(), FlushError> {
        timeout(patience, self.flushed()).await.unwrap_or(Err(FlushError::NoAnswer))
    }

    /// The time from the leaving of a PING, behind all that was written before, to the coming of its PONG.
    ///
    /// # Errors
    /// When there is no link, it is lost before the answer, or the answer does not come within `patience`.
    pub async fn rtt(&self, patience: Duration) -> Result<Duration, FlushError> {
        timeout(patience, self.pinged()).await.unwrap_or(Err(FlushError::NoAnswer))
    }
}
