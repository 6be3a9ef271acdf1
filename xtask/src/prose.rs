//! Checks the texts for users and developers: spelling, words that mark a bad sentence, also in messages, and sentences that are too long.
//!
//! The texts are the pages, the help of commands, and the comments of C code and of files for packages and udev.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hidbpf_lab::paths::{all_files_below, files_below};
use hidbpf_lab::process;

use crate::dist::files;

/// Folders whose pages are checked, from the workspace's root. Those of other folders are not.
const FOLDERS: [&str; 5] = [".", "docs", "docs/devices", "fuzz", "packaging"];

/// The folder with a folder for each driver. Each of these may have notes.
const DRIVERS: &str = "drivers";

/// Sources whose doc comments are texts for users: the help of commands, and the man pages.
const SOURCES: [&str; 2] = ["framework/hidbpf-cli/src/args.rs", "xtask/src/main.rs"];

/// The folders of C code whose comments are checked.
const C_CODE: [&str; 4] = ["drivers", "framework", "hid-bpf-src", "tests/fixtures"];

/// The folders of files whose comments start with `#`, and are checked: for packages, and for udev.
const SCRIPTS: [&str; 2] = ["packaging", "udev-rules"];

/// The folder of the crates whose messages are checked.
const CRATES: &str = "framework";

/// Words that nearly always mark a sentence to rewrite. "is no" is right only after "there".
const WORDS: [&str; 25] = [
    "anew",
    "of which",
    "none of",
    "is no",
    "what there is",
    "thereby",
    "likewise",
    "in vain",
    "goes before",
    "hangs on",
    "comes to be",
    "would not have",
    "has it that",
    "leave it at that",
    "is told",
    "wants told",
    "nobody else",
    "somebody",
    "whatever",
    "mend",
    "mends",
    "mended",
    "puzzle",
    "set-up",
    "taken off",
];

/// The most words in a sentence, or in the part before or after a colon.
const MOST_WORDS: usize = 25;

/// Words that codespell treats as mistakes.
const SPELT_SO: &str = "crate,crates";

/// Returns the texts to check.
///
/// # Errors
/// A folder can't be read.
fn texts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS.iter().map(|folder| root.join(folder)).chain(files(&root.join(DRIVERS))?) {
        if folder.is_dir() {
            found.extend(files(&folder)?.into_iter().filter(|path| is_page(path)));
        }
    }
    found.extend(SOURCES.map(|source| root.join(source)));
    for folder in C_CODE {
        found.extend(files_below(&root.join(folder), &["c", "h"])?);
    }
    for folder in SCRIPTS {
        found.extend(all_files_below(&root.join(folder))?.into_iter().filter(|path| !is_page(path)));
    }
    found.sort();
    Ok(found)
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "md")
}

/// Checks the wording and the spelling of all texts. The error names each fault.
///
/// # Errors
/// There is a fault, a text can't be read, or codespell can't be run.
pub fn check(root: &Path) -> Result<String> {
    let faults = all_faults(root)?;
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    let mut command = process::command("codespell");
    process::output(command.current_dir(root).args(["--ignore-words-list", SPELT_SO]).args(texts(root)?))
}

/// Returns the faults in the wording of all texts, with file and line.
fn all_faults(root: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut check = |path: &Path, find: &dyn Fn(&str) -> Vec<(usize, String)>| -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(path).display();
        all.extend(find(&text).iter().map(|(line, what)| format!("{name}:{line}: {what}")));
        Ok(())
    };
    texts(root)?.iter().try_for_each(|path| check(path, &|text| faults(&prose(path, text))))?;
    sources(&root.join(CRATES))?.iter().try_for_each(|path| check(path, &|text| marked(&literals(text))))?;
    Ok(all)
}

/// Returns the sources of the crates in a folder, without their tests and benchmarks.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_test = |path: &PathBuf| {
        let mut parts = path.iter();
        parts.any(|part| part == "tests" || part == "benches") || path.to_string_lossy().ends_with("tests.rs")
    };
    Ok(files_below(folder, &["rs"])?.into_iter().filter(|path| !is_test(path)).collect())
}

/// Returns the text between double quotes in a source, up to its tests: mostly messages. It keeps the lines.
fn literals(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let line = |line: &str| {
        if line.trim_start().starts_with("//") {
            return "\n".to_owned();
        }
        let parts = line.replace("\\\"", " ");
        let quoted: Vec<&str> = parts.split('"').skip(1).step_by(2).collect();
        quoted.join(" . ") + "\n"
    };
    code.lines().map(line).collect()
}

/// Returns the sentences of a file: of a page, or of the comments in code. It keeps the lines.
fn prose(path: &Path, text: &str) -> String {
    match path.extension().and_then(OsStr::to_str) {
        Some("md") => page(text),
        Some("rs") => comments(text, "/// "),
        Some("c" | "h") => c_comments(text),
        _ => comments(text, "# "),
    }
}

/// Returns the text of the lines that begin with a mark.
fn comments(text: &str, mark: &str) -> String {
    text.lines().map(|line| line.trim_start().strip_prefix(mark).unwrap_or_default().to_owned() + "\n").collect()
}

