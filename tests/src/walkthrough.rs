//! Documentation that is run: its commands, what they are said to print, and its edits of files, in the order in which it has them.
//!
//! A block of ```` ```console ```` has commands after `$ `, the lines of their here-documents after `> `, and what they print; a line
//! `...` stands for any lines, and `[exit 1]` for that status. A block of ```` ```diff ```` names a file in its first line and has
//! hunks, which are found by their lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// The page that this is for.
pub const WRITING_A_DRIVER: &str = include_str!("../../docs/writing-a-driver.md");

/// A thing that the reader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Types a command.
    Command(Command),
    /// Edits a file.
    Edit(Edit),
}

/// A command, and what is to come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The line of the page, counted from 1.
    pub line: usize,
    /// What is typed, with the lines of here-documents.
    pub text: String,
    /// What is printed, and the exit status where it is not 0.
    pub output: String,
}

impl Command {
    /// What is typed after `sudo`, for a command that needs root and the device.
    pub fn as_root(&self) -> Option<&str> {
        self.text.strip_prefix("sudo ")
    }

    /// Compares what was printed with what the page says.
    ///
    /// # Errors
    /// It is something else; the message has both.
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
        ([first, expected @ ..], [line, seen @ ..]) => first == line && matches(expected, seen),
        _ => false,
    }
}

/// An edit of a file: each hunk has lines as they are, and as they become.
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
    /// The file can't be read or written, or a hunk is not there exactly once.
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

/// What a page has its reader do.
///
/// # Errors
/// A block is not as described above.
pub fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|(line, _)| *line != "```").collect();
        match kind {
            "console" => steps.extend(commands(&block)?.into_iter().map(Step::Command)),
            "diff" => steps.push(Step::Edit(edit(number, &block)?)),
            _ => {}
        }
    }
    Ok(steps)
}

fn commands(block: &[(&str, usize)]) -> Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::new();
    for &(line, number) in block {
        if let Some(text) = line.strip_prefix("$ ") {
            commands.push(Command { line: number, text: text.to_owned(), output: String::new() });
            continue;
        }
        let Some(command) = commands.last_mut() else { bail!("line {number}: a block begins without a command") };
        match line.strip_prefix("> ") {
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
            _ => bail!("line {number}: `{line}` is no line of an edit"),
        }
    }
    Ok(Edit { line: number, file, hunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_may_be_left_out_in_part() {
        let command = |output: &str| Command { line: 1, text: "x".to_owned(), output: output.to_owned() };
        for (output, printed) in [("", ""), ("a\n", "a\n"), ("...\n", "a\nb\n"), ("a\n...\nd\n", "a\nb\nc\nd\n")] {
            command(output).check(printed).unwrap();
        }
        for (output, printed) in [("", "a\n"), ("a\n", ""), ("a\n...\n", "b\n"), ("...\nd\n", "a\nd\ne\n")] {
            command(output).check(printed).unwrap_err();
        }
    }

    #[test]
    fn the_pages_steps_are_found() {
        let steps =
            steps("x\n```console\n$ cat << E\n> y\n> E\ny\n```\n```c\nz\n```\n```diff\n--- f\n@@\n-a\n+b\n c\n```\n")
                .unwrap();
        let cat = Command { line: 3, text: "cat << E\ny\nE".to_owned(), output: "y\n".to_owned() };
        let hunks = vec![("a\nc\n".to_owned(), "b\nc\n".to_owned())];
        assert_eq!(steps, [Step::Command(cat), Step::Edit(Edit { line: 11, file: "f".to_owned(), hunks })]);
    }
}
