//! The least and the largest value of a map.

use super::layout::Map;

/// Values that are compared side by side.
const LANES: usize = 16;

/// The least and the largest value, and at most and at least 0; NaN is passed over.
pub fn range(map: Map<'_>) -> (f32, f32) {
    let layout = map.layout();
    let (mut least, mut largest) = ([0_f32; LANES], [0_f32; LANES]);
    let mut take = |values: &[f32]| {
        for ((least, largest), value) in least.iter_mut().zip(&mut largest).zip(values) {
            *least = if *value < *least { *value } else { *least };
            *largest = if *value > *largest { *value } else { *largest };
        }
    };
    for y in 0..layout.height() {
        for x in 0..layout.width() {
            map.data()[layout.offset(y, x)..][..layout.channels()].chunks(LANES).for_each(&mut take);
        }
    }
    (least.into_iter().fold(0.0, f32::min), largest.into_iter().fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::maps::Layout;

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
        assert_eq!(range(Map::new(layout, &data)), (-3.0, 7.0));
        data.fill(2.0);
        assert_eq!(range(Map::new(layout, &data)), (0.0, 2.0));
    }
}
