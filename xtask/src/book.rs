//! The book of the documentation: docs/ as HTML with search, built by mdBook.
//!
//! Pages link to files all over the repository. This module first copies the pages and changes their links to stay in the book: to a page,
//! or to a copy of the file. It adds the driver's manifest and source to each driver's page.

mod links;
mod markdown;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hidbpf_lab::fault::Fault;
use hidbpf_lab::paths::{Paths, files_below, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::screen;

use crate::cargo;

/// The version of mdBook, and its build arguments. It is compiled once, into `target/tools`.
const VERSION: &str = "0.5.4";

/// The folder of the copied pages and the folder of the built book, from the workspace's root. book.toml has both.
const PAGES: &str = "target/book/src";
const BOOK: &str = "target/book/html";

/// Pages outside docs/, and their names in the book.
const OUTSIDE: [(&str, &str); 5] = [
    ("README.md", "introduction.md"),
    ("CONTRIBUTING.md", "CONTRIBUTING.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("fuzz/README.md", "fuzzing.md"),
];

/// The line of the summary above the drivers' pages.
const DEVICES: &str = "- [Devices](devices/index.md)\n";

/// Builds the book, checks its links, and returns its first page.
///
/// # Errors
/// mdBook is not available or fails, a page can't be copied, or a link leads nowhere.
pub fn build(paths: &Paths) -> Result<PathBuf> {
    let root = &paths.root;
    let mdbook = mdbook(paths)?;
    remove_folder(&root.join(PAGES))?;
    remove_folder(&root.join(BOOK))?;
    copy_pages(root)?;
    process::output(process::command(mdbook).arg("build").arg(root))?;
    let dead = links::dead(&root.join(BOOK))?;
    if !dead.is_empty() {
        bail!(Fault::Failed(format!("the book has links that lead nowhere:\n  {}", dead.join("\n  "))));
    }
    Ok(root.join(BOOK).join("index.html"))
}

/// Returns the program mdBook. Compiles it if it is missing.
fn mdbook(paths: &Paths) -> Result<PathBuf> {
    let tools = &paths.tools;
    let program = tools.join("bin/mdbook");
    let version = || process::output(process::command(&program).arg("--version"));
    let is_there = || program.exists() && version().is_ok_and(|said| said.trim() == format!("mdbook v{VERSION}"));
    if !is_there() {
        let step = screen::step("tools", "compiling mdBook, which takes a minute");
        let mut install =
            cargo::command(&paths.root, &["install", "mdbook", "--version", VERSION, "--locked", "--debug"]);
        install.args(["--no-default-features", "--features", "search", "--force", "--root"]).arg(tools);
        process::output(install.arg("--target-dir").arg(tools.join("build"))).context("failed to install mdBook")?;
        step.done(&format!("mdBook {VERSION}"));
    }
    Ok(program)
}

/// Copies all pages to mdBook's source folder.
fn copy_pages(root: &Path) -> Result<()> {
    let mut pages = pages_of(&root.join("docs"))?;
    pages.extend(OUTSIDE.iter().map(|(path, name)| ((*name).to_owned(), root.join(path))));
    let mut devices = String::new();
    for (name, path) in &pages {
        let to = root.join(PAGES).join(name);
        make_parent(&to)?;
        if !name.ends_with(".md") {
            fs::copy(path, &to).with_context(|| format!("failed to copy `{}`", path.display()))?;
            continue;
        }
        let mut text = read(path)?;
        if let Some(driver) = name.strip_prefix("devices/").and_then(|name| name.strip_suffix(".md"))
            && driver != "index"
        {
            devices += &format!("  - [{}]({name})\n", markdown::title(&text));
            text += &source(root, driver)?;
        }
        fs::write(&to, markdown::with_links(&text, &mut |link| in_book(root, name, path, link))?)
            .with_context(|| format!("failed to write `{}`", to.display()))?;
    }
    let summary = root.join(PAGES).join("SUMMARY.md");
    let text = read(&summary)?;
    if !text.contains(DEVICES) {
        bail!("docs/SUMMARY.md has no line `{}`", DEVICES.trim());
    }
    fs::write(&summary, text.replace(DEVICES, &format!("{DEVICES}{devices}"))).context("failed to write the summary")
}

/// Returns the files of docs/ that belong to the book, by their names in it.
fn pages_of(docs: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = files_below(docs, &["md", "png", "svg", "json"])?.into_iter();
    files.map(|path| Ok((page_name(&path.strip_prefix(docs)?.to_string_lossy()), path))).collect()
}

/// Returns the name in the book of a file of docs/. The page that forges show for a folder becomes the folder's index.
fn page_name(path: &str) -> String {
    match path.strip_suffix("README.md") {
        Some(folder) => format!("{folder}index.md"),
        None => path.to_owned(),
    }
}

/// Returns the text that a driver's folder adds to its page.
fn source(root: &Path, driver: &str) -> Result<String> {
    let folder = root.join("drivers").join(driver);
    let manifest = read(&folder.join("driver.toml"))?;
    // A driver without C declares its repair in the manifest.
    let source = folder.join("driver.bpf.c");
    let code = if source.exists() { format!("\n## Source\n\n```c\n{}```\n", read(&source)?) } else { String::new() };
    let notes = folder.join("README.md");
    // The page has the heading already.
    let notes = if notes.exists() {
        read(&notes)?.split_once('\n').map(|(_, notes)| format!("\n## Notes\n{notes}"))
    } else {
        None
    };
    let notes = notes.unwrap_or_default();
    Ok(format!("{notes}\n## Manifest\n\n```toml\n{manifest}```\n{code}"))
}

/// Returns a link of the page `name`, at the file `path`, as it is in the book. `None` for a folder, which has no page.
fn in_book(root: &Path, name: &str, path: &Path, link: &str) -> Result<Option<String>> {
    let Some((file, anchor)) = target(path, link)? else { return Ok(Some(link.to_owned())) };
    if link.starts_with('#') {
        return Ok(Some(link.to_owned()));
    }
    let inside = file.strip_prefix(root.canonicalize().context("failed to find the workspace's root")?)?;
    let outside = OUTSIDE.iter().find(|(page, _)| inside == Path::new(page)).map(|(_, name)| (*name).to_owned());
    let there = match (outside, inside.strip_prefix("docs")) {
        (Some(name), _) => name,
        (None, Ok(inside)) => page_name(&inside.to_string_lossy()),
        (None, Err(_)) if file.is_dir() => return Ok(None),
        (None, Err(_)) => {
            // A browser shows a text file.
            let there = format!("source/{}.txt", inside.display());
            let copy = root.join(PAGES).join(&there);
            make_parent(&copy)?;
            fs::copy(&file, &copy).with_context(|| format!("failed to copy `{}`", file.display()))?;
            there
        }
    };
    let up = "../".repeat(name.matches('/').count());
    Ok(Some(format!("{up}{there}{}", anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default())))
}

/// Returns the file and the anchor that a link of the page `path` leads to. `None` for other sites.
fn target<'a>(path: &Path, link: &'a str) -> Result<Option<(PathBuf, Option<&'a str>)>> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    if file.contains("://") || file.starts_with("mailto:") {
        return Ok(None);
    }
    let target = if file.is_empty() { path.to_owned() } else { path.parent().unwrap_or(path).join(file) };
    let target =
        target.canonicalize().with_context(|| format!("{}: the link `{link}` leads nowhere", path.display()))?;
    Ok(Some((target, anchor)))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all pages, with their paths in the sources.
    fn all_pages() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        pages_of(&root.join("docs"))
            .unwrap()
            .into_values()
            .chain(OUTSIDE.map(|(path, _)| root.join(path)))
            .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
            .collect()
    }

    #[test]
    fn every_link_of_the_pages_leads_somewhere() {
        let mut count = 0;
        for page in all_pages() {
            let check = &mut |link: &str| {
                count += 1;
                if let Some((file, Some(anchor))) = target(&page, link)? {
                    let known = markdown::anchors(&read(&file)?);
                    assert!(known.iter().any(|known| known == anchor), "{}: `{link}`: {known:?}", page.display());
                }
                Ok(None)
            };
            markdown::with_links(&read(&page).unwrap(), check).unwrap();
        }
        assert!(count > 100, "{count} links");
    }

    #[test]
    fn every_page_is_in_the_summary() {
        let summary = all_pages().into_iter().find(|page| page.ends_with("SUMMARY.md")).unwrap();
        let mut listed = Vec::new();
        let list = &mut |link: &str| Ok(target(&summary, link)?.map(|(file, _)| listed.push(file)).and(None));
        markdown::with_links(&read(&summary).unwrap(), list).unwrap();
        let index = summary.with_file_name("devices").join("README.md");
        for page in all_pages() {
            let is_added = page.parent() == index.parent() && page != index;
            assert!(is_added || page == summary || listed.contains(&page), "{} is not in the summary", page.display());
        }
    }

    #[test]
    fn links_stay_in_the_book() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let at = |name: &str, link: &str| in_book(&root, name, &root.join("docs").join(name), link).unwrap();
        assert_eq!(at("sdk.md", "manifest.md#fields").as_deref(), Some("manifest.md#fields"));
        assert_eq!(at("sdk.md", "#fields").as_deref(), Some("#fields"));
        assert_eq!(at("devices/README.md", "../sdk.md").as_deref(), Some("../sdk.md"));
        assert_eq!(at("sdk.md", "devices/README.md").as_deref(), Some("devices/index.md"));
        assert_eq!(at("sdk.md", "../README.md").as_deref(), Some("introduction.md"));
        assert_eq!(at("devices/README.md", "../../CONTRIBUTING.md#x").as_deref(), Some("../CONTRIBUTING.md#x"));
        assert_eq!(at("sdk.md", "../packaging/debian"), None);
        assert_eq!(at("sdk.md", "https://example.org/a#b").as_deref(), Some("https://example.org/a#b"));
        in_book(&root, "sdk.md", &root.join("docs/sdk.md"), "none.md").unwrap_err();
    }
}
