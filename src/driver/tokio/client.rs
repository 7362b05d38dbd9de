//! How an async client begins, and what of it needs the runtime's clock.

use std::time::Duration;

use super::task::Driver;
use crate::connection::{CloseReason, ConnectionOptions};
use crate::driver::handles::{Client, options};
use crate::proto::Subject;
use crate::session::{Received, RequestError};

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

    /// Asks, and waits for one answer.
    ///
    /// Dropped while it waits, an answer that still comes is dropped too.
    ///
    /// # Errors
    /// When there is no link, nobody answers, or the connection is over.
    pub async fn request(
        &self,
        subject: Subject<'_>,
        payload: &[u8],
        patience: Duration,
    ) -> Result<Received, RequestError> {
        tokio::time::timeout(patience, self.ask(subject, payload)).await.unwrap_or(Err(RequestError::NoAnswer))
    }
}
