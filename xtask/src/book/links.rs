//! Checks the links of a folder of HTML: each must lead to a file, and to an existing place in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use hidbpf_lab::paths::files_below;

/// This page is shown for any address, so its links are not relative.
const NOT_FOUND: &str = "404.html";

/// Returns the links that lead nowhere, each with its page. Links to other sites are not checked.
///
/// # Errors
/// A page can't be read.
pub fn dead(folder: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    for path in files_below(folder, &["html"])? {
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        pages.insert(path.strip_prefix(folder)?.to_owned(), text);
    }
    let anchors: BTreeMap<&Path, BTreeSet<&str>> =
        pages.iter().map(|(path, text)| (path.as_path(), attributes(text, "id").collect())).collect();
    let mut dead = Vec::new();
    for (path, text) in &pages {
        if path == Path::new(NOT_FOUND) {
            continue;
        }
        for link in attributes(text, "href").chain(attributes(text, "src")) {
            let link = link.replace("&amp;", "&");
            if link.contains("://") || ["mailto:", "data:"].iter().any(|scheme| link.starts_with(scheme)) {
                continue;
            }
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), ""), |(file, anchor)| (file, anchor));
            let target = if file.is_empty() { path.clone() } else { resolve(path, file) };
            let is_there = match anchors.get(target.as_path()) {
                Some(known) => anchor.is_empty() || known.contains(anchor),
                None => folder.join(&target).is_file(),
            };
            if !is_there {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    Ok(dead)
}

/// Returns the values of an attribute in double quotes.
fn attributes<'a>(html: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let begin = format!(" {name}=\"");
    html.match_indices(&begin.clone())
        .map(|(at, _)| at + begin.len())
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|at| html.get(at..)?.split_once('"').map(|(value, _)| value))
}

/// Returns the file that a link on a page leads to.
fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    let link = link.split('?').next().unwrap_or_default();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    if link.ends_with('/') { path.join("index.html") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        let page = r##"<a href="b/c.html#x">1</a> <a href="b/c.html#y">2</a> <a href="b/d.html">3</a> <img src="e.svg">
            <a href="https://example.org/">4</a> <a href="f.svg">5</a> <h1 id="top"> <a href="#top">6</a> <a href="#no">7</a>"##;
        fs::write(folder.path().join("a.html"), page).unwrap();
        fs::write(folder.path().join("b/c.html"), r#"<p id="x"> <a href="../a.html">8</a> <a href="a.html">9</a>"#)
            .unwrap();
        fs::write(folder.path().join("e.svg"), "").unwrap();
        let expected = ["a.html: b/c.html#y", "a.html: b/d.html", "a.html: f.svg", "a.html: #no", "b/c.html: a.html"];
        let found = dead(folder.path()).unwrap();
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).iter().collect::<BTreeSet<_>>());
    }
}
