//! Outcomes that somebody awaits one by one: slots apart from the window, so that a held `Ack` holds nothing else.

use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use super::Outcome;

/// Where an outcome will be read: a place, and which use of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AckSlot {
    index: u32,
    generation: u32,
}

/// The slots. As many as callers hold `Ack`s at once; a slot that is read or given up is used again.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Free,
    Awaited(Option<Waker>),
    Ready(Outcome),
}

impl Acks {
    pub(crate) fn claim(&mut self) -> AckSlot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, content: Content::Free });
            u32::try_from(self.places.len() - 1).expect("four billion acks do not fit in memory")
        });
        let place = &mut self.places[index as usize];
        place.content = Content::Awaited(None);
        AckSlot { index, generation: place.generation }
    }

    /// Keeps the outcome for its reader and gives the waker to call, outside any lock. Nothing if the reader is gone.
    pub(crate) fn settle(&mut self, slot: AckSlot, outcome: Outcome) -> Option<Waker> {
        let place = self.place(slot)?;
        match mem::replace(&mut place.content, Content::Ready(outcome)) {
            Content::Awaited(waker) => waker,
            Content::Free | Content::Ready(_) => None,
        }
    }

    /// The outcome, which frees the slot; or keeps `waker` for the moment it comes.
    pub(crate) fn poll(&mut self, slot: AckSlot, waker: &Waker) -> Option<Outcome> {
        let place = self.place(slot)?;
        match &mut place.content {
            Content::Ready(_) => {
                let Content::Ready(outcome) = mem::replace(&mut place.content, Content::Free) else { return None };
                self.release(slot);
                Some(outcome)
            }
            Content::Awaited(kept) => {
                match kept {
                    Some(kept) => kept.clone_from(waker),
                    None => *kept = Some(waker.clone()),
                }
                None
            }
            Content::Free => None,
        }
    }

    /// The reader is gone.
    pub(crate) fn give_up(&mut self, slot: AckSlot) {
        if self.place(slot).is_some() {
            self.release(slot);
        }
    }

    fn place(&mut self, slot: AckSlot) -> Option<&mut Place> {
        self.places.get_mut(slot.index as usize).filter(|place| place.generation == slot.generation)
    }

    fn release(&mut self, slot: AckSlot) {
        let place = &mut self.places[slot.index as usize];
        place.content = Content::Free;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_once_and_its_slot_used_again() {
        let mut acks = Acks::default();
        let waker = Waker::noop();
        let (a, b) = (acks.claim(), acks.claim());
        assert_eq!(acks.poll(a, waker), None);
        assert!(acks.settle(a, Outcome::Stored { seq: 1 }).is_some(), "somebody waits");
        assert!(acks.settle(b, Outcome::Stored { seq: 2 }).is_none(), "nobody waits yet");
        assert_eq!(acks.poll(a, waker), Some(Outcome::Stored { seq: 1 }));
        assert_eq!(acks.poll(a, waker), None);
        let c = acks.claim();
        assert_eq!(c.index, a.index);
        assert!(acks.settle(a, Outcome::Unknown).is_none(), "the old use of the slot is over");
        assert_eq!(acks.poll(c, waker), None);
        acks.give_up(b);
        acks.give_up(b);
        assert_eq!(acks.claim().index, b.index);
        assert_eq!(acks.claim().index, 2, "a slot given up twice is free once");
    }
}
