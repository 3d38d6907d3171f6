//! Pools that tract knows not, or divides otherwise than ONNX says.

use tract_onnx::pb::NodeProto;

use super::nodes::{Made, float, int, ints, of_int, of_ints, of_text, set, text};

/// An average pool of overhanging windows that counts its padding: what lies beyond the padding is not counted (AveragePool of opset 19, `ceil_mode`), which
/// tract does. With the padding made values of the map, it is right.
///
/// A pool without padding by its `auto_pad` whose windows overhang: `ceil_mode` holds for it as well.
pub(super) fn overhanging(node: &NodeProto, opset: i64) -> Option<Made> {
    let (pads, valid) = (ints(node, "pads").unwrap_or_default(), text(node, "auto_pad") == Some("VALID"));
    let is_automatic = text(node, "auto_pad").is_some_and(|padding| padding != "NOTSET");
    let counts = int(node, "count_include_pad").unwrap_or(0) != 0 && node.op_type == "AveragePool";
    if int(node, "ceil_mode").unwrap_or(0) == 0 || is_automatic && !valid || !(counts || valid) {
        return None;
    }
    let (mut made, mut pool) = (Made::of(node, opset), node.clone());
    set(&mut pool, of_text("auto_pad", "NOTSET"));
    if counts {
        set(&mut pool, of_int("count_include_pad", 0));
        if !valid && pads.iter().any(|pad| *pad != 0) {
            let (before, after) = pads.split_at(pads.len() / 2);
            pool.input[0] = made.zeros_around(&node.input[0], &[&[0, 0], before, &[0, 0], after].concat());
            set(&mut pool, of_ints("pads", &vec![0; pads.len()]));
        }
    }
    made.keep(pool);
    Some(made)
}

/// `LpPool`: the root of the sum of powers, where an average pool that counts everything is the sum but for a factor.
pub(super) fn lp_pool(node: &NodeProto, opset: i64) -> Option<Made> {
    let (p, kernel) = (int(node, "p").unwrap_or(2), ints(node, "kernel_shape")?);
    let taps: i64 = kernel.iter().try_fold(1, |product: i64, size| product.checked_mul(*size))?;
    let mut made = Made::of(node, opset);
    let powers = power(&mut made, &node.input[0], p);
    let mut pool = node.clone();
    pool.op_type = "AveragePool".to_owned();
    pool.attribute.retain(|attribute| attribute.name != "p");
    set(&mut pool, of_int("count_include_pad", 1));
    if int(node, "ceil_mode").unwrap_or(0) != 0 {
        // Zeros where windows overhang add nothing to a sum; a window that would begin behind the map is none.
        let mut pads = ints(node, "pads").map_or_else(|| vec![0; 2 * kernel.len()], <[i64]>::to_vec);
        let after = pads.len().checked_sub(kernel.len())?;
        let of = |name: &str, axis: usize| ints(node, name).and_then(|values| values.get(axis).copied()).unwrap_or(1);
        for (axis, size) in kernel.iter().enumerate() {
            pads[after + axis] += (of("strides", axis) - 1).min((size - 1) * of("dilations", axis));
        }
        set(&mut pool, of_ints("pads", &pads));
        set(&mut pool, of_int("ceil_mode", 0));
        set(&mut pool, of_text("auto_pad", "NOTSET"));
    }
    pool.input = vec![powers];
    pool.output = vec![format!("{}~mean", node.output[0])];
    pool.name = pool.output[0].clone();
    let mean = pool.output[0].clone();
    made.keep(pool);
    let taps = made.float(taps as f32);
    let sum = made.op("Mul", &[&mean, &taps], vec![]);
    root(&mut made, &sum, p, &node.output[0]);
    Some(made)
}

/// `GlobalLpPool` of maps, `[N, C, H, W]`.
pub(super) fn global_lp_pool(node: &NodeProto, opset: i64) -> Option<Made> {
    let p = int(node, "p").unwrap_or(2);
    let mut made = Made::of(node, opset);
    let powers = power(&mut made, &node.input[0], p);
    let sum = made.with_axes("ReduceSum", &powers, &[2, 3], 13, vec![of_int("keepdims", 1)], None);
    root(&mut made, &sum, p, &node.output[0]);
    Some(made)
}

fn power(made: &mut Made, value: &str, p: i64) -> String {
    let magnitude = made.op("Abs", &[value], vec![]);
    match p {
        1 => magnitude,
        2 => made.op("Mul", &[value, value], vec![]),
        _ => {
            let exponent = made.float(p as f32);
            made.op("Pow", &[&magnitude, &exponent], vec![])
        }
    }
}

fn root(made: &mut Made, value: &str, p: i64, output: &str) {
    match p {
        1 => made.op_to("Identity", &[value], vec![], output),
        2 => made.op_to("Sqrt", &[value], vec![], output),
        _ => {
            let exponent = made.float(1.0 / p as f32);
            made.op_to("Pow", &[value, &exponent], vec![], output);
        }
    }
}

/// `Celu` is an ELU of another scale: `alpha · elu(x / alpha)`.
pub(super) fn celu(node: &NodeProto, opset: i64) -> Option<Made> {
    let alpha = float(node, "alpha").unwrap_or(1.0);
    let mut made = Made::of(node, opset);
    let constant = made.float(alpha);
    let scaled = made.op("Div", &[&node.input[0], &constant], vec![]);
    let elu = made.op("Elu", &[&scaled], vec![]);
    made.op_to("Mul", &[&elu, &constant], vec![], &node.output[0]);
    Some(made)
}
