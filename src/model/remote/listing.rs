//! What a store has: objects, seen as model folders and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::versions;

/// Most segments of an object's path that is part of a model.
const MAX_DEPTH: usize = 8;

/// Most bytes of a file: those of an ONNX file, which is one Protocol Buffers message.
pub(super) const MAX_FILE_BYTES: u64 = crate::zoo::MAX_MODEL_BYTES;

/// Most bytes of a model with all of its files.
const MAX_MODEL_BYTES: u64 = 4 << 30;

/// An object of the store, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    /// From the prefix: the model's name first. No segment is empty, `.` or `..`.
    pub path: String,
    pub bytes: u64,
    /// Where the store has one.
    pub e_tag: Option<String>,
    /// Milliseconds since 1970.
    pub modified: i64,
}

impl Object {
    /// What changes with its content, as far as the store tells: its size, and its e-tag or else its time.
    pub(super) fn revision(&self) -> String {
        match &self.e_tag {
            Some(e_tag) => format!("{}\n{e_tag}", self.bytes),
            None => format!("{}\n{}", self.bytes, self.modified),
        }
    }
}

/// All objects that belong to models, by path.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    objects: Vec<Object>,
}

impl Listing {
    /// Leaves out what is no part of a model: objects beside the folders, hidden folders, and the empty objects that stand for folders.
    pub(super) fn new(mut objects: Vec<Object>) -> Self {
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        let stands_for_a_folder = |object: &Object| {
            let below = format!("{}/", object.path);
            let next = objects.partition_point(|other| other.path < below);
            object.bytes == 0 && objects.get(next).is_some_and(|other| other.path.starts_with(&below))
        };
        let is_part = |object: &Object| {
            let depth = object.path.split('/').count();
            let visible = !object.path.starts_with('.') && !object.path.starts_with("lost+found/");
            visible && (2..=MAX_DEPTH).contains(&depth) && !stands_for_a_folder(object)
        };
        let parts = objects.iter().filter(|object| is_part(object)).cloned().collect();
        Self { objects: parts }
    }

    /// Of the models, ascending.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.objects.iter().filter_map(|object| object.path.split('/').next()).collect();
        // Not in the order of the paths: "a-b/" comes before "a/".
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The files of the model called `name`, of `wanted` or of its highest version.
    ///
    /// # Errors
    /// Why there are none, as [`versions::choose`] has it, or why they are too large.
    pub(super) fn folder(&self, name: &str, wanted: Option<u64>) -> Result<Folder, String> {
        let prefix = format!("{name}/");
        let mut versions = BTreeMap::new();
        let mut own_file = None;
        for path in self.objects.iter().filter_map(|object| object.path.strip_prefix(&prefix)) {
            match path.split_once('/') {
                Some((folder, _)) => drop(folder.parse().map(|number: u64| versions.insert((number, folder.to_owned()), ()))),
                None => own_file = own_file.or_else(|| versions::OWN_FILES.into_iter().find(|file| *file == path)),
            }
        }
        let versions: Vec<(u64, String)> = versions.into_keys().collect();
        let chosen = versions::pick(&versions, own_file, wanted)?;
        let below = chosen.map_or(prefix, |(_, folder)| format!("{name}/{folder}/"));
        let objects: Vec<Object> = self.objects.iter().filter(|object| object.path.starts_with(&below)).cloned().collect();
        let folder = Folder { name: name.to_owned(), below, objects };
        folder.check_size()?;
        Ok(folder)
    }
}

/// The files of one version of one model.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    name: String,
    /// What the paths of its files begin with.
    below: String,
    objects: Vec<Object>,
}

