//! The broker's binary.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the broker next to this program, so that what is measured is what the checkout says.
///
/// # Errors
///
/// If it does not build.
pub fn build_broker(build_folder: &Path) -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = build_folder.parent().ok_or_else(|| io::Error::other("the build folder lies in no folder"))?;
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "highwater-cli", "--bin", "highwater", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if status.success() {
        Ok(target.join("release").join("highwater"))
    } else {
        Err(io::Error::other(format!("building the broker: {status}")))
    }
}
