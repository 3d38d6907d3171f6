//! Values of parameters that an ONNX file keeps in other files (`external_data` of the specification).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataLocation;

use super::bounds;
use crate::excerpt::excerpt;
use crate::inference::EngineError;

/// Whether the values of `parameter` lie in another file.
pub(super) fn is_external(parameter: &TensorProto) -> bool {
    parameter.data_location == Some(DataLocation::External as i32)
}

/// Puts the values of `parameter` into it; `locate` tells the file that is called by a location, or what was expected of the location.
///
/// # Errors
/// [`EngineError::ExternalData`].
pub(super) fn read(parameter: &mut TensorProto, locate: &dyn Fn(&str) -> Result<PathBuf, String>) -> Result<(), EngineError> {
    let entry = |key: &str| parameter.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone());
    let location = entry("location").unwrap_or_default();
    let refuse = |expected| EngineError::ExternalData { parameter: excerpt(&parameter.name), location: excerpt(&location), expected };
    let number = |key: &str| {
        entry(key).map(|text| text.parse().map_err(|_| refuse(format!("a whole number of bytes as its {key}, not {:?}", excerpt(&text)))))
    };
    let (offset, length) = (number("offset").transpose()?.unwrap_or(0), number("length").transpose()?);
    let size = bounds::bytes(parameter).and_then(|size| size.ok_or_else(|| "values of a fixed length".to_owned())).map_err(refuse)?;
    let path = locate(&location).map_err(refuse)?;
    let values = read_part(&path, offset, length, size).map_err(|error| refuse(format!("a file with these bytes: {error}")))?;
    parameter.raw_data = values;
    parameter.data_location = None;
    parameter.external_data.clear();
    Ok(())
}

/// `length` bytes from `offset` on, or all of them, which must be the `expected` ones.
fn read_part(path: &Path, offset: u64, length: Option<u64>, expected: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let rest = size.checked_sub(offset).filter(|rest| length.is_none_or(|length| length <= *rest));
    let Some(rest) = rest else {
        let wanted = length.map_or_else(String::new, |length| format!("{length} "));
        return Err(io::Error::other(format!("{wanted}bytes from {offset} on, the file has {size}")));
    };
    if length.unwrap_or(rest) != expected {
        return Err(io::Error::other(format!("{} bytes, the parameter's shape takes {expected}", length.unwrap_or(rest))));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut values = Vec::new();
    file.take(length.unwrap_or(rest)).read_to_end(&mut values)?;
    Ok(values)
}
