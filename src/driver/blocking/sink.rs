//! The embedded sink, for threads that wait.

use std::time::Duration;

use bytes::Bytes;

use super::client::Client;
use super::park::{wait, wait_for};
use super::publisher::Publisher;
use crate::driver::handles::{self, BatchResult, Delivered, SinkError, SinkOpenError, SinkOptions};
use crate::jetstream::PublisherError;
use crate::sink::Event;

/// A sink for programs that make events: cheap to clone, and clones are the same sink. Its client is lent to it, and stays
/// open.
///
/// Events that one thread sends one after the other, or in one batch, reach the stream in that order. Each has the same id
/// at every replay, so an event that is sent again is stored once.
///
/// ```no_run
/// # fn example(events: &[natsink::sink::Event]) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use natsink::{SinkOptions, blocking};
///
/// let client = blocking::connect("nats://127.0.0.1:4222")?;
/// let sink = blocking::Sink::new(&client, SinkOptions::stream("shop", "orders.${source.table}", "ORDERS")?)?;
/// let result = sink.send_batch(events);
/// println!("{} are settled", result.settled_len());
/// sink.close(Duration::from_secs(30)).expect("half a minute is enough")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sink(handles::Sink);

impl Sink {
    /// A sink over this client. It returns at once: whether the stream takes its events is told by
    /// [`verified`](Self::verified), or by the first event.
    ///
    /// # Errors
    /// When the options make no sense, or the connection is over or takes no further publisher.
    pub fn new(client: &Client, options: SinkOptions) -> Result<Self, SinkOpenError> {
        handles::Sink::new(&client.0, options).map(Self)
    }

    /// The sink's name.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Whether its owner's checkpoint waits for it.
    pub fn required(&self) -> bool {
        self.0.required()
    }

    /// The publisher below, for its counts, notices and stream; `None` for core NATS.
    pub fn publisher(&self) -> Option<Publisher> {
        self.0.publisher().cloned().map(Publisher::new)
    }

    /// Waits until the stream was looked at for the first time; `None` when it was not for so long.
    ///
    /// # Errors
    /// When the stream cannot take the events, or the connection is over.
    pub fn verified(&self, patience: Duration) -> Option<Result<(), PublisherError>> {
        wait(self.0.verified(), patience)
    }

    /// Sends an event, and waits for what becomes of it, for as long as that takes.
    ///
    /// # Errors
    /// Whenever the event is not known to be where it should be, see [`SinkError`].
    pub fn send(&self, event: &Event) -> Result<Delivered, SinkError> {
        wait_for(self.0.send(event))
    }

    /// Sends a line as the command reads it, in the options' format. Without a position in its input its id must come
    /// from the line itself: from a whole source position, an `event_id`, a template or the content.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_line(&self, line: Bytes, position: Option<u64>) -> Result<Delivered, SinkError> {
        wait_for(self.0.send_line(line, position))
    }

    /// Sends events, one behind the other without waiting for answers in between, and then waits for what becomes of
    /// each. One that can never be stored does not keep the others back, and none overtakes another.
    pub fn send_batch(&self, events: &[Event]) -> BatchResult {
        wait_for(self.0.send_batch(events))
    }

    /// Waits until nothing that was sent is unsettled; `None` when something still is after so long.
    ///
    /// # Errors
    /// When the sink is over with something unsettled, or was over before.
    pub fn flush(&self, patience: Duration) -> Option<Result<(), PublisherError>> {
        wait(self.0.flush(), patience)
    }

    /// Takes no more events, and waits until all that it took are settled; `None` when some still are after so long: they
    /// go on, and it can be closed again.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub fn close(&self, patience: Duration) -> Option<Result<(), PublisherError>> {
        wait(self.0.close(), patience)
    }
}
