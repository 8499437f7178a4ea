//! Counter-based random numbers: a value depends on (seed, stream, index) alone, never on what was drawn before.
//!
//! The hash is PCG4D (Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 2020), the same in
//! `shaders/common/rng.wgsl`.

/// PCG4D: four well-mixed words from four words.
pub fn pcg4d(mut v: [u32; 4]) -> [u32; 4] {
    for x in &mut v {
        *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }
    let mix = |v: &mut [u32; 4]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
    };
    mix(&mut v);
    for x in &mut v {
        *x ^= *x >> 16;
    }
    mix(&mut v);
    v
}

/// A float in [0, 1) from the upper 24 bits of a word.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A normal value from two words (Box and Muller 1958).
pub fn normal(a: u32, b: u32) -> f32 {
    // 1 - u is in (0, 1], so the logarithm is finite.
    (-2.0 * (1.0 - unit(a)).ln()).sqrt() * (2.0 * std::f32::consts::PI * unit(b)).cos()
}

/// A stream of numbers addressed by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The run's seed.
    pub seed: u32,
    /// Which use of randomness this is.
    pub stream: u32,
}

impl Counter {
    /// The stream of a name (FNV-1a of its bytes).
    pub fn named(seed: u32, name: &str) -> Self {
        let stream = name.bytes().fold(0x811c_9dc5u32, |h, b| (h ^ b as u32).wrapping_mul(0x0100_0193));
        Counter { seed, stream }
    }
    /// Four words at `index`.
    pub fn words(&self, index: u32) -> [u32; 4] {
        pcg4d([self.seed, self.stream, index, 0x9e37_79b9])
    }
    /// Uniform in [0, 1) at `index`.
    pub fn uniform(&self, index: u32) -> f32 {
        unit(self.words(index)[0])
    }
    /// Standard normal at `index`.
    pub fn normal(&self, index: u32) -> f32 {
        let w = self.words(index);
        normal(w[0], w[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let rng = Counter::named(1, "test");
        let n = 200_000u32;
        let (mut mean, mut var) = (0f64, 0f64);
        for i in 0..n {
            let v = rng.normal(i) as f64;
            mean += v;
            var += v * v;
        }
        assert!((mean / n as f64).abs() < 0.01 && (var / n as f64 - 1.0).abs() < 0.02);
        let u: f64 = (0..n).map(|i| rng.uniform(i) as f64).sum::<f64>() / n as f64;
        assert!((u - 0.5).abs() < 0.005, "{u}");
    }
}
