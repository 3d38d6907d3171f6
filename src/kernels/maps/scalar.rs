//! The reference: the definitions written out, sums in `f64`.

use std::ops::Range;

use super::convolution::{Convolution, Depthwise, PanelSize, Window};
use super::epilogue::Epilogue;
use super::layout::{Layout, Map, MapMut};
use super::linear::Linear;
use super::nonlinearity::Nonlinearity;
use super::winograd::{WinogradConvolution, input_matrix, output_matrix};
use super::{MapKernels, Pool, range_of};
use crate::kernels::scalar::Scalar;

impl MapKernels for Scalar {
    fn panel_size(&self) -> PanelSize {
        PanelSize { lanes: 1, usual: 1, widest: 1 }
    }

    fn convolve(&self, convolution: &Convolution, input: Map<'_>, shortcut: Option<Map<'_>>, output: &mut MapMut<'_>) {
        let taps = convolution.shape.window().taps();
        let first = output.channels().start;
        for_each_pixel(output, |y, x, channels| {
            for panel in convolution.panels(first..first + channels.len()) {
                let weights = &convolution.weights[panel.weights..][..taps * convolution.depth];
                let mut sum = f64::from(convolution.bias[panel.bias]);
                for (tap, weights) in weights.chunks_exact(convolution.depth).enumerate() {
                    let at = tap_offset(&convolution.shape.window(), &input.layout(), y, x, tap) + panel.input;
                    sum += weights.iter().zip(&input.data()[at..]).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum::<f64>();
                }
                if let Some(shortcut) = shortcut {
                    sum += f64::from(shortcut.data()[shortcut.layout().offset(y, x) + panel.first - first]);
                }
                let sum = prelu(sum as f32, convolution.slopes.get(panel.bias));
                channels[panel.first - first] = convolution.epilogue.apply(sum);
            }
        });
    }

    fn convolve_depthwise(&self, convolution: &Depthwise, input: Map<'_>, output: &mut MapMut<'_>) {
        let first = output.channels().start;
        for_each_pixel(output, |y, x, channels| {
            for (channel, value) in channels.iter_mut().enumerate() {
                let mut sum = f64::from(convolution.bias[first + channel]);
                for (tap, weights) in convolution.weights.chunks_exact(convolution.channels).enumerate() {
                    let at = tap_offset(&convolution.window, &input.layout(), y, x, tap);
                    sum += f64::from(weights[first + channel]) * f64::from(input.data()[at + channel]);
                }
                *value = convolution.epilogue.apply(prelu(sum as f32, convolution.slopes.get(first + channel)));
            }
        });
    }

    fn transform_tiles(&self, convolution: &WinogradConvolution, tiles: &[[usize; 2]], input: Map<'_>, transformed: &mut [f32]) {
        let matrix = input_matrix(convolution.tile);
        let layout = input.layout();
        let (rows, columns, channels) = (layout.height() + 2 * layout.border(), layout.width() + 2 * layout.border(), layout.channels());
        for (tile, [y, x]) in tiles.iter().enumerate() {
            let (border, padding) = (layout.border(), convolution.window.padding());
            let [y, x] = [y + border - padding[0], x + border - padding[1]];
            for channel in 0..channels {
                let value = |row: usize, column: usize| {
                    let inside = y + row < rows && x + column < columns;
                    if inside { input.data()[(y + row) * layout.row() + (x + column) * layout.stride() + channel] } else { 0.0 }
                };
                for (place, sum) in two_sided(matrix, value).into_iter().enumerate() {
                    transformed[(place * tiles.len() + tile) * channels + channel] = sum;
                }
            }
        }
    }

    fn finish_tiles(
        &self,
        convolution: &WinogradConvolution,
        tiles: &[[usize; 2]],
        products: &[f32],
        shortcut: Option<Map<'_>>,
        output: &mut MapMut<'_>,
    ) {
        let (matrix, size, all, channels) =
            (output_matrix(convolution.tile), convolution.tile.outputs(), output.layout().channels(), output.channels());
        for (tile, [top, left]) in tiles.iter().enumerate() {
            for channel in channels.clone() {
                let product = |row: usize, column: usize| products[((row * (size + 2) + column) * tiles.len() + tile) * all + channel];
                for (pixel, sum) in two_sided(matrix, product).into_iter().enumerate() {
                    let (y, x) = (top + pixel / size, left + pixel % size);
                    if output.contains(y, x) {
                        let shortcut = shortcut.map_or(0.0, |s| s.data()[s.layout().offset(y, x) + channel - channels.start]);
                        let sum = prelu(sum + convolution.bias[channel] + shortcut, convolution.slopes.get(channel));
                        output.pixel(y, x)[channel - channels.start] = convolution.epilogue.apply(sum);
                    }
                }
            }
        }
    }

