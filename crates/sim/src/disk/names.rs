//! Directories: what is seen, what is durable, and the changes between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use highwater_types::TimestampMs;

use super::crash::NameLoss;
use crate::random::Random;

/// A file or directory, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode(u64);

const ROOT: Inode = Inode(0);

/// A name in a directory.
type Name = (Inode, String);

/// Every directory.
type Directories = BTreeMap<Inode, Directory>;

/// The entries of a directory, and when they changed last.
#[derive(Clone, Debug)]
struct Directory {
    entries: BTreeMap<String, Inode>,
    modified: TimestampMs,
}

impl Directory {
    fn new(modified: TimestampMs) -> Self {
        Self { entries: BTreeMap::new(), modified }
    }
}

/// A change of names that has not been synced. A rename is one change: it removes one name and adds another.
#[derive(Clone, Debug)]
struct Change {
    inode: Inode,
    is_dir: bool,
    removed: Option<Name>,
    added: Option<Name>,
    at: TimestampMs,
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &Name> {
        self.removed.iter().chain(&self.added)
    }

    fn touches(&self, directory: Inode) -> bool {
        self.names().any(|(parent, _)| *parent == directory)
    }

    fn apply(&self, directories: &mut Directories) {
        if self.is_dir {
            directories.entry(self.inode).or_insert_with(|| Directory::new(self.at));
        }
        for (parent, _) in self.names() {
            directories.entry(*parent).or_insert_with(|| Directory::new(self.at)).modified = self.at;
        }
        if let Some((parent, name)) = &self.removed
            && let Some(directory) = directories.get_mut(parent)
            && directory.entries.get(name) == Some(&self.inode)
        {
            directory.entries.remove(name);
        }
        if let Some((parent, name)) = &self.added
            && let Some(directory) = directories.get_mut(parent)
        {
            directory.entries.insert(name.clone(), self.inode);
        }
    }
}

/// All names of a disk.
#[derive(Debug)]
pub(super) struct Names {
    live: Directories,
    durable: Directories,
    pending: Vec<Change>,
    next: u64,
    /// The time that changed directories get.
    pub(super) now: TimestampMs,
}

impl Default for Names {
    fn default() -> Self {
        let now = TimestampMs(0);
        let root = Directories::from([(ROOT, Directory::new(now))]);
        Self { live: root.clone(), durable: root, pending: Vec::new(), next: 1, now }
    }
}

impl Names {
    pub(super) fn find(&self, path: &Path) -> Option<Inode> {
        path.components().try_fold(ROOT, |at, component| match component {
            Component::Normal(name) => self.live.get(&at)?.entries.get(name.to_str()?).copied(),
            _ => Some(at),
        })
    }

    pub(super) fn is_dir(&self, inode: Inode) -> bool {
        self.live.contains_key(&inode)
    }

    /// Names and inodes in a directory.
    pub(super) fn entries(&self, directory: Inode) -> Option<impl Iterator<Item = (&String, Inode)>> {
        Some(self.live.get(&directory)?.entries.iter().map(|(name, inode)| (name, *inode)))
    }

    /// When the names in a directory changed last.
    pub(super) fn modified(&self, directory: Inode) -> Option<TimestampMs> {
        Some(self.live.get(&directory)?.modified)
    }

    /// The directory and the name in it that `path` means; `None` if the directory is missing.
    fn place(&self, path: &Path) -> Option<Name> {
        let parent = self.find(path.parent()?).filter(|parent| self.is_dir(*parent))?;
        Some((parent, path.file_name()?.to_str()?.to_owned()))
    }

    /// Adds a name for something new.
    pub(super) fn create(&mut self, path: &Path, is_dir: bool) -> Option<Inode> {
        let place = self.place(path)?;
        let inode = Inode(self.next);
        self.next += 1;
        self.change(Change { inode, is_dir, removed: None, added: Some(place), at: self.now });
        Some(inode)
    }

    /// Moves a name, replacing a file that has the new one.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Option<()> {
        let inode = self.find(from)?;
        let (removed, added) = (self.place(from)?, self.place(to)?);
        let is_dir = self.is_dir(inode);
        self.change(Change { inode, is_dir, removed: Some(removed), added: Some(added), at: self.now });
        Some(())
    }

    /// Removes a name, and everything below it.
    pub(super) fn remove(&mut self, path: &Path) -> Option<()> {
        let (inode, place) = (self.find(path)?, self.place(path)?);
        let is_dir = self.is_dir(inode);
        if is_dir {
            let below: Vec<String> = self.live[&inode].entries.keys().cloned().collect();
            for name in below {
                self.remove(&path.join(name))?;
            }
        }
        self.change(Change { inode, is_dir, removed: Some(place), added: None, at: self.now });
        if is_dir {
            self.live.remove(&inode);
        }
        Some(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// Makes all changes in a directory durable, with what they build on.
    pub(super) fn sync(&mut self, directory: Inode) {
        let mut needed: BTreeSet<Name> = BTreeSet::new();
        let mut is_synced = vec![false; self.pending.len()];
        for (change, is_synced) in self.pending.iter().zip(&mut is_synced).rev() {
            if change.touches(directory) || change.names().any(|name| needed.contains(name)) {
                *is_synced = true;
                needed.extend(change.names().cloned());
            }
        }
        let mut is_synced = is_synced.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let synced = is_synced.next().unwrap_or(false);
            if synced {
                change.apply(durable);
            }
            !synced
        });
    }

    /// Takes the power away. What is left is durable. Returns what still has a name.
    pub(super) fn crash(&mut self, loss: NameLoss, random: &mut Random) -> BTreeSet<Inode> {
        let kept_percent = random.between(10, 90);
        let mut stopped: BTreeSet<Inode> = BTreeSet::new();
        let mut lost: BTreeSet<Name> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let survives = match loss {
                NameLoss::Nothing => true,
                NameLoss::Everything => false,
                NameLoss::InOrder => {
                    random.chance(kept_percent.max(70)) && change.names().all(|(parent, _)| !stopped.contains(parent))
                }
                NameLoss::AnySubset => random.chance(kept_percent) && change.names().all(|name| !lost.contains(name)),
            };
            if survives {
                change.apply(&mut self.durable);
            } else {
                stopped.extend(change.names().map(|(parent, _)| *parent));
                lost.extend(change.names().cloned());
            }
        }
        let named = self.named();
        self.durable.retain(|inode, _| named.contains(inode));
        self.live.clone_from(&self.durable);
        named
    }

    /// Everything that can be reached from the root of what is durable.
    fn named(&self) -> BTreeSet<Inode> {
        let mut named = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        while let Some(inode) = left.pop() {
            for &below in self.durable.get(&inode).into_iter().flat_map(|directory| directory.entries.values()) {
                if named.insert(below) {
                    left.push(below);
                }
            }
        }
        named
    }
}
