//! Runs every command in README and docs: here, or in the virtual machines (the case `documentation`).
//!
//! If running it makes no sense, the page gives the reason and the command runs nowhere. A command of `cargo xtask` only has to parse its
//! arguments, because the tests themselves cover its effect.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use hidbpf::manifest::Manifest;
use hidbpf_build::{Clang, Sdk};
use hidbpf_tests::walkthrough::{self, FIXING_WITHOUT_CODE, PAGES, Place, Step, WRITING_A_DRIVER, steps};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Returns the commands of a page.
fn commands(path: &str, text: &str) -> Vec<walkthrough::Command> {
    let steps = steps(text).unwrap_or_else(|error| panic!("{path}: {error:#}"));
    let command = |step| match step {
        Step::Command(command) => command,
        Step::Edit(edit) => panic!("{path}:{}: only writing-a-driver.md has edits", edit.line),
    };
    steps.into_iter().map(command).collect()
}

/// Makes a folder that looks like a checkout. Returns a search path whose `hidbpf` is the built one, with the drivers installed.
fn reader(scratch: &Path) -> OsString {
    for name in ["drivers", "docs"] {
        symlink(root().join(name), scratch.join(name)).expect("a link can be made");
    }
    let bin = scratch.join("bin");
    fs::create_dir(&bin).expect("a folder can be made");
    let hidbpf = common::hidbpf();
    let (program, drivers) = (Path::new(hidbpf.get_program()), hidbpf_drivers::objects_dir());
    let script = format!("#!/bin/sh\nexec '{}' --drivers '{}' \"$@\"\n", program.display(), drivers.display());
    fs::write(bin.join("hidbpf"), script).expect("a script can be written");
    fs::set_permissions(bin.join("hidbpf"), fs::Permissions::from_mode(0o755)).expect("a script can be run");
    let path = env::var_os("PATH").expect("PATH is set");
    env::join_paths([bin].into_iter().chain(env::split_paths(&path))).expect("a search path can be made")
}

#[test]
fn every_command_is_run() {
    let (mut run, mut machine) = (0, 0);
    let mut skipped = Vec::new();
    for (page, text) in PAGES {
        let scratch = tempfile::tempdir().unwrap();
        let path = reader(scratch.path());
        for command in commands(page, text) {
            let at = format!("{page}:{}", command.line);
            match &command.place {
                Place::Machine => machine += 1,
                Place::Nowhere(why) => skipped.push(format!("skipped: {at}: `{}`: {why}", command.text)),
                Place::Here => {
                    match command.text.strip_prefix("cargo xtask ") {
                        Some(arguments) => {
                            let mut help = Command::new("sh");
                            help.args(["-c", &format!("cargo xtask {arguments} --help")]).env("PATH", &path);
                            let output = help.current_dir(root()).output().unwrap();
                            assert!(output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stderr));
                        }
                        None => {
                            let printed = command.run(scratch.path(), &path);
                            let checked = printed.and_then(|printed| command.check(&printed));
                            checked.unwrap_or_else(|error| panic!("{at}: {error:#}"));
                        }
                    }
                    run += 1;
                }
            }
        }
    }
    for line in &skipped {
        eprintln!("{line}");
    }
    eprintln!("{run} commands run here, {machine} in the virtual machines, {} skipped", skipped.len());
    assert!(run > 5 && machine > 5, "{run} run here, {machine} in the virtual machines");
}

/// Every page with commands is in the list.
#[test]
fn every_page_is_looked_at() {
    let known: BTreeSet<&str> = PAGES
        .iter()
        .map(|(page, _)| *page)
        .chain(["docs/writing-a-driver.md", "docs/fixing-without-code.md"])
        .collect();
    let mut pages = Vec::new();
    for folder in [".", "docs", "docs/devices", "fuzz", "packaging"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            pages.extend(name.ends_with(".md").then(|| format!("{folder}/{name}").trim_start_matches("./").to_owned()));
        }
    }
    for page in pages {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let found = steps(&text).unwrap_or_else(|error| panic!("{page}: {error:#}"));
        assert!(
            found.is_empty() || known.contains(page.as_str()),
            "{page} has commands, and nobody runs them: {found:?}"
        );
    }
}

