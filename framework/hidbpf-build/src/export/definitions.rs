//! Splits C code into its definitions, and finds those that others need.

use std::collections::BTreeSet;

/// What a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Include,
    Macro,
    /// The driver's last line, which lists the hooks.
    Last,
    /// A function, a variable or a type.
    Other,
}

/// A definition at the top level of a source, with the comment above it.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub kind: Kind,
    pub text: String,
    /// Whether an empty line precedes it.
    pub is_apart: bool,
    /// The names that it defines.
    pub names: Vec<String>,
    /// All names and numbers in it, without those in comments and texts.
    pub words: BTreeSet<String>,
    /// The names that it makes of others with `##`, split at those: `HID_USAGE_##page##_##name`.
    pasted: Vec<Vec<Part>>,
}

/// A part of a pasted name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(String),
    /// A parameter of the macro.
    Any,
}

/// The driver's last line.
const LAST: &str = "HIDBPF_DRIVER";

/// Words that are never the name of a definition.
const KEYWORDS: [&str; 21] = [
    "static",
    "const",
    "volatile",
    "extern",
    "inline",
    "struct",
    "union",
    "enum",
    "typedef",
    "unsigned",
    "signed",
    "int",
    "char",
    "long",
    "short",
    "void",
    "__always_inline",
    "__attribute__",
    "_Bool",
    "unused",
    "HIDBPF__UNUSED",
];

/// Splits C code into its definitions, without the preprocessor's conditions. In the headers that matter here, the
/// only condition at the top level surrounds the whole header.
pub(super) fn parse(text: &str) -> Vec<Definition> {
    let mut found: Vec<Definition> = Vec::new();
    let (mut comment, mut is_apart, mut lines) = (String::new(), false, text.lines().peekable());
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            // A comment that stands alone is about a part of the header.
            comment.clear();
            is_apart = true;
            continue;
        }
        let mut chunk = format!("{line}\n");
        if line.starts_with("//") {
            continue;
        }
        if line.starts_with("/*") {
            while !chunk.trim_end().ends_with("*/") {
                let Some(line) = lines.next() else { break };
                chunk += &format!("{line}\n");
            }
            comment += &chunk;
            continue;
        }
        if line.starts_with('#') {
            while chunk.trim_end().ends_with('\\') {
                let Some(line) = lines.next() else { break };
                chunk += &format!("{line}\n");
            }
        } else {
            while !is_whole(&chunk, lines.peek().copied()) {
                let Some(line) = lines.next() else { break };
                chunk += &format!("{line}\n");
            }
        }
        let comment = std::mem::take(&mut comment);
        if let Some(definition) = Definition::of(&comment, &chunk, std::mem::take(&mut is_apart)) {
            // An assertion is about the definition before it.
            match (chunk.starts_with("_Static_assert"), found.last_mut()) {
                (true, Some(last)) => {
                    last.text += &definition.text;
                    last.words.extend(definition.words);
                }
                _ => found.push(definition),
            }
        }
    }
    found
}

/// Returns whether a declaration or a function is complete. `next` is the line after it.
fn is_whole(chunk: &str, next: Option<&str>) -> bool {
    let code = without_comments(chunk);
    let depth = |open, close| code.matches(open).count() as i64 - code.matches(close).count() as i64;
    let ends = code.trim_end();
    depth('{', '}') == 0
        && depth('(', ')') == 0
        // A macro with a body as its argument has no semicolon.
        && (ends.ends_with(';') || ends.ends_with('}') || ends.ends_with("})") || ends.ends_with(')') && next.is_none_or(|next| next.trim().is_empty()))
}

impl Definition {
    fn of(comment: &str, chunk: &str, is_apart: bool) -> Option<Definition> {
        let code = without_comments(chunk);
        let words = words(&code);
        let (kind, names) = if let Some(rest) = code.strip_prefix("#define ") {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // The guard of a header.
            if rest.trim() == name && name.ends_with("_H") {
                return None;
            }
            (Kind::Macro, vec![name])
        } else if code.starts_with("#include") {
            (Kind::Include, Vec::new())
        } else if code.starts_with('#') {
            return None;
        } else if code.starts_with(LAST) && code[LAST.len()..].starts_with('(') {
            (Kind::Last, Vec::new())
        } else {
            (Kind::Other, names(&code))
        };
        let pasted = if kind == Kind::Macro { pasted(&code) } else { Vec::new() };
        Some(Definition { kind, text: format!("{comment}{chunk}"), is_apart, names, words, pasted })
    }
}

/// Returns the names that a declaration or a function defines.
fn names(code: &str) -> Vec<String> {
    let head = code.split(['{', '=', ';']).next().unwrap_or(code);
    let is_name = |word: &&str| !KEYWORDS.contains(word) && word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let split = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(is_name).map(str::to_owned).collect()
    };
    if let Some((before, after)) = head.split_once('(') {
        let before = split(before);
        return match before.as_slice() {
            // A macro that defines its first argument.
            [only] if head.starts_with(only.as_str()) => split(after).into_iter().take(1).collect(),
            _ => before.into_iter().last().into_iter().collect(),
        };
    }
    let mut names: Vec<String> = split(head.split('[').next().unwrap_or(head)).into_iter().rev().take(1).collect();
    if code.starts_with("enum") {
        names.extend(split(code));
    }
    names
}

