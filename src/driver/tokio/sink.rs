//! How an embedded sink begins that has a connection of its own.

use crate::connection::ConnectionOptions;
use crate::driver::handles::{Client, Sink, SinkOpenError, SinkOptions, options};

impl Sink {
    /// Connects to the servers of a comma list of URLs, and waits until the stream was found to take the events. The
    /// connection is the sink's own, and ends with it.
    ///
    /// Must be called within a tokio runtime with I/O and time enabled. Dropped before it is done, it gives up.
    ///
    /// # Errors
    /// When the options make no sense, every server failed once, the credentials are refused, or the stream cannot take
    /// the events.
    pub async fn connect(urls: &str, events: SinkOptions) -> Result<Self, SinkOpenError> {
        Self::connect_with(options(urls).map_err(SinkOpenError::Connection)?, events).await
    }

    /// As [`Sink::connect`], with a connection of these options: credentials, TLS, names, timeouts.
    ///
    /// # Errors
    /// As for [`Sink::connect`].
    pub async fn connect_with(connection: ConnectionOptions, mut options: SinkOptions) -> Result<Self, SinkOpenError> {
        options.events.reserved.push(connection.inbox_prefix.clone());
        let client = Client::connect(connection).await.map_err(SinkOpenError::Connection)?;
        let sink = Self::owning(client, options)?;
        sink.verified().await.map_err(SinkOpenError::Stream)?;
        Ok(sink)
    }
}
