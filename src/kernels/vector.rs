//! The kernels in terms of vectors, stamped once per instruction set.
//!
//! A macro and not a generic function, because `#[target_feature]` must name the instruction set literally; thanks to it every function here is safe
//! inside. The module that uses [`vector_kernels!`] provides, all with the same `#[target_feature]`:
//!
//! | item | meaning |
//! | --- | --- |
//! | `Vector`, `LANES` | a register of floats, and how many it holds |
//! | `splat(x)`, `load(&[f32; LANES])`, `store(&mut [f32; LANES], v)` | |
//! | `load_tail(&[f32])`, `store_tail(&mut [f32], v)` | the first lanes, as many as the slice has; a load fills the others with zero |
//! | `add(a, b)`, `mul(a, b)`, `div(a, b)`, `fma(a, b, c)` | lane by lane; `fma` is `a · b + c`, rounded once |
//! | `max(a, b)`, `min(a, b)` | NaN when `b` is NaN |
//! | `round(v)` | to the nearest integer |
//! | `scale_by_power(v, n)` | `v · 2^n` for `v` in 1/2..=2 and integral `n` in ±76; NaN when both are |
//! | `sum(v)` | over the lanes |

/// Positions whose sum is taken in `f32`; what goes beyond is added in `f64`, so that the error does not grow with the size of a map.
pub(super) const SUM_BLOCK: usize = 1024;

/// Hidden units computed together: enough independent sums to hide the latency of a multiply-add, few enough for 16 registers.
pub(super) const UNITS: usize = 8;

/// Beyond ±this, the square of `exp` is infinite or zero in `f32`.
pub(super) const HALF_EXP_LIMIT: f32 = 52.0;
/// (exp(r) - 1 - r) / r² for |r| ≤ ln 2 / 2, highest power first; `1 + r + r²·p(r)` is within 4e-9 of `exp(r)`, relatively.
pub(super) const EXP_POLYNOMIAL: [f32; 5] = [1.381_453_9e-3, 8.368_745e-3, 4.166_839e-2, 0.166_665_21, 0.499_999_94];

