//! The form in which a network takes pictures: its axes, their sizes, and the type of its values.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::{Cast, cast};

use super::{EngineError, LoadOptions, MAX_SIDE, TensorInfo, shown};
use crate::image::Layout;

/// Height and width assumed where neither the file nor the options say.
const DEFAULT_SIZE: [u32; 2] = [224, 224];

/// What the sizes of an input say; -1 is an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axes {
    /// The size of the batch; nothing where there is no such axis.
    pub(crate) batch: Option<i64>,
    /// The channels; nothing where there is no such axis, as for one channel alone.
    pub(crate) channels: Option<i64>,
    /// Height and width.
    pub(crate) sides: [i64; 2],
    pub(crate) layout: Layout,
    /// Whether the sizes alone tell the layout.
    pub(crate) is_told: bool,
}

impl Axes {
    /// Of an input of these sizes, if they can be those of pictures; `layout` decides where it is stated.
    pub(crate) fn of(sizes: &[i64], layout: Option<Layout>) -> Option<Self> {
        let (batch, sizes) = match *sizes {
            [batch, a, b, c] => (Some(batch), [a, b, c]),
            // One channel, and no axis for it.
            [batch, height, width] if layout.is_none() && !may_be_channels(width) && !matches!(batch, 1 | 3) => {
                return Some(Self { batch: Some(batch), channels: None, sides: [height, width], layout: Layout::Nchw, is_told: true });
            }
            [a, b, c] => (None, [a, b, c]),
            _ => return None,
        };
        let told = told_layout(sizes);
        let layout = layout.or(told).unwrap_or(Layout::Nchw);
        let [a, b, c] = sizes;
        let (channels, sides) = if layout == Layout::Nchw { (a, [b, c]) } else { (c, [a, b]) };
        Some(Self { batch, channels: Some(channels), sides, layout, is_told: told.is_some() })
    }

    /// The number of channels, where the network fixes it.
    pub(crate) fn fixed_channels(&self) -> Option<i64> {
        self.channels.map_or(Some(1), |channels| Some(channels).filter(|channels| *channels > 0))
    }
}

fn may_be_channels(size: i64) -> bool {
    matches!(size, 1 | 3)
}

/// What the axis of three tells, or that of one; nothing where both or none could be the channels.
fn told_layout([first, _, last]: [i64; 3]) -> Option<Layout> {
    for channels in [3, 1] {
        match (first == channels, last == channels) {
            (true, false) => return Some(Layout::Nchw),
            (false, true) => return Some(Layout::Nhwc),
            (true, true) => return None,
            (false, false) => {}
        }
    }
    None
}

/// The input of a network with every size fixed. The tensor that is run is `f32`, `[N, C, H, W]`, whatever the file's own form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    /// As the file has it.
    pub(super) shape: Vec<usize>,
    pub(super) axes: FormAxes,
    pub(super) datum_type: DatumType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormAxes {
    has_batch: bool,
    has_channels: bool,
    channels_last: bool,
}

impl Form {
    /// The plain form of a batch of pictures or of anything else: `f32`, with the channels last where three sizes say so.
    pub(super) fn of_shape(shape: &[usize]) -> Self {
        let channels_last = matches!(shape, [_, first, _, 3] if *first != 3);
        let axes = FormAxes { has_batch: true, has_channels: true, channels_last };
        Self { shape: shape.to_vec(), axes, datum_type: f32::datum_type() }
    }

    /// Images in one run.
    pub(super) fn batch(&self) -> usize {
        if self.axes.has_batch { self.shape.first().copied().unwrap_or(1) } else { 1 }
    }

    /// The same for another number of images.
    pub(super) fn with_batch(&self, batch: usize) -> Self {
        let mut form = self.clone();
        if let (true, Some(size)) = (self.axes.has_batch, form.shape.first_mut()) {
            *size = batch;
        }
        form
    }

