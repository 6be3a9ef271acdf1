//! No crate of this workspace, except for that of the tests, has a circle of modules.
//!
//! Reads the paths in the sources: those of `use`, and those in the code. Within a folder, its modules are compared with each
//! other. Seen from outside, a folder and everything below it are one module. What only tests use does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// The path of a module below the crate's root, which is empty.
type Module = Vec<String>;

/// For each module of a crate, the modules that it refers to.
type References = BTreeMap<Module, BTreeSet<Module>>;

/// The crate whose modules may refer to each other in circles: the cases in machines share their steps.
const TESTS: &str = "hidbpf-tests";

#[test]
fn no_crate_has_a_circle_of_modules() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let (mut circles, mut modules) = (Vec::new(), 0);
    for package in metadata.packages.iter().filter(|package| package.name.as_str() != TESTS) {
        let is_code = |kind: &cargo_metadata::TargetKind| ["lib", "bin"].contains(&kind.to_string().as_str());
        for target in package.targets.iter().filter(|target| target.kind.iter().any(is_code)) {
            let references = read(target.src_path.as_std_path());
            modules += references.len();
            circles.extend(find(&references).into_iter().map(|circle| format!("{}: {circle}", target.name)));
        }
    }
    assert!(modules > 150, "only {modules} modules were found");
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (a, b, is_circle) in [
        ("use crate::b::B;", "use crate::a::A;", true),
        ("use super::{c, b::{self, B}};", "fn f() -> crate::a::A {}", true),
        ("pub(in crate::b) fn f() {}", "// crate::a\n/* super::a */ const A: &str = \"crate::a::\";", false),
        ("use crate::b::B;", "#[cfg(test)]\nmod tests { use crate::a::A; }", false),
        ("use crate::b::deep::C;", "mod deep;", true),
        ("use crate::Root;", "", true),
        ("use crate::inline::A;", "", true),
        ("use crate::b::B; fn f<'a>(c: char) { c == '\"' }", "use crate::c::C;", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        write("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod c;\nstruct Root;\nmod inline { use crate::a::A; }\n");
        write("a.rs", a);
        write("b.rs", b);
        write("b/deep.rs", "use crate::a::A;");
        let circles = find(&read(&folder.path().join("lib.rs")));
        assert_eq!(!circles.is_empty(), is_circle, "{a} and {b}: {circles:?}");
    }
}

/// Returns the circles, each with its modules and the references that tie it.
fn find(references: &References) -> Vec<String> {
    let mut circles = Vec::new();
    let folders: BTreeSet<&[String]> = references.keys().filter_map(|module| Some(module.split_last()?.1)).collect();
    for folder in folders {
        let room = |module: &'_ Module| module.starts_with(folder).then(|| module.get(folder.len()).cloned()).flatten();
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, targets) in references {
            let Some(from) = room(from) else { continue };
            // The root refers to all its modules.
            if folder.is_empty() && targets.contains(&Module::new()) {
                circles.push(format!("`{from}` refers to the crate's root"));
            }
            let to = targets.iter().filter_map(room).filter(|to| *to != from);
            arrows.entry(from.clone()).or_default().extend(to);
        }
        let mut left: BTreeSet<&String> = arrows.keys().collect();
        while let Some(room) = left.pop_first() {
            let circle: BTreeSet<String> =
                reached(&arrows, room).into_iter().filter(|other| reached(&arrows, other).contains(room)).collect();
            if circle.len() > 1 {
                let ties = circle.iter().map(|from| {
                    let to: Vec<_> = arrows[from.as_str()].iter().filter(|to| circle.contains(*to)).cloned().collect();
                    format!("{from} -> {}", to.join(", "))
                });
                circles.push(format!("{}: {}", folder.join("::"), ties.collect::<Vec<_>>().join("; ")));
                left.retain(|room| !circle.contains(*room));
            }
        }
    }
    circles
}

/// Returns the modules to which arrows lead from one, directly or through others.
fn reached(arrows: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(
            arrows.get(module).into_iter().flatten().filter(|to| seen.insert((*to).clone())).map(String::as_str),
        );
    }
    seen
}

