//! Documentation that the tests run: its commands, their output, and its edits of files, in the order of the page.
//!
//! A block of ```` ```console ```` has commands after `$ `, the lines of their here-documents after `> `, and their output. A line `...`
//! stands for any lines, `...` at a line's end for any rest of it, and `[exit 1]` for that status. A comment on the line before the block
//! gives the place. `<!-- run: in a machine -->` means as root in a virtual machine with devices. `<!-- not run: why -->` means nowhere.
//! Without a comment, commands run here, but those after `sudo` run in a machine. A block of ```` ```diff ```` names a file in its first
//! line and has hunks, which are found by their lines.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context, Result, bail, ensure};

/// The page that is run as a whole, and ends with a driver.
pub const WRITING_A_DRIVER: &str = include_str!("../../docs/writing-a-driver.md");

/// The page that makes a driver without C, and ends with it.
pub const FIXING_WITHOUT_CODE: &str = include_str!("../../docs/fixing-without-code.md");

macro_rules! pages {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../../", $path)))),*] };
}

/// The other pages with commands, by their paths from the workspace's root.
pub const PAGES: &[(&str, &str)] = pages![
    "CONTRIBUTING.md",
    "README.md",
    "docs/case-study.md",
    "docs/configuration-file.md",
    "docs/configuration.md",
    "docs/findings.md",
    "docs/forms.md",
    "docs/hid-bpf-primer.md",
    "docs/hid-primer.md",
    "docs/packaging.md",
    "docs/report.md",
    "docs/sdk.md",
    "docs/testing-packages.md",
    "docs/testing.md",
    "docs/trying-a-driver.md",
    "fuzz/README.md",
];

/// A step of the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Types a command.
    Command(Command),
    /// Edits a file.
    Edit(Edit),
}

/// A command and its expected result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The line of the page, counted from 1.
    pub line: usize,
    /// The command line, with the lines of here-documents.
    pub text: String,
    /// The output, and the exit status if it is not 0.
    pub output: String,
    /// The place to run it.
    pub place: Place,
}

/// The place to run commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This machine, in a separate folder.
    Here,
    /// A virtual machine, as root, with devices.
    Machine,
    /// Nowhere, for this reason.
    Nowhere(String),
}

impl Place {
    /// Parses the comment before a block. Returns `None` for any other line.
    fn of(line: &str) -> Result<Option<Place>> {
        let Some(said) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else { return Ok(None) };
        match said.split_once(": ") {
            Some(("run", "in a machine")) => Ok(Some(Place::Machine)),
            Some(("not run", why)) if !why.is_empty() => Ok(Some(Place::Nowhere(why.to_owned()))),
            _ => bail!("`{line}` says neither where commands are run nor why not"),
        }
    }
}

impl Command {
    /// Runs it as a reader would, in a folder and with a search path for programs.
    ///
    /// Returns the terminal's view: both streams in one, and at the end the exit code if it is not 0.
    ///
    /// # Errors
    /// There is no shell, a signal ended it, or the output is not text.
    pub fn run(&self, folder: &Path, path: &OsStr) -> Result<String> {
        let output = process::Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{}", self.text)])
            .current_dir(folder)
            .env("PATH", path)
            .output()
            .context("failed to start a shell")?;
        let mut printed = String::from_utf8(output.stdout).context("what was printed is not text")?;
        if !output.status.success() {
            printed += &format!("[exit {}]\n", output.status.code().context("a signal has ended the shell")?);
        }
        Ok(printed)
    }

    /// Returns the name and the text of the file that it writes, if it is `cat` with a here-document.
    pub fn here_document(&self) -> Option<(&str, &str)> {
        let (name, rest) = self.text.strip_prefix("cat > ")?.split_once(" << EOF\n")?;
        Some((name, rest.strip_suffix("EOF")?))
    }

    /// Returns the part after `sudo`, for a command that needs root and the device.
    pub fn as_root(&self) -> Option<&str> {
        self.text.strip_prefix("sudo ")
    }

    /// Returns the same command with other names of devices, in the command line and in the output.
    pub fn with_names(&self, names: &[(&str, &str)]) -> Command {
        let name = |text: &str| names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        Command { text: name(&self.text), output: name(&self.output), ..self.clone() }
    }

    /// Compares the output with the page.
    ///
    /// # Errors
    /// They differ; the message has both.
    pub fn check(&self, printed: &str) -> Result<()> {
        let (expected, seen): (Vec<_>, Vec<_>) = (self.output.lines().collect(), printed.lines().collect());
        ensure!(
            matches(&expected, &seen),
            "line {}: `{}` is to print\n{}\nand printed\n{printed}",
            self.line,
            self.text,
            self.output
        );
        Ok(())
    }
}

fn matches(expected: &[&str], seen: &[&str]) -> bool {
    match (expected, seen) {
        ([], []) => true,
        (["...", rest @ ..], _) => (0..=seen.len()).any(|skipped| matches(rest, &seen[skipped..])),
        ([first, expected @ ..], [line, seen @ ..]) => {
            let begins = first.strip_suffix("...").is_some_and(|begin| line.starts_with(begin));
            (first == line || begins) && matches(expected, seen)
        }
        _ => false,
    }
}

/// An edit of a file. Each hunk has lines before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The line of the page, counted from 1.
    pub line: usize,
    file: String,
    hunks: Vec<(String, String)>,
}