    /// Height, width and channels, where the channels come last.
    pub(super) fn pixels(&self) -> Option<[usize; 3]> {
        let sizes = &self.shape[usize::from(self.axes.has_batch).min(self.shape.len())..];
        match *sizes {
            [height, width, channels] if self.axes.channels_last => Some([height, width, channels]),
            _ => None,
        }
    }

    /// The form of `input`, as it is declared, for as many images as the options have, with everything that is left open filled in; `stated` are the layout
    /// and the number of channels that other files state.
    ///
    /// # Errors
    /// [`EngineError::NotAClassifier`].
    pub(super) fn of(
        input: &TensorInfo,
        options: &LoadOptions,
        stated: (Option<Layout>, Option<usize>),
        warnings: &mut Vec<String>,
    ) -> Result<Self, EngineError> {
        let refuse = |why: String| Err(EngineError::NotAClassifier(format!("input {} {why}", shown(&input.name))));
        let Some(axes) = Axes::of(&input.shape, stated.0) else {
            let expected = "a batch of pictures, [N, 3, H, W] or [N, H, W, 3], with 1 for grey, or one picture without N";
            return refuse(format!("has shape {:?}, expected {expected}", input.shape));
        };
        let Some(datum_type) = datum_type(&input.datatype) else {
            return refuse(format!(
                "is of {}, expected FP32, another kind of float, or whole numbers that hold 0 to 255, such as UINT8",
                input.datatype
            ));
        };
        let channels = axes.fixed_channels().unwrap_or_else(|| stated.1.unwrap_or(3) as i64);
        if !may_be_channels(channels) {
            return refuse(format!("has {channels} channels in its shape {:?}, expected 3, or 1 for grey", input.shape));
        }
        if options.batch == 0 || axes.batch.is_none() && options.batch != 1 {
            return refuse(format!("takes one picture at a time, expected batches of {}", options.batch));
        }
        let size = options.input_size.unwrap_or(DEFAULT_SIZE);
        if options.input_size.is_none() && axes.sides.iter().any(|side| *side < 0) {
            warnings.push(format!("the model leaves its input size open: {}×{} is assumed", size[0], size[1]));
        }
        let [height, width] = [0, 1].map(|at| usize::try_from(axes.sides[at]).unwrap_or(size[at] as usize));
        if [height, width].iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return refuse(format!("is of {height}×{width} pixels, expected sides of 1 to {MAX_SIDE}"));
        }
        let channels = axes.channels.map(|_| channels as usize);
        let sizes = match axes.layout {
            Layout::Nchw => [channels, Some(height), Some(width)],
            Layout::Nhwc => [Some(height), Some(width), channels],
        };
        Ok(Self {
            shape: axes.batch.map(|_| options.batch).into_iter().chain(sizes.into_iter().flatten()).collect(),
            axes: FormAxes { has_batch: axes.batch.is_some(), has_channels: channels.is_some(), channels_last: axes.layout == Layout::Nhwc },
            datum_type,
        })
    }

    /// Has `model`, whose input has this form, take `f32` in `[N, C, H, W]`.
    ///
    /// The changes of layout move out of the graph: tract would otherwise carry the channels last through the whole network, as it does where a file
    /// begins with a `Transpose`, and everything after the import would have to know both layouts.
    pub(super) fn make_plain(&self, model: &mut TypedModel) -> TractResult<()> {
        let mut changes: TVec<AxisOp> = tvec!();
        changes.extend(self.axes.channels_last.then_some(AxisOp::Move(1, 3)));
        changes.extend((!self.axes.has_channels).then_some(AxisOp::Rm(1)));
        changes.extend((!self.axes.has_batch).then_some(AxisOp::Rm(0)));
        let old = model.input_outlets()?[0];
        if changes.is_empty() && self.datum_type == f32::datum_type() {
            return Ok(());
        }
        let mut shape = model.outlet_fact(old)?.shape.clone();
        for change in changes.iter().rev() {
            change.recip().change_shape(&mut shape, false)?;
        }
        let name = model.node(old.node).name.clone();
        let mut patch = TypedModelPatch::new("take pictures in their plain form");
        let mut wire = patch.add_source(format!("{name}.nchw"), f32::datum_type().fact(shape))?;
        patch.inputs.insert(wire.node, old.node);
        for (at, change) in changes.into_iter().enumerate() {
            wire = patch.wire_node(format!("{name}.form.{at}"), change, &[wire])?[0];
        }
        if self.datum_type != f32::datum_type() {
            keep_floats(model, &mut patch, old, wire)?;
            wire = patch.wire_node(format!("{name}.cast"), cast(self.datum_type), &[wire])?[0];
        }
        patch.shunt_outside(model, old, wire)?;
        patch.apply(model)
    }
}

