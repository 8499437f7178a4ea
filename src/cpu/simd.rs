//! The one place with run-time dispatch to vector instructions.
//!
//! A hot loop is written once, as an `#[inline(always)]` function that the compiler can vectorise, generic over
//! [`Lanes`]; `vectorized!` compiles it for AVX-512, AVX2 and the plain target and calls the best one.

/// What the loop may assume of the machine.
pub trait Lanes: Copy {
    /// Fused multiply-add, or multiply then add where the machine has none (a call to libm's would be slow).
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// With fused multiply-add.
#[derive(Clone, Copy)]
pub struct Fused;
/// Without.
#[derive(Clone, Copy)]
pub struct Plain;

impl Lanes for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Lanes for Plain {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// The widest instructions of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 with popcount on vectors.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// What the target always has.
    Base,
}

/// The level of this machine, looked up once.
pub fn level() -> Level {
    use std::sync::OnceLock;
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vpopcntdq")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("bmi2")
            {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("bmi2")
            {
                return Level::Avx2;
            }
        }
        Level::Base
    })
}

/// Whether this machine multiplies bytes four at a time in vectors of 64 (AVX-512 VNNI), looked up once.
pub fn byte_products() -> bool {
    use std::sync::OnceLock;
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        return level() == Level::Avx512 && is_x86_feature_detected!("avx512vnni");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    })
}

/// `vectorized!(fn name(arg: Type, ...) => body);` makes `fn name`, which calls `body::<L>(arg, ...)` compiled for the
/// best level of this machine. `body` must be `#[inline(always)]`. With `avx2 fn` the AVX2 code runs on AVX-512 machines
/// too: for loops that the compiler only vectorises there.
#[macro_export]
macro_rules! vectorized {
    (avx2 fn $name:ident($($arg:ident: $ty:ty),* $(,)?) => $body:ident) => {
        fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,popcnt,bmi2")]
            fn avx2($($arg: $ty),*) {
                $body($($arg),*)
            }
            match $crate::cpu::simd::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `level` has seen these features on this machine; AVX-512 machines have them all.
                $crate::cpu::simd::Level::Avx512 | $crate::cpu::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) => $body:ident) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vpopcntdq,avx2,fma,popcnt,bmi2")]
            fn avx512($($arg: $ty),*) {
                $body::<$crate::cpu::simd::Fused>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,popcnt,bmi2")]
            fn avx2($($arg: $ty),*) {
                $body::<$crate::cpu::simd::Fused>($($arg),*)
            }
            match $crate::cpu::simd::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `level` has seen these features on this machine.
                $crate::cpu::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::cpu::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ if cfg!(target_arch = "aarch64") => $body::<$crate::cpu::simd::Fused>($($arg),*),
                _ => $body::<$crate::cpu::simd::Plain>($($arg),*),
            }
        }
    };
}
