//! Exit codes of `--version`, `--help` and bad usage.

use crate::process::highwater;

#[test]
fn version_and_help_succeed() {
    let version = highwater(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), concat!("highwater ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(highwater(&["dev", "--help"]).status.code(), Some(0));
}

#[test]
fn bad_usage_is_told_on_standard_error_with_code_2() {
    for arguments in [
        &["serve"][..],
        &["dev", "--port", "70000"],
        &["dev", "--no-such-flag"],
        &["server", "--set", "novalue"],
        &["log", "dump"],
        &["log", "dump", ".", "-o", "yaml"],
    ] {
        let output = highwater(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_told_with_its_path() {
    let output = highwater(&["server", "--config", "/nowhere/server.properties"]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("/nowhere/server.properties") && told.contains("try: "), "{told}");
}
