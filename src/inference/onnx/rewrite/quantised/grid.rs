//! The numbers that a quantised tensor can hold, and what they stand for.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

/// An integer `q` stands for `scale · (q − zero point)`, with one scale and zero point for all, for each index along an axis, or for each block of
/// some indices along it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    pub(super) scales: Vec<f32>,
    /// As many as there are scales.
    pub(super) zero_points: Vec<i32>,
    pub(super) axis: i64,
    /// Indices along the axis that share a scale; 0 where there is one for each.
    pub(super) block: i64,
    /// The least and the largest integer of the type.
    pub(super) range: (i32, i32),
}

impl Grid {
    /// The scale and the zero point, where all values have the same.
    pub(super) fn only(&self) -> Option<(f32, i32)> {
        let (scale, zero_point) = (*self.scales.first()?, *self.zero_points.first()?);
        let same = self.scales.iter().all(|s| *s == scale) && self.zero_points.iter().all(|z| *z == zero_point);
        same.then_some((scale, zero_point))
    }

    /// The least and the largest integers, counted from the zero points.
    pub(super) fn bounds(&self) -> (Vec<f32>, Vec<f32>) {
        let from = |end: i32| self.zero_points.iter().map(|zero_point| end.saturating_sub(*zero_point) as f32).collect();
        (from(self.range.0), from(self.range.1))
    }

    /// Calls `visit` for each value of a tensor of size `dims`, with the number of its scale.
    fn visit(&self, dims: &[i64], mut visit: impl FnMut(usize, usize)) -> Result<(), String> {
        let dims: Vec<usize> =
            dims.iter().map(|size| usize::try_from(*size).map_err(|_| format!("a tensor of size {size}"))).collect::<Result<_, _>>()?;
        let count: usize = dims.iter().product();
        if self.scales.len() == 1 {
            (0..count).for_each(|at| visit(at, 0));
            return Ok(());
        }
        let axis = if self.axis < 0 { self.axis + dims.len() as i64 } else { self.axis };
        let size = usize::try_from(axis).ok().and_then(|axis| dims.get(axis)).ok_or_else(|| format!("axis {} of {dims:?}", self.axis))?;
        let inner: usize = dims.iter().skip(axis as usize + 1).product();
        let block = usize::try_from(self.block).unwrap_or(0).max(1);
        let (blocks, outer) = (size.div_ceil(block), count / (size * inner).max(1));
        let expected = if self.block > 0 { outer * blocks * inner } else { *size };
        if self.scales.len() != expected {
            return Err(format!("{} scales, expected {expected}", self.scales.len()));
        }
        for at in 0..count {
            let place = at / inner % size;
            let scale = if self.block > 0 { (at / (inner * size) * blocks + place / block) * inner + at % inner } else { place };
            visit(at, scale);
        }
        Ok(())
    }

    /// What the integers `values` of a tensor of size `dims` stand for.
    pub(super) fn dequantise(&self, values: &[i32], dims: &[i64]) -> Result<Vec<f32>, String> {
        let mut real = vec![0.0; values.len()];
        self.visit(dims, |at, scale| {
            if let (Some(to), Some(value)) = (real.get_mut(at), values.get(at)) {
                *to = i64::from(*value).saturating_sub(i64::from(self.zero_points[scale])) as f32 * self.scales[scale];
            }
        })?;
        Ok(real)
    }

    /// The nearest numbers of the grid to `values`, a tensor of size `dims`.
    pub(super) fn round(&self, values: &[f32], dims: &[i64]) -> Result<Vec<f32>, String> {
        let (low, high) = self.bounds();
        let mut real = values.to_vec();
        self.visit(dims, |at, scale| {
            if let Some(value) = real.get_mut(at) {
                *value = (*value / self.scales[scale]).round_ties_even().clamp(low[scale], high[scale]) * self.scales[scale];
            }
        })?;
        Ok(real)
    }
}

/// The least and the largest integer of an ONNX type; `None` for what is no integer of at most 32 bits.
pub(super) fn range(data_type: i32) -> Option<(i32, i32)> {
    Some(match data_type {
        2 => (0, 255),
        3 => (-128, 127),
        4 => (0, 65_535),
        5 => (-32_768, 32_767),
        6 => (i32::MIN, i32::MAX),
        // UINT4 and INT4
        21 => (0, 15),
        22 => (-8, 7),
        _ => return None,
    })
}

/// How many values `dims` are.
fn count(dims: &[i64]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |product, size| product.checked_mul(usize::try_from(*size).ok()?))
}

