//! From a fetched file to a model folder: one at a time, checked, and visible only when it is whole.
//!
//! Everything is gathered in the hidden folder `.<name>.partial` beside the models and renamed in one step. `.<name>.lock` makes a second pull of
//! the same model wait for the first; it is empty and stays.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::catalogue::Entry;
use super::client::{Client, HUGGING_FACE};
use super::download::{Download, Progress};
use super::error::ZooError;
use crate::sha256;

/// The network's file in a model folder.
const ONNX: &str = "model.onnx";

/// What becomes of a folder of the model's name that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and is an error where it is not what the catalogue has.
    Keep,
    /// It is replaced, whatever it holds.
    Replace,
}

/// What a pull came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be done: the model is there, with the catalogue's size and checksum.
    AlreadyThere,
    /// The model is there now.
    Installed,
}

/// What is pulled, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    /// The model.
    pub entry: &'a Entry,
    /// Folder of model folders; made where it is not there.
    pub models: &'a Path,
    /// Whom it is fetched from.
    pub client: &'a Client,
    /// Of the model's folder.
    pub existing: Existing,
}

impl Pull<'_> {
    /// Makes `<models>/<entry.name>` the model folder of `entry`, fetching what is missing; `watch` is told what happens.
    ///
    /// # Errors
    /// Every [`ZooError`] but [`ZooError::Unknown`], [`ZooError::Catalogue`] and [`ZooError::Setting`]. What has been fetched of the right file
    /// is kept for the next time.
    pub fn run(&self, watch: &mut dyn FnMut(Progress<'_>)) -> Result<Outcome, ZooError> {
        let Self { entry, models, client, existing } = *self;
        let folder = models.join(&entry.name);
        let partial = models.join(format!(".{}.partial", entry.name));
        make_folder(models)?;
        let _lock = lock(&models.join(format!(".{}.lock", entry.name)), watch)?;
        if folder.exists() && existing == Existing::Keep {
            return match difference(entry, &folder)? {
                None => Ok(Outcome::AlreadyThere),
                Some(reason) => Err(ZooError::Occupied { folder, reason }),
            };
        }
        make_folder(&partial)?;
        fetch(&Download { client, entry, part: &partial.join(ONNX) }, watch)?;
        write(&partial.join("model.toml"), &manifest(entry))?;
        if let Some(labels) = entry.labels() {
            write(&partial.join("labels.txt"), labels)?;
        }
        sync(&partial)?;
        put_in_place(&partial, &folder)?;
        sync(models)?;
        Ok(Outcome::Installed)
    }
}

/// Whether the model's network is in `models` with the catalogue's length; its checksum is not looked at.
pub fn is_installed(entry: &Entry, models: &Path) -> bool {
    fs::metadata(models.join(&entry.name).join(ONNX)).is_ok_and(|file| file.is_file() && file.len() == entry.bytes)
}

/// Fetches the network and checks it. What an earlier pull left may be of another file: then everything is fetched once more.
fn fetch(download: &Download<'_>, watch: &mut dyn FnMut(Progress<'_>)) -> Result<(), ZooError> {
    let Download { entry, part, .. } = *download;
    loop {
        let began_with = download.position();
        download.run(watch)?;
        File::open(part).and_then(|part| part.sync_all()).map_err(unwritable(part))?;
        let actual = sha256_of(part)?;
        if actual == entry.sha256 {
            return download.forget_tag();
        }
        download.discard()?;
        if began_with == 0 {
            return Err(ZooError::Checksum { url: download.url(), actual, expected: entry.sha256.clone() });
        }
    }
}

/// In what the folder is not what a pull would make of it.
fn difference(entry: &Entry, folder: &Path) -> Result<Option<String>, ZooError> {
    let onnx = folder.join(ONNX);
    let missing = ["model.toml", "labels.txt"].into_iter().find(|file| {
        let wanted = *file != "labels.txt" || entry.labels().is_some();
        wanted && !folder.join(file).is_file()
    });
    Ok(match fs::metadata(&onnx).map(|file| file.len()) {
        Err(_) => Some(format!("has no {ONNX}")),
        Ok(bytes) if bytes != entry.bytes => Some(format!("its {ONNX} has {bytes} bytes, expected {} as the catalogue says", entry.bytes)),
        Ok(_) => match (sha256_of(&onnx)?, missing) {
            (actual, _) if actual != entry.sha256 => {
                Some(format!("its {ONNX} has the sha256 {actual}, expected {} as the catalogue says", entry.sha256))
            }
            (_, Some(missing)) => Some(format!("has no {missing}")),
            (_, None) => None,
        },
    })
}

/// `model.toml` of the model; its source is the zoo, whatever mirror it came from.
fn manifest(entry: &Entry) -> String {
    let Entry { name, license, sha256, size, crop_pct, interpolation, mean, std, .. } = entry;
    let url = entry.url(HUGGING_FACE);
    let interpolation = toml::Value::try_from(interpolation).map(|value| value.to_string()).unwrap_or_default();
    let labels = if entry.labels().is_some() { "labels = \"labels.txt\"\n" } else { "" };
    format!(
        "[model]\nname = \"{name}\"\nfile = \"{ONNX}\"\nsha256 = \"{sha256}\"\nlicense = \"{license}\"\nsource = \"{url}\"\n\n\
         [input]\nsize = {size:?}\nresize = \"shorter_side\"\ncrop_pct = {crop_pct:?}\ninterpolation = {interpolation}\ncolor = \"rgb\"\n\
         layout = \"nchw\"\nmean = {mean:?}\nstd = {std:?}\nscale = 0.00392156862745098\n\n\
         [output]\nactivation = \"softmax\"\n{labels}"
    )
}

/// Held until it is dropped, by the end of the process at the latest.
fn lock(path: &Path, watch: &mut dyn FnMut(Progress<'_>)) -> Result<File, ZooError> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(unwritable(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            watch(Progress::Waiting);
            file.lock().map_err(unwritable(path))?;
        }
        Err(TryLockError::Error(source)) => return Err(unwritable(path)(source)),
    }
    Ok(file)
}

/// Renames `partial` to `folder`; what was there goes when the new one is in its place, and comes back where that fails.
fn put_in_place(partial: &Path, folder: &Path) -> Result<(), ZooError> {
    if !folder.exists() {
        return fs::rename(partial, folder).map_err(unwritable(folder));
    }
    let old = partial.with_extension("old");
    remove(&old)?;
    fs::rename(folder, &old).map_err(unwritable(folder))?;
    if let Err(source) = fs::rename(partial, folder) {
        let _still_hidden = fs::rename(&old, folder);
        return Err(unwritable(folder)(source));
    }
    remove(&old)
}

fn remove(folder: &Path) -> Result<(), ZooError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(unwritable(folder)(source)),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<(), ZooError> {
    fs::create_dir_all(path).map_err(unwritable(path))
}

fn write(path: &Path, text: &str) -> Result<(), ZooError> {
    fs::write(path, text).and_then(|()| File::open(path)?.sync_all()).map_err(unwritable(path))
}

/// So that a folder's names are on the disk.
fn sync(folder: &Path) -> Result<(), ZooError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable(folder))
}

fn sha256_of(path: &Path) -> Result<String, ZooError> {
    sha256::hex_of_file(path).map_err(unwritable(path))
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> ZooError {
    let path: PathBuf = path.to_owned();
    move |source| ZooError::Write { path: path.clone(), source }
}
