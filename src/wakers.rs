//! Those who wait for the same thing: each task once, all of them woken together.

use alloc::vec::Vec;
use core::task::Waker;

/// So many may be those of tasks that are gone.
const CROWD: usize = 64;

/// The wakers of tasks that wait for the same thing. All are woken, since one alone may have been dropped meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Adds a waker, unless one of the same task is there.
    pub(crate) fn add(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// Wakes all where there are many: some may have stopped waiting long ago, and who still waits comes back. To be called
    /// now and then, for a thing that may never come.
    pub(crate) fn disperse(&mut self, woken: &mut Vec<Waker>) {
        if self.0.len() > CROWD {
            self.wake(woken);
        }
    }

    /// Moves all of them to those who are to be woken outside any lock.
    pub(crate) fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.append(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::task::Wake;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_crowd_is_dispersed_and_a_few_are_let_wait() {
        let mut wakers = Wakers::default();
        let mut woken = Vec::new();
        for _ in 0..CROWD {
            wakers.add(&Waker::from(Arc::new(Task)));
        }
        wakers.disperse(&mut woken);
        assert!(woken.is_empty());
        wakers.add(&Waker::from(Arc::new(Task)));
        wakers.disperse(&mut woken);
        assert_eq!(woken.len(), CROWD + 1);
    }

    #[test]
    fn a_task_that_asks_often_waits_once() {
        let waker = Waker::from(Arc::new(Task));
        let mut wakers = Wakers::default();
        for _ in 0..1000 {
            wakers.add(&waker);
        }
        let mut woken = Vec::new();
        wakers.wake(&mut woken);
        assert_eq!(woken.len(), 1);
        wakers.wake(&mut woken);
        assert_eq!(woken.len(), 1);
    }
}