impl Edit {
    /// Edits the file, which is below `directory`.
    ///
    /// # Errors
    /// The file can't be read or written, or a hunk does not occur exactly once.
    pub fn apply(&self, directory: &Path) -> Result<()> {
        let path = directory.join(&self.file);
        let mut text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        for (from, to) in &self.hunks {
            let found = text.matches(from.as_str()).count();
            ensure!(found == 1, "line {}: these lines are in {} {found} times:\n{from}", self.line, self.file);
            text = text.replacen(from.as_str(), to, 1);
        }
        fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))
    }
}

/// Returns the steps of a page.
///
/// # Errors
/// A block does not have the format above.
pub fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines().zip(1..);
    let mut before = "";
    while let Some((line, number)) = lines.next() {
        let said = Place::of(std::mem::replace(&mut before, line)).with_context(|| format!("line {number}"))?;
        let Some(kind) = line.strip_prefix("```") else {
            // A command outside a block would never run.
            let is_command =
                |text: &str| ["$ ", "cargo ", "hidbpf ", "sudo "].iter().any(|word| text.starts_with(word));
            let hides = line.strip_prefix("    ").is_some_and(|text| is_command(text.trim_start()));
            ensure!(!hides, "line {number}: `{line}` is a command outside of a block of ```console");
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|(line, _)| *line != "```").collect();
        match kind {
            "console" => steps.extend(commands(&block, said)?.into_iter().map(Step::Command)),
            "diff" => steps.push(Step::Edit(edit(number, &block)?)),
            "" | "c" | "toml" => ensure!(said.is_none(), "line {number}: nothing in a block of `{kind}` is run"),
            _ => bail!("line {number}: a block of `{kind}` is unknown here"),
        }
    }
    Ok(steps)
}

fn commands(block: &[(&str, usize)], place: Option<Place>) -> Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::new();
    for &(line, number) in block {
        if let Some(text) = line.strip_prefix("$ ") {
            let default = || if text.starts_with("sudo ") { Place::Machine } else { Place::Here };
            let place = place.clone().unwrap_or_else(default);
            commands.push(Command { line: number, text: text.to_owned(), output: String::new(), place });
            continue;
        }
        let Some(command) = commands.last_mut() else { bail!("line {number}: a block begins without a command") };
        match line.strip_prefix("> ").or((line == ">").then_some("")) {
            Some(text) => command.text += &format!("\n{text}"),
            None => command.output += &format!("{line}\n"),
        }
    }
    Ok(commands)
}

fn edit(number: usize, block: &[(&str, usize)]) -> Result<Edit> {
    let file = block.first().and_then(|(line, _)| line.strip_prefix("--- "));
    let file = file.with_context(|| format!("line {number}: an edit names no file"))?.to_owned();
    let mut hunks: Vec<(String, String)> = Vec::new();
    for &(line, number) in &block[1..] {
        if line == "@@" {
            hunks.push(Default::default());
            continue;
        }
        let Some((from, to)) = hunks.last_mut() else { bail!("line {number}: an edit begins without `@@`") };
        let (sign, text) = line.split_at_checked(1).unwrap_or((" ", ""));
        match sign {
            "-" => *from += &format!("{text}\n"),
            "+" => *to += &format!("{text}\n"),
            " " => {
                *from += &format!("{text}\n");
                *to += &format!("{text}\n");
            }
            _ => bail!("line {number}: `{line}` is not a line of an edit"),
        }
    }
    Ok(Edit { line: number, file, hunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_may_be_left_out_in_part() {
        let command =
            |output: &str| Command { line: 1, text: "x".to_owned(), output: output.to_owned(), place: Place::Here };
        for (output, printed) in
            [("", ""), ("a\n", "a\n"), ("...\n", "a\nb\n"), ("a\n...\nd\n", "a\nb\nc\nd\n"), ("ab...\n", "abc\n")]
        {
            command(output).check(printed).unwrap();
        }
        for (output, printed) in
            [("", "a\n"), ("a\n", ""), ("a\n...\n", "b\n"), ("...\nd\n", "a\nd\ne\n"), ("ab...\n", "ac\n")]
        {
            command(output).check(printed).unwrap_err();
        }
    }

    #[test]
    fn the_pages_steps_are_found() {
        let steps =
            steps("x\n```console\n$ cat << E\n> y\n> E\ny\n```\n```c\nz\n```\n```diff\n--- f\n@@\n-a\n+b\n c\n```\n")
                .unwrap();
        let cat = Command { line: 3, text: "cat << E\ny\nE".to_owned(), output: "y\n".to_owned(), place: Place::Here };
        let hunks = vec![("a\nc\n".to_owned(), "b\nc\n".to_owned())];
        assert_eq!(steps, [Step::Command(cat), Step::Edit(Edit { line: 11, file: "f".to_owned(), hunks })]);
    }

    #[test]
    fn where_commands_are_run_is_said_before_them() {
        let page = "```console\n$ a\n$ sudo b\n```\n<!-- run: in a machine -->\n```console\n$ c\n```\n\
                    <!-- not run: why -->\n```console\n$ sudo d\n```\n";
        let places: Vec<Place> = steps(page)
            .unwrap()
            .into_iter()
            .map(|step| match step {
                Step::Command(command) => command.place,
                Step::Edit(edit) => panic!("{edit:?}"),
            })
            .collect();
        assert_eq!(places, [Place::Here, Place::Machine, Place::Machine, Place::Nowhere("why".to_owned())]);
        for wrong in [
            "<!-- run: there -->\n```console\n$ a\n```\n",
            "<!-- not run: why -->\n```c\n```\n",
            "```sh\na\n```\n",
            "x:\n\n    sudo a\n",
        ] {
            steps(wrong).unwrap_err();
        }
    }
}