/// The values of a tensor of integers.
pub(super) fn integers(tensor: &TensorProto) -> Result<Vec<i32>, String> {
    let raw = &tensor.raw_data;
    let bytes = |size: usize| raw.chunks_exact(size);
    let values: Vec<i32> = match tensor.data_type {
        21 | 22 => {
            let bytes: Vec<u8> = if raw.is_empty() { tensor.int32_data.iter().map(|pair| *pair as u8).collect() } else { raw.to_vec() };
            let sign = |half: u8| if tensor.data_type == 22 { i32::from((half << 4) as i8 >> 4) } else { i32::from(half) };
            let halves = bytes.iter().flat_map(|pair| [sign(pair & 15), sign(pair >> 4)]);
            halves.take(count(&tensor.dims).unwrap_or(0)).collect()
        }
        2..=6 if raw.is_empty() => tensor.int32_data.clone(),
        2 => raw.iter().map(|b| i32::from(*b)).collect(),
        3 => raw.iter().map(|b| i32::from(*b as i8)).collect(),
        4 => bytes(2).map(|b| i32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
        5 => bytes(2).map(|b| i32::from(i16::from_le_bytes([b[0], b[1]]))).collect(),
        6 => bytes(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        other => return Err(format!("a tensor of type {other}, expected integers of 4 to 32 bits")),
    };
    check_count(values, &tensor.dims)
}

/// The values of a tensor of `f32`.
pub(super) fn floats(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    if tensor.data_type != DataType::Float as i32 {
        return Err(format!("a tensor of type {}, expected FP32", tensor.data_type));
    }
    let raw = || tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    check_count(if tensor.raw_data.is_empty() { tensor.float_data.clone() } else { raw() }, &tensor.dims)
}

fn check_count<T>(values: Vec<T>, dims: &[i64]) -> Result<Vec<T>, String> {
    let expected = count(dims);
    if expected == Some(values.len()) { Ok(values) } else { Err(format!("{} values for a tensor of size {dims:?}", values.len())) }
}

/// A tensor of `f32`.
pub(super) fn tensor(name: String, dims: Vec<i64>, values: &[f32]) -> TensorProto {
    let raw_data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { name, dims, data_type: DataType::Float as i32, raw_data, ..TensorProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(scales: &[f32], zero_points: &[i32], axis: i64, block: i64) -> Grid {
        Grid { scales: scales.to_vec(), zero_points: zero_points.to_vec(), axis, block, range: (-128, 127) }
    }

    #[test]
    fn each_index_along_the_axis_has_its_scale() {
        let values = [1, 2, 3, 4, 5, 6];
        assert_eq!(grid(&[2.0], &[1], 0, 0).dequantise(&values, &[2, 3]).unwrap(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(grid(&[1.0, 10.0], &[0, 1], 0, 0).dequantise(&values, &[2, 3]).unwrap(), [1.0, 2.0, 3.0, 30.0, 40.0, 50.0]);
        assert_eq!(grid(&[1.0, 10.0, 100.0], &[0; 3], -1, 0).dequantise(&values, &[2, 3]).unwrap(), [1.0, 20.0, 300.0, 4.0, 50.0, 600.0]);
        assert!(grid(&[1.0, 10.0], &[0; 2], 1, 0).dequantise(&values, &[2, 3]).is_err());
        assert!(grid(&[1.0, 10.0], &[0; 2], 2, 0).dequantise(&values, &[2, 3]).is_err());
    }

    #[test]
    fn each_block_along_the_axis_has_its_scale() {
        let values = [1, 2, 3, 4, 5, 6];
        let blocked = grid(&[1.0, 10.0, 100.0, 1000.0], &[0; 4], 1, 2);
        assert_eq!(blocked.dequantise(&values, &[2, 3]).unwrap(), [1.0, 2.0, 30.0, 400.0, 500.0, 6000.0]);
        let blocked = grid(&[1.0, 10.0, 100.0], &[0; 3], 0, 2);
        assert_eq!(blocked.dequantise(&values, &[2, 3]).unwrap(), [1.0, 20.0, 300.0, 4.0, 50.0, 600.0]);
    }

    #[test]
    fn halves_are_rounded_to_even_and_what_is_beyond_the_type_to_its_ends() {
        let rounded = grid(&[0.5], &[-128], 0, 0).round(&[0.25, 0.75, 1.25, -1.0, 1000.0], &[5]).unwrap();
        assert_eq!(rounded, [0.0, 1.0, 1.0, 0.0, 127.5]);
    }

    #[test]
    fn two_values_of_four_bits_share_a_byte() {
        let tensor = |data_type| TensorProto { data_type, dims: vec![3], raw_data: vec![0xf1, 0x08], ..TensorProto::default() };
        assert_eq!(integers(&tensor(22)).unwrap(), [1, -1, -8]);
        assert_eq!(integers(&tensor(21)).unwrap(), [1, 15, 8]);
    }
}
