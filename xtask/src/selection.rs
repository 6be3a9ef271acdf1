//! Chooses the cases for a kernel.
//!
//! The newest kernel runs all of them. Other kernels run those whose result may differ there, unless the user asks for all.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use hidbpf_lab::fault::Fault;
use hidbpf_lab::process;
use hidbpf_lab::protocol::{Breadth, Generation, Listed};

use crate::artifacts::Artifacts;

/// The generation of the kernel that runs all of its cases.
const NEWEST: Generation = Generation::StructOps;

/// The cases that the user asks for.
#[derive(Clone, Debug)]
pub struct Selection {
    cases: Vec<Listed>,
    /// Whether each kernel runs all cases that are for it.
    all: bool,
}

/// The cases for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The cases to run.
    pub cases: Vec<&'a Listed>,
    /// The number of cases left for a run with --all.
    pub left: usize,
}

impl Selection {
    /// Asks the guest for its cases, and takes those whose names contain one of `filters`, or all without filters.
    ///
    /// Each kernel runs cases that the user names.
    ///
    /// # Errors
    /// The guest can't be asked, or has no such case: [`Fault::Usage`].
    pub fn new(artifacts: &Artifacts, filters: &[String], all: bool) -> Result<Self> {
        let listed = process::output(process::command(&artifacts.guest).arg("--list"))?;
        let lines =
            listed.lines().map(|line| serde_json::from_str(line).with_context(|| format!("failed to read `{line}`")));
        let cases: Vec<Listed> = lines
            .collect::<Result<_>>()
            .with_context(|| format!("failed to list the cases of `{}`", artifacts.guest.display()))?;
        Self::of(cases, filters, all)
    }

    fn of(mut cases: Vec<Listed>, filters: &[String], all: bool) -> Result<Self> {
        cases.retain(|case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str())));
        if cases.is_empty() {
            return Err(Fault::Usage(format!("no case's name contains {}", filters.join(" or "))).into());
        }
        Ok(Self { cases, all: all || !filters.is_empty() })
    }

    /// Returns true if a case needs udev-hid-bpf.
    pub fn needs_udev_hid_bpf(&self) -> bool {
        self.cases.iter().any(|case| case.udev_hid_bpf)
    }

    /// Returns the cases for a kernel of this generation. `everything` means that it is the newest.
    pub fn choose(&self, generation: Generation, everything: bool) -> Chosen<'_> {
        let mut chosen = Chosen::default();
        let mut families = BTreeSet::new();
        for case in self.cases.iter().filter(|case| case.generations.contains(&generation)) {
            let is_wanted = match case.breadth {
                _ if self.all || everything => true,
                // Cases that are not for the newest kernel would run nowhere else.
                _ if !case.generations.contains(&NEWEST) => true,
                Breadth::EachKernel => true,
                Breadth::EachGeneration => generation != NEWEST,
                Breadth::Newest => false,
                Breadth::FirstOfFamily => families.insert(&case.family),
            };
            if is_wanted {
                chosen.cases.push(case);
            } else {
                chosen.left += 1;
            }
        }
        chosen
    }
}

/// Deals cases to as many machines, so that similar neighbours go to different ones.
pub fn deal(names: &[String], machines: usize) -> Vec<Vec<String>> {
    (0..machines).map(|first| names.iter().skip(first).step_by(machines).cloned().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, breadth: Breadth, family: Option<&str>) -> Listed {
        Listed {
            name: name.into(),
            generations: vec![Generation::FmodRet, Generation::StructOps],
            breadth,
            family: family.map(str::to_owned),
            udev_hid_bpf: false,
        }
    }

    fn cases() -> Vec<Listed> {
        let only_old = Listed { generations: vec![Generation::FmodRet], ..case("only-old", Breadth::Newest, None) };
        vec![
            case("load", Breadth::EachKernel, None),
            case("faults", Breadth::EachGeneration, None),
            case("configuration", Breadth::Newest, None),
            case("mouse", Breadth::FirstOfFamily, Some("event")),
            case("pen", Breadth::FirstOfFamily, Some("descriptor")),
            case("pad", Breadth::FirstOfFamily, Some("event")),
            only_old,
        ]
    }

    fn chosen(filters: &[&str], all: bool, generation: Generation, everything: bool) -> (String, usize) {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let selection = Selection::of(cases(), &filters, all).unwrap();
        let chosen = selection.choose(generation, everything);
        let names: Vec<&str> = chosen.cases.iter().map(|case| case.name.as_str()).collect();
        (names.join(" "), chosen.left)
    }

    #[test]
    fn the_newest_kernel_runs_everything_and_others_what_can_differ() {
        use Generation::{FmodRet, StructOps};
        let everything = "load faults configuration mouse pen pad";
        assert_eq!(chosen(&[], false, StructOps, true), (everything.to_owned(), 0));
        assert_eq!(chosen(&[], false, StructOps, false), ("load mouse pen".to_owned(), 3));
        assert_eq!(chosen(&[], false, FmodRet, false), ("load faults mouse pen only-old".to_owned(), 2));
        assert_eq!(chosen(&[], true, StructOps, false), (everything.to_owned(), 0));
        assert_eq!(chosen(&[], true, FmodRet, false), (format!("{everything} only-old"), 0));
        assert_eq!(chosen(&[], false, Generation::None, false), (String::new(), 0));
    }

    #[test]
    fn what_is_asked_for_by_name_runs_on_each_kernel() {
        assert_eq!(chosen(&["pa", "config"], false, Generation::StructOps, false), ("configuration pad".to_owned(), 0));
        let error = Selection::of(cases(), &["no-such".to_owned()], false).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::Usage(_))), "{error:#}");
    }

    #[test]
    fn cases_are_dealt_out_evenly_and_each_once() {
        let names: Vec<String> = (0..101).map(|number| number.to_string()).collect();
        let dealt = deal(&names, 3);
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [34, 34, 33]);
        assert_eq!(dealt[1][..2], ["1", "4"]);
        let mut all = dealt.concat();
        all.sort_by_key(|name| name.parse::<usize>().unwrap());
        assert_eq!(all, names);
        assert!(deal(&[], 0).is_empty());
    }
}
