//! Chooses the tests to run, and finds the driver for each BPF object that a test loads.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use hidbpf_lab::fault::Fault;
use serde::Deserialize;

/// The table of objects and their drivers.
const DRIVERS: &str = include_str!("../../selftests/drivers");

/// Files with hundreds of tests that load no object and differ only by the report descriptor. They run on request.
const LONG: [&str; 2] = ["tests/test_multitouch.py", "tests/test_tablet.py"];

/// A test, as the plugin `hidbpf_list` writes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name: the file, the class, the function and the parameters.
    pub name: String,
    /// The objects that it loads.
    pub objects: Vec<String>,
}

/// The tests of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Those that run.
    pub run: Vec<String>,
    /// Those that can't run, by the object for which hidbpf has no driver.
    pub without_driver: BTreeMap<String, Vec<String>>,
    /// The number of tests left for a run with --all.
    pub left: usize,
}

/// Reads the plugin's lines and chooses the tests whose names contain one of `filters`.
///
/// Without filters it chooses the tests that load an object and those outside of [`LONG`], or `all` of them.
///
/// # Errors
/// A line is invalid, or no test has such a name: [`Fault::Usage`].
pub fn choose(lines: &str, filters: &[String], all: bool) -> Result<Chosen> {
    let mut chosen = Chosen::default();
    for line in lines.lines() {
        let test: Listed = serde_json::from_str(line).with_context(|| format!("failed to read `{line}`"))?;
        let is_long = test.objects.is_empty() && LONG.iter().any(|file| test.name.starts_with(file));
        if filters.is_empty() && is_long && !all {
            chosen.left += 1;
        } else if filters.is_empty() || filters.iter().any(|filter| test.name.contains(filter.as_str())) {
            match test.objects.into_iter().find(|object| driver(object).is_none()) {
                Some(object) => chosen.without_driver.entry(object).or_default().push(test.name),
                None => chosen.run.push(test.name),
            }
        }
    }
    if chosen.run.is_empty() && chosen.without_driver.is_empty() {
        return Err(Fault::Usage(format!("no test's name contains {}", filters.join(" or "))).into());
    }
    Ok(chosen)
}

/// Returns the driver for `object`.
fn driver(object: &str) -> Option<&'static str> {
    let lines = DRIVERS.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace());
    lines
        .filter_map(|mut words| words.next().zip(words.next()))
        .find(|(name, _)| *name == object)
        .map(|(_, driver)| driver)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LINES: &str = r#"{"name": "tests/test_tablet.py::TestElan::test_creation", "objects": []}
{"name": "tests/test_tablet.py::TestArtist::test_creation", "objects": ["XPPen__Artist24.bpf.o"]}
{"name": "tests/test_tablet.py::TestOther::test_creation", "objects": ["XPPen__Artist24.bpf.o", "Other.bpf.o"]}
{"name": "tests/test_mouse.py::TestMouse::test_buttons", "objects": []}
"#;

    fn chosen(filters: &[&str], all: bool) -> (String, String, usize) {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let chosen = choose(LINES, &filters, all).unwrap();
        let class = |name: &String| name.split("::").nth(1).unwrap().to_owned();
        let names = |names: &[String]| names.iter().map(class).collect::<Vec<_>>().join(" ");
        let without: Vec<_> =
            chosen.without_driver.iter().map(|(object, tests)| format!("{object}: {}", names(tests))).collect();
        (names(&chosen.run), without.join("; "), chosen.left)
    }

    #[test]
    fn tests_that_differ_by_the_descriptor_run_if_they_are_asked_for() {
        let without = "Other.bpf.o: TestOther".to_owned();
        assert_eq!(chosen(&[], false), ("TestArtist TestMouse".to_owned(), without.clone(), 1));
        assert_eq!(chosen(&[], true), ("TestElan TestArtist TestMouse".to_owned(), without, 0));
        assert_eq!(chosen(&["Elan", "Mouse"], false), ("TestElan TestMouse".to_owned(), String::new(), 0));
    }

    #[test]
    fn an_unknown_name_and_an_unknown_line_are_refused() {
        let error = choose(LINES, &["no-such".to_owned()], false).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::Usage(_))), "{error:#}");
        let error = choose("2975 tests collected", &[], false).unwrap_err();
        assert!(error.to_string().contains("failed to read `2975 tests collected`"), "{error:#}");
    }

    #[test]
    fn each_driver_of_the_table_exists() {
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
        let mut objects = Vec::new();
        for line in DRIVERS.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(matches!(words[..], [_, _] | [_, _, "--force"]), "{line}");
            assert!(drivers.join(words[1]).join("driver.toml").is_file(), "there is no driver `{}`", words[1]);
            assert_eq!(driver(words[0]), Some(words[1]), "two lines for `{}`", words[0]);
            objects.push(words[0]);
        }
        assert!(objects.contains(&"FR-TEC__Raptor-Mach-2.bpf.o"), "{objects:?}");
        assert_eq!(driver("#"), None);
    }
}
