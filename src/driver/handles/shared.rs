//! What the driver's task and all handles share: the session behind its lock, and the clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant as StdInstant;

use crate::session::Session;
use crate::time::Instant;

#[derive(Debug)]
pub(in crate::driver) struct Shared {
    session: Mutex<Session>,
    started: StdInstant,
}

impl Shared {
    pub(in crate::driver) fn new(session: Session) -> Self {
        Self { session: Mutex::new(session), started: StdInstant::now() }
    }

    /// The session's time.
    pub(in crate::driver) fn now(&self) -> Instant {
        let micros = self.started.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// A moment of the session's time, as the runtime's clock has it.
    pub(in crate::driver) fn at(&self, moment: Instant) -> StdInstant {
        self.started + moment.since(Instant::ZERO)
    }

    pub(in crate::driver) fn lock(&self) -> MutexGuard<'_, Session> {
        // A panic under the lock would be a bug of ours; the session's state is sound after any call.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the session at this moment, then wakes outside the lock whom it left to be woken.
    pub(in crate::driver) fn with_now<R>(&self, act: impl FnOnce(&mut Session, Instant) -> R) -> R {
        let now = self.now();
        self.with(|session| act(session, now))
    }

    /// As [`Shared::with_now`], for what needs no clock.
    pub(in crate::driver) fn with<R>(&self, act: impl FnOnce(&mut Session) -> R) -> R {
        let mut session = self.lock();
        let result = act(&mut session);
        let mut woken = session.pop_woken();
        drop(session);
        while let Some(waker) = woken {
            waker.wake();
            woken = self.lock().pop_woken();
        }
        result
    }
}
