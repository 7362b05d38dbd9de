//! A native change event, typed: for programs that make events rather than read lines of them.

use alloc::string::String;
use alloc::vec::Vec;

use super::json::Json;

/// A change event. What is `None`, empty or `false` is not written.
///
/// It needs something that tells it from every other event, and the same at every replay: a whole source position, else
/// the [`position`](Self::position) that its maker gives it, else its `event_id`; see [`IdRule`](super::IdRule). An event
/// without any is refused where it is sent; none ever gets a random id.
///
/// ```
/// use natsink::sink::{Event, Json, Op, Source};
///
/// let mut source = Source::new("postgresql", "shop", "orders");
/// source.schema = Some("public".into());
/// (source.lsn, source.tx_id) = (Some(24023128_u64.into()), Some(555_u64.into()));
/// let mut event = Event::new(Op::Create, source);
/// event.after = Some(Json::parse(r#"{"id":1,"total":149.90}"#)?);
/// event.set_order("555:24023128", 3);
/// assert_eq!(
///     event.to_json(),
///     r#"{"after":{"id":1,"total":149.90},"op":"c","source":{"connector":"postgresql","db":"shop","schema":"public","table":"orders","lsn":24023128,"txId":555},"transaction":{"id":"555:24023128","total_order":3}}"#
/// );
/// assert_eq!(Event::parse(&event.to_json())?, event);
/// # Ok::<(), natsink::sink::EventError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub op: Op,
    /// Where it happened.
    pub source: Source,
    /// The row before it.
    pub before: Option<Json>,
    /// The row after it.
    pub after: Option<Json>,
    /// When it was captured, milliseconds from 1970 on.
    pub ts_ms: Option<i64>,
    /// The transaction that it is a part of.
    pub transaction: Option<Transaction>,
    /// An id of its own, the same at every replay.
    pub event_id: Option<String>,
    /// Whose it is.
    pub tenant_id: Option<String>,
    /// The version of the row's schema.
    pub schema_version: Option<String>,
    /// A change of the schema.
    pub ddl: Option<Json>,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// Words to sort it by.
    pub tags: Vec<String>,
    /// What made it, where no change of a row did.
    pub synthetic: Option<Json>,
    /// Whether it is the last one of its transaction.
    pub tx_end: bool,
    /// How it wants to be sent. It is obeyed and never sent.
    pub routing: Option<EventRouting>,
    /// Where it stands in its maker's input: any number that no other event of that input has, and that this one has
    /// again when it is made again. It is not written.
    pub position: Option<u64>,
    /// Members that were read and have no field here, in their order.
    pub(super) other: Vec<(String, Json)>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Op {
    /// It was inserted: `c`.
    Create,
    /// It was changed: `u`.
    Update,
    /// It was deleted: `d`.
    Delete,
    /// It was read by a snapshot: `r`.
    Snapshot,
    /// Its table was emptied: `t`.
    Truncate,
}

/// Where an event happened. Its position is whole, and so the event's identity, with `lsn`, a transaction (`tx_id`, or the
/// event's own) and the event's `total_order`; with `file`, `pos` and `row`; or with `gtid` and `row`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// The version of what captured it.
    pub version: Option<String>,
    /// The kind of the source, such as `postgresql`.
    pub connector: Option<String>,
    /// The name of the source.
    pub name: Option<String>,
    /// When it happened, milliseconds from 1970 on.
    pub ts_ms: Option<i64>,
    /// The database.
    pub db: Option<String>,
    /// The schema, where databases have some.
    pub schema: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// Whether, or where in, a snapshot.
    pub snapshot: Option<Json>,
    /// The log sequence number.
    pub lsn: Option<Json>,
    /// The id of the transaction.
    pub tx_id: Option<Json>,
    /// The log file.
    pub file: Option<String>,
    /// The position in the log file.
    pub pos: Option<u64>,
    /// The row within the log's entry.
    pub row: Option<u64>,
    /// The global id of the transaction.
    pub gtid: Option<String>,
    /// The server that wrote the log.
    pub server_id: Option<u64>,
    /// A position of another kind. No identity is made of it.
    pub sequence: Option<Json>,
    /// Members that were read and have no field here, in their order.
    pub(super) other: Vec<(String, Json)>,
}

/// The transaction that an event is a part of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Transaction {
    /// Its id.
    pub id: Option<String>,
    /// The event's number among those of the transaction.
    pub total_order: Option<u64>,
    /// The event's number among those of its table in the transaction.
    pub data_collection_order: Option<u64>,
    /// Members that were read and have no field here, in their order.
    pub(super) other: Vec<(String, Json)>,
}

/// How one event wants to be sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventRouting {
    /// The subject in place of the configured one.
    pub topic: Option<String>,
    /// The key in place of the configured one.
    pub key: Option<String>,
    /// Headers, which win over configured ones of the same name.
    pub headers: Vec<(String, String)>,
    /// Whether `after` alone is sent.
    pub raw_payload: bool,
}

impl Event {
    /// An event that says what happened where, and nothing else.
    pub fn new(op: Op, source: Source) -> Self {
        Self {
            op,
            source,
            before: None,
            after: None,
            ts_ms: None,
            transaction: None,
            event_id: None,
            tenant_id: None,
            schema_version: None,
            ddl: None,
            trace_id: None,
            tags: Vec::new(),
            synthetic: None,
            tx_end: false,
            routing: None,
            position: None,
            other: Vec::new(),
        }
    }

    /// Says which transaction it is a part of, and its number among the events of that.
    pub fn set_order(&mut self, transaction: impl Into<String>, total_order: u64) {
        let id = Some(transaction.into());
        self.transaction = Some(Transaction { id, total_order: Some(total_order), ..Transaction::default() });
    }
}

impl Op {
    /// The letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Snapshot => "r",
            Self::Truncate => "t",
        }
    }

    pub(super) fn of(letter: &str) -> Option<Self> {
        let all = [Self::Create, Self::Update, Self::Delete, Self::Snapshot, Self::Truncate];
        all.into_iter().find(|op| op.as_str() == letter)
    }
}

impl Source {
    /// A table of a database, known to this kind of connector.
    pub fn new(connector: impl Into<String>, db: impl Into<String>, table: impl Into<String>) -> Self {
        Self { connector: Some(connector.into()), db: Some(db.into()), table: Some(table.into()), ..Self::default() }
    }
}
