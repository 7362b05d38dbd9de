//! The embedded sink: change events in, one outcome each. It is the command's mapper over a publisher, as a handle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

use bytes::Bytes;

use super::client::Client;
use super::publisher::{Ack, Publisher};
use super::sink_options::{SinkOpenError, SinkOptions};
use super::sink_outcome::{BatchResult, Delivered, SinkError};
use crate::jetstream::PublisherError;
use crate::proto::HeaderBlock;
use crate::sink::{Event, Mapped, Mapper, MapperOptions, Reason};

/// Mappers that are kept for later. More are made where more tasks send at once.
const MAPPERS_MAX: usize = 16;

/// A sink for programs that make events: cheap to clone, and clones are the same sink.
///
/// Events that one task sends one after the other, or in one batch, reach the stream in that order. Each has the same id
/// at every replay, so an event that is sent again after a crash, a lost link or a dropped future is stored once.
///
/// ```no_run
/// # async fn example(event: natsink::sink::Event) -> Result<(), Box<dyn std::error::Error>> {
/// use natsink::{Sink, SinkOptions};
///
/// let options = SinkOptions::stream("shop", "orders.${source.table}", "ORDERS")?;
/// let sink = Sink::connect("nats://127.0.0.1:4222", options).await?;
/// println!("{:?}", sink.send(&event).await?);
/// let result = sink.send_batch(&[event.clone(), event]).await;
/// for (index, reason) in result.dead_letters() {
///     eprintln!("event {index} can never be stored: {reason}");
/// }
/// sink.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<SinkShared>,
}

#[derive(Debug)]
struct SinkShared {
    id: std::string::String,
    required: bool,
    events: MapperOptions,
    mappers: Mutex<Vec<Mapper>>,
    target: Target,
    /// The connection where it is the sink's own.
    own: Option<Client>,
    closed: AtomicBool,
}

#[derive(Debug)]
enum Target {
    Stream(Publisher),
    Core(Client),
}

/// A mapper on loan.
struct Loan<'a> {
    shared: &'a SinkShared,
    mapper: Option<Mapper>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut mappers = self.shared.mappers.lock().unwrap_or_else(PoisonError::into_inner);
        if mappers.len() < MAPPERS_MAX {
            mappers.extend(self.mapper.take());
        }
    }
}

impl Sink {
    /// A sink over a client that others use too. Closing the sink leaves the client open. It returns at once: whether the
    /// stream takes its events is told by [`verified`](Self::verified), or by the first event.
    ///
    /// A client with another inbox prefix than `_INBOX` should have it added to the options' reserved subjects.
    ///
    /// # Errors
    /// When the options make no sense, or the connection is over or takes no further publisher.
    pub fn new(client: &Client, options: SinkOptions) -> Result<Self, SinkOpenError> {
        Self::open(client, options, None)
    }

    #[cfg(feature = "tokio")]
    pub(in crate::driver) fn owning(client: Client, options: SinkOptions) -> Result<Self, SinkOpenError> {
        Self::open(&client.clone(), options, Some(client))
    }

