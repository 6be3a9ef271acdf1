//! Explains the verifier's refusal to a driver's author: source file and line, and the reason.
//!
//! The verifier names the instruction where it stopped, but up to Linux 6.8 not the file. The object's line information
//! (`.BTF.ext`) provides it. The log lists each instruction on the path, including every iteration of loops. Only the
//! last few lines matter.

use hidbpf_replay::source_line;

use crate::object::ObjectFile;

/// The complaint in a libbpf log.
#[derive(Debug, PartialEq, Eq)]
enum Complaint<'a> {
    /// The verifier refused a program.
    Program {
        name: &'a str,
        /// The last instruction that it visited, counted from 0.
        instruction: u64,
        /// Its reason.
        reason: Vec<&'a str>,
        /// The source line that it printed before the instruction.
        source: Option<&'a str>,
    },
    /// The kernel doesn't have this function.
    NoFunction(&'a str),
}

/// Explains the problem in one sentence, if the log contains enough.
pub(crate) fn explain(log: &str, driver: &ObjectFile) -> Option<String> {
    match complaint(log)? {
        Complaint::NoFunction(name) => Some(format!(
            "this kernel has no function `{name}`, which the driver calls: it is for a newer kernel, or one with other options"
        )),
        Complaint::Program { name, instruction, reason, source } => {
            let place = line_of(driver, name, instruction).or_else(|| source.map(|source| format!("`{source}`")));
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            let is_too_long = TOO_LONG.iter().any(|words| reason.iter().any(|line| line.contains(words)));
            let advice = if is_too_long { format!("; {ADVICE}") } else { String::new() };
            let reason = if reason.is_empty() { "it gave no reason".to_owned() } else { reason.join("; ") };
            Some(format!("the verifier stopped{place}: {reason} (instruction {instruction} of `{name}`){advice}"))
        }
    }
}

/// The verifier's messages for a program that is too complex (`do_check()` and `push_stack()`, kernel/bpf/verifier.c).
const TOO_LONG: [&str; 2] = ["BPF program is too large", "jumps is too complex"];

/// The advice for such programs.
const ADVICE: &str = "it follows each round of a loop, with all ways through it: give the loop fewer rounds, or walk a descriptor \
                      with hidbpf_walk(), which it follows once";

/// Extracts the important lines of a log: libbpf's own, and from the verifier the source line, the last instruction,
/// the reason and the statistics. `None` if the log has no other lines.
pub(crate) fn excerpt(log: &str) -> Option<String> {
    /// The maximum number of libbpf's lines, and of lines of the verifier's reason.
    const MOST: usize = 8;
    let (mut own, mut last) = (Vec::new(), Stop::default());
    let mut is_verifiers = false;
    for line in log.lines() {
        match (line.ends_with(BEGIN), line.starts_with(END)) {
            (true, _) => (is_verifiers, last) = (true, Stop::default()),
            (_, true) => is_verifiers = false,
            _ if is_verifiers => last.look_at(line),
            _ => own.push(line),
        }
    }
    let before = own.len().saturating_sub(MOST);
    let Stop { source, at, reason, counts, .. } = &last;
    let reason = &reason[reason.len().saturating_sub(MOST)..];
    let lines = own[before..].iter().chain(source).chain(at).chain(reason).chain(counts);
    let lines: Vec<&str> = lines.copied().collect();
    (lines.len() + 2 < log.lines().count()).then(|| lines.join("\n"))
}

const BEGIN: &str = "-- BEGIN PROG LOAD LOG --";
const END: &str = "-- END PROG LOAD LOG --";

/// Where the verifier stopped, according to the lines so far.
#[derive(Default)]
struct Stop<'a> {
    source: Option<&'a str>,
    at: Option<&'a str>,
    instruction: Option<u64>,
    reason: Vec<&'a str>,
    counts: Option<&'a str>,
}

impl<'a> Stop<'a> {
    fn look_at(&mut self, line: &'a str) {
        if line.starts_with("processed ") {
            self.counts = Some(line);
        } else if line.starts_with("; ") {
            self.source = Some(line);
        } else if let Some(number) = instruction_number(line) {
            (self.instruction, self.at) = (Some(number), Some(line));
            self.reason.clear();
        } else if self.counts.is_none() && !line.trim().is_empty() {
            self.reason.push(line.trim());
        }
    }
}

