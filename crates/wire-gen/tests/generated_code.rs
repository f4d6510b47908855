//! The code that is checked in is what the schema gives.

use std::path::{Path, PathBuf};

use highwater_wire_gen::{load, render, stale};

#[test]
fn generated_code_is_up_to_date() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let schema = load(&crates.join("wire/schema")).unwrap();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let files = render(&schema, &scratch, &crates.join("../.rustfmt.toml")).unwrap();
    let stale = stale(&files, &crates.join("wire/src/generated")).unwrap();
    assert_eq!(stale, Vec::<PathBuf>::new(), "run `cargo run -p highwater-wire-gen` and commit the result");
}
