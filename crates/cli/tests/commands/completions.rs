//! `highwater completions`, and what the scripts ask.

use std::process::Command;

use crate::process::{highwater, told};

#[test]
fn every_shell_gets_a_script_that_asks_the_program() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = highwater(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("HIGHWATER_COMPLETE") && script.contains("highwater"), "{shell}: {script}");
    }
    assert_eq!(highwater(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn the_program_answers_what_may_come_next() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.env("HIGHWATER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
    let (code, words, _) = told(command.args(["--", "highwater", "context", "i"]));
    assert_eq!((code, words.trim_end()), (Some(0), "import"));
}
