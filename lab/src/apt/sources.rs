//! Reads the machine's own apt sources to find its Debian archive.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Suites that only Debian's own archive has, besides the codename of the machine's own system.
const DEBIAN_SUITES: [&str; 8] = ["oldstable", "stable", "testing", "unstable", "sid", "bookworm", "trixie", "forky"];

/// One `deb` entry of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

impl Source {
    /// Returns true if the entry is Debian's main archive, and not its security archive or a third-party repository.
    fn is_debian(&self) -> bool {
        let is_release = |suite: &str| {
            let base = suite.trim_end_matches("-updates").trim_end_matches("-backports");
            DEBIAN_SUITES.contains(&base)
        };
        self.components.iter().any(|component| component == "main") && self.suites.iter().any(|suite| is_release(suite))
    }
}

/// Returns the addresses of Debian's archive in the apt configuration `etc`, without duplicates, in its order.
///
/// # Errors
/// A file can't be read, or none names a Debian archive.
pub fn debian_archives(etc: &Path) -> Result<Vec<String>> {
    let mut sources = Vec::new();
    for path in files(etc)? {
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let deb822 = path.extension().is_some_and(|extension| extension == "sources");
        sources.extend(if deb822 { parse_deb822(&text) } else { parse_lines(&text) });
    }
    let mut archives = Vec::new();
    for uri in sources.iter().filter(|source| source.is_debian()).flat_map(|source| &source.uris) {
        if !archives.contains(uri) {
            archives.push(uri.clone());
        }
    }
    if archives.is_empty() {
        bail!(
            "no Debian archive in `{0}/sources.list` or `{0}/sources.list.d`: the kernels to test on come from there",
            etc.display()
        );
    }
    Ok(archives)
}

fn files(etc: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![etc.join("sources.list")];
    let parts = etc.join("sources.list.d");
    if parts.is_dir() {
        for entry in fs::read_dir(&parts).with_context(|| format!("failed to read `{}`", parts.display()))? {
            files.push(entry.with_context(|| format!("failed to read `{}`", parts.display()))?.path());
        }
    }
    files.retain(|path| {
        path.is_file() && path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    });
    files.sort();
    Ok(files)
}

/// Parses stanzas of `Field: value`, see sources.list(5).
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in stanzas(text) {
        let words = |field: &str| -> Vec<String> {
            let value = stanza.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value);
            value.map(|value| value.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
        };
        let is_off =
            words("Enabled").first().is_some_and(|value| ["no", "false", "0", "off"].contains(&value.as_str()));
        if !is_off && words("Types").iter().any(|kind| kind == "deb") {
            sources.push(Source { uris: words("URIs"), suites: words("Suites"), components: words("Components") });
        }
    }
    sources
}

/// Splits at empty lines, drops comments, and joins a line that begins with a blank to the previous line.
fn stanzas(text: &str) -> Vec<Vec<(String, String)>> {
    let mut stanzas: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some(stanza) = stanzas.last_mut() else { continue };
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    stanzas.retain(|stanza| !stanza.is_empty());
    stanzas
}

/// Parses lines `deb [options] uri suite component...`.
fn parse_lines(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map(|(_, rest)| rest).unwrap_or_default(),
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            sources.push(Source { uris: vec![uri], suites: vec![suite], components: words.collect() });
        }
    }
    sources.retain(|source| source.uris.iter().all(|uri| !uri.starts_with("cdrom:")));
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# a comment
Types: deb deb-src
# the archive
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

types: deb
uris: http://off.example/debian
suites: trixie
components: main
enabled: no
";

    #[test]
    fn stanzas_give_the_archive_and_not_the_security_archive() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert!(sources[0].is_debian());
        assert!(!sources[1].is_debian());
    }

    #[test]
    fn lines_are_read_with_options_and_comments() {
        let sources = parse_lines(
            "#deb http://no.example/debian trixie main\n\
             deb-src http://no.example/debian trixie main\n\
             deb cdrom:[Debian 13]/ trixie main\n\
             deb [arch=amd64 signed-by=/k.gpg] https://a.example/debian trixie-backports main contrib # here\n\
             deb\thttps://b.example/apt cloud main\n",
        );
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].uris, ["https://a.example/debian"]);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert!(sources[0].is_debian());
        assert!(!sources[1].is_debian());
    }

    #[test]
    fn the_folder_is_read_in_order_and_without_repetition() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("sources.list.d")).unwrap();
        fs::write(etc.path().join("sources.list"), "deb http://one.example/debian sid main\n").unwrap();
        fs::write(etc.path().join("sources.list.d/debian.sources"), DEB822).unwrap();
        fs::write(etc.path().join("sources.list.d/z.list"), "deb http://one.example/debian trixie main\n").unwrap();
        fs::write(etc.path().join("sources.list.d/old.save"), "deb http://old.example/debian trixie main\n").unwrap();
        let archives = debian_archives(etc.path()).unwrap();
        assert_eq!(archives, ["http://one.example/debian", "http://mirror.example/debian"]);
    }

    #[test]
    fn a_machine_without_debian_is_told_so() {
        let etc = tempfile::tempdir().unwrap();
        fs::write(etc.path().join("sources.list"), "deb http://one.example/ubuntu noble main\n").unwrap();
        let error = debian_archives(etc.path()).unwrap_err().to_string();
        assert!(error.starts_with("no Debian archive in"), "{error}");
    }

    #[test]
    fn odd_text_is_no_panic() {
        for text in ["", ":", " x", "deb", "deb [", "deb [a", "Types:\n\n\n: deb", "Types: deb\nURIs:"] {
            parse_deb822(text);
            parse_lines(text);
        }
    }
}
