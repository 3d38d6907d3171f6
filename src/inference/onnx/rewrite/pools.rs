//! Pools that tract knows not, or divides otherwise than ONNX says.

use tract_onnx::pb::NodeProto;

use super::nodes::{Made, float, int, ints, is_padded_to_same, of_int, of_ints, of_text, set, text, windows};
use crate::inference::onnx::fault::described;
use crate::inference::onnx::operators::{GLOBAL_SUM, SUM_POOL};

/// An average pool of overhanging windows that counts its padding: what lies beyond the padding is not counted (AveragePool of opset 19, `ceil_mode`), which
/// tract does. With the padding made values of the map, it is right.
///
/// A pool without padding by its `auto_pad` whose windows overhang: `ceil_mode` holds for it as well.
pub(super) fn overhanging(node: &NodeProto, opset: i64) -> Result<Option<Made>, String> {
    check_automatic_padding(node)?;
    let (pads, valid) = (ints(node, "pads").unwrap_or_default(), text(node, "auto_pad") == Some("VALID"));
    let is_automatic = text(node, "auto_pad").is_some_and(|padding| padding != "NOTSET");
    let counts = int(node, "count_include_pad").unwrap_or(0) != 0 && node.op_type == "AveragePool";
    if int(node, "ceil_mode").unwrap_or(0) == 0 || is_automatic && !valid || !(counts || valid) {
        return Ok(None);
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
    Ok(Some(made))
}

/// Refuses padding that is chosen automatically where ONNX and ONNX Runtime choose it differently: for dilated windows, and for windows that leave out more
/// than a value between them.
fn check_automatic_padding(node: &NodeProto) -> Result<(), String> {
    let differs = |[size, stride, dilation]: [i64; 3]| dilation != 1 || stride > size.saturating_add(1);
    let why = "is padded by auto_pad with dilations, or strides beyond its window, which is read in several ways; export it with pads";
    if is_padded_to_same(node) && windows(node).any(differs) { Err(format!("{} {why}", described(node))) } else { Ok(()) }
}

/// `LpPool`: the root of the sum of powers.
pub(super) fn lp_pool(node: &NodeProto, opset: i64) -> Result<Option<Made>, String> {
    check_automatic_padding(node)?;
    let p = int(node, "p").unwrap_or(2);
    let mut made = Made::of(node, opset);
    let powers = power(&mut made, &node.input[0], p);
    let attributes = node.attribute.iter().filter(|attribute| attribute.name != "p").cloned().collect();
    let sum = made.op(SUM_POOL, &[&powers], attributes);
    root(&mut made, &sum, p, &node.output[0]);
    Ok(Some(made))
}

/// `GlobalLpPool`, of maps of any number of axes.
pub(super) fn global_lp_pool(node: &NodeProto, opset: i64) -> Option<Made> {
    let p = int(node, "p").unwrap_or(2);
    let mut made = Made::of(node, opset);
    let powers = power(&mut made, &node.input[0], p);
    let sum = made.op(GLOBAL_SUM, &[&powers], vec![]);
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
