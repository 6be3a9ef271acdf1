//! Asks QEMU whether the machine runs, over its machine protocol (QMP) on its standard streams.
//!
//! QEMU stops a machine that its accelerator can't run, and does not exit. Only this query tells such a machine from a slow one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;

/// How often QEMU is asked.
const PERIOD: Duration = Duration::from_millis(500);

/// The states of a machine, RunState in QEMU's qapi/run-state.json, that it does not leave by itself.
const STOPPED: [&str; 5] = ["guest-panicked", "internal-error", "io-error", "paused", "watchdog"];

/// A line with an answer to `query-status`. Other answers and events have other fields.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "return")]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    status: String,
}

/// The connection to one QEMU.
#[derive(Debug)]
pub struct Monitor {
    requests: ChildStdin,
    asked: Option<Instant>,
    /// The machine's last state.
    state: Arc<Mutex<Option<String>>>,
}

impl Monitor {
    /// Connects to a QEMU whose standard input and output are pipes to this process.
    ///
    /// # Errors
    /// They are not pipes.
    pub fn connect(qemu: &mut Child) -> Result<Self> {
        let requests = qemu.stdin.take().context("QEMU has no standard input")?;
        let answers = qemu.stdout.take().context("QEMU has no standard output")?;
        let state = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&state);
        // The thread ends with QEMU, which closes the pipe.
        thread::spawn(move || listen(answers, &kept));
        let mut monitor = Self { requests, asked: None, state };
        monitor.send("qmp_capabilities");
        Ok(monitor)
    }

    /// Returns the state in which the machine was stopped, if it was. Sends the query for the next call.
    pub fn stopped(&mut self) -> Option<String> {
        if self.asked.is_none_or(|asked| asked.elapsed() > PERIOD) {
            self.asked = Some(Instant::now());
            self.send("query-status");
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone().filter(|state| STOPPED.contains(&state.as_str()))
    }

    /// Sends a command. This fails only if QEMU has ended, and its exit status shows that.
    fn send(&mut self, command: &str) {
        let _ = writeln!(self.requests, "{{\"execute\":\"{command}\"}}");
    }
}

fn listen(answers: ChildStdout, state: &Mutex<Option<String>>) {
    for line in BufReader::new(answers).lines().map_while(Result::ok) {
        if let Ok(Answer { status }) = serde_json::from_str(&line) {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = Some(status.status);
        }
    }
}
