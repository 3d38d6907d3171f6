//! Which instruction sets this machine has, and the proof of it.

use std::fmt;
use std::str::FromStr;

use super::Kernels;
use super::scalar::Scalar;

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
        [Some(Proof::Scalar(Scalar))].into_iter().flatten().map(Self)
    }

    /// The instruction set proved.
    pub fn level(self) -> Level {
        match self.0 {
            Proof::Scalar(_) => Level::Scalar,
        }
    }

    pub(super) fn kernels(&self) -> &dyn Kernels {
        match &self.0 {
            Proof::Scalar(kernels) => kernels,
        }
    }
}
