//! One SE block: stock tract, senet's operator in tract, and the kernels alone, one thread, same run.
//!
//!     taskset -c 0 cargo bench --bench se_block
//!
//! A `plain` block is `x · gate(x)`, a `residual` one `relu(x · gate(x) + shortcut)`; the files are written, and run by ONNX Runtime, by
//! `benches/compare/se_block.py`. In both plans the caller keeps the inputs, so that each has to write its output elsewhere.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::path::Path;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use senet::graph::{ParameterNames, fuse_squeeze_excite};
use senet::kernels::{Excitation, Function, Functions, Layer, Layers, Rectify, Simd, excite, scale, squeeze};
use tract_onnx::prelude::*;

const SHAPES: [(usize, usize); 4] = [(256, 56), (512, 28), (1024, 14), (2048, 7)];
const RATIO: usize = 16;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Residual,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Residual => "residual",
        }
    }
}

fn se_block(criterion: &mut Criterion) {
    for kind in [Kind::Plain, Kind::Residual] {
        for (channels, side) in SHAPES {
            let mut group = criterion.benchmark_group(format!("se_block/{}/{channels}x{side}x{side}", kind.name()));
            measure_plan(&mut group, "tract", kind, channels, side, |_| Ok(()));
            measure_plan(&mut group, "senet", kind, channels, side, |model| {
                let blocks = fuse_squeeze_excite(model, Simd::detect(), &ParameterNames::default())?;
                assert_eq!(blocks.len(), 1, "the block was not found");
                Ok(())
            });
            measure_kernels(&mut group, kind, channels, side);
            group.finish();
        }
    }
}

/// The block's file in tract after `rewrite`.
fn measure_plan(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    kind: Kind,
    channels: usize,
    side: usize,
    rewrite: impl Fn(&mut TypedModel) -> TractResult<()>,
) {
    let shape = [1, channels, side, side];
    let inputs: TVec<TValue> = inputs(&shape).take(if kind == Kind::Plain { 1 } else { 2 }).collect();
    let load = || -> TractResult<_> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/se_blocks/{channels}x{side}_{}.onnx", kind.name()));
        let mut model = tract_onnx::onnx().model_for_path(file)?;
        for input in 0..inputs.len() {
            model.set_input_fact(input, f32::fact(shape).into())?;
        }
        let mut model = model.into_typed()?.into_decluttered()?;
        rewrite(&mut model)?;
        assert!(model.nodes().iter().all(|node| node.op.name() != "Sin"), "the weights were not folded");
        model.into_optimized()?.into_runnable()?.spawn()
    };
    let mut plan = load().expect("the block loads");
    group.bench_function(name, |bencher| bencher.iter(|| plan.run(black_box(inputs.clone())).expect("the block runs")));
}

/// The kernels in place, as on a map that nobody else holds. The gates are open, lest the map vanish when it is scaled again and again.
fn measure_kernels(group: &mut BenchmarkGroup<WallTime>, kind: Kind, channels: usize, side: usize) {
    let simd = Simd::detect();
    let (squeezed, positions) = (channels / RATIO, side * side);
    let layer = |bias, functions| Layer { weights: vec![0.01; squeezed * channels], bias, functions };
    let excitation = Excitation::new(Layers {
        before: Functions::default(),
        reduce: Some(layer(vec![0.0; squeezed], Function::Relu.into())),
        expand: layer(vec![100.0; channels], Function::Sigmoid.into()),
    })
    .expect("the lengths belong together");
    let mut map = values(channels * positions);
    let shortcut = vec![0.0; channels * positions];
    let (mut means, mut gates) = (vec![0.0; channels], vec![0.0; channels]);
    group.bench_function("kernels", |bencher| {
        bencher.iter(|| {
            squeeze(simd, &map, positions, &mut means);
            excite(simd, &excitation, &means, &mut gates);
            scale(simd, &mut map, None, positions, &gates, (kind == Kind::Residual).then_some((&shortcut, Rectify::Relu)));
        });
    });
}

fn inputs(shape: &[usize]) -> impl Iterator<Item = TValue> {
    let tensor = Tensor::from_shape(shape, &values(shape.iter().product())).expect("as many values as the shape says");
    (0..2).map(move |_| tensor.clone().into_tvalue())
}

/// In -1..1.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 1000) as f32 / 500.0 - 1.0).collect()
}

criterion_group!(benches, se_block);
criterion_main!(benches);