impl Folder {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn manifest(&self) -> Option<&Object> {
        self.objects.iter().find(|object| object.path.strip_prefix(&self.below) == Some("model.toml"))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.bytes))
    }

    /// Changes with every file.
    pub(super) fn stamp(&self) -> String {
        self.objects.iter().map(|object| format!("{}\n{}\n", object.path, object.revision())).collect()
    }

    fn check_size(&self) -> Result<(), String> {
        if let Some(Object { path, bytes, .. }) = self.objects.iter().find(|object| object.bytes > MAX_FILE_BYTES) {
            return Err(format!("its file {path} has {bytes} bytes, expected at most {MAX_FILE_BYTES}"));
        }
        match self.bytes() {
            bytes if bytes > MAX_MODEL_BYTES => Err(format!("its files have {bytes} bytes together, expected at most {MAX_MODEL_BYTES}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, bytes: u64) -> Object {
        Object { path: path.to_owned(), bytes, e_tag: None, modified: 0 }
    }

    fn listing(paths: &[&str]) -> Listing {
        Listing::new(paths.iter().map(|path| object(path, 1)).collect())
    }

    fn paths(listing: &Listing, name: &str, version: Option<u64>) -> Vec<String> {
        listing.folder(name, version).unwrap().objects.into_iter().map(|object| object.path).collect()
    }

    #[test]
    fn folders_are_models_and_what_lies_beside_them_or_is_hidden_is_none() {
        let deep = format!("net{}/model.onnx", "/a".repeat(7));
        let listing = listing(&["README.md", ".tmp/model.onnx", "lost+found/x", "a/model.onnx", "a-b/model.onnx", "a/x/y", &deep]);
        assert_eq!(listing.names(), ["a", "a-b"]);
        assert_eq!(paths(&listing, "a", None), ["a/model.onnx", "a/x/y"]);
    }

    #[test]
    fn the_highest_version_is_chosen_by_number_and_another_where_it_is_wanted() {
        let listing = listing(&["net/9/model.onnx", "net/10/model.onnx", "net/draft/x", "net/README.md"]);
        assert_eq!(paths(&listing, "net", None), ["net/10/model.onnx"]);
        assert_eq!(paths(&listing, "net", Some(9)), ["net/9/model.onnx"]);
        assert_eq!(listing.folder("net", Some(3)).unwrap_err(), "it has no version 3, expected one of 9, 10");
    }

    #[test]
    fn files_beside_versions_are_ambiguous() {
        let reason = listing(&["net/1/model.onnx", "net/model.onnx"]).folder("net", None).unwrap_err();
        assert_eq!(reason, "it holds model.onnx beside the versions 1, expected one or the other");
    }

    #[test]
    fn empty_objects_that_stand_for_folders_are_left_out() {
        let folders = [object("net", 0), object("net/sub", 0), object("net/sub/x", 5), object("net/sub-x", 5), object("net/empty.txt", 0)];
        assert_eq!(paths(&Listing::new(folders.to_vec()), "net", None), ["net/empty.txt", "net/sub-x", "net/sub/x"]);
    }

    #[test]
    fn files_and_models_above_the_limit_are_refused() {
        let one = Listing::new(vec![object("net/model.onnx", 3_000_000_000)]).folder("net", None).unwrap_err();
        assert_eq!(one, "its file net/model.onnx has 3000000000 bytes, expected at most 2147483647");
        let many = Listing::new(["a", "b", "c"].map(|name| object(&format!("net/{name}"), 2_000_000_000)).to_vec());
        assert_eq!(many.folder("net", None).unwrap_err(), "its files have 6000000000 bytes together, expected at most 4294967296");
    }

    #[test]
    fn a_stamp_changes_with_tag_size_and_time() {
        let stamp = |object: Object| Listing::new(vec![object]).folder("net", None).unwrap().stamp();
        let plain = object("net/model.onnx", 1);
        let tagged = |tag: &str| Object { e_tag: Some(tag.to_owned()), ..plain.clone() };
        assert_ne!(stamp(tagged("a")), stamp(tagged("b")));
        assert_ne!(stamp(plain.clone()), stamp(Object { modified: 1, ..plain.clone() }));
        assert_ne!(stamp(plain.clone()), stamp(object("net/model.onnx", 2)));
    }
}
