//! Tests as text: commands and their expected output in one file that can regenerate itself.

use std::{env, fmt::Write as _, fs, path::Path};

/// Runs one command, a single line, and returns its output: lines, none of them blank.
pub type Runner = Box<dyn FnMut(&str) -> String>;

/// Runs every block of the script at `path`, relative to the crate under test.
///
/// A block is one or more command lines, `----`, the expected output, and a blank line or the end of the
/// file. The commands of a block run in order and their outputs are joined. Lines that start with `#` are
/// prose; one that starts with `# case` begins a new case, for which `new_case` makes a fresh runner.
///
/// With `REWRITE=1` in the environment the expected output is replaced by what came out: read the diff
/// before you commit it.
///
/// # Panics
///
/// If the file cannot be read or is malformed, and, unless rewriting, if any output differs: with the place,
/// the command, and both outputs of every block that does.
pub fn run_file(path: impl AsRef<Path>, new_case: impl FnMut() -> Runner) {
    let path = path.as_ref();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let outcome = run(&text, new_case).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
    if env::var_os("REWRITE").is_some_and(|value| value == "1") {
        fs::write(path, &outcome.rewritten).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let mut report = String::new();
    for Difference { line, command, expected, actual } in &outcome.differences {
        let place = format!("{}:{line}", path.display());
        write!(report, "\n{place}\n{command}\n---- expected\n{expected}---- actual\n{actual}")
            .expect("writing to a String cannot fail");
    }
    assert!(report.is_empty(), "output differs; REWRITE=1 accepts it\n{report}");
}

/// What running a script gave.
struct Outcome {
    /// The script with the actual outputs.
    rewritten: String,
    differences: Vec<Difference>,
}

/// A block whose output is not the expected one.
struct Difference {
    /// Number of its first line, from 1.
    line: usize,
    command: String,
    expected: String,
    actual: String,
}

fn run(text: &str, mut new_case: impl FnMut() -> Runner) -> Result<Outcome, String> {
    let mut outcome = Outcome { rewritten: String::new(), differences: Vec::new() };
    let mut runner: Option<Runner> = None;
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            if line.starts_with("# case") {
                runner = None;
            }
            outcome.rewritten += &format!("{}\n", line.trim_end());
            continue;
        }
        let mut commands = vec![line];
        loop {
            match lines.next() {
                Some(("----", _)) => break,
                Some((line, _)) if !line.trim().is_empty() => commands.push(line),
                _ => return Err(format!("{number}: a command without ---- after it")),
            }
        }
        let mut expected = String::new();
        while let Some((line, _)) = lines.next_if(|(line, _)| !line.trim().is_empty()) {
            expected += &format!("{}\n", line.trim_end());
        }
        let runner = runner.get_or_insert_with(&mut new_case);
        let actual = commands.iter().map(|command| output_of(runner, command)).collect::<Result<String, String>>();
        let actual = actual.map_err(|error| format!("{number}: {error}"))?;
        let command = commands.join("\n");
        outcome.rewritten += &format!("{command}\n----\n{actual}");
        if expected != actual {
            outcome.differences.push(Difference { line: number, command, expected, actual });
        }
    }
    Ok(outcome)
}

fn output_of(runner: &mut Runner, command: &str) -> Result<String, String> {
    let mut output = String::new();
    for line in runner(command).lines() {
        if line.trim().is_empty() {
            return Err(format!("the output of {command:?} has a blank line, which would end the block"));
        }
        output += &format!("{}\n", line.trim_end());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::{Runner, run};

    /// Adds numbers up and prints the sum; `quiet` prints nothing.
    fn adder() -> Runner {
        let mut sum = 0;
        Box::new(move |line| {
            if let Ok(n) = line.parse::<i32>() {
                sum += n;
            }
            if line == "quiet" { String::new() } else { format!("{sum}\n") }
        })
    }

    const SCRIPT: &str =
        "# Adds up.\n\n# case: one\n1\n----\n1\n\n2\n3\n----\n3\n6\n\n# case: two\n5\n----\n5\n\nquiet\n----\n";

    #[test]
    fn a_script_that_holds_is_left_alone() {
        let outcome = run(SCRIPT, adder).unwrap();
        assert!(outcome.differences.is_empty());
        assert_eq!(outcome.rewritten, SCRIPT);
    }

    #[test]
    fn a_difference_is_reported_and_rewritten() {
        let outcome = run(&SCRIPT.replace("----\n3\n6", "----\n3\n7"), adder).unwrap();
        let [difference] = outcome.differences.as_slice() else { panic!("one difference") };
        assert_eq!((difference.line, difference.command.as_str()), (8, "2\n3"));
        assert_eq!((difference.expected.as_str(), difference.actual.as_str()), ("3\n7\n", "3\n6\n"));
        assert_eq!(outcome.rewritten, SCRIPT);
    }

    #[test]
    fn malformed_scripts_and_outputs_are_refused() {
        assert_eq!(run("1\n\n----\n1\n", adder).err().as_deref(), Some("1: a command without ---- after it"));
        let blank = run("1\n----\n1\n", || Box::new(|_| "a\n\nb\n".to_owned()));
        assert!(blank.err().unwrap().contains("blank line"));
    }
}
