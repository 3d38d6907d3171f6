//! The least and the largest value of a map.

use super::layout::Map;

/// Values that are compared side by side.
const LANES: usize = 64;

/// See [`range`](super::range); inlined where an instruction set is known, in which the compiler compares several values at once.
#[inline(always)]
pub(in crate::kernels) fn range_of(map: Map<'_>) -> (f32, f32) {
    let layout = map.layout();
    let (mut least, mut largest) = ([0_f32; LANES], [0_f32; LANES]);
    let mut take = |values: &[f32]| {
        let (whole, rest) = values.as_chunks::<LANES>();
        for values in whole {
            for lane in 0..LANES {
                least[lane] = if values[lane] < least[lane] { values[lane] } else { least[lane] };
                largest[lane] = if values[lane] > largest[lane] { values[lane] } else { largest[lane] };
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            least[lane] = if *value < least[lane] { *value } else { least[lane] };
            largest[lane] = if *value > largest[lane] { *value } else { largest[lane] };
        }
    };
    let (joined, channels) = (layout.stride() == layout.channels(), layout.channels());
    for y in 0..layout.height() {
        let pixels = if joined && layout.width() > 0 { layout.width() } else { 1 };
        for x in (0..layout.width()).step_by(pixels) {
            take(&map.data()[layout.offset(y, x)..][..pixels * channels]);
        }
    }
    (least.into_iter().fold(0.0, f32::min), largest.into_iter().fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Simd;
    use crate::kernels::maps::{Layout, range};

    #[test]
    fn values_of_all_pixels_count_and_the_border_does_not() {
        let layout = Layout::new(3, 2, 21, 1);
        let mut data = vec![100.0; layout.len()];
        for (y, x) in (0..3).flat_map(|y| (0..2).map(move |x| (y, x))) {
            data[layout.offset(y, x)..][..21].fill(1.0);
        }
        data[layout.offset(2, 1) + 20] = -3.0;
        data[layout.offset(0, 0) + 16] = 7.0;
        data[layout.offset(0, 1)] = f32::NAN;
        for simd in Simd::available() {
            assert_eq!(range(simd, Map::new(layout, &data)), (-3.0, 7.0));
            assert_eq!(range(simd, Map::new(layout, &data).part(1..19)), (0.0, 7.0));
        }
        data.fill(2.0);
        assert_eq!(range(Simd::detect(), Map::new(layout, &data)), (0.0, 2.0));
    }
}
