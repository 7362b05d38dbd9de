//! A histogram of times: exact below 32 µs, within 1/32 above, up to 12 days.

use alloc::boxed::Box;
use core::time::Duration;

/// Bits that one bucket's width leaves of a value: 32 buckets an octave.
const PRECISION: u32 = 5;
const PER_OCTAVE: usize = 1 << PRECISION;
/// The largest value that is told apart, bits.
const BITS_MAX: u32 = 40;
const BUCKETS: usize = (BITS_MAX - PRECISION + 1) as usize * PER_OCTAVE;

/// Bounds of [`Histogram::within`], microseconds: those of `deltaforge_sink_latency_seconds`.
const BOUNDS: [u64; 13] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000,
];

/// Counts times in microseconds. Recording takes no memory and a few nanoseconds.
///
/// ```
/// use core::time::Duration;
/// use natsink::sink::Histogram;
///
/// let mut times = Histogram::new();
/// (1..=100).for_each(|micros| times.record(Duration::from_micros(micros)));
/// assert_eq!(times.quantile(0.5), Some(Duration::from_micros(50)));
/// assert_eq!(times.max(), Some(Duration::from_micros(100)));
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64]>,
    /// Times that exceed so many of the bounds.
    beyond: [u64; BOUNDS.len() + 1],
    count: u64,
    /// Microseconds.
    sum: u64,
    max: u64,
}

impl Histogram {
    /// A histogram of nothing.
    pub fn new() -> Self {
        let beyond = [0; BOUNDS.len() + 1];
        Self { buckets: alloc::vec![0; BUCKETS].into(), beyond, count: 0, sum: 0, max: 0 }
    }

    /// Counts one time.
    pub fn record(&mut self, time: Duration) {
        let micros = time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
        self.buckets[bucket(micros)] += 1;
        self.beyond[BOUNDS.partition_point(|&bound| bound < micros)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.max = self.max.max(micros);
    }

    /// How many times were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All times together, each in whole microseconds.
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }

    /// For 13 bounds from 1 ms to 30 s, how many times did not exceed them: exact, whole microseconds. The bounds are those
    /// of the metric `deltaforge_sink_latency_seconds`.
    pub fn within(&self) -> [(Duration, u64); 13] {
        let mut within = 0;
        core::array::from_fn(|index| {
            within += self.beyond[index];
            (Duration::from_micros(BOUNDS[index]), within)
        })
    }

    /// The longest time; `None` before the first.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_micros(self.max))
    }

    /// The time that the share `q` (0 to 1) of all times does not exceed, at most 1/32 too long; `None` before the first.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        // A count below 2^53 is exact; the cast saturates where q is no number.
        let share = q.clamp(0.0, 1.0) * self.count as f64;
        let floor = share as u64;
        let rank = (floor + u64::from(share > floor as f64)).clamp(1, self.count);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Duration::from_micros(bucket_end(index).min(self.max)));
            }
        }
        self.max()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << BITS_MAX) - 1);
    let bits = u64::BITS - micros.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    // Below two octaves a bucket is one microsecond wide; above, its index is the octave and the leading bits.
    shift as usize * PER_OCTAVE + (micros >> shift) as usize
}

/// The longest time of a bucket, microseconds.
fn bucket_end(index: usize) -> u64 {
    let shift = (index / PER_OCTAVE).saturating_sub(1);
    let leading = (index - shift * PER_OCTAVE) as u64;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_in_order_and_without_gaps() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        let mut next = 0;
        for index in 0..BUCKETS {
            let end = bucket_end(index);
            assert_eq!((bucket(next), bucket(end)), (index, index), "{next}..={end}");
            next = end + 1;
        }
        assert_eq!(next, 1 << BITS_MAX);
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.5), None);
        assert_eq!(Histogram::new().max(), None);
    }

    #[test]
    fn a_time_is_within_the_bound_that_it_meets() {
        let mut histogram = Histogram::new();
        let times = [0, 1_000, 1_001, 5_000, 99_999, 30_000_000, 30_000_001, u64::MAX];
        times.iter().for_each(|&micros| histogram.record(Duration::from_micros(micros)));
        let within = histogram.within();
        assert_eq!(within.map(|(_, count)| count), [2, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6]);
        for (bound, count) in within {
            let exact = times.iter().filter(|&&micros| u128::from(micros) <= bound.as_micros()).count();
            assert_eq!(count, exact as u64, "{bound:?}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_close(mut times in proptest::collection::vec(0..1u64 << 40, 1..200), q in 0.0..=1.0f64) {
            let mut histogram = Histogram::new();
            times.iter().for_each(|&micros| histogram.record(Duration::from_micros(micros)));
            times.sort_unstable();
            let rank = ((q * times.len() as f64).ceil() as usize).clamp(1, times.len());
            let exact = times[rank - 1];
            let found = histogram.quantile(q).unwrap().as_micros() as u64;
            prop_assert!(found >= exact && found <= exact + exact / 32 + 1, "{} {}", found, exact);
            prop_assert_eq!(histogram.max(), times.last().map(|&micros| Duration::from_micros(micros)));
            prop_assert_eq!(histogram.count(), times.len() as u64);
            let all: Vec<f64> = [0.0, 0.5, 0.99, 1.0].map(|q| histogram.quantile(q).unwrap().as_secs_f64()).into();
            prop_assert!(all.is_sorted());
        }
    }
}
