//! A network as a tract plan that all workers share: any graph of one image input, classifier or not.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::form::Form;
use super::guard::guard_run;
use super::input::Values;
use super::onnx::{OnnxFile, name_of_type};
use super::{EngineError, Gates, Inference, Input, OperatorCounts, SeBlockInfo, sizes};
use crate::graph::{ChannelGateInfo, Lowering, Refusal, Unlowered, channel_gates, declutter, feed_map, fuse_squeeze_excite, lower};
use crate::kernels::maps::{Layout, Map, MapMut, from_pixels, from_planar, to_planar};
use crate::kernels::{Level, Simd};
use crate::ops::{Region, SqueezeExcite};

/// Which rewrites a network goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrite {
    /// All there are.
    All(Lowering),
    /// None: stock tract, to compare with.
    Nothing,
}

/// A graph with an input of fixed shape, ready to run.
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    /// States that no run uses at present: a state is taken for a run and put back, so that no lock is held while running.
    idle: Mutex<Vec<TypedSimpleState>>,
    /// Memory for inputs that no run uses at present.
    idle_inputs: Mutex<Vec<Tensor>>,
    form: Form,
    /// Images that a caller gives; the network may take more, which are then zero.
    images: usize,
    /// Of what the plan takes.
    fed_shape: Vec<usize>,
    /// How each image lies in that, where it is not channels first.
    map: Option<Layout>,
    output_shape: Vec<usize>,
    se_blocks: Vec<SeBlockInfo>,
    channel_gates: Vec<ChannelGateInfo>,
    operators: OperatorCounts,
    unlowered: Vec<Unlowered>,
    flops: u64,
}

impl Network {
    /// The network of the ONNX model in `onnx` for an `f32` input of `input_shape`, whose first axis is the batch.
    ///
    /// # Errors
    /// [`EngineError::Import`].
    pub fn load<'a>(onnx: impl Into<Cow<'a, [u8]>>, input_shape: &[usize], simd: Simd, rewrite: Rewrite) -> Result<Self, EngineError> {
        let mut file = OnnxFile::parse(onnx.into())?;
        file.prepare()?;
        let form = Form::of_shape(input_shape);
        let images = form.batch();
        Self::build(&mut file, form, images, simd, rewrite)
    }

    /// The network of a `file` that [is prepared](OnnxFile::prepare), whose input has this `form`, for runs of so many `images`.
    pub(super) fn build(file: &mut OnnxFile, form: Form, images: usize, simd: Simd, rewrite: Rewrite) -> Result<Self, EngineError> {
        let mut model = file.to_typed(&form)?;
        file.forget_values();
        let parameters = file.parameter_names();
        let batch = form.batch();
        file.guard(move || {
            match rewrite {
                Rewrite::All(_) => declutter(&mut model)?,
                Rewrite::Nothing => model.declutter()?,
            }
            sizes::check_all(&model)?;
            yield_f32(&mut model)?;
            let output = model.output_fact(0)?;
            let output_shape = output.shape.as_concrete().ok_or_else(|| depends("the output"))?.to_vec();
            let flops = flops(&model)?;
            let se_blocks = match rewrite {
                Rewrite::All(_) => fuse_squeeze_excite(&mut model, simd, &parameters)?,
                Rewrite::Nothing => vec![],
            };
            let channel_gates = channel_gates(&model, &parameters)?;
            // The plain kernels are a reference; stock tract is faster than they are.
            let unlowered = match rewrite {
                Rewrite::All(lowering) if simd.level() != Level::Scalar => lower(&mut model, batch, simd, lowering)?,
                _ => vec![],
            };
            let map = feed_map(&mut model, batch)?;
            let fed_shape = model.input_fact(0)?.shape.as_concrete().ok_or_else(|| depends("the input"))?.to_vec();
            let plan = model.into_optimized()?.into_runnable()?;
            let operators = count_operators(plan.model())?;
            let idle = Mutex::new(vec![plan.spawn()?]);
            Ok(Self {
                plan,
                idle,
                idle_inputs: Mutex::default(),
                form,
                images,
                fed_shape,
                map,
                output_shape,
                se_blocks,
                channel_gates,
                operators,
                unlowered,
                flops,
            })
        })
    }

    /// Memory for one batch, whose values may be anything, but for [a border](Input::arrangement), which is zero.
    ///
    /// # Errors
    /// [`EngineError::Run`].
    pub fn input(&self) -> Result<Input<'static>, EngineError> {
        guard_run(|| self.memory()).map(|tensor| Input(Values::Lent { used: self.used(tensor.len()), tensor, map: self.map }))
    }

    /// Of so many values of whole batches, those of the images that a caller gives.
    fn used(&self, values: usize) -> usize {
        values / self.form.batch().max(1) * self.images
    }

    fn memory(&self) -> TractResult<Tensor> {
        let idle = self.idle_inputs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Tensor::zero::<f32>(&self.fed_shape), Ok)
    }

    /// Runs one batch; `logits` are the values of the first output, whatever its shape.
    ///
    /// # Errors
    /// [`EngineError::InputLength`] and [`EngineError::Run`].
    pub fn run<'a>(&self, input: impl Into<Input<'a>>, gates: Gates) -> Result<Inference, EngineError> {
        let (input, length) = (input.into(), |shape: &[usize]| shape.iter().product::<usize>());
        let (actual, expected) = match &input.0 {
            Values::Given(values) => (values.len(), self.used(length(&self.form.shape))),
            Values::Lent { tensor, .. } => (tensor.len(), length(&self.fed_shape)),
        };
        if actual != expected {
            return Err(EngineError::InputLength { actual, expected });
        }
        guard_run(|| self.try_run(input, gates))
    }

    fn try_run(&self, input: Input, gates: Gates) -> TractResult<Inference> {
        let input = Arc::new(match input.0 {
            Values::Given(values) => self.to_memory(&values)?,
            Values::Lent { tensor, .. } => tensor,
        });
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut state = idle.map_or_else(|| self.plan.spawn(), Ok)?;
        let outputs = state.run(tvec!(Arc::clone(&input).into_tvalue()))?;
        // A state whose run failed is dropped: it still holds that run's values.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        self.idle_inputs.lock().unwrap_or_else(PoisonError::into_inner).extend(Arc::into_inner(input));
        let values = |output: &TValue| {
            let values = output.try_as_plain_ram()?.as_slice::<f32>()?;
            TractResult::Ok(values[..self.used(values.len())].to_vec())
        };
        let (first, rest) = outputs.split_at(outputs.len() - self.se_blocks.len());
        let logits = values(first.first().context("no output")?)?;
        let gates = match gates {
            Gates::Return => rest.iter().map(values).collect::<TractResult<_>>()?,
            Gates::Drop => vec![],
        };
        Ok(Inference { logits, gates })
    }

    /// `values`, in the layout of the network's input, as the plan takes them.
    fn to_memory(&self, values: &[f32]) -> TractResult<Tensor> {
        let mut tensor = self.memory()?;
        let mut view = tensor.try_as_plain_ram_mut()?;
        let memory = view.as_slice_mut::<f32>()?;
        let pixels = self.form.pixels();
        let (image, stride) = (values.len() / self.images.max(1), memory.len() / self.form.batch().max(1));
        for (values, memory) in values.chunks_exact(image.max(1)).zip(memory.chunks_exact_mut(stride.max(1))) {
            // Without a map, channels come first.
            match (self.map, pixels) {
                (Some(layout), Some(_)) => from_pixels(values, &mut MapMut::new(layout, memory)),
                (Some(layout), None) => from_planar(values, &mut MapMut::new(layout, memory)),
                (None, Some([height, width, channels])) => to_planar(Map::new(Layout::new(height, width, channels, 0), values), memory),
                (None, None) => memory.copy_from_slice(values),
            }
        }
        Ok(tensor)
    }

    /// Sizes of the first output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Images of one run of the plan.
    pub(super) fn batch(&self) -> usize {
        self.form.batch().max(1)
    }

    /// In network order.
    pub fn se_blocks(&self) -> &[SeBlockInfo] {
        &self.se_blocks
    }

    /// Channel gates of other kinds, in network order.
    pub fn channel_gates(&self) -> &[ChannelGateInfo] {
        &self.channel_gates
    }

    /// Of the plan that runs.
    pub fn operators(&self) -> OperatorCounts {
        self.operators
    }

    /// What is left to tract of a network that was lowered.
    pub fn unlowered(&self) -> &[Unlowered] {
        &self.unlowered
    }

    /// Floating-point operations of convolutions and matrix products for the whole batch, a multiply-accumulate counted as two.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("form", &self.form).field("operators", &self.operators).finish_non_exhaustive()
    }
}

