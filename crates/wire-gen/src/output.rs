//! Formats the generated text and compares it with, or writes it to, the folder of generated code.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::emit;
use crate::schema::Schema;

/// Why the generated code could not be produced.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutputError {
    /// The operating system refused an operation on a path.
    Io(PathBuf, io::Error),
    /// rustfmt did not accept the text, which is a fault of the emitter.
    Rustfmt(String),
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Rustfmt(message) => write!(f, "rustfmt: {message}"),
        }
    }
}

impl std::error::Error for OutputError {}

/// Generated files by their path under `src/generated`.
pub type Files = BTreeMap<PathBuf, String>;

/// Generates every file, formatted with the settings in the file `config`. `scratch` is a folder for
/// intermediate files, which is emptied first.
///
/// # Errors
///
/// [`OutputError::Io`] for the scratch folder, [`OutputError::Rustfmt`] when the text is not Rust.
pub fn render(schema: &Schema, scratch: &Path, config: &Path) -> Result<Files, OutputError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| OutputError::Io(path, error)
    };
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(at(scratch))?;
    }
    let rough = emit::files(schema);
    for (path, text) in &rough {
        let path = scratch.join(path);
        let parent = path.parent().unwrap_or(scratch);
        fs::create_dir_all(parent).map_err(at(parent))?;
        fs::write(&path, text).map_err(at(&path))?;
    }
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path"]).arg(config).arg(scratch.join("mod.rs"));
    let output = rustfmt.output().map_err(|error| OutputError::Rustfmt(error.to_string()))?;
    if !output.status.success() {
        return Err(OutputError::Rustfmt(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let read = |path: PathBuf| {
        let full = scratch.join(&path);
        fs::read_to_string(&full).map(|text| (path, text)).map_err(at(&full))
    };
    rough.into_keys().map(read).collect()
}

/// The paths at which `folder` differs from `files`: changed, missing or left over.
///
/// # Errors
///
/// [`OutputError::Io`] when the folder cannot be read.
pub fn stale(files: &Files, folder: &Path) -> Result<Vec<PathBuf>, OutputError> {
    let mut present = Vec::new();
    list(folder, folder, &mut present)?;
    let left_over = present.into_iter().filter(|path| !files.contains_key(path));
    let changed = files.iter().filter(|(path, text)| fs::read_to_string(folder.join(path)).ok().as_ref() != Some(text));
    Ok(changed.map(|(path, _)| path.clone()).chain(left_over).collect())
}

/// Makes `folder` equal to `files`.
///
/// # Errors
///
/// [`OutputError::Io`] when a file cannot be written or removed.
pub fn write(files: &Files, folder: &Path) -> Result<(), OutputError> {
    for path in stale(files, folder)? {
        let full = folder.join(&path);
        let result = match files.get(&path) {
            Some(text) => fs::create_dir_all(full.parent().unwrap_or(folder)).and_then(|()| fs::write(&full, text)),
            None => fs::remove_file(&full),
        };
        result.map_err(|error| OutputError::Io(full, error))?;
    }
    Ok(())
}

fn list(root: &Path, folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), OutputError> {
    let at = |error| OutputError::Io(folder.to_owned(), error);
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.is_dir() {
            list(root, &path, out)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            out.push(relative.to_owned());
        }
    }
    Ok(())
}