/// Reads a crate from the file of its root.
fn read(root: &Path) -> References {
    let mut sources = BTreeMap::new();
    let folder = root.parent().expect("the root is in a folder");
    collect(&Module::new(), tokens(&source(root)), folder, folder, &mut sources);
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let targets = |(module, tokens): (&Module, &Vec<String>)| {
        let mut paths = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let is_inside = at > 0 && tokens[at - 1] == "::";
            // `pub(crate)` and `pub(in crate::x)` are no references.
            let is_visibility = at > 0
                && ["(", "in"].contains(&tokens[at - 1].as_str())
                && tokens[..at].iter().rev().take(3).any(|it| it == "pub");
            if ["crate", "super"].contains(&token.as_str()) && !is_inside && !is_visibility {
                tree(&tokens[at..], &mut Vec::new(), &mut paths);
            }
        }
        let targets = paths.iter().filter_map(|path| resolve(module, path, &modules)).collect();
        (module.clone(), targets)
    };
    sources.iter().map(targets).collect()
}

fn source(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a source can be read")
}

/// Adds a module and those below it to `sources`: their tokens without those of other modules and of tests.
///
/// `beside` is the folder of the file, and `below` that of the module's children.
fn collect(
    module: &Module,
    tokens: Vec<String>,
    beside: &Path,
    below: &Path,
    sources: &mut BTreeMap<Module, Vec<String>>,
) {
    let (mut own, mut at) = (Vec::new(), 0);
    let mut path: Option<PathBuf> = None;
    while at < tokens.len() {
        let is = |offset: usize, expected: &str| tokens.get(at + offset).is_some_and(|token| token == expected);
        if is(0, "#") && is(2, "cfg") && is(4, "test") && is(5, ")") {
            at = end_of_item(&tokens, at + 7);
        } else if is(0, "#") && is(2, "path") {
            path = Some(beside.join(tokens[at + 4].trim_matches('"')));
            at += 6;
        } else if is(0, "mod") && is(2, ";") {
            let name = &tokens[at + 1];
            let file = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")]
                .into_iter()
                .find(|file| file.is_file());
            let file = path.take().or(file).unwrap_or_else(|| panic!("`{name}` has no file in {}", below.display()));
            let is_folder = file.ends_with("mod.rs");
            let beside = file.parent().expect("it is in a folder").to_owned();
            let below = if is_folder { beside.clone() } else { file.with_extension("") };
            let text = self::tokens(&source(&file));
            collect(&child(module, name), text, &beside, &below, sources);
            at += 3;
        } else if is(0, "mod") && is(2, "{") {
            let end = end_of_item(&tokens, at);
            let inner = tokens[at + 3..end - 1].to_vec();
            collect(&child(module, &tokens[at + 1]), inner, beside, &below.join(&tokens[at + 1]), sources);
            at = end;
        } else {
            own.push(tokens[at].clone());
            at += 1;
        }
    }
    sources.insert(module.clone(), own);
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Returns the place after the item that begins at `at`: after its `;`, or after its block.
fn end_of_item(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return index + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Adds the paths of a tree such as `crate::{a, b::{self, C}}` to `paths`. Returns the number of its tokens.
fn tree(tokens: &[String], before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let length = before.len();
    let mut at = 0;
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at += tree(&tokens[at..], before, paths).max(1);
                }
                at += 1;
                break;
            }
            Some(name) => {
                before.push(name.to_owned());
                at += 1;
                if tokens.get(at).is_none_or(|token| token != "::") {
                    paths.push(before.clone());
                    break;
                }
                at += 1;
            }
            None => break,
        }
    }
    before.truncate(length);
    at
}

/// Returns the module that a path from `module` leads into. `None` if it leads to the module itself or one around it.
fn resolve(module: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let (mut target, rest) = match supers {
        0 => (Module::new(), &path[1..]),
        _ => (module[..module.len().checked_sub(supers)?].to_vec(), &path[supers..]),
    };
    for part in rest {
        let deeper = child(&target, part);
        if !modules.contains(&deeper) {
            break;
        }
        target = deeper;
    }
    // A crate's root may pass on another crate's modules. Their names are in lower case, those of its own items are not.
    let is_item = rest.first().is_some_and(|name| name.starts_with(char::is_uppercase));
    (!target.is_empty() || is_item).then_some(target)
}

/// Splits a source into names, strings, `::` and single characters, without comments, characters and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if first == '"' {
            let length = quoted(rest, '"');
            tokens.push(rest[..length].to_owned());
            length
        } else if first == '\'' {
            // A lifetime has no second quote after its first character.
            let second = rest.chars().nth(2);
            if second == Some('\'') || rest.starts_with("'\\") { quoted(rest, '\'') } else { 1 }
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length of the raw string that a text begins with, if any.
fn raw_string(text: &str) -> Option<usize> {
    let marks = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = marks.chars().take_while(|c| *c == '#').count();
    let start = text.len() - marks.len() + hashes;
    text[start..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start + 1..].find(&end).map_or(text.len(), |at| start + 1 + at + end.len()))
}

/// Returns the length of a quoted text, which a backslash continues.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
