//! Runs other programs, and quotes their output in errors.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The folders of administrators' programs such as `depmod`. A user's search path often lacks them.
const ADMIN_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// How many of a program's last lines an error repeats.
const TALK_LINES: usize = 12;

/// Returns a command for `program` with an empty standard input. The search includes the administrators' folders.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Ok(path) = std::env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    // `cargo run` sets this to its own libraries, which an installed program would not use.
    command.env_remove("LD_LIBRARY_PATH").stdin(Stdio::null());
    command
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// The program could not be started, or it failed: the error then ends with its last lines.
pub fn output(command: &mut Command) -> Result<String> {
    let name = name(command);
    let output = command.output().with_context(|| format!("failed to start `{name}`"))?;
    if !output.status.success() {
        bail!("`{name}` failed, {}{}", output.status, talk(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` to its end and calls `heard` with each line of its standard output.
///
/// # Errors
/// As for [`output`].
pub fn follow(command: &mut Command, heard: &mut dyn FnMut(&str)) -> Result<()> {
    let name = name(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{name}`"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, mut stderr) = stdout.zip(stderr).with_context(|| format!("failed to read what `{name}` says"))?;
    let (mut said, mut errors) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        // If this fails, the output is only missing from an error.
        scope.spawn(|| stderr.read_to_end(&mut errors));
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            heard(&String::from_utf8_lossy(&line));
            said.extend(line);
            said.push(b'\n');
        }
    });
    let status = child.wait().with_context(|| format!("failed to wait for `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed, {status}{}", talk(&Output { status, stdout: said, stderr: errors }));
    }
    Ok(())
}

/// Runs `command` with its output passed through. Returns true if it succeeded.
///
/// # Errors
/// The program could not be started.
pub fn passes(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("failed to start `{}`", name(command)))?;
    Ok(status.success())
}

/// Returns the path of `program` on the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn search_path() -> Vec<PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&own).chain(ADMIN_FOLDERS.map(PathBuf::from)).collect()
}

/// Returns the last lines of `text`, each indented, for the end of an error.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("\n    {}", line.trim_end())).collect()
}

/// Returns the command's short name: the program's file name and its first argument.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    match command.get_args().find(|argument| !argument.to_string_lossy().starts_with(['-', '/'])) {
        Some(argument) => format!("{program} {}", argument.to_string_lossy()),
        None => program,
    }
}

fn talk(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    last_lines(&String::from_utf8_lossy(said), TALK_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_what_the_program_said() {
        let error = output(command("sh").arg("-c").arg("echo first; echo no such thing >&2; exit 3")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such thing"), "{text}");
    }

    #[test]
    fn lines_are_heard_as_they_come_and_a_failure_repeats_them() {
        let mut heard = Vec::new();
        let run = |script: &str, heard: &mut Vec<String>| {
            follow(command("sh").args(["-c", script]), &mut |line| heard.push(line.to_owned()))
        };
        run("echo one; echo two", &mut heard).unwrap();
        assert_eq!(heard, ["one", "two"]);
        let text = run("echo first; echo no such thing >&2; exit 3", &mut heard).unwrap_err().to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such thing"), "{text}");
        let text = run("echo first; exit 3", &mut heard).unwrap_err().to_string();
        assert!(text.contains("first"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut command("no-such-program-here")).unwrap_err();
        assert!(format!("{error:#}").contains("failed to start `no-such-program-here`"), "{error:#}");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "\n    b\n    c");
        assert_eq!(last_lines("", 2), "");
    }
}