    fn connect(&self, layer: &Linear, inputs: &[f32], first: usize, outputs: &mut [f32]) {
        for (output, value) in (first..).zip(outputs) {
            let row = &layer.weights[output * inputs.len()..][..inputs.len()];
            let sum: f64 = row.iter().zip(inputs).map(|(weight, input)| f64::from(*weight) * f64::from(*input)).sum();
            *value = layer.epilogue.apply((sum + f64::from(layer.bias[output])) as f32);
        }
    }

    fn pool(&self, pool: Pool, window: Window, input: Map<'_>, output: &mut MapMut<'_>) {
        for_each_pixel(output, |y, x, channels| {
            let layout = input.layout();
            let columns = window.inside(1, x, layout.width());
            let inside = window.inside(0, y, layout.height()).flat_map(|row| columns.clone().map(move |column| layout.offset(row, column)));
            for (channel, value) in channels.iter_mut().enumerate() {
                let values = inside.clone().map(|at| input.data()[at + channel]);
                let sum = values.clone().map(f64::from).sum::<f64>();
                *value = match pool {
                    Pool::Max => values.reduce(|a, b| if a.is_nan() || a > b { a } else { b }).unwrap_or(0.0),
                    Pool::Average => (sum / inside.clone().count().max(1) as f64) as f32,
                    Pool::AverageWithPadding => (sum / window.taps() as f64) as f32,
                };
            }
        });
    }

    fn sum_rows(&self, map: Map<'_>, rows: Range<usize>, divisor: f32, sums: &mut [f32]) {
        for (channel, to) in sums.iter_mut().enumerate() {
            let row = |y| (0..map.layout().width()).map(|x| f64::from(map.data()[map.layout().offset(y, x) + channel])).sum::<f64>();
            // Rows are rounded, so that it does not matter who adds them up.
            *to = rows.clone().map(|y| row(y) as f32).fold(0.0, |sum, row| sum + row) / divisor;
        }
    }

    fn recalibrate(&self, map: &mut MapMut<'_>, gates: &[f32], shortcut: Option<Map<'_>>, epilogue: Epilogue) {
        for_each_pixel(map, |y, x, channels| {
            for (channel, (value, gate)) in channels.iter_mut().zip(gates).enumerate() {
                let shortcut = shortcut.map_or(0.0, |s| s.data()[s.layout().offset(y, x) + channel]);
                *value = epilogue.apply(*value * gate + shortcut);
            }
        });
    }

    fn add(&self, map: &mut MapMut<'_>, shortcut: Map<'_>, epilogue: Epilogue) {
        for_each_pixel(map, |y, x, channels| {
            for (value, shortcut) in channels.iter_mut().zip(&shortcut.data()[shortcut.layout().offset(y, x)..]) {
                *value = epilogue.apply(*value + shortcut);
            }
        });
    }

    fn activate(&self, map: &mut MapMut<'_>, epilogue: Epilogue) {
        for_each_pixel(map, |_, _, channels| channels.iter_mut().for_each(|value| *value = epilogue.apply(*value)));
    }

    fn range(&self, map: Map<'_>) -> (f32, f32) {
        range_of(map)
    }

    fn prelu(&self, map: &mut MapMut<'_>, slopes: &[f32]) {
        for_each_pixel(map, |_, _, channels| {
            for (value, slope) in channels.iter_mut().zip(slopes) {
                *value = prelu(*value, Some(slope));
            }
        });
    }
}

fn prelu(value: f32, slope: Option<&f32>) -> f32 {
    slope.map_or(value, |slope| Nonlinearity::LeakyRelu { slope: *slope }.apply(value))
}

fn for_each_pixel(map: &mut MapMut<'_>, mut visit: impl FnMut(usize, usize, &mut [f32])) {
    for (y, columns) in map.rows() {
        for (x, pixel) in columns.clone().zip(map.pixels_of_row(y, columns)) {
            visit(y, x, pixel);
        }
    }
}

/// Where the input of a tap begins; it may lie in the border.
fn tap_offset(window: &Window, input: &Layout, y: usize, x: usize, tap: usize) -> usize {
    let (tap, border) = ([tap / window.kernel()[1], tap % window.kernel()[1]], input.border());
    let [row, column] =
        [0, 1].map(|axis| [y, x][axis] * window.stride()[axis] + tap[axis] * window.dilation()[axis] + border - window.padding()[axis]);
    row * input.row() + column * input.stride()
}

/// `matrix · values · matrixᵀ`, by rows.
fn two_sided(matrix: &[&[f32]], values: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let sum = |left: &[f32], right: &[f32]| {
        let products = left.iter().enumerate().flat_map(|(row, l)| right.iter().enumerate().map(move |(column, r)| (row, column, l * r)));
        products.filter(|(.., factor)| *factor != 0.0).map(|(row, column, factor)| f64::from(factor) * f64::from(values(row, column))).sum::<f64>()
    };
    matrix.iter().flat_map(|left| matrix.iter().map(move |right| (left, right))).map(|(left, right)| sum(left, right) as f32).collect()
}
