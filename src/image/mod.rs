//! From the bytes of an uploaded picture to the tensor a network wants; knows nothing of networks or HTTP.

mod contract;
mod decode;
mod kernels;
mod part;
mod preprocess;
mod resize;
mod weights;

pub use contract::{Color, ContractError, CropOffset, InputContract, Interpolation, Layout, Resize};
pub use decode::{DecodeError, Decoded, Format, ImageInfo, Limits, decode, decode_part};
pub use part::{Part, Region};
pub use preprocess::{Arrangement, needed, preprocess, preprocess_into};
