//! Convolutions of SE-ResNet-50 and MobileNetV3 shapes on one core; the throughput counts a multiply-accumulate as one element, also where
//! Winograd's convolutions save it.
//!
//!     taskset -c 0 cargo bench --bench convolution

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use senet::kernels::Simd;
use senet::kernels::maps::{
    Convolution, ConvolutionShape, Layout, Map, MapMut, Nonlinearity, Window, WinogradConvolution, WinogradTile, convolve, convolve_winograd,
};

/// Input channels, kernel, stride, output channels, side of the output.
const SHAPES: [[usize; 5]; 15] = [
    [3, 7, 2, 64, 112],
    [64, 3, 1, 64, 56],
    [64, 1, 1, 256, 56],
    [256, 1, 1, 64, 56],
    [128, 3, 1, 128, 28],
    [256, 3, 1, 256, 14],
    [32, 3, 1, 32, 28],
    [64, 3, 1, 64, 14],
    [144, 3, 1, 144, 7],
    [1024, 1, 1, 256, 14],
    [512, 3, 1, 512, 7],
    [2048, 1, 1, 512, 7],
    [512, 1, 1, 2048, 7],
    [16, 1, 1, 64, 112],
    [40, 1, 1, 120, 28],
];

fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolution");
    for [inputs, kernel, stride, outputs, side] in SHAPES {
        let window = Window::new([kernel; 2], [stride; 2], [1; 2], [kernel / 2; 2]).expect("the sizes are small");
        let shape = ConvolutionShape::new(inputs, outputs, 1, window).expect("the sizes are small");
        let products = inputs * outputs * kernel * kernel;
        let (weights, bias) = (vec![0.01; products], vec![0.1; outputs]);
        let simd = Simd::detect();
        let convolution = Convolution::new(simd, shape, &weights, &bias, Nonlinearity::RELU).expect("the weights fit the shape");
        let (input, output) = (Layout::new(side * stride, side * stride, inputs, kernel / 2), Layout::new(side, side, outputs, 0));
        let (values, mut result) = (vec![0.5; input.len()], vec![0.0; output.len()]);
        group.throughput(Throughput::Elements((products * side * side) as u64));
        group.bench_function(format!("{inputs}_{kernel}x{kernel}_{outputs}_at_{side}"), |bencher| {
            bencher.iter(|| convolve(simd, &convolution, Map::new(input, &values), None, &mut MapMut::new(output, &mut result)));
        });
        for tile in [WinogradTile::Two, WinogradTile::Four].into_iter().filter(|_| WinogradConvolution::fits(simd, &shape)) {
            let convolution = WinogradConvolution::new(simd, tile, shape, &weights, &bias, Nonlinearity::RELU).expect("the weights fit the shape");
            let mut scratch = vec![0.0; convolution.scratch()];
            group.bench_function(format!("{inputs}_{kernel}x{kernel}_{outputs}_at_{side}_tiles_of_{tile:?}"), |bencher| {
                let mut output = MapMut::new(output, &mut result);
                bencher.iter(|| convolve_winograd(simd, &convolution, Map::new(input, &values), None, &mut output, &mut scratch));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
