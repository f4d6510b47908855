//! `highwater completions`, and what the scripts ask.

use std::process::Command;

use crate::process::{Running, at_home, highwater, told};

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

#[test]
fn topics_groups_and_contexts_are_completed() {
    let (broker, folder) = Running::alone();
    let address = broker.address.to_string();
    broker.ask(&["topic", "create", "orders", "offers", "other", "-p", "1"]);
    broker.ask(&["group", "reset", "readers", "--topic", "orders", "--to-earliest", "--yes"]);
    at_home(folder.path()).args(["-b", &address, "context", "add", "production"]).status().unwrap();
    let complete = |words: &[&str]| {
        let mut command = at_home(folder.path());
        let index = words.len().to_string();
        command.env("HIGHWATER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
        command.args(["--", "highwater"]).args(words);
        let (_, words, _) = told(&mut command);
        let mut words: Vec<String> = words.lines().map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(complete(&["-b", &address, "topic", "describe", "o"]), ["offers", "orders", "other"]);
    assert_eq!(complete(&["-b", &address, "produce", "or"]), ["orders"]);
    assert_eq!(complete(&["-b", &address, "group", "describe", "r"]), ["readers"]);
    assert_eq!(complete(&["--context", "p"]), ["production"]);
    // Found by the context in use.
    assert_eq!(complete(&["consume", "of"]), ["offers"]);
}
