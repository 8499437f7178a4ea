//! Fixed-point scaling, shared by the twins of the integer kernels. In WGSL: `shaders/common/fixed_scale.wgsl`.

/// The shifts that kernels take; others count as the nearest.
const SHIFTS: (i32, i32) = (-14, 46);

/// acc * mul / 2^shift, halves rounded up. |mul| < 2^15, -14 <= shift <= 46, and the result must fit 30 bits: that is what
/// the shader's 32-bit arithmetic needs to agree.
#[inline(always)]
pub fn fixed_scale(acc: i32, mul: i32, shift: i32) -> i32 {
    // Twice the result, rounded down. One of the two shifts is 0, so that loops over channels need no branch.
    let s1 = shift.clamp(SHIFTS.0, SHIFTS.1) - 1;
    let twice = (acc as i64 * mul as i64) << (-s1).max(0) >> s1.max(0);
    ((twice + 1) >> 1) as i32
}

/// Four values as the signed bytes of a word, the first one lowest.
#[inline(always)]
pub(super) fn pack_bytes(values: &[i32; 4]) -> u32 {
    u32::from_le_bytes(values.map(|v| v as u8))
}

#[cfg(test)]
mod tests {
    use super::fixed_scale;
    use crate::rng::Counter;

    /// floor(a m / 2^s + 1/2) with integers that hold everything.
    fn definition(acc: i32, mul: i32, shift: i32) -> i128 {
        let doubled = (acc as i128 * mul as i128) << 17;
        // 2^16 a m 2 / 2^(s + 16): the shift is positive for all s.
        ((doubled >> (shift + 16)) + 1) >> 1
    }

    #[test]
    fn scaling_rounds_halves_up() {
        assert_eq!([3, 1, -1, -3, 2, -2].map(|a| fixed_scale(a, 1, 1)), [2, 1, 0, -1, 1, -1]);
        assert_eq!(fixed_scale(5, -3, 0), -15);
        assert_eq!(fixed_scale(5, 3, -4), 240);
        let rng = Counter::named(3, "fixed_scale");
        let (mut seen, most) = (0, 1i128 << 29);
        for i in 0..400_000 {
            let w = rng.words(i);
            let acc = match w[3] % 8 {
                0 => i32::MIN + (w[0] % 5) as i32,
                1 => i32::MAX - (w[0] % 5) as i32,
                _ => w[0] as i32 >> (w[3] / 8 % 31),
            };
            let mul = (w[1] % 65_535) as i32 - 32_767;
            let shift = (w[2] % 61) as i32 - 14;
            let want = definition(acc, mul, shift);
            if (-most..most).contains(&want) {
                assert_eq!(fixed_scale(acc, mul, shift) as i128, want, "{acc} {mul} {shift}");
                seen += 1;
            }
        }
        assert!(seen > 200_000, "{seen}");
    }
}
