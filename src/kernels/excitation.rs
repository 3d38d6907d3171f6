//! The fully connected layers of an SE block, checked and packed for the kernels.

use super::function::Functions;
use super::maps::{Linear, Nonlinearity, SizeError};

/// The fully connected layers of one SE block: `C → C/r → C`, or `C → C` where there is only one.
#[derive(Debug, Clone, PartialEq)]
pub struct Excitation {
    channels: usize,
    squeezed: usize,
    pub(super) before: Functions,
    /// `None` in a block of one layer, whose hidden values are its means.
    pub(super) reduce: Option<Reduction>,
    /// `[squeezed, channels]`: transposed, so that the inner loop of both layers runs over the channels.
    pub(super) expand: Vec<f32>,
    pub(super) expand_bias: Vec<f32>,
    pub(super) gate: After,
}

/// The first layer of two.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reduction {
    /// `[squeezed, channels]`
    pub(super) weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) activation: After,
}

/// What follows a layer: a function that the kernels compute on vectors, and then others, one value at a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct After {
    pub(super) first: Nonlinearity,
    pub(super) rest: Functions,
}

/// A fully connected layer as a network stores it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// `[outputs, inputs]`, row-major.
    pub weights: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    /// What is done to every output.
    pub functions: Functions,
}

/// The layers of an excitation as a network stores them; see [`Excitation::new`].
#[derive(Debug, Clone)]
pub struct Layers {
    /// What is done to every mean before the first layer.
    pub before: Functions,
    /// `C → C/r` and the activation; `None` where there is only one layer.
    pub reduce: Option<Layer>,
    /// `C/r → C`, or `C → C` where it is the only one, and the gate.
    pub expand: Layer,
}

/// An excitation layer by layer, each of which threads can share out.
#[derive(Debug)]
pub struct Layered {
    /// What is done to every mean before the first layer.
    pub before: Functions,
    /// One or two, each with what is still to be done to its outputs.
    pub layers: Vec<(Linear, Functions)>,
}

/// The weights' lengths do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "excitation of {channels} channels squeezed to {squeezed} has weights of {reduce} and {expand} values, expected {channels}·{squeezed} of each"
)]
pub struct ShapeMismatch {
    channels: usize,
    squeezed: usize,
    reduce: usize,
    expand: usize,
}

impl Excitation {
    /// Packs the layers for the kernels; the biases' lengths say the number of channels and of squeezed channels.
    ///
    /// # Errors
    /// [`ShapeMismatch`] when the weights' lengths are not the product of both, or functions of their own for each channel are not as many.
    pub fn new(layers: Layers) -> Result<Self, ShapeMismatch> {
        let Layers { before, reduce, expand } = layers;
        let channels = expand.bias.len();
        let squeezed = reduce.as_ref().map_or(channels, |reduce| reduce.bias.len());
        let weights = channels.checked_mul(squeezed);
        let reduce_weights = reduce.as_ref().map(|reduce| reduce.weights.len());
        let fits = |functions: &Functions, values: usize| functions.channels().is_none_or(|channels| channels == values);
        let functions_fit =
            fits(&before, channels) && fits(&expand.functions, channels) && reduce.as_ref().is_none_or(|reduce| fits(&reduce.functions, squeezed));
        if weights != Some(expand.weights.len()) || reduce_weights.is_some_and(|reduce| weights != Some(reduce)) || !functions_fit {
            return Err(ShapeMismatch { channels, squeezed, reduce: reduce_weights.unwrap_or(0), expand: expand.weights.len() });
        }
        let reduce = reduce.map(|Layer { weights, bias, functions }| Reduction { weights, bias, activation: After::new(functions) });
        let (weights, gate) = (transpose(&expand.weights, squeezed), After::new(expand.functions));
        Ok(Self { channels, squeezed, before, reduce, expand: weights, expand_bias: expand.bias, gate })
    }

