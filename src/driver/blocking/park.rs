//! Waiting on the thread that asks: parked until a waker of the session unparks it, or its time is up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

std::thread_local! {
    static PARKING: Parking = Parking::new();
}

/// Where a thread sleeps.
#[derive(Debug)]
pub(super) struct Parking {
    place: Arc<Place>,
    waker: Waker,
}

#[derive(Debug)]
struct Place {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

impl Parking {
    /// For the thread that calls this, and no other.
    pub(super) fn new() -> Self {
        let place = Arc::new(Place { thread: thread::current(), woken: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&place)), place }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until it is woken, also if that was before this was called, or until then. Whether it was woken.
    pub(super) fn park(&self, until: Option<Instant>) -> bool {
        while !self.place.woken.swap(false, Ordering::Acquire) {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return false,
                Some(left) => thread::park_timeout(left),
            }
        }
        true
    }
}

/// Waits for the future, for so long at most: `None` when the time is up, and the future is dropped then.
pub(super) fn wait<T>(future: impl Future<Output = T>, patience: Duration) -> Option<T> {
    // No clock goes so far: that is waiting for ever.
    wait_until(future, Instant::now().checked_add(patience))
}

/// Waits for the future for as long as it takes.
pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    wait_until(future, None).expect("nothing else ends it")
}

fn wait_until<T>(future: impl Future<Output = T>, until: Option<Instant>) -> Option<T> {
    let mut future = pin!(future);
    PARKING.with(|parking| {
        let mut cx = Context::from_waker(parking.waker());
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
                return Some(done);
            }
            if !parking.park(until) {
                return None;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn, ready};

    #[test]
    fn a_wake_before_the_wait_is_not_lost() {
        let mut polls = 0;
        wait_for(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert_eq!(polls, 3);
    }

    #[test]
    fn another_thread_wakes() {
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let done = Arc::new(AtomicBool::new(false));
        let waking = thread::spawn({
            let done = Arc::clone(&done);
            move || {
                let waker = receiver.recv().expect("it waits");
                done.store(true, Ordering::SeqCst);
                waker.wake();
            }
        });
        wait_for(poll_fn(|cx| {
            let _ = sender.send(cx.waker().clone());
            if done.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }));
        waking.join().expect("it wakes");
    }

    #[test]
    fn time_ends_a_wait_and_no_time_at_all_asks_once() {
        assert_eq!(wait(pending::<()>(), Duration::from_millis(1)), None);
        assert_eq!(wait(ready(7), Duration::ZERO), Some(7));
        assert_eq!(wait(ready(7), Duration::MAX), Some(7));
    }
}
