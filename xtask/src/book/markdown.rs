//! The parts of Markdown that the book needs: headings, and links outside code blocks.

use anyhow::Result;

/// Returns the first heading of a page.
pub fn title(page: &str) -> &str {
    page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
}

/// Returns the anchors of a page's headings, as forges and mdBook make them.
#[cfg(test)]
pub fn anchors(page: &str) -> Vec<String> {
    let headings = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let is_kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// Returns the page with each link `[text](target)` replaced by the result of `replace`. If that is `None`, only the text stays.
///
/// # Errors
/// Those of `replace`.
pub fn with_links(page: &str, replace: &mut dyn FnMut(&str) -> Result<Option<String>>) -> Result<String> {
    let mut text = String::with_capacity(page.len());
    // Every other part is a code block, because no code block contains another fence.
    for (number, part) in page.split("\n```").enumerate() {
        if number > 0 {
            text += "\n```";
        }
        if number % 2 == 1 {
            text += part;
            continue;
        }
        let mut rest = part;
        while let Some((before, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            match replace(target)? {
                Some(target) => text += &format!("{before}]({target})"),
                None => {
                    let (front, words) = before.rsplit_once('[').unwrap_or((before, ""));
                    text += &format!("{front}{words}");
                }
            }
            rest = after;
        }
        text += rest;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_replaced_outside_of_code() {
        let page = "# A\n\n[b](c.md) and [d](e)\n```c\n[f](g)\n```\n![h](i.svg)\n";
        let mut seen = Vec::new();
        let text = with_links(page, &mut |link| {
            seen.push(link.to_owned());
            Ok((link != "e").then(|| format!("x/{link}")))
        });
        assert_eq!(text.unwrap(), "# A\n\n[b](x/c.md) and d\n```c\n[f](g)\n```\n![h](x/i.svg)\n");
        assert_eq!(seen, ["c.md", "e", "i.svg"]);
        assert_eq!(title(page), "A");
    }
}
