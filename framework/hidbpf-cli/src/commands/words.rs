//! Reports in words, for commands that show them one after the other.

use hidbpf::descriptor::{Change, Content, Decoded, Descriptor, Value, decoded_difference};
use hidbpf::replay::reports::ReportType;

/// A value, and whether it is to be marked.
pub type Marked = (bool, Value);

/// What an input report says, or why it says nothing.
pub fn words(descriptor: Option<&Result<Descriptor, String>>, report: &[u8]) -> Result<Decoded, String> {
    match descriptor {
        Some(Ok(descriptor)) => descriptor.decode(ReportType::Input, report).map_err(|error| format!("({error})")),
        Some(Err(error)) => Err(format!("(the descriptor can't be read: {error})")),
        None => Err("(no descriptor)".to_owned()),
    }
}

/// The values of a report that nothing has changed.
pub fn plain(decoded: &Decoded) -> Vec<Marked> {
    decoded.values.iter().map(|value| (false, value.clone())).collect()
}

/// The values after the driver; those that were other ones or not there are marked.
pub fn marked(before: Option<&Decoded>, after: &Decoded) -> Vec<Marked> {
    let Some(before) = before else { return plain(after) };
    let differences = decoded_difference(before, after).into_iter();
    differences.filter_map(|it| Some((it.change != Change::Same, it.after?))).collect()
}

/// Those of the values that another report before did not have so.
pub fn news(values: Vec<Marked>, previous: &[Marked]) -> Vec<Marked> {
    let known = |(_, value): &Marked| previous.iter().any(|(_, before)| before == value);
    values.into_iter().filter(|value| !known(value)).collect()
}

/// Values on a line, marked ones after a `*`. What is at rest goes without saying: a button that is up, an axis at 0.
pub fn listed(mut values: Vec<Marked>) -> String {
    values.retain(|(_, value)| match &value.content {
        Content::Number(number) => *number != 0,
        Content::Numbers(numbers) => numbers.iter().any(|number| *number != 0),
        Content::Choices(_) => value.content.to_string() != "none",
        _ => !value.is_idle_padding(),
    });
    if values.is_empty() { "at rest".to_owned() } else { all(&values) }
}

/// Values on a line, marked ones after a `*`.
pub fn all(values: &[Marked]) -> String {
    let word = |(is_marked, value): &Marked| format!("{}{value}", if *is_marked { "*" } else { "" });
    values.iter().map(word).collect::<Vec<_>>().join(", ")
}
