//! Fetched files on disk, kept by the SHA-256 of their content.
//!
//! | in the cache | what |
//! | --- | --- |
//! | `blobs/<sha256>` | a file, whole and on the disk before it has that name |
//! | `index/<key>` | the SHA-256 of an object, as it was at one address with one size and one e-tag |
//! | `lists/<hash of an address>` | what a store had at the last look, and the keys of what was needed of it |
//! | `tmp/` | files on their way, and the folders that models are loaded from: hard links to blobs |
//! | `lock` | held in common by everybody who reads or fetches, alone by who tidies up; empty |
//!
//! Every file gets its name by a rename, so two processes may share a cache: at worst both fetch the same.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::error::StoreError;
use super::listing::{Listing, Object};
use crate::sha256;

/// What no service has listed for so long is needed by none.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// One content of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of(url: &str, object: &Object) -> Self {
        Self(sha256::hex(format!("{url}/{}\n{}", object.path, object.revision())))
    }
}

/// What one address had, and what of it was to be served.
#[derive(Serialize, Deserialize)]
struct Record {
    listing: Listing,
    needed: Vec<Key>,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Blobs {
    path: PathBuf,
}

impl Blobs {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// While it is held, nothing that is found or kept is tidied up.
    ///
    /// # Errors
    /// [`StoreError::Cache`]; the first sign of a cache that cannot be written.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let make = |folder: &str| fs::create_dir_all(self.path.join(folder));
        ["blobs", "index", "lists", "tmp"].into_iter().try_for_each(make).map_err(StoreError::cache(&self.path))?;
        let lock = self.open_lock().map_err(StoreError::cache(&self.path))?;
        lock.lock_shared().map_err(StoreError::cache(&self.path))?;
        Ok(lock)
    }

    fn open_lock(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.path.join("lock"))
    }

    /// Whether something is kept under `key`; its content is not looked at.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.sha256_of(key).is_some_and(|sha256| self.blob(&sha256).exists())
    }

    /// The file kept under `key`, if its content is what it was; one that has been damaged is removed.
    pub(super) fn find(&self, key: &Key, bytes: u64) -> Option<PathBuf> {
        let expected = self.sha256_of(key)?;
        let blob = self.blob(&expected);
        let length = fs::metadata(&blob).ok()?.len();
        if length == bytes && sha256::hex_of_file(&blob).is_ok_and(|actual| actual == expected) {
            return Some(blob);
        }
        warn!("{} is damaged, it is fetched again", blob.display());
        // If it stays, what is fetched replaces it.
        let _still_there = fs::remove_file(&blob);
        None
    }

    /// Keeps under `key` what `fill` writes.
    ///
    /// # Errors
    /// Those of `fill`, and [`StoreError::Cache`]. Nothing is kept then.
    pub(super) fn keep(&self, key: &Key, fill: impl FnOnce(&mut Writing) -> Result<(), StoreError>) -> Result<PathBuf, StoreError> {
        let mut writing = Writing::new(self.temporary())?;
        fill(&mut writing)?;
        let sha256 = writing.end_as(|sha256| self.blob(sha256))?;
        self.write(&self.path.join("index").join(&key.0), sha256.as_bytes())?;
        Ok(self.blob(&sha256))
    }

    /// A folder with `files`, each at its path, for as long as the answer lives.
    ///
    /// # Errors
    /// [`StoreError::Cache`].
    pub(super) fn view<'a>(&self, files: impl Iterator<Item = (&'a Path, &'a PathBuf)>) -> Result<View, StoreError> {
        let view = View(self.temporary());
        for (path, blob) in files {
            link(blob, &view.0, path).map_err(StoreError::cache(view.0.join(path)))?;
        }
        Ok(view)
    }

    /// Writes down what `url` had, and what of it is needed.
    ///
    /// # Errors
    /// [`StoreError::Cache`].
    pub(super) fn remember(&self, url: &str, listing: &Listing, needed: Vec<Key>) -> Result<(), StoreError> {
        let path = self.record(url);
        let text = serde_json::to_vec(&RecordOf { listing, needed: &needed }).map_err(|error| StoreError::cache(&path)(error.into()))?;
        if fs::read(&path).is_ok_and(|old| old == text) {
            let touch = || File::options().append(true).open(&path)?.set_modified(SystemTime::now());
            return touch().map_err(StoreError::cache(&path));
        }
        self.write(&path, &text)
    }

    /// What `url` had when that was last written down.
    pub(super) fn recall(&self, url: &str) -> Option<Listing> {
        read_record(&self.record(url)).map(|record| record.listing)
    }

    /// Removes what no address needs any more, unless somebody is reading or fetching: then the next one does it.
    pub(super) fn tidy(&self) {
        let Ok(lock) = self.open_lock() else { return };
        if lock.try_lock().is_ok()
            && let Err(error) = self.remove_what_nobody_needs()
        {
            warn!("cannot tidy up {}: {error}", self.path.display());
        }
    }

    fn remove_what_nobody_needs(&self) -> io::Result<()> {
        let forgotten = |path: &Path| -> io::Result<bool> { Ok(fs::metadata(path)?.modified()?.elapsed().is_ok_and(|age| age > FORGET_AFTER)) };
        let mut needed = HashSet::new();
        for list in self.entries("lists")? {
            match forgotten(&list)? {
                true => fs::remove_file(&list)?,
                false => needed.extend(read_record(&list).into_iter().flat_map(|record| record.needed).map(|key| key.0)),
            }
        }
        let mut blobs = HashSet::new();
        for entry in self.entries("index")? {
            match needed.contains(&name(&entry)) {
                true => blobs.extend(fs::read_to_string(&entry)),
                false => fs::remove_file(&entry)?,
            }
        }
        self.entries("blobs")?.into_iter().filter(|blob| !blobs.contains(&name(blob))).try_for_each(fs::remove_file)?;
        // Of processes that were killed.
        self.entries("tmp")?.into_iter().try_for_each(|left| if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) })
    }

    fn entries(&self, folder: &str) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.path.join(folder))?.map(|entry| Ok(entry?.path())).collect()
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let mut writing = Writing::new(self.temporary())?;
        writing.write(content)?;
        writing.end_as(|_| path.to_owned()).map(drop)
    }

    fn sha256_of(&self, key: &Key) -> Option<String> {
        let text = fs::read_to_string(self.path.join("index").join(&key.0)).ok()?;
        Some(text).filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.path.join("blobs").join(sha256)
    }

    fn record(&self, url: &str) -> PathBuf {
        self.path.join("lists").join(sha256::hex(url))
    }

    /// A name that nobody has.
    fn temporary(&self) -> PathBuf {
        self.path.join("tmp").join(format!("{:016x}", RandomState::new().hash_one(0)))
    }
}

