//! Compares the kernel's results for a recorded device with those of `hidbpf replay` for the same recording, byte for byte.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hidbpf::text::Hex;
use serde_json::Value;

use super::recordings::Takes;
use crate::guest::bench::Bench;
use crate::nodes::unhex;
use crate::protocol::Generation;

/// The amount of compared data.
#[derive(Debug, Default)]
pub struct Compared {
    drivers: BTreeSet<String>,
    descriptors: usize,
    reports: usize,
}

impl Compared {
    /// Returns the figures for users, if there are any.
    pub fn text(&self) -> Option<String> {
        let Compared { drivers, descriptors, reports } = self;
        (!drivers.is_empty()).then(|| {
            format!(
                "hidraw had, byte for byte, what `hidbpf replay` says: {descriptors} descriptors and {reports} reports of {} drivers",
                drivers.len()
            )
        })
    }
}

/// The results of `hidbpf replay` for a recording.
#[derive(Debug)]
pub struct Replayed {
    driver: String,
    answer: Value,
}

impl Replayed {
    /// Runs the command, with the programs that the kernel runs.
    ///
    /// # Errors
    /// It fails, or its output is not JSON.
    pub fn of(driver: &str, recording: &Path, bench: &Bench) -> Result<Replayed> {
        let generation = if bench.generation == Generation::FmodRet { "fmod-ret" } else { "struct-ops" };
        let path = recording.display().to_string();
        let run = bench.hidbpf(&["--json", "replay", driver, &path, "--generation", generation])?.expect(0)?;
        let answer = serde_json::from_str(&run.stdout).with_context(|| format!("the answer is not JSON\n{run}"))?;
        Ok(Replayed { driver: driver.to_owned(), answer })
    }

    /// Compares the descriptor of a device of the recording.
    ///
    /// # Errors
    /// They differ.
    pub fn compare_descriptor(&self, device: usize, in_force: &[u8], compared: &mut Compared) -> Result<()> {
        let said = self.answer["replay"]["devices"][device]["after"].as_str().context("the answer lacks the device")?;
        let in_force = Hex(in_force).to_string();
        ensure!(said == in_force, "the replay says that the descriptor is\n  {said}\nand in force is\n  {in_force}");
        compared.drivers.insert(self.driver.clone());
        compared.descriptors += 1;
        Ok(())
    }

    /// Compares the results for the report of a line. Reports that the kernel does not take, or need not take, may be missing. Reports that
    /// the driver injects later may be among them, because nothing waits for them.
    ///
    /// # Errors
    /// They differ, or the replay has no such line.
    pub fn compare_reports(
        &self,
        line: Option<usize>,
        seen: &[String],
        takes: impl Fn(&[u8]) -> Takes,
        compared: &mut Compared,
    ) -> Result<()> {
        let reports = self.answer["replay"]["reports"].as_array().into_iter().flatten();
        let said = reports
            .into_iter()
            .find(|report| line.is_some() && report["line"].as_u64() == line.map(|line| line as u64))
            .and_then(|report| report["after"].as_array())
            .context("the answer lacks the line")?;
        let later = self.answer["replay"]["later"].as_array().context("the answer lacks the injected reports")?;
        let is_later = |seen: &&String| later.iter().any(|injected| injected["report"] == **seen);
        let mut rest = seen.iter().peekable();
        for report in said {
            let report = report.as_str().context("a report of the answer is not text")?;
            while rest.next_if(|seen| *seen != report && is_later(seen)).is_some() {}
            let came = rest.next_if(|seen| *seen == report).is_some();
            match takes(&unhex(report)?) {
                Takes::Always => ensure!(came, "the replay says `{report}`, and hidraw had {seen:?}"),
                Takes::Never => ensure!(!came, "hidraw had `{report}`, which the kernel was thought not to take"),
                Takes::Perhaps => {}
            }
        }
        ensure!(rest.all(|seen| is_later(&seen)), "the replay says {said:?}, and hidraw had {seen:?}");
        compared.reports += 1;
        Ok(())
    }
}
