//! Random numbers of the data side: one ChaCha8 stream for every (seed, epoch, sample), so that what is drawn for a
//! sample does not depend on the order or the number of threads in which samples are made.
//!
//! Only the raw words of the generator are used and every distribution is written out here, so a seed means the same
//! draws whatever version of `rand` builds the crate.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Which use a stream has: two uses of one (seed, epoch, index) must not share their numbers.
const AUGMENT: u64 = 0x6175_676d_656e_7431;
const ORDER: u64 = 0x6f72_6465_725f_3031;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct SampleRng(ChaCha8Rng);

/// The stream that augments sample `index` (its place in [`super::Dataset::images`]) in `epoch`.
pub fn rng_for(seed: u64, epoch: u64, index: u64) -> SampleRng {
    stream(AUGMENT, seed, epoch, index)
}

/// The key of a stream is the four numbers themselves.
fn stream(purpose: u64, seed: u64, epoch: u64, index: u64) -> SampleRng {
    let mut key = [0u8; 32];
    for (bytes, value) in key.chunks_exact_mut(8).zip([purpose, seed, epoch, index]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    SampleRng(ChaCha8Rng::from_seed(key))
}

impl SampleRng {
    /// Uniform in [0, 1), a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform between `low` and `high` (either order).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`. Always draws one number, so that switching one step off does not shift the others.
    pub fn coin(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// A whole number in `0..n`, 0 for `n == 0`. The bias is under `n / 2^64`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }
}

/// The order in which epoch `epoch` visits `n` samples: Fisher-Yates from the stream of (seed, epoch).
pub fn shuffled(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let mut rng = stream(ORDER, seed, epoch, 0);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, rng.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_is_a_permutation_and_depends_on_seed_and_epoch() {
        let a = shuffled(1, 0, 100);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(a, shuffled(1, 0, 100));
        assert_ne!(a, shuffled(1, 1, 100));
        assert_ne!(a, shuffled(2, 0, 100));
        assert_eq!(shuffled(1, 0, 0), Vec::<usize>::new());
    }

    #[test]
    fn every_place_is_equally_likely() {
        let mut counts = [[0u32; 4]; 4];
        for epoch in 0..8000 {
            for (place, &value) in shuffled(7, epoch, 4).iter().enumerate() {
                counts[place][value] += 1;
            }
        }
        for count in counts.iter().flatten() {
            assert!((1800..2200).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn streams_of_neighbouring_samples_differ() {
        let (mut a, mut b, mut again) = (rng_for(1, 2, 3), rng_for(1, 3, 2), rng_for(1, 2, 3));
        let (a, b): (Vec<f32>, Vec<f32>) = (0..8).map(|_| (a.unit(), b.unit())).unzip();
        assert_ne!(a, b);
        assert_eq!(a, (0..8).map(|_| again.unit()).collect::<Vec<_>>());
        assert!(a.iter().all(|v| (0.0..1.0).contains(v)));
    }
}