    /// The layers, each by itself, as threads share them out.
    ///
    /// # Errors
    /// [`SizeError`] when there are no channels, or none are left between the layers.
    pub fn layers(&self) -> Result<Layered, SizeError> {
        let layer = |weights: Vec<f32>, bias: &[f32], after: &After| {
            Linear::new(weights, bias.to_vec(), after.first).map(|linear| (linear, after.rest.clone()))
        };
        let reduce = self.reduce.as_ref().map(|reduce| layer(reduce.weights.clone(), &reduce.bias, &reduce.activation));
        let expand = layer(transpose(&self.expand, self.channels), &self.expand_bias, &self.gate);
        Ok(Layered { before: self.before.clone(), layers: reduce.into_iter().chain([expand]).collect::<Result<_, _>>()? })
    }

    /// C
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// C/r, or C in a block of one layer.
    pub fn squeezed(&self) -> usize {
        self.squeezed
    }
}

impl After {
    fn new(functions: Functions) -> Self {
        let (first, rest) = functions.split();
        Self { first, rest }
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transpose(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Function;

    fn layers(channels: usize, squeezed: usize) -> Layers {
        let reduce = Layer { weights: vec![0.0; channels * squeezed], bias: vec![0.0; squeezed], functions: Function::Relu.into() };
        let weights = (0..channels * squeezed).map(|index| index as f32).collect();
        Layers {
            before: Functions::default(),
            reduce: Some(reduce),
            expand: Layer { weights, bias: vec![0.0; channels], functions: Function::Sigmoid.into() },
        }
    }

    fn reduction(layers: &mut Layers) -> &mut Layer {
        layers.reduce.as_mut().expect("there are two layers")
    }

    #[test]
    fn takes_the_sizes_from_the_biases() {
        let excitation = Excitation::new(layers(6, 2)).expect("the lengths belong together");
        assert_eq!((excitation.channels(), excitation.squeezed()), (6, 2));
    }

    #[test]
    fn stores_the_second_layer_transposed() {
        let excitation = Excitation::new(layers(3, 2)).expect("the lengths belong together");
        assert_eq!(excitation.expand, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn gives_the_layers_back_as_they_came() {
        let excitation = Excitation::new(layers(3, 2)).expect("the lengths belong together");
        let layers = excitation.layers().expect("there are channels").layers;
        let [(reduce, _), (expand, _)] = &layers[..] else { panic!("{layers:?}") };
        assert_eq!((reduce.products(), reduce.outputs(), expand.outputs()), (6, 2, 3));
        assert_eq!(expand.weights[..], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn one_layer_is_square() {
        let one = |channels| Layers { reduce: None, ..layers(channels, 3) };
        assert!(Excitation::new(one(4)).is_err());
        let excitation = Excitation::new(one(3)).expect("three times three");
        assert_eq!((excitation.squeezed(), excitation.layers().expect("there are channels").layers.len()), (3, 1));
    }

    #[test]
    fn rejects_slopes_of_another_number_than_the_channels() {
        let mut layers = layers(6, 2);
        reduction(&mut layers).functions = Function::Prelu { slopes: vec![0.5; 3] }.into();
        assert!(Excitation::new(layers.clone()).is_err());
        reduction(&mut layers).functions = Function::Prelu { slopes: vec![0.5; 2] }.into();
        assert!(Excitation::new(layers).is_ok());
    }

    #[test]
    fn rejects_weights_of_another_length_than_the_biases_say() {
        let mut short_reduce = layers(6, 2);
        reduction(&mut short_reduce).weights.pop();
        let mut long_expand = layers(6, 2);
        long_expand.expand.weights.push(0.0);
        let error = Excitation::new(short_reduce).expect_err("one weight is missing");
        assert_eq!(error.to_string(), "excitation of 6 channels squeezed to 2 has weights of 11 and 12 values, expected 6·2 of each");
        assert!(Excitation::new(long_expand).is_err());
    }

    #[test]
    fn accepts_a_block_without_channels() {
        assert!(Excitation::new(layers(0, 0)).is_ok());
        assert!(Excitation::new(layers(4, 0)).is_ok());
        assert!(Excitation::new(layers(0, 4)).is_ok());
    }
}
