//! Where a random world takes its decisions from: a seed, or the bytes of a fuzzer.

use core::time::Duration;

use crate::rng::Rng;

/// A source of decisions. When a fuzzer's bytes are used up, every decision is the first.
#[derive(Clone, Debug)]
pub struct Choices<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Seed(Rng),
    Bytes(&'a [u8]),
}

impl<'a> Choices<'a> {
    /// Decisions that follow from a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(Source::Seed(Rng::new(seed)))
    }

    /// Decisions that are the bytes, one byte each.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// Whether there is nothing left to decide.
    pub fn is_over(&self) -> bool {
        matches!(self.0, Source::Bytes([]))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(rng) => rng.below(bound),
            Source::Bytes(bytes) => {
                let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
                *bytes = rest;
                u64::from(*first) % bound.max(1)
            }
        }
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Yes, once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == times - 1
    }

    /// A time below `bound`, in 256 steps.
    pub fn time(&mut self, bound: Duration) -> Duration {
        bound * (self.below(256) as u32) / 256
    }
}