/// Returns the text of the comments in C code.
fn c_comments(text: &str) -> String {
    let mut comments = String::new();
    let mut inside = false;
    for line in text.lines() {
        let mut rest = line;
        loop {
            let (mark, next) = if inside { ("*/", false) } else { ("/*", true) };
            let Some((before, after)) = rest.split_once(mark) else { break };
            if inside {
                comments += before;
                // Another comment is another sentence.
                comments += ".";
            }
            (inside, rest) = (next, after);
        }
        if inside {
            let line = rest.trim_start();
            comments += line.strip_prefix('*').unwrap_or(line).trim_start().trim_end_matches('\\');
        } else if let Some((_, comment)) = rest.split_once("//") {
            comments += comment;
        }
        comments += "\n";
    }
    comments
}

/// Returns the sentences of a page: without code, table bars and link addresses.
fn page(text: &str) -> String {
    let mut in_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.starts_with("```");
        in_code ^= fence;
        if !in_code && !fence && !line.starts_with("<!--") {
            // Every other part between backquotes is code.
            let parts = line.split('`').enumerate().map(|(number, part)| if number % 2 == 0 { part } else { "X" });
            prose += &parts.collect::<String>();
        }
        prose += "\n";
    }
    prose
}

/// Returns the words in a text that mark a bad sentence, each with its line.
fn marked(prose: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for (line, number) in prose.lines().zip(1..) {
        let words =
            format!(" {} ", line.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '\'', " "));
        let words = words.split_whitespace().fold(" ".to_owned(), |text, word| text + word + " ");
        for word in WORDS {
            let count = words.matches(&format!(" {word} ")).count();
            if count > words.matches(&format!(" there {word} ")).count() {
                faults.push((number, format!("\"{word}\": rewrite the sentence")));
            }
        }
    }
    faults
}

/// Returns the faults of a text, each with its line.
fn faults(prose: &str) -> Vec<(usize, String)> {
    let mut faults = marked(prose);
    // The line where the sentence begins, and the number of its words so far.
    let (mut begin, mut sentence) = (1, 0);
    for (line, number) in prose.lines().zip(1..) {
        let is_new = ["- ", "|", "#", "1. "].iter().any(|mark| line.trim_start().starts_with(mark)) || line.is_empty();
        if is_new {
            sentence = 0;
        }
        if line.starts_with('|') || line.starts_with("![") {
            continue;
        }
        for word in line.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)) {
            if sentence == 0 {
                begin = number;
            }
            sentence += 1;
            if sentence == MOST_WORDS + 1 {
                faults.push((begin, format!("a sentence has more than {MOST_WORDS} words: split it")));
            }
            if word.trim_end_matches(['"', ')', '*']).ends_with(['.', ':', '!', '?']) {
                sentence = 0;
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_written_as_they_should_be() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(texts(&root).unwrap().len() > 100);
        assert_eq!(all_faults(&root).unwrap(), [""; 0]);
    }

    #[test]
    fn messages_are_what_stands_in_quotes() {
        let source =
            "// \"anew\"\nlet anew = f(\"it is no \\\"byte\\\"\", \"fine\");\n#[cfg(test)]\nlet it = \"mend\";\n";
        let found = marked(&literals(source));
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2]);
        assert!(sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(CRATES)).unwrap().len() > 100);
    }

    #[test]
    fn faults_are_found_in_sentences_and_not_in_code() {
        let page = Path::new("a.md");
        let of = |text: &str| faults(&prose(page, text)).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(of("Fine.\nIt is attached anew.\n"), [2]);
        assert_eq!(of("`0g` is no byte. There is no byte.\n"), [1]);
        assert_eq!(of("There is no byte. Run `mend anew`.\n```\nsomebody\n```\n"), [] as [usize; 0]);
        let long = |words: usize| format!("One.\n{}\n", "word ".repeat(words));
        assert_eq!(of(&long(MOST_WORDS)), [] as [usize; 0]);
        assert_eq!(of(&long(MOST_WORDS + 1)), [2]);
        assert_eq!(of(&format!("{}end.\n{}\n", "word ".repeat(20), "word ".repeat(20))), [] as [usize; 0]);
        let source = prose(Path::new("a.rs"), "    /// Made anew\nlet anew = 1;\n");
        assert_eq!(faults(&source).len(), 1);
        let script = prose(Path::new("rules"), "# Made anew\nmend=anew\n");
        assert_eq!(faults(&script).len(), 1);
    }

    #[test]
    fn faults_are_found_in_comments_of_c_code() {
        let of = |code: &str| {
            let found = faults(&prose(Path::new("a.bpf.c"), code));
            found.into_iter().map(|(line, _)| line).collect::<Vec<_>>()
        };
        assert_eq!(of("int anew; /* Made anew */\n/*\n * Made\n * anew.\n */\nint mend; // mend\n"), [1, 4, 6]);
        assert_eq!(of("/* One */ int a; /* made anew */\n"), [1]);
        assert_eq!(of("int puzzle(void);\n/* Fine. */\n"), [] as [usize; 0]);
        let long = |end: &str| format!("/*\n * {}{end}\n *\n * {}\n */\n", "word ".repeat(20), "word ".repeat(20));
        assert_eq!(of(&long("")), [] as [usize; 0]);
        assert_eq!(of(&long("").replace("\n *\n", "\n")), [2]);
    }
}
