//! A line of those who wait for the same room: first come, first served.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;

/// A place in a line for room. Whoever stops waiting must give it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket(u64);

#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<(u64, Waker)>,
    tickets: u64,
}

impl Line {
    /// Waits in line: `ticket` is filled in at the first call and kept through later ones.
    pub(super) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        match ticket {
            Some(Ticket(number)) => {
                if let Some((_, kept)) = self.waiting.iter_mut().find(|(waiting, _)| waiting == number) {
                    kept.clone_from(waker);
                }
            }
            None => {
                self.tickets += 1;
                *ticket = Some(Ticket(self.tickets));
                self.waiting.push_back((self.tickets, waker.clone()));
            }
        }
    }

    /// Leaves the line, served or not; the next one's turn may have come.
    pub(super) fn leave(&mut self, Ticket(number): Ticket) {
        self.waiting.retain(|(waiting, _)| *waiting != number);
    }

    /// Whether nobody waits before this one.
    pub(super) fn is_first(&self, ticket: Option<Ticket>) -> bool {
        match self.waiting.front() {
            None => true,
            Some((first, _)) => ticket == Some(Ticket(*first)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn wake_first(&self, woken: &mut Vec<Waker>) {
        woken.extend(self.waiting.front().map(|(_, waker)| waker.clone()));
    }

    pub(super) fn wake_all(&self, woken: &mut Vec<Waker>) {
        woken.extend(self.waiting.iter().map(|(_, waker)| waker.clone()));
    }
}
