//! Which handles belong to which name, so that they follow it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::file::CachedFile;

/// The directories in which there are handles.
///
/// Locks are taken in this order: the table, a directory, a file's slot. A [`CachedFile`] must not be dropped under any
/// of them, as its end takes the first two.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeMap<PathBuf, Arc<Directory>>>);

/// One directory with the handles of its files.
#[derive(Debug)]
pub(super) struct Directory(pub(super) RwLock<Files>);

#[derive(Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    files: Vec<(Box<OsStr>, Weak<CachedFile>)>,
    /// Whether the table has let go of it.
    is_gone: bool,
}

impl Files {
    pub(super) fn add(&mut self, name: &OsStr, file: &Arc<CachedFile>) {
        self.files.push((name.into(), Arc::downgrade(file)));
    }

    /// The path of a file and a handle of it, unless it has been removed.
    pub(super) fn find(&self, file: &CachedFile) -> Option<(PathBuf, Weak<CachedFile>)> {
        let found = self.files.iter().find(|(_, handle)| std::ptr::eq(handle.as_ptr(), file));
        found.map(|(name, handle)| (self.path.join(&**name), Weak::clone(handle)))
    }

    /// Takes the handles out that `is_meant` and opens them for good, as their names are going to be lost.
    ///
    /// They are put into `detached`, which has to outlive the lock.
    fn detach(&mut self, detached: &mut Vec<Arc<CachedFile>>, is_meant: impl Fn(&OsStr) -> bool) -> io::Result<()> {
        for (name, handle) in &self.files {
            if is_meant(name)
                && let Some(file) = handle.upgrade()
            {
                let opened = file.detach(&self.path.join(&**name));
                detached.push(file);
                opened?;
            }
        }
        self.files.retain(|(name, _)| !is_meant(name));
        Ok(())
    }

    fn rename(&mut self, from: &OsStr, to: &OsStr) {
        for (name, _) in &mut self.files {
            if **name == *from {
                *name = to.into();
            }
        }
    }
}

impl Names {
    /// Runs `work` on the directory at `path` while nothing in it can be renamed or removed.
    pub(super) fn with_directory<R>(&self, path: &Path, work: impl FnOnce(&Arc<Directory>, &mut Files) -> R) -> R {
        loop {
            let directory = self.directory(path);
            let mut files = directory.0.write();
            if files.is_gone || files.path != path {
                // It was emptied or renamed since it was looked up.
                continue;
            }
            let result = work(&directory, &mut files);
            let is_empty = files.files.is_empty();
            drop(files);
            if is_empty {
                self.let_go(path, &directory);
            }
            return result;
        }
    }

    fn directory(&self, path: &Path) -> Arc<Directory> {
        let mut table = self.0.lock();
        if let Some(directory) = table.get(path) {
            return Arc::clone(directory);
        }
        let files = Files { path: path.to_owned(), files: Vec::new(), is_gone: false };
        let directory = Arc::new(Directory(RwLock::new(files)));
        table.insert(path.to_owned(), Arc::clone(&directory));
        directory
    }

    /// Whether there are no handles.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    fn let_go(&self, path: &Path, directory: &Arc<Directory>) {
        let mut table = self.0.lock();
        let mut files = directory.0.write();
        let is_known = table.get(path).is_some_and(|known| Arc::ptr_eq(known, directory));
        if files.files.is_empty() && is_known {
            files.is_gone = true;
            table.remove(path);
        }
    }

    /// Forgets a handle that is being dropped.
    pub(super) fn forget(&self, directory: &Arc<Directory>, file: *const CachedFile) {
        let mut files = directory.0.write();
        files.files.retain(|(_, handle)| !std::ptr::eq(handle.as_ptr(), file));
        if !files.files.is_empty() {
            return;
        }
        files.files = Vec::new();
        let path = files.path.clone();
        drop(files);
        self.let_go(&path, directory);
    }

    pub(super) fn remove_file(&self, path: &Path, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let mut detached = Vec::new();
        self.with_directory(parent, |_, files| {
            files.detach(&mut detached, |other| other == name)?;
            remove()
        })
    }

    pub(super) fn remove_dir_all(&self, path: &Path, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut detached = Vec::new();
        let mut table = self.0.lock();
        let below = below(&table, path);
        let mut locked: Vec<_> = below.iter().map(|directory| directory.0.write()).collect();
        let removed = locked
            .iter_mut()
            .try_for_each(|files| {
                files.detach(&mut detached, |_| true)?;
                files.is_gone = true;
                table.remove(&files.path);
                Ok(())
            })
            .and_then(|()| remove());
        drop(locked);
        drop(table);
        drop(detached);
        removed
    }

    pub(super) fn rename(&self, from: &Path, to: &Path, rename: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let ((from_dir, from_name), (to_dir, to_name)) = (split(from)?, split(to)?);
        let mut detached = Vec::new();
        let table = self.0.lock();
        let below = below(&table, from);
        if !below.is_empty() {
            return rename_directories(table, &below, from, to, rename);
        }
        drop(table);
        if from_dir == to_dir {
            return self.with_directory(from_dir, |_, files| {
                files.detach(&mut detached, |other| other == to_name && from_name != to_name)?;
                rename()?;
                files.rename(from_name, to_name);
                Ok(())
            });
        }
        // A log does not do this; its handles stay with their files by never being closed.
        self.with_directory(to_dir, |_, files| files.detach(&mut detached, |other| other == to_name))?;
        self.with_directory(from_dir, |_, files| {
            files.detach(&mut detached, |other| other == from_name)?;
            rename()
        })
    }
}

/// Renames a directory while nothing in it, nor below it, can be opened.
fn rename_directories(
    mut table: parking_lot::MutexGuard<'_, BTreeMap<PathBuf, Arc<Directory>>>,
    below: &[Arc<Directory>],
    from: &Path,
    to: &Path,
    rename: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let mut locked: Vec<RwLockWriteGuard<'_, Files>> = below.iter().map(|directory| directory.0.write()).collect();
    rename()?;
    for (files, directory) in locked.iter_mut().zip(below) {
        table.remove(&files.path);
        if let Ok(rest) = files.path.strip_prefix(from) {
            files.path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
        }
        table.insert(files.path.clone(), Arc::clone(directory));
    }
    Ok(())
}

/// The directories at and below `path`.
fn below(table: &BTreeMap<PathBuf, Arc<Directory>>, path: &Path) -> Vec<Arc<Directory>> {
    let from = table.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
    from.take_while(|(other, _)| other.starts_with(path)).map(|(_, directory)| Arc::clone(directory)).collect()
}

/// A path's directory and name.
pub(super) fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}
