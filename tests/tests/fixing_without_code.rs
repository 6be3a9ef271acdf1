//! docs/fixing-without-code.md, run step by step as a reader would who has no compiler: every command prints the page's output.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hidbpf_tests::walkthrough::{FIXING_WITHOUT_CODE, Place, Step, steps};

/// The programs that the page uses besides hidbpf.
const PROGRAMS: [&str; 4] = ["cat", "sed", "sh", "tail"];

#[test]
fn the_page_is_right() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let bin = scratch.path().join("bin");
    fs::create_dir(&bin).expect("a folder can be made");
    for program in PROGRAMS {
        symlink(Path::new("/bin").join(program), bin.join(program)).expect("a link can be made");
    }
    symlink(common::hidbpf().get_program(), bin.join("hidbpf")).expect("a link can be made");
    let (mut run, mut edited) = (0, 0);
    for step in steps(FIXING_WITHOUT_CODE).expect("the page has the format") {
        match step {
            Step::Edit(edit) => {
                edit.apply(scratch.path()).expect("the file can be edited");
                edited += 1;
            }
            Step::Command(command) if command.place == Place::Here => {
                let printed = command.run(scratch.path(), bin.as_os_str()).expect("the command can be run");
                command.check(&printed).unwrap_or_else(|error| panic!("docs/fixing-without-code.md: {error:#}"));
                run += 1;
            }
            Step::Command(_) => {}
        }
    }
    assert!(run > 8 && edited == 1, "{run} commands run, {edited} edits");
}