    fn open(client: &Client, options: SinkOptions, own: Option<Client>) -> Result<Self, SinkOpenError> {
        let SinkOptions { id, required, events, stream } = options.completed();
        let mapper = Mapper::new(events.clone()).map_err(SinkOpenError::Options)?;
        let target = match stream {
            Some(options) => Target::Stream(client.publisher(options).map_err(SinkOpenError::Session)?),
            None => Target::Core(client.clone()),
        };
        let mappers = Mutex::new(std::vec![mapper]);
        let closed = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(SinkShared { id, required, events, mappers, target, own, closed }) })
    }

    /// The sink's name.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Whether its owner's checkpoint waits for it.
    pub fn required(&self) -> bool {
        self.shared.required
    }

    /// The publisher below, for its counts, notices and stream; `None` for core NATS.
    pub fn publisher(&self) -> Option<&Publisher> {
        match &self.shared.target {
            Target::Stream(publisher) => Some(publisher),
            Target::Core(_) => None,
        }
    }

    /// Waits until the stream was looked at for the first time; of core NATS there is nothing to look at.
    ///
    /// # Errors
    /// When the stream cannot take the events, or the connection is over.
    pub async fn verified(&self) -> Result<(), PublisherError> {
        match &self.shared.target {
            Target::Stream(publisher) => publisher.verified().await.map(drop),
            Target::Core(_) => Ok(()),
        }
    }

    /// Sends an event, and waits for what becomes of it: for room in the window first, then for the stream's answer, or
    /// of core NATS for the server's. While the server is away it waits, unless the options limit that.
    ///
    /// Dropped while it waits for room, nothing has happened. Dropped later, the event goes its way all the same; sent
    /// again, it is a duplicate. Never is it stored twice.
    ///
    /// # Errors
    /// Whenever the event is not known to be where it should be, see [`SinkError`].
    pub async fn send(&self, event: &Event) -> Result<Delivered, SinkError> {
        self.send_line(event.to_json().into(), event.position).await
    }

    /// Sends a line as the command reads it, in the options' format. Without a position in its input its id must come
    /// from the line itself: from a whole source position, an `event_id`, a template or the content.
    ///
    /// Dropped, as for [`send`](Self::send).
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_line(&self, line: Bytes, position: Option<u64>) -> Result<Delivered, SinkError> {
        match &self.shared.target {
            Target::Stream(publisher) => SinkError::of(self.publish(publisher, &line, position).await?.await),
            Target::Core(client) => {
                // A handle of its own: its flush speaks for this event and no other.
                let client = client.clone();
                self.publish_core(&client, &line, position).await?;
                client.flushed().await.map_err(|_| SinkError::Unknown)?;
                Ok(Delivered::Taken)
            }
        }
    }

    /// Sends events, one behind the other without waiting for answers in between, and then waits for what becomes of
    /// each. One that can never be stored does not keep the others back, and none overtakes another.
    ///
    /// Dropped, the events up to some index go their way, and those after it were not sent; the same batch sent again is
    /// stored once.
    pub async fn send_batch(&self, events: &[Event]) -> BatchResult {
        let outcomes = match &self.shared.target {
            Target::Stream(publisher) => {
                let mut acks = Vec::with_capacity(events.len());
                for event in events {
                    acks.push(self.publish(publisher, &event.to_json().into(), event.position).await);
                }
                let mut outcomes = Vec::with_capacity(events.len());
                for ack in acks {
                    outcomes.push(match ack {
                        Ok(ack) => SinkError::of(ack.await),
                        Err(error) => Err(error),
                    });
                }
                outcomes
            }
            Target::Core(client) => self.send_batch_core(&client.clone(), events).await,
        };
        BatchResult::new(outcomes)
    }

    async fn send_batch_core(&self, client: &Client, events: &[Event]) -> Vec<Result<Delivered, SinkError>> {
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let published = self.publish_core(client, &event.to_json().into(), event.position).await;
            outcomes.push(published.map(|()| Delivered::Taken));
        }
        if client.flushed().await.is_err() {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(SinkError::Unknown);
            }
        }
        outcomes
    }

    /// Waits until nothing that was sent to the stream is unsettled, or the sink is over. What other tasks send meanwhile
    /// is waited for too. Nothing that was sent to core NATS is ever unsettled: its senders wait for themselves.
    ///
    /// Dropped, nothing has happened.
    ///
    /// # Errors
    /// When the sink is over with something unsettled, or was over before.
    pub async fn flush(&self) -> Result<(), PublisherError> {
        let Target::Stream(publisher) = &self.shared.target else { return Ok(()) };
        publisher.settled().await;
        publisher.failure().map_or(Ok(()), Err)
    }

    /// Ends the sink in an orderly way: takes no more events, waits until all that it took are settled, and closes the
    /// connection where that is its own. While the server is away it waits; to end at once, drop the sink.
    ///
    /// Dropped while it waits, the sink takes no more events; it can be closed again.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush). Events without an outcome are `Unknown` to their senders.
    pub async fn close(&self) -> Result<(), PublisherError> {
        self.shared.closed.store(true, Ordering::Release);
        let flushed = self.flush().await;
        if let Target::Stream(publisher) = &self.shared.target {
            publisher.close();
        }
        if let Some(client) = &self.shared.own {
            client.close();
        }
        match flushed {
            // Closed before: nothing was left.
            Err(PublisherError::Closed) => Ok(()),
            flushed => flushed,
        }
    }

    /// Waits for room, and for that only.
    async fn publish(&self, publisher: &Publisher, line: &Bytes, position: Option<u64>) -> Result<Ack, SinkError> {
        let mut loan = self.loan()?;
        let message = loan.map(line, position)?.message();
        Ok(publisher.publish(&message).await?)
    }

    async fn publish_core(&self, client: &Client, line: &Bytes, position: Option<u64>) -> Result<(), SinkError> {
        let mut loan = self.loan()?;
        let mapped = loan.map(line, position)?;
        let mut headers = HeaderBlock::new();
        let with_id = [("Nats-Msg-Id", mapped.id().as_str())].into_iter();
        for (name, value) in with_id.chain(mapped.headers().into_iter().flat_map(HeaderBlock::iter)) {
            headers.push(name, value).map_err(|error| SinkError::Dead(Reason::Event(error.into())))?;
        }
        Ok(client.publish(mapped.subject(), None, Some(&headers), mapped.payload()).await?)
    }

    fn loan(&self) -> Result<Loan<'_>, SinkError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(SinkError::Closed(PublisherError::Closed));
        }
        let kept = self.shared.mappers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mapper = kept
            .unwrap_or_else(|| Mapper::new(self.shared.events.clone()).expect("the same options made a mapper before"));
        Ok(Loan { shared: &self.shared, mapper: Some(mapper) })
    }
}

impl Loan<'_> {
    fn map<'a>(&'a mut self, line: &'a Bytes, position: Option<u64>) -> Result<Mapped<'a>, SinkError> {
        let mapper = self.mapper.as_mut().expect("it is given back when the loan ends");
        mapper.map_line(line, position).map_err(|error| SinkError::Dead(Reason::Event(error)))
    }
}