/// Where a graph makes `f32` of the whole numbers at `old`, at once or behind changes of axes, it is given `wire`, which is the same in `f32`: what it
/// means is the same, and the way from picture to network stays short.
fn keep_floats(model: &TypedModel, patch: &mut TypedModelPatch, old: OutletId, wire: OutletId) -> TractResult<()> {
    for reader in model.outlet_successors(old).to_vec() {
        let node = model.node(reader.node);
        if node.op_as::<Cast>().is_some_and(|cast| cast.to == f32::datum_type()) {
            patch.shunt_outside(model, reader.node.into(), wire)?;
        } else if let Some(change) = node.op_as::<AxisOp>() {
            let moved = patch.wire_node(format!("{}.f32", node.name), change.clone(), &[wire])?[0];
            keep_floats(model, patch, reader.node.into(), moved)?;
        }
    }
    Ok(())
}

/// Of values that pixels can have, normalised or as they are.
fn datum_type(datatype: &str) -> Option<DatumType> {
    Some(match datatype {
        "FP32" => f32::datum_type(),
        "FP16" => f16::datum_type(),
        "FP64" => f64::datum_type(),
        "UINT8" => u8::datum_type(),
        "UINT16" => u16::datum_type(),
        "INT16" => i16::datum_type(),
        "INT32" => i32::datum_type(),
        "UINT32" => u32::datum_type(),
        "INT64" => i64::datum_type(),
        "UINT64" => u64::datum_type(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(sizes: &[i64]) -> (Option<i64>, Option<i64>, [i64; 2], Layout, bool) {
        let Axes { batch, channels, sides, layout, is_told } = Axes::of(sizes, None).unwrap();
        (batch, channels, sides, layout, is_told)
    }

    #[test]
    fn the_axis_of_three_or_of_one_is_the_channels() {
        use Layout::{Nchw, Nhwc};
        assert_eq!(axes(&[-1, 3, 8, 9]), (Some(-1), Some(3), [8, 9], Nchw, true));
        assert_eq!(axes(&[-1, 8, 9, 3]), (Some(-1), Some(3), [8, 9], Nhwc, true));
        assert_eq!(axes(&[1, 1, 8, 9]), (Some(1), Some(1), [8, 9], Nchw, true));
        assert_eq!(axes(&[2, -1, -1, 1]), (Some(2), Some(1), [-1, -1], Nhwc, true));
        assert_eq!(axes(&[1, 3, 1, 1]), (Some(1), Some(3), [1, 1], Nchw, true));
        assert_eq!(axes(&[3, 8, 9]), (None, Some(3), [8, 9], Nchw, true));
        assert_eq!(axes(&[8, 9, 3]), (None, Some(3), [8, 9], Nhwc, true));
        assert_eq!(axes(&[1, 28, 28]), (None, Some(1), [28, 28], Nchw, true));
        assert_eq!(axes(&[-1, 28, 28]), (Some(-1), None, [28, 28], Nchw, true));
        assert_eq!(axes(&[-1, -1, -1, -1]), (Some(-1), Some(-1), [-1, -1], Nchw, false));
        assert!(!axes(&[1, 3, 8, 3]).4);
        assert_eq!(Axes::of(&[-1, -1, -1, -1], Some(Nhwc)).unwrap().layout, Nhwc);
        assert_eq!(Axes::of(&[1, 10], None), None);
    }
}