/// Every `hidbpf COMMAND` in a sentence is a command.
#[test]
fn commands_in_sentences_are_there() {
    let mut words = BTreeSet::new();
    for (_, text) in PAGES.iter().chain([("", WRITING_A_DRIVER), ("", FIXING_WITHOUT_CODE)].iter()) {
        for quoted in text.split('`').skip(1).step_by(2) {
            let typed = quoted.strip_prefix("sudo ").unwrap_or(quoted);
            let word =
                typed.strip_prefix("hidbpf ").and_then(|rest| rest.split(' ').find(|word| !word.starts_with('-')));
            words.extend(word.filter(|word| word.chars().all(|c| c.is_ascii_lowercase())).map(str::to_owned));
        }
    }
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        let output = common::hidbpf().args(["help", &word]).output().unwrap();
        assert!(output.status.success(), "`hidbpf {word}` is in the documentation, and is not a command");
    }
}

/// Returns the blocks of a page with this kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect("a page can be read");
    let begin = format!("\n```{kind}\n");
    text.split(&begin)
        .skip(1)
        .map(|rest| rest.split_once("\n```").expect("a block has an end").0.to_owned() + "\n")
        .collect()
}

/// The drivers on the page about the SDK compile, and the example on the page about manifests is valid.
#[test]
fn sources_and_manifests_are_whole() {
    // The mode switch is that of another driver, which has its option.
    let is_of_one_driver = |block: &String| !block.starts_with("[mode-switch]");
    let manifest: String = blocks("docs/manifest.md", "toml").into_iter().filter(is_of_one_driver).collect();
    let (sources, scratch) = (blocks("docs/sdk.md", "c"), tempfile::tempdir().unwrap());
    assert!(sources.len() > 1 && manifest.contains("[[option]]"));
    let clang = Clang::find().unwrap();
    for (number, source) in sources.iter().enumerate() {
        let folder = scratch.path().join(format!("page-{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("driver.bpf.c"), source).unwrap();
        // The manifest declares the fields and exports of the source and nothing else. No source has an option.
        let declared = [("HIDBPF_FIELD(", "[[field]]"), ("HIDBPF_EXPORT(", "[[export]]")];
        let is_declared = |block: &String| {
            block.starts_with("device =")
                || declared.iter().any(|(by, head)| source.contains(by) && block.starts_with(head))
        };
        let manifest: String = blocks("docs/manifest.md", "toml").into_iter().filter(is_declared).collect();
        fs::write(folder.join("driver.toml"), manifest).unwrap();
        let built = hidbpf_build::compile(&clang, &Sdk::Embedded, &folder, scratch.path());
        let built = built.unwrap_or_else(|error| panic!("docs/sdk.md: {error}\n{source}"));
        assert!(built.warnings.is_empty(), "docs/sdk.md: {:?}\n{source}", built.warnings);
    }
    let path = scratch.path().join("driver.toml");
    fs::write(&path, manifest).unwrap();
    let manifest = Manifest::read(&path).unwrap_or_else(|error| panic!("docs/manifest.md: {error}"));
    let counts = [manifest.options.len(), manifest.fields.len(), manifest.exports.len(), manifest.matches.len()];
    // The match rule of the example, and two models.
    assert_eq!(counts, [2, 1, 1, 3]);
    assert_eq!((manifest.maps.len(), manifest.keymap.0.len()), (1, 2));
}

/// The file on the page about the configuration is valid.
#[test]
fn the_configuration_can_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let [file] = &blocks("docs/configuration-file.md", "toml")[..] else { panic!("expected one file") };
    fs::write(scratch.path().join("hidbpf.toml"), file).unwrap();
    let shown = common::hidbpf().arg("--config").arg(scratch.path()).arg("config").output().unwrap();
    common::check(&shown, 0, &[]);
    for line in ["mouse-invert-y: enabled = true", "huion-dial-2: enabled = false"] {
        assert!(common::stdout(&shown).contains(line), "expected `{line}` in {}", common::stdout(&shown));
    }
}

/// The picture of before and after is the command's output.
#[test]
fn the_picture_is_what_inspect_draws() {
    const PICTURE: &str = "docs/before-and-after.svg";
    const RECORDING: &str = "drivers/huion-inspiroy-2-s/recordings/firmware-mode-pad.hid";
    let scratch = tempfile::tempdir().unwrap();
    let drawn = scratch.path().join("drawn.svg");
    let recording = root().join(RECORDING);
    let arguments =
        ["inspect", recording.to_str().unwrap(), "--diff", "huion-inspiroy-2-s", "--svg", drawn.to_str().unwrap()];
    common::check(&common::with_drivers(&arguments), 0, &[]);
    let kept = fs::read_to_string(root().join(PICTURE)).unwrap();
    assert!(
        kept == fs::read_to_string(&drawn).unwrap(),
        "{PICTURE} is another one: `hidbpf inspect {RECORDING} --diff huion-inspiroy-2-s --svg {PICTURE}` draws it anew"
    );
}