/// [`Record`], to be written.
#[derive(Serialize)]
struct RecordOf<'a> {
    listing: &'a Listing,
    needed: &'a [Key],
}

fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes `blob` be at `path` in `folder`; nothing leads out of it.
fn link(blob: &Path, folder: &Path, path: &Path) -> io::Result<()> {
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    // Some file systems have no hard links.
    fs::hard_link(blob, &file).or_else(|_| fs::copy(blob, &file).map(drop))
}

/// A file that has no name yet.
pub(super) struct Writing {
    path: PathBuf,
    file: File,
    sha256: Sha256,
}

impl Writing {
    fn new(path: PathBuf) -> Result<Self, StoreError> {
        let file = File::create_new(&path).map_err(StoreError::cache(&path))?;
        Ok(Self { path, file, sha256: Sha256::new() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sha256.update(bytes);
        self.file.write_all(bytes).map_err(StoreError::cache(&self.path))
    }

    /// Names it by its SHA-256, once it is on the disk, and gives that.
    fn end_as(mut self, name: impl FnOnce(&str) -> PathBuf) -> Result<String, StoreError> {
        let sha256 = sha256::digits(std::mem::take(&mut self.sha256).finalize());
        let path = name(&sha256);
        let end = || {
            self.file.sync_all()?;
            fs::rename(&self.path, &path)?;
            File::open(path.parent().unwrap_or(&path))?.sync_all()
        };
        end().map_err(StoreError::cache(&path))?;
        Ok(sha256)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // It has its name, or was not finished.
        let _renamed = fs::remove_file(&self.path);
    }
}

/// A folder that a model is loaded from.
pub(super) struct View(PathBuf);

impl View {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // What stays is tidied up later.
        let _left = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "s3://bucket/models";

    struct Cache {
        _folder: tempfile::TempDir,
        blobs: Blobs,
    }

    fn cache() -> Cache {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(folder.path().join("cache"));
        drop(blobs.lock().unwrap());
        Cache { _folder: folder, blobs }
    }

    fn object(path: &str) -> Object {
        Object { path: path.to_owned(), bytes: 3, e_tag: Some("tag".to_owned()), modified: 0 }
    }

    fn key(path: &str) -> Key {
        Key::of(URL, &object(path))
    }

    impl Cache {
        fn keep(&self, path: &str, content: &str) -> PathBuf {
            self.blobs.keep(&key(path), |file| file.write(content.as_bytes())).unwrap()
        }

        fn remember(&self, paths: &[&str]) {
            let listing = Listing::new(paths.iter().map(|path| object(path)).collect());
            self.blobs.remember(URL, &listing, paths.iter().map(|path| key(path)).collect()).unwrap();
        }

        fn count(&self, folder: &str) -> usize {
            self.blobs.entries(folder).unwrap().len()
        }
    }

    #[test]
    fn what_is_kept_is_found_under_the_checksum_of_its_content() {
        let cache = cache();
        let path = cache.keep("a/x", "abc");
        assert_eq!(path.file_name().unwrap(), sha256::hex("abc").as_str());
        assert_eq!(cache.blobs.find(&key("a/x"), 3), Some(path.clone()));
        assert_eq!(cache.keep("b/y", "abc"), path);
        assert_eq!((cache.count("blobs"), cache.count("tmp")), (1, 0));
        assert_eq!(cache.blobs.find(&Key::of(URL, &Object { e_tag: None, ..object("a/x") }), 3), None);
    }

    #[test]
    fn damaged_and_cut_blobs_are_not_found() {
        let cache = cache();
        for damage in ["abX", "ab", ""] {
            let path = cache.keep("a/x", "abc");
            fs::write(&path, damage).unwrap();
            assert_eq!(cache.blobs.find(&key("a/x"), 3), None, "{damage:?}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_breaks_off_is_not_kept() {
        let cache = cache();
        let broken = cache.blobs.keep(&key("a/x"), |file| {
            file.write(b"ab")?;
            Err(StoreError::Changed { url: URL.to_owned() })
        });
        assert!(broken.is_err());
        assert_eq!((cache.count("blobs"), cache.count("index"), cache.count("tmp")), (0, 0, 0));
    }

    #[test]
    fn what_no_list_needs_is_removed_when_nobody_is_at_work() {
        let cache = cache();
        cache.keep("a/x", "abc");
        cache.keep("a/y", "def");
        cache.remember(&["a/x", "a/y"]);
        cache.blobs.tidy();
        assert_eq!((cache.count("blobs"), cache.count("index")), (2, 2));
        cache.remember(&["a/y"]);
        fs::write(cache.blobs.temporary(), "left").unwrap();
        let in_use = cache.blobs.lock().unwrap();
        cache.blobs.tidy();
        assert_eq!((cache.count("blobs"), cache.count("tmp")), (2, 1), "somebody is at work");
        drop(in_use);
        cache.blobs.tidy();
        assert_eq!((cache.count("blobs"), cache.count("index"), cache.count("tmp")), (1, 1, 0));
        assert!(cache.blobs.has(&key("a/y")));
    }

    #[test]
    fn an_address_that_nobody_has_listed_for_a_month_needs_nothing() {
        let cache = cache();
        cache.keep("a/x", "abc");
        cache.remember(&["a/x"]);
        let list = File::options().append(true).open(cache.blobs.record(URL)).unwrap();
        list.set_modified(SystemTime::now() - FORGET_AFTER - Duration::from_secs(60)).unwrap();
        cache.remember(&["a/x"]);
        cache.blobs.tidy();
        assert_eq!(cache.count("blobs"), 1, "it has just been listed again");
        list.set_modified(SystemTime::now() - FORGET_AFTER - Duration::from_secs(60)).unwrap();
        cache.blobs.tidy();
        assert_eq!((cache.count("blobs"), cache.count("lists")), (0, 0));
    }

    #[test]
    fn no_path_leads_out_of_a_view() {
        let cache = cache();
        let blob = cache.keep("a/x", "abc");
        for path in ["../x", "/x", "a/../../x", "a/./../x"] {
            assert!(cache.blobs.view([(Path::new(path), &blob)].into_iter()).is_err(), "{path}");
        }
        let view = cache.blobs.view([(Path::new("a/x"), &blob)].into_iter()).unwrap();
        assert_eq!(fs::read(view.path().join("a/x")).unwrap(), b"abc");
        drop(view);
        assert_eq!(cache.count("tmp"), 0);
    }

    #[test]
    fn a_listing_is_recalled() {
        let cache = cache();
        assert_eq!(cache.blobs.recall(URL), None);
        cache.remember(&["a/x"]);
        assert_eq!(cache.blobs.recall(URL).unwrap().names(), ["a"]);
        assert_eq!(cache.blobs.recall("s3://other"), None);
    }
}
