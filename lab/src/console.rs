//! Searches a kernel's console for signs that the kernel can't or must not continue.

/// The kernel's messages about permanent failures, and their names in reports.
const MARKS: [(&str, &str); 13] = [
    ("Kernel panic - not syncing", "the kernel panicked"),
    ("Oops:", "the kernel oopsed"),
    ("soft lockup", "the kernel was stuck (soft lockup)"),
    ("hard LOCKUP", "the kernel was stuck (hard lockup)"),
    ("BUG:", "the kernel found a bug in itself"),
    ("kernel BUG at", "the kernel found a bug in itself"),
    ("general protection fault", "the kernel faulted"),
    ("------------[ cut here ]------------", "the kernel warned"),
    ("rcu: INFO: rcu_", "the kernel was stuck (RCU stall)"),
    ("self-detected stall", "the kernel was stuck (RCU stall)"),
    ("detected stalls on", "the kernel was stuck (RCU stall)"),
    ("detected expedited stalls", "the kernel was stuck (RCU stall)"),
    ("blocked for more than", "a task hung in the kernel"),
];

/// How many of the console's last lines a report shows.
const LAST_LINES: usize = 40;

/// The console so far.
#[derive(Debug, Default)]
pub struct Console {
    lines: Vec<String>,
    trouble: Option<&'static str>,
}

impl Console {
    /// Takes the next line. The first sign of trouble is kept.
    pub fn take(&mut self, line: &str) {
        let mark = MARKS.iter().find(|(mark, _)| line.contains(mark));
        self.trouble = self.trouble.or(mark.map(|(_, name)| *name));
        self.lines.push(line.to_owned());
    }

    /// Returns the kernel's trouble, if any.
    pub fn trouble(&self) -> Option<&'static str> {
        self.trouble
    }

    /// Returns the end of the console, for a report.
    pub fn last_lines(&self) -> String {
        crate::process::last_lines(&self.lines.join("\n"), LAST_LINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(text: &str) -> Option<&'static str> {
        let mut console = Console::default();
        text.lines().for_each(|line| console.take(line));
        console.trouble()
    }

    #[test]
    fn trouble_is_seen_and_the_first_mark_names_it() {
        for (line, name) in [
            ("[    1.2] Kernel panic - not syncing: Attempted to kill init!", "the kernel panicked"),
            ("[    1.2] BUG: kernel NULL pointer dereference, address: 00", "the kernel found a bug in itself"),
            ("[   62.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", "the kernel was stuck (soft lockup)"),
            ("[   21.0] rcu: INFO: rcu_preempt self-detected stall on CPU", "the kernel was stuck (RCU stall)"),
            ("[  242.8] INFO: task kworker/0:1:9 blocked for more than 120 seconds.", "a task hung in the kernel"),
            ("[    3.0] ------------[ cut here ]------------", "the kernel warned"),
        ] {
            assert_eq!(trouble(line), Some(name), "{line}");
        }
        assert_eq!(trouble("[ 1.0] Oops: 0000 [#1]\n[ 1.1] Kernel panic - not syncing: x"), Some("the kernel oopsed"));
    }

    #[test]
    fn an_ordinary_boot_is_no_trouble() {
        let boot = "[    0.000000] Linux version 6.12\n[    0.1] debug: ignoring loglevel\n[    0.2] rcu: Hierarchical RCU\n\
                    [    0.3] x86/bugs: none\n[    1.0] hid-generic 0003:11C0:5606.0001: input,hidraw0: USB HID";
        assert_eq!(trouble(boot), None);
    }
}
