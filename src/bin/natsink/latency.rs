//! How long acks took: a histogram of fixed size, exact to three per cent.

/// Buckets in each power of two.
const STEPS: u64 = 32;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = (64 - STEPS_LOG2 as usize + 1) * STEPS as usize;

/// Counts of microseconds. Adding one takes no memory.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    counts: Box<[u64]>,
    count: u64,
    max: u64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), count: 0, max: 0 }
    }

    /// Counts one ack that took `micros`.
    pub(crate) fn record(&mut self, micros: u64) {
        self.counts[bucket(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// The microseconds that `share` of the acks (0.0 to 1.0) took at most; `None` before the first.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(highest(bucket).min(self.max));
            }
        }
        Some(self.max)
    }

    /// The longest; `None` before the first.
    pub(crate) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEPS_LOG2;
    (u64::from(shift + 1) * STEPS + (micros >> shift) - STEPS) as usize
}

/// The largest value that falls into `bucket`.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let lowest = (bucket % STEPS + STEPS) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_that_is_close() {
        let powers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in powers.chain([u64::MAX - 1, u64::MAX]).chain(0..10_000) {
            let highest = highest(bucket(value));
            assert!(highest >= value && highest - value <= value / STEPS, "{value} {highest}");
        }
    }

    #[test]
    fn buckets_do_not_overlap() {
        for index in 1..BUCKETS {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index - 1).saturating_add(1)), index);
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut latency = Latency::new();
        assert_eq!((latency.quantile(0.5), latency.max()), (None, None));
        (1..=20).for_each(|micros| latency.record(micros));
        assert_eq!(latency.quantile(0.0), Some(1));
        assert_eq!(latency.quantile(0.5), Some(10));
        assert_eq!(latency.quantile(0.99), Some(20));
        latency.record(1_000_001);
        assert_eq!((latency.quantile(1.0), latency.max()), (Some(1_000_001), Some(1_000_001)));
    }
}