macro_rules! vector_kernels {
    ($proof:ident, $features:literal) => {
        impl crate::kernels::Kernels for $proof {
            fn squeeze(&self, map: &[f32], positions: usize, means: &mut [f32]) {
                // SAFETY: possession of `self` proves the features; its `detect` looked for them.
                unsafe { squeeze(map, positions, means) }
            }

            fn excite(&self, excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
                // SAFETY: as above.
                unsafe { excite(excitation, means, gates) }
            }

            fn scale(&self, map: &mut [f32], from: Option<&[f32]>, positions: usize, gates: &[f32], shortcut: Option<(&[f32], Rectify)>) {
                // SAFETY: as above.
                unsafe { scale(map, from, positions, gates, shortcut) }
            }
        }

        #[target_feature(enable = $features)]
        fn squeeze(map: &[f32], positions: usize, means: &mut [f32]) {
            for (channel, mean) in means.iter_mut().enumerate() {
                let mut total = 0.0;
                for block in map[channel * positions..][..positions].chunks(SUM_BLOCK) {
                    total += f64::from(sum_block(block));
                }
                *mean = (total / positions as f64) as f32;
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sum_block(values: &[f32]) -> f32 {
            let mut sums = [splat(0.0); 4];
            let (quads, rest) = values.as_chunks::<{ 4 * LANES }>();
            for quad in quads {
                for (sum, values) in sums.iter_mut().zip(quad.as_chunks().0) {
                    *sum = add(*sum, load(values));
                }
            }
            let (singles, tail) = rest.as_chunks();
            for (sum, values) in sums.iter_mut().zip(singles) {
                *sum = add(*sum, load(values));
            }
            if !tail.is_empty() {
                sums[3] = add(sums[3], load_tail(tail));
            }
            sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])))
        }

        #[target_feature(enable = $features)]
        fn excite(excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
            gates.copy_from_slice(&excitation.expand_bias);
            let together = excitation.squeezed() / UNITS * UNITS;
            for first in (0..together).step_by(UNITS) {
                add_units::<UNITS>(excitation, first, means, gates);
            }
            for unit in together..excitation.squeezed() {
                add_units::<1>(excitation, unit, means, gates);
            }
            let (chunks, tail) = gates.as_chunks_mut();
            for gates in chunks {
                store(gates, apply(excitation.gate.first, load(gates)));
            }
            if !tail.is_empty() {
                store_tail(tail, apply(excitation.gate.first, load_tail(tail)));
            }
        }

        /// Adds what `N` hidden units from `first` contribute to the gates: the hidden layer lives in registers and needs no memory.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_units<const N: usize>(excitation: &Excitation, first: usize, means: &[f32], gates: &mut [f32]) {
            let channels = excitation.channels();
            let weights = first * channels..(first + N) * channels;
            let mut hidden = [0.0; N];
            match &excitation.reduce {
                None => hidden.copy_from_slice(&means[first..first + N]),
                Some(reduce) => {
                    hidden = dots::<N>(&reduce.weights[weights.clone()], means);
                    for (hidden, bias) in hidden.iter_mut().zip(&reduce.bias[first..]) {
                        *hidden += bias;
                    }
                    for hidden in hidden.chunks_mut(LANES) {
                        store_tail(hidden, apply(reduce.activation.first, load_tail(hidden)));
                    }
                    reduce.activation.rest.apply(&mut hidden, first);
                }
            }
            add_rows::<N>(&excitation.expand[weights], &hidden, gates);
        }

        /// The products of `N` rows of `weights` with `means`.
        #[inline]
        #[target_feature(enable = $features)]
        fn dots<const N: usize>(weights: &[f32], means: &[f32]) -> [f32; N] {
            let (chunks, tail) = means.as_chunks();
            let rows = rows::<N>(weights, means.len(), chunks.len());
            let mut sums = [splat(0.0); N];
            for (index, means) in chunks.iter().enumerate() {
                let means = load(means);
                for (sum, (row, _)) in sums.iter_mut().zip(&rows) {
                    *sum = fma(load(&row[index]), means, *sum);
                }
            }
            if !tail.is_empty() {
                let means = load_tail(tail);
                for (sum, (_, row)) in sums.iter_mut().zip(&rows) {
                    *sum = fma(load_tail(row), means, *sum);
                }
            }
            let mut dots = [0.0; N];
            for (dot, lanes) in dots.iter_mut().zip(sums) {
                *dot = sum(lanes);
            }
            dots
        }

        /// Adds `N` rows of `weights`, each times its hidden unit, to `gates`.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_rows<const N: usize>(weights: &[f32], hidden: &[f32; N], gates: &mut [f32]) {
            let channels = gates.len();
            let (chunks, tail) = gates.as_chunks_mut();
            let rows = rows::<N>(weights, channels, chunks.len());
            let mut units = [splat(0.0); N];
            for (unit, hidden) in units.iter_mut().zip(hidden) {
                *unit = splat(*hidden);
            }
            for (index, gates) in chunks.iter_mut().enumerate() {
                let mut sum = load(gates);
                for (unit, (row, _)) in units.iter().zip(&rows) {
                    sum = fma(load(&row[index]), *unit, sum);
                }
                store(gates, sum);
            }
            if !tail.is_empty() {
                let mut sum = load_tail(tail);
                for (unit, (_, row)) in units.iter().zip(&rows) {
                    sum = fma(load_tail(row), *unit, sum);
                }
                store_tail(tail, sum);
            }
        }

        /// The rows of `weights`, `[N, channels]`, each as `chunks` vectors and a tail.
        #[inline]
        #[target_feature(enable = $features)]
        fn rows<const N: usize>(weights: &[f32], channels: usize, chunks: usize) -> [(&[[f32; LANES]], &[f32]); N] {
            std::array::from_fn(|row| vectors(&weights[row * channels..][..channels], chunks))
        }

        /// `values`, of so many whole `chunks`, as these and a tail.
        #[inline]
        fn vectors(values: &[f32], chunks: usize) -> (&[[f32; LANES]], &[f32]) {
            let (vectors, tail) = values.as_chunks();
            (&vectors[..chunks], tail)
        }

        #[target_feature(enable = $features)]
        fn scale(map: &mut [f32], from: Option<&[f32]>, positions: usize, gates: &[f32], shortcut: Option<(&[f32], Rectify)>) {
            let least = splat(if matches!(shortcut, Some((_, Rectify::Relu))) { 0.0 } else { f32::NEG_INFINITY });
            for (channel, gate) in gates.iter().enumerate() {
                let gate = splat(*gate);
                let channel = channel * positions..(channel + 1) * positions;
                let (chunks, tail) = map[channel.clone()].as_chunks_mut();
                let (from, from_tail) = from.map(|from| vectors(&from[channel.clone()], chunks.len())).unzip();
                let (shortcut, shortcut_tail) = shortcut.map(|(shortcut, _)| vectors(&shortcut[channel], chunks.len())).unzip();
                for (index, values) in chunks.iter_mut().enumerate() {
                    let value = match from {
                        Some(from) => load(&from[index]),
                        None => load(values),
                    };
                    let scaled = match shortcut {
                        Some(shortcut) => max(least, fma(value, gate, load(&shortcut[index]))),
                        None => mul(value, gate),
                    };
                    store(values, scaled);
                }
                if !tail.is_empty() {
                    let value = load_tail(from_tail.unwrap_or(&*tail));
                    let scaled = match shortcut_tail {
                        Some(shortcut) => max(least, fma(value, gate, load_tail(shortcut))),
                        None => mul(value, gate),
                    };
                    store_tail(tail, scaled);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn hard_sigmoid(x: Vector) -> Vector {
            min(splat(1.0), max(splat(0.0), fma(x, splat(1.0 / 6.0), splat(0.5))))
        }

        /// `1 / (1 + e^-x)`, with `e^-x` as the square of `e^t = 2^n · e^r`, t = -x/2 and r in ±ln 2 / 2: so 2^n stays within the range of `f32`, and
        /// squaring leaves it where `e^-x` does.
        #[inline]
        #[target_feature(enable = $features)]
        fn sigmoid(x: Vector) -> Vector {
            let one = splat(1.0);
            let t = min(splat(HALF_EXP_LIMIT), max(splat(-HALF_EXP_LIMIT), mul(x, splat(-0.5))));
            let n = round(mul(t, splat(std::f32::consts::LOG2_E)));
            let r = fma(n, splat(-std::f32::consts::LN_2), t);
            let mut polynomial = splat(EXP_POLYNOMIAL[0]);
            for coefficient in &EXP_POLYNOMIAL[1..] {
                polynomial = fma(polynomial, r, splat(*coefficient));
            }
            let root = scale_by_power(add(fma(polynomial, mul(r, r), r), one), n);
            div(one, fma(root, root, one))
        }
    };
}

pub(super) use vector_kernels;
