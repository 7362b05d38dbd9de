//! What natsink tells the `tracing` crate at every level, searched for secrets while it is told.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static STATE: Mutex<State> = Mutex::new(State { secrets: Vec::new(), told: 0, found: Vec::new() });

struct State {
    secrets: Vec<String>,
    told: usize,
    /// What was told with a secret in it.
    found: Vec<String>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on nothing that is told may have one of these in it.
pub(crate) fn listen(secrets: &[String]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).expect("nobody else listens"));
    state().secrets.extend_from_slice(secrets);
}

/// Much was told, and no secret among it.
pub(crate) fn hides() {
    let state = state();
    assert!(state.told > 100, "{} things were told", state.told);
    assert_eq!(state.found, Vec::<String>::new());
}

struct Listener;

/// All fields of an event or a span, in one line.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("a String grows");
    }
}

impl Line {
    fn search(self) {
        let mut state = state();
        state.told += 1;
        if state.secrets.iter().any(|secret| self.0.contains(secret)) {
            state.found.push(self.0);
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        line.search();
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line::default();
        values.record(&mut line);
        line.search();
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        line.search();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
