//! Entropy handed in by the driver, and the small generator that makes jitter from its own share of it.

/// Thirty-two random bytes from the driver. Inboxes, run identities and jitter each take their own share,
/// so that nothing which can be seen on the wire (jitter, server order) tells anything of what must not be guessed.
#[derive(Clone)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// Takes the bytes as they are. They must come from the operating system's generator wherever peers are not trusted.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The share for inboxes: 128 bits that another user of the account cannot guess.
    pub(crate) fn inbox(&self) -> u128 {
        u128::from_le_bytes(self.share(0))
    }

    /// The share for the identity of this run: it makes default message ids unique among runs.
    pub(crate) fn run(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.share(16);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// A generator for jitter and server order.
    pub(crate) fn jitter(&self) -> Rng {
        let [.., a, b, c, d, e, f, g, h] = self.share(16);
        Rng::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    fn share(&self, at: usize) -> [u8; 16] {
        let mut share = [0; 16];
        share.copy_from_slice(&self.0[at..at + 16]);
        share
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// A seeded generator (SplitMix64) for jitter, server order and simulations. Never for anything a peer must not guess.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole future is `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a 64 by 64 bit product is below 2^64")
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}