/// Has the output of `model`, which may be a float of another kind, be `f32`.
fn yield_f32(model: &mut TypedModel) -> TractResult<()> {
    let output = *model.output_outlets()?.first().context("no output")?;
    let datum_type = model.outlet_fact(output)?.datum_type;
    if datum_type == f32::datum_type() {
        return Ok(());
    }
    ensure!(datum_type.is_float(), Refusal(format!("the output is of type {}, expected floating point", name_of_type(datum_type))));
    let name = format!("{}.f32", model.node(output.node).name);
    let wires = model.wire_node(name, cast(f32::datum_type()), &[output])?;
    model.select_output_outlets(&wires)
}

fn depends(what: &str) -> Refusal {
    Refusal(format!("the size of {what} depends on the picture, expected a fixed one; export the network without what filters or counts its results"))
}

fn flops(model: &TypedModel) -> TractResult<u64> {
    let mut multiply_accumulates = 0u64;
    for node in model.nodes() {
        if !node.op_is::<Conv>() && !node.op_is::<EinSum>() {
            continue;
        }
        for (cost, count) in node.op.cost(&model.node_input_facts(node.id)?)? {
            if cost.is_compute() {
                multiply_accumulates =
                    multiply_accumulates.saturating_add(u64::try_from(count.to_i64().map_err(|_| depends("a value inside the network"))?)?);
            }
        }
    }
    Ok(multiply_accumulates.saturating_mul(2))
}

fn count_operators(model: &TypedModel) -> TractResult<OperatorCounts> {
    let mut counts = OperatorCounts::default();
    for node in model.eval_order()? {
        let node = model.node(node);
        if let Some(region) = node.op_as::<Region>() {
            let (blocks, others) = region.count();
            counts.squeeze_excite += blocks;
            counts.blocked += others;
        } else if node.op_is::<SqueezeExcite>() {
            counts.squeeze_excite += 1;
        } else if !node.op_is::<Const>() && !node.op_is::<TypedSource>() {
            counts.tract += 1;
        }
    }
    Ok(counts)
}