/// Returns the names and numbers in code, also those that `##` would join.
fn words(code: &str) -> BTreeSet<String> {
    let plain = without_texts(code);
    plain
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the pasted names in a macro.
fn pasted(code: &str) -> Vec<Vec<Part>> {
    let parameters: BTreeSet<String> = match code.split_once('(') {
        Some((name, rest)) if !name.trim_start_matches("#define ").contains(' ') => {
            words(rest.split(')').next().unwrap_or(""))
        }
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    let code = code.replace(" ## ", "##");
    for joined in code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#')) {
        if joined.contains("##") {
            let part = |text: &str| match parameters.contains(text) {
                true => Part::Any,
                false => Part::Fixed(text.to_owned()),
            };
            found.push(joined.split("##").map(part).collect());
        }
    }
    found
}

/// Returns whether a name can be made by pasting, with words that are in use.
fn is_made(name: &str, parts: &[Part], words: &BTreeSet<String>) -> bool {
    match parts {
        [] => name.is_empty(),
        [Part::Fixed(text), rest @ ..] => {
            name.strip_prefix(text.as_str()).is_some_and(|name| is_made(name, rest, words))
        }
        [Part::Any, rest @ ..] => (0..=name.len()).filter(|end| name.is_char_boundary(*end)).any(|end| {
            let (word, after) = name.split_at(end);
            (word.is_empty() || words.contains(word)) && is_made(after, rest, words)
        }),
    }
}

/// Returns the definitions of `sdk` that `driver` needs, directly or through others.
pub(super) fn closure(driver: &[Definition], sdk: &[Definition]) -> Vec<Definition> {
    let mut is_used = vec![false; sdk.len()];
    let driver = driver.iter().filter(|item| ![Kind::Include, Kind::Last].contains(&item.kind));
    let mut words: BTreeSet<String> = driver.clone().flat_map(|item| item.words.iter().cloned()).collect();
    let mut pasted: Vec<Vec<Part>> = driver.flat_map(|item| item.pasted.iter().cloned()).collect();
    loop {
        let before = is_used.iter().filter(|used| **used).count();
        for (item, used) in sdk.iter().zip(&mut is_used) {
            let is_named =
                |name: &String| words.contains(name) || pasted.iter().any(|parts| is_made(name, parts, &words));
            if !*used && item.names.iter().any(is_named) {
                *used = true;
                words.extend(item.words.iter().cloned());
                pasted.extend(item.pasted.iter().cloned());
            }
        }
        if is_used.iter().filter(|used| **used).count() == before {
            break;
        }
    }
    sdk.iter().zip(is_used).filter(|(_, used)| *used).map(|(item, _)| item.clone()).collect()
}

fn without_comments(code: &str) -> String {
    let mut plain = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("/*") {
        plain += &rest[..start];
        rest = rest[start..].split_once("*/").map_or("", |(_, rest)| rest);
    }
    plain + rest
}

fn without_texts(code: &str) -> String {
    code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "/* About the header. */
#ifndef A_H
#define A_H

/* Two lines
 * of a comment. */
#define ONE(a) ONE_##a
#define ONE_x 1
#define ONE_y THREE
enum { THREE = 3, FOUR };

static __always_inline struct thing *work(struct thing *thing, int (*step)(void *))
{
\tif (thing) {
\t\treturn 0;
\t}
}
_Static_assert(FOUR == 4, \"work()\");
struct thing {
\tint member;
};
static volatile __u32 state HIDBPF__UNUSED;
MAKE(made, { work(0); })

#endif
";

    #[test]
    fn code_is_split_into_definitions() {
        let items = parse(HEADER);
        let names: Vec<_> = items.iter().map(|item| item.names[0].as_str()).collect();
        assert_eq!(names, ["ONE", "ONE_x", "ONE_y", "THREE", "work", "thing", "state", "made"]);
        assert!(items[0].text.starts_with("/* Two lines\n") && items[0].is_apart && !items[1].is_apart);
        assert!(items[3].names.contains(&"FOUR".to_owned()));
        assert!(items[4].text.ends_with("_Static_assert(FOUR == 4, \"work()\");\n"));
    }

    #[test]
    fn only_what_is_needed_is_found() {
        let found = |driver: &str| -> Vec<String> {
            closure(&parse(driver), &parse(HEADER)).iter().map(|item| item.names[0].clone()).collect()
        };
        assert_eq!(found("int a = ONE(x);\n"), ["ONE", "ONE_x"]);
        assert_eq!(found("int a = ONE(y);\n"), ["ONE", "ONE_y", "THREE"]);
        assert_eq!(found("int a; /* state */\n"), Vec::<String>::new());
        assert_eq!(found("int a = work(0);\n"), ["THREE", "work", "thing"]);
    }
}
