//! Decodes reports for commands that show several of them.

use hidbpf::descriptor::{Decoded, Descriptor, DiffKind, ReportType, Value, decoded_difference};

/// A value, and whether to mark it.
pub type Marked = (bool, Value);

/// Decodes an input report, or returns why it can't be decoded.
pub fn words(descriptor: Option<&Result<Descriptor, String>>, report: &[u8]) -> Result<Decoded, String> {
    match descriptor {
        Some(Ok(descriptor)) => descriptor.decode(ReportType::Input, report).map_err(|error| format!("({error})")),
        Some(Err(error)) => Err(format!("(the descriptor can't be read: {error})")),
        None => Err("(no descriptor)".to_owned()),
    }
}

/// Returns the values of an unchanged report.
pub fn plain(decoded: &Decoded) -> Vec<Marked> {
    decoded.values.iter().map(|value| (false, value.clone())).collect()
}

/// Returns the values after the driver. Changed and new values are marked.
pub fn marked(before: Option<&Decoded>, after: &Decoded) -> Vec<Marked> {
    let Some(before) = before else { return plain(after) };
    let differences = decoded_difference(before, after).into_iter();
    differences.filter_map(|it| Some((it.change != DiffKind::Same, it.after?))).collect()
}

/// Returns the values that differ from a previous report.
pub fn news(values: Vec<Marked>, previous: &[Marked]) -> Vec<Marked> {
    let known = |(_, value): &Marked| previous.iter().any(|(_, before)| before == value);
    values.into_iter().filter(|value| !known(value)).collect()
}

/// Lists values on one line, marked ones after a `*`. Omits idle controls: released buttons, and axes at 0.
pub fn listed(mut values: Vec<Marked>) -> String {
    values.retain(|(_, value)| !value.is_idle());
    if values.is_empty() { "at rest".to_owned() } else { all(&values) }
}

/// Lists values on one line, marked ones after a `*`.
pub fn all(values: &[Marked]) -> String {
    let word = |(is_marked, value): &Marked| format!("{}{value}", if *is_marked { "*" } else { "" });
    values.iter().map(word).collect::<Vec<_>>().join(", ")
}
