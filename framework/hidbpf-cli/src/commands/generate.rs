//! `hidbpf hwdb`, `completions`, `headers` and `man`: generate files for packages.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use hidbpf::error::{Error, ErrorKind};

use super::Context;
use crate::args::Args;
use crate::output::{self, Failure, Outcome};

/// The section of the manual for administrators' commands.
const SECTION: &str = "8";

pub fn hwdb(context: &Context) -> Outcome {
    let catalog = context.catalog();
    let text = hidbpf::hwdb::Entries::automatic(&catalog.drivers).to_text();
    if context.json {
        output::json("hwdb", &text)?
    } else {
        output::text(text)?
    }
    // Print an hwdb without the unreadable drivers, but fail, because it is incomplete.
    if catalog.problems.is_empty() { Ok(()) } else { Err(catalog.problems.into()) }
}

pub fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "hidbpf", &mut script);
    output::write(|stdout| stdout.write_all(&script))
}

pub fn headers(dir: &Path) -> Outcome {
    Ok(hidbpf_build::write_foreign_headers(dir).map_err(super::build::failed)?)
}

pub fn man(dir: Option<&Path>) -> Outcome {
    let mut command = Args::command();
    command.build();
    let Some(dir) = dir else {
        let page = page(&command).map_err(Failure::Output)?;
        return output::write(|stdout| stdout.write_all(&page));
    };
    write_pages(dir, &command).map_err(|error| {
        Error::because(ErrorKind::Io, format!("failed to write the manual pages to `{}`", dir.display()), error).into()
    })
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).section(SECTION).render(&mut page)?;
    Ok(page)
}

fn write_pages(dir: &Path, command: &Command) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    std::fs::write(dir.join(format!("{name}.{SECTION}")), page(command)?)?;
    let for_people = |sub: &&Command| sub.get_name() != "help" && !sub.is_hide_set();
    command.get_subcommands().filter(for_people).try_for_each(|sub| write_pages(dir, sub))
}
