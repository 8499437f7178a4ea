//! Priors, matching, decoding and suppression: the reference's cases, properties and hostile input.

mod conformance;
mod properties;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Random numbers for the loops below.
pub struct Draw(ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }
    /// In 0..1, 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }
    /// In 0..n.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }
    /// Corners in the unit square, sides at least `least`.
    pub fn corners(&mut self, least: f32) -> [f32; 4] {
        let w = least + (1.0 - least) * self.unit().powi(2);
        let h = least + (1.0 - least) * self.unit().powi(2);
        let (x, y) = (self.unit() * (1.0 - w), self.unit() * (1.0 - h));
        [x, y, x + w, y + h]
    }
}
