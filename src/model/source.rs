//! Where the models of a service come from: what is there now, and how one of it is loaded.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::error::ModelError;
use super::files::name_of;
use super::location::Location;
use super::{LoadLimits, Model, versions};
use crate::inference::LoadOptions;

/// Deeper than any model's folder; a symbolic link may make a circle.
const MAX_DEPTH: usize = 8;

/// Versions that an operator has asked for, by the model's name.
pub type Pins = HashMap<String, u64>;

/// A model that a [`Source`] has, not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What requests will call it.
    pub name: String,
    /// Tells it from every other candidate; the same whatever its version.
    pub place: String,
    /// Where its files lie, with the version that is asked for.
    pub location: Location,
    /// Changes when its files or its highest version do.
    pub stamp: String,
    /// Of all its files together.
    pub bytes: u64,
}

/// Where the models of a service come from.
pub trait Source: Send + Sync {
    /// What is there now, the default model first. Models of `pins` are of that version, others of their highest.
    ///
    /// # Errors
    /// Where nothing can be said of any model. A single broken one is listed, and fails when it is loaded.
    fn list(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError>;

    /// Loads one of them and runs it once.
    ///
    /// # Errors
    /// [`ModelError`].
    fn load(&self, candidate: &Candidate) -> Result<Model, ModelError>;
}

/// Models in files: every folder of a folder, or those that were named.
#[derive(Debug, Clone)]
pub struct Files {
    /// Where names are looked up; every folder in it is a model where `named` is empty.
    pub models: Option<PathBuf>,
    /// The models that were asked for, as [`Location::find`] understands them; the bundled one where there is nothing at all.
    pub named: Vec<String>,
    /// How each is loaded.
    pub options: LoadOptions,
    /// What that may cost.
    pub limits: LoadLimits,
}

impl Files {
    fn locations(&self) -> Result<Vec<Location>, ModelError> {
        match &self.models {
            models if !self.named.is_empty() => self.named.iter().map(|reference| Location::find(reference, models.as_deref())).collect(),
            Some(models) => Location::all_in(models),
            None => Ok(vec![Location::Bundled]),
        }
    }
}

impl Source for Files {
    fn list(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError> {
        let candidate = |location: Location| {
            let (name, place) = (name_of(&location), location.to_string());
            let location = match (location, pins.get(&name)) {
                (Location::Folder { path, .. }, Some(version)) => Location::Folder { path, version: Some(*version) },
                (location, _) => location,
            };
            let (stamp, bytes) = stamp(&location);
            Candidate { name, place, location, stamp, bytes }
        };
        let mut candidates: Vec<Candidate> = self.locations()?.into_iter().map(candidate).collect();
        let mut places = HashSet::new();
        candidates.retain(|candidate| places.insert(candidate.place.clone()));
        Ok(candidates)
    }

    fn load(&self, candidate: &Candidate) -> Result<Model, ModelError> {
        self.limits.load(&candidate.location, self.options)
    }
}

/// Of all files at `location` together, as far as they can be read.
pub(super) fn bytes_of(location: &Location) -> u64 {
    stamp(location).1
}

/// What changes with the files at `location`: path, length, time and number of each; and the sum of their lengths.
///
/// What cannot be read has its reason for a stamp, so that it is tried again once that changes.
fn stamp(location: &Location) -> (String, u64) {
    let (mut text, mut bytes) = (String::new(), 0);
    let read = match location {
        Location::Bundled => Ok(()),
        Location::Onnx(path) => add(path, 0, &mut text, &mut bytes).map_err(|error| error.to_string()),
        Location::Folder { path, version } => versions::choose(path, *version)
            .map_err(|error| error.to_string())
            .and_then(|(folder, _)| add(&folder, 0, &mut text, &mut bytes).map_err(|error| error.to_string())),
    };
    (read.map_or_else(|reason| reason, |()| text), bytes)
}

fn add(path: &Path, depth: usize, text: &mut String, bytes: &mut u64) -> io::Result<()> {
    let facts = fs::metadata(path)?;
    if !facts.is_dir() {
        *bytes += facts.len();
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{} {} {}.{:09} {}", path.display(), facts.len(), facts.mtime(), facts.mtime_nsec(), facts.ino());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let deeper = depth < MAX_DEPTH;
    entries.iter().filter(|_| deeper).try_for_each(|entry| add(entry, depth + 1, text, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1", "2"] {
            fs::create_dir_all(folder.path().join("net").join(version)).unwrap();
            fs::write(folder.path().join("net").join(version).join("model.onnx"), version).unwrap();
        }
        folder
    }

    fn files(models: &Path) -> Files {
        Files { models: Some(models.to_owned()), named: vec![], options: LoadOptions::default(), limits: LoadLimits::default() }
    }

    fn stamp_of(files: &Files, pins: &Pins) -> String {
        files.list(pins).unwrap().remove(0).stamp
    }

    #[test]
    fn a_stamp_changes_with_a_files_content_and_with_the_highest_version() {
        let folder = folder();
        let files = files(folder.path());
        let before = stamp_of(&files, &Pins::new());
        assert_eq!(stamp_of(&files, &Pins::new()), before);
        fs::write(folder.path().join("net/1/model.onnx"), "another length").unwrap();
        assert_eq!(stamp_of(&files, &Pins::new()), before, "version 1 is not served");
        fs::write(folder.path().join("net/2/model.onnx"), "another length").unwrap();
        let changed = stamp_of(&files, &Pins::new());
        assert_ne!(changed, before);
        fs::create_dir(folder.path().join("net/3")).unwrap();
        assert_ne!(stamp_of(&files, &Pins::new()), changed);
    }

    #[test]
    fn a_pinned_version_keeps_its_place() {
        let folder = folder();
        let files = files(folder.path());
        let [free, pinned] = [Pins::new(), Pins::from([("net".to_owned(), 1)])].map(|pins| files.list(&pins).unwrap().remove(0));
        assert_eq!((&free.name, &free.place), (&pinned.name, &pinned.place));
        assert_eq!(pinned.location, Location::Folder { path: folder.path().join("net"), version: Some(1) });
        assert_ne!(free.stamp, pinned.stamp);
    }

    #[test]
    fn a_broken_model_is_listed_with_the_others() {
        let folder = folder();
        fs::create_dir(folder.path().join("broken")).unwrap();
        fs::write(folder.path().join("broken/model.toml"), "no toml").unwrap();
        let listed = files(folder.path()).list(&Pins::new()).unwrap();
        assert_eq!(listed.iter().map(|candidate| candidate.name.as_str()).collect::<Vec<_>>(), ["broken", "net"]);
        assert!(files(folder.path()).load(&listed[0]).err().unwrap().to_string().contains("model.toml, line 1"));
    }

    #[test]
    fn links_that_make_a_circle_end() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("net/2/up")).unwrap();
        assert!(stamp_of(&files(folder.path()), &Pins::new()).contains("model.onnx"));
    }
}
