//! Which instruction sets this machine has, and the proof of it.

use std::fmt;
use std::str::FromStr;

use super::Kernels;
#[cfg(target_arch = "aarch64")]
use super::aarch64::neon::Neon;
use super::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{avx2::Avx2, avx512::Avx512};

/// An instruction set that kernels exist for, best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust, the reference.
    Scalar,
    /// aarch64 Advanced SIMD.
    Neon,
    /// x86-64 AVX2 and FMA.
    Avx2,
    /// x86-64 AVX-512F.
    Avx512,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "scalar" => Ok(Self::Scalar),
            "neon" => Ok(Self::Neon),
            "avx2" => Ok(Self::Avx2),
            "avx512" => Ok(Self::Avx512),
            _ => Err(format!("{text:?} is no instruction set, expected scalar, neon, avx2 or avx512")),
        }
    }
}

/// Proof that this machine runs the instructions of [`Simd::level`]: only detection makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Simd(Proof);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Proof {
    Scalar(Scalar),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// The machine lacks an instruction set that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine has no {wanted}, the best it has is {best}")]
pub struct UnsupportedLevel {
    wanted: Level,
    best: Level,
}

impl Simd {
    /// The best that this machine has.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self(Proof::Scalar(Scalar)))
    }

    /// `level`, if this machine has it.
    ///
    /// # Errors
    /// [`UnsupportedLevel`] otherwise.
    pub fn request(level: Level) -> Result<Self, UnsupportedLevel> {
        Self::available().find(|simd| simd.level() == level).ok_or_else(|| UnsupportedLevel { wanted: level, best: Self::detect().level() })
    }

    /// All that this machine has, best last.
    pub fn available() -> impl Iterator<Item = Self> {
        let proofs = [
            Some(Proof::Scalar(Scalar)),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(Proof::Neon),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Proof::Avx2),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Proof::Avx512),
        ];
        proofs.into_iter().flatten().map(Self)
    }

    /// The instruction set proved.
    pub fn level(self) -> Level {
        match self.0 {
            Proof::Scalar(_) => Level::Scalar,
            #[cfg(target_arch = "aarch64")]
            Proof::Neon(_) => Level::Neon,
            #[cfg(target_arch = "x86_64")]
            Proof::Avx2(_) => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Proof::Avx512(_) => Level::Avx512,
        }
    }

    pub(super) fn kernels(&self) -> &dyn Kernels {
        match &self.0 {
            Proof::Scalar(kernels) => kernels,
            #[cfg(target_arch = "aarch64")]
            Proof::Neon(kernels) => kernels,
            #[cfg(target_arch = "x86_64")]
            Proof::Avx2(kernels) => kernels,
            #[cfg(target_arch = "x86_64")]
            Proof::Avx512(kernels) => kernels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_the_best_level_that_is_available() {
        let available: Vec<_> = Simd::available().map(Simd::level).collect();
        assert!(available.is_sorted(), "{available:?} is not ordered, best last");
        assert_eq!(available.first(), Some(&Level::Scalar));
        assert_eq!(available.last(), Some(&Simd::detect().level()));
    }

    #[test]
    fn grants_every_level_that_is_available() {
        for simd in Simd::available() {
            assert_eq!(Simd::request(simd.level()), Ok(simd));
        }
    }

    #[test]
    fn refuses_the_level_of_another_machine_and_names_the_best_it_has() {
        let foreign = if cfg!(target_arch = "x86_64") { Level::Neon } else { Level::Avx512 };
        let error = Simd::request(foreign).expect_err("no machine has both");
        let best = Simd::detect().level();
        assert_eq!(error.to_string(), format!("this machine has no {foreign}, the best it has is {best}"));
    }

    #[test]
    fn reads_back_the_name_of_every_level() {
        for level in [Level::Scalar, Level::Neon, Level::Avx2, Level::Avx512] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert_eq!("sse9".parse::<Level>(), Err("\"sse9\" is no instruction set, expected scalar, neon, avx2 or avx512".to_owned()));
    }
}
