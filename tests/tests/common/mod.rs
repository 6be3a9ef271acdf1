//! Code that tests of the command share: running it, and checking every answer.

#![allow(dead_code, reason = "each test uses what it needs")]

pub mod machine;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Returns the command, built as this test was.
pub fn hidbpf() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        // As `cargo xtask test` has built it. With other packages, cargo would build most of it again, with other features.
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--exclude", "hidbpf-helper", "--message-format", "json"])
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo can be run");
        assert!(output.status.success(), "the command can't be built");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "hidbpf")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the command")
    });
    Command::new(program)
}

/// Runs the command with the drivers of this workspace.
pub fn with_drivers(arguments: &[&str]) -> Output {
    let drivers = hidbpf_drivers::objects_dir();
    hidbpf().arg("--drivers").arg(drivers).args(arguments).output().expect("the command can be run")
}

/// Returns the command's standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the answer is text")
}

/// Returns the command's standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the talk is text")
}

/// Checks the exit code, and that standard error contains all of `words`. On success, standard error must be empty, except for
/// the lines that say what a file was taken for.
pub fn check(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "expected `{word}` in: {said}");
    }
    assert!(code != 0 || said.lines().all(|line| line.starts_with("read ")), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Returns the object of a driver of this workspace.
pub fn object(name: &str) -> PathBuf {
    hidbpf_drivers::objects_dir().join(format!("{name}.bpf.o"))
}