fn complaint(log: &str) -> Option<Complaint<'_>> {
    for line in log.lines() {
        let rest = line.strip_prefix("libbpf: extern (func ksym) '");
        if let Some((name, _)) = rest.and_then(|rest| rest.split_once("': not found")) {
            return Some(Complaint::NoFunction(name));
        }
    }
    let begin = log.lines().position(|line| line.ends_with(BEGIN))?;
    let name = log.lines().nth(begin)?.strip_prefix("libbpf: prog '")?.split('\'').next()?;
    let mut stop = Stop::default();
    for line in log.lines().skip(begin + 1).take_while(|line| !line.starts_with(END)) {
        stop.look_at(line);
    }
    let source = stop.source.and_then(|source| source.strip_prefix("; "));
    Some(Complaint::Program { name, instruction: stop.instruction?, reason: stop.reason, source })
}

/// Returns the number in `5: (73) *(u8 *)(r0 +0) = r1`.
fn instruction_number(line: &str) -> Option<u64> {
    let (number, rest) = line.split_once(": ")?;
    rest.starts_with('(').then(|| number.parse().ok()).flatten()
}

/// Returns `my-mouse/driver.bpf.c:9` and the line's text.
fn line_of(driver: &ObjectFile, program: &str, instruction: u64) -> Option<String> {
    let line = source_line(driver.bytes(), program, instruction)?;
    let text = line.text.trim();
    let text = if text.is_empty() { String::new() } else { format!(": `{text}`") };
    Some(format!("{}:{}{text}", line.file, line.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
libbpf: prog 'hid_device_event': BPF program load failed: -EACCES
libbpf: prog 'hid_device_event': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; __u8 *report = hid_bpf_get_data(ctx, 0, 3); @ driver.bpf.c:7
0: (b4) w2 = 0                        ; R2_w=0
1: (b4) w3 = 3                        ; R3_w=3
2: (85) call hid_bpf_get_data#77      ; R0_w=mem_or_null(id=1,sz=3)
; report[0] = 0; @ driver.bpf.c:9
3: (b4) w1 = 0                        ; R1_w=0
4: (73) *(u8 *)(r0 +0) = r1
R0 invalid mem access 'mem_or_null'
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'hid_device_event': failed to load: -EACCES
";

    #[test]
    fn the_verifiers_reason_is_found_with_its_place() {
        let expected = Complaint::Program {
            name: "hid_device_event",
            instruction: 4,
            reason: vec!["R0 invalid mem access 'mem_or_null'"],
            source: Some("report[0] = 0; @ driver.bpf.c:9"),
        };
        assert_eq!(complaint(LOG), Some(expected));
    }

    #[test]
    fn of_a_long_log_the_end_of_the_verifiers_part_matters() {
        let round = "; if (d[i] == 0x81) @ driver.bpf.c:12\n25: (bf) r4 = r0   ; R4=mem(sz=4096)\n28: (56) if w5 != 0x81 goto pc-17\n";
        let log = LOG.replace("0: R1=ctx() R10=fp0\n", &round.repeat(30_000));
        let expected = [
            "libbpf: prog 'hid_device_event': BPF program load failed: -EACCES",
            "libbpf: prog 'hid_device_event': failed to load: -EACCES",
            "; report[0] = 0; @ driver.bpf.c:9",
            "4: (73) *(u8 *)(r0 +0) = r1",
            "R0 invalid mem access 'mem_or_null'",
            "processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
        ];
        assert_eq!(excerpt(&log).unwrap().lines().collect::<Vec<_>>(), expected);
        // A short log is shown as it is.
        for short in ["", "libbpf: failed to find BTF", "libbpf: a\nlibbpf: b"] {
            assert_eq!(excerpt(short), None, "{short}");
        }
        let talk = "libbpf: and on\n".repeat(100);
        assert_eq!(excerpt(&talk).unwrap().lines().count(), 8);
    }

    #[test]
    fn what_is_too_much_for_the_verifier_gets_advice() {
        let (_, end) = LOG.split_once("4: (73)").unwrap();
        for reason in ["The sequence of 8193 jumps is too complex.", "BPF program is too large. Processed 1000001 insn"]
        {
            let log = LOG.replace(end, &format!(" r1 = 0\n{reason}\nprocessed 69634 insns (limit 1000000)\n{END}\n"));
            let Some(Complaint::Program { reason: found, .. }) = complaint(&log) else { panic!("{log}") };
            assert_eq!(found, [reason]);
            assert!(TOO_LONG.iter().any(|words| reason.contains(words)));
        }
    }

    #[test]
    fn a_function_that_the_kernel_lacks_is_named() {
        let log = "libbpf: extern (func ksym) 'hid_bpf_new': not found in kernel or module BTFs\nlibbpf: failed\n";
        assert_eq!(complaint(log), Some(Complaint::NoFunction("hid_bpf_new")));
    }

    #[test]
    fn a_log_without_a_verifiers_part_explains_nothing() {
        for log in ["", "libbpf: failed to find BTF", "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --", "12: (b4) w1 = 0"]
        {
            assert_eq!(complaint(log), None, "{log}");
        }
    }
}
