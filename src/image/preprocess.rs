//! From an upright picture to the network's input tensor, as the contract says.

use image::RgbImage;

use super::InputContract;

/// Resizes, crops and normalises `pixels`; the result is in `contract.layout`, row-major, `3 · H · W` values.
pub fn preprocess(pixels: RgbImage, contract: &InputContract) -> Vec<f32> {
    let _ = (pixels, contract);
    unimplemented!()
}
