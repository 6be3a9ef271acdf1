//! Conditions: comparisons of values, and those that are decided without a report: by options, udev properties and the
//! match rule.

use std::ops::Range;

use hidbpf_core::manifest::Manifest;
use hidbpf_core::manifest::options::{DriverOption, Type};
use hidbpf_prelink::driver::PROPERTY_SIZE;
use toml::Spanned;

use crate::assembler::{Code, Label, Register, Test, Width};
use crate::elf::Object;
use crate::language::{Condition, Constant, OneOrMore};
use crate::mistake::Mistake;
use crate::value::{self, Interval};

/// A condition that needs no report and no descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Option(OptionTest),
    Property(PropertyTest),
    /// The index of the match rule that chose the driver is one of these.
    Rule(Vec<u32>),
}

/// A test of a udev property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PropertyTest {
    pub property: String,
    /// Whether it must be one of the texts, or none of them.
    pub is: bool,
    pub texts: Vec<Pattern>,
}

/// A text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub text: String,
    pub is_beginning: bool,
}

impl Pattern {
    /// Parses `text` or `text*`.
    fn of(text: &str) -> Result<Pattern, String> {
        let (plain, is_beginning) = text.strip_suffix('*').map_or((text, false), |plain| (plain, true));
        if plain.contains(['*', '\0']) || is_beginning && plain.is_empty() {
            return Err(format!(
                "invalid text \"{}\": expected a text, with `*` only at its end; `not = \"\"` tests whether the device has the property",
                text.escape_debug()
            ));
        }
        if plain.len() >= PROPERTY_SIZE {
            return Err(format!("the text is too long: expected at most {} bytes", PROPERTY_SIZE - 1));
        }
        Ok(Pattern { text: plain.to_owned(), is_beginning })
    }

    /// Returns the bytes to compare. The whole text has the zero at its end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.text.clone().into_bytes();
        if !self.is_beginning {
            bytes.push(0);
        }
        bytes
    }
}

/// A test of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionTest {
    pub option: String,
    pub comparison: Comparison,
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is one of these.
    Is(Vec<i64>),
    /// It differs from all of these.
    Not(Vec<i64>),
    /// It is above this.
    Above(i64),
    /// It is below this.
    Below(i64),
}

/// Reads the comparison of a condition. `number` reads a constant.
pub(crate) fn comparison(
    condition: &Spanned<Condition>,
    number: impl Fn(&Constant) -> Result<i64, String>,
) -> Result<Comparison, Mistake> {
    let Condition { is, not, above, below, .. } = condition.get_ref();
    let all = |list: &Spanned<OneOrMore<Constant>>| {
        let numbers: Result<Vec<i64>, String> = list.get_ref().0.iter().map(&number).collect();
        match numbers {
            Ok(numbers) if numbers.is_empty() => Err(Mistake::at(&list.span(), "expected at least one value")),
            numbers => numbers.map_err(|why| Mistake::at(&list.span(), why)),
        }
    };
    match (is, not, above, below) {
        (Some(list), None, None, None) => all(list).map(Comparison::Is),
        (None, Some(list), None, None) => all(list).map(Comparison::Not),
        (None, None, Some(than), None) => Ok(Comparison::Above(*than.get_ref())),
        (None, None, None, Some(than)) => Ok(Comparison::Below(*than.get_ref())),
        _ => Err(Mistake::at(&condition.span(), "a condition needs one of `is`, `not`, `above` and `below`")),
    }
}

/// Reads a constant that is a number.
pub(crate) fn plain_number(constant: &Constant) -> Result<i64, String> {
    match constant {
        Constant::Bool(value) => Ok((*value).into()),
        Constant::Number(number) => Ok(*number),
        Constant::Text(text) => Err(format!("invalid value \"{}\": expected a number", text.escape_debug())),
    }
}

fn option<'a>(manifest: &'a Manifest, name: &str, span: &Range<usize>) -> Result<&'a DriverOption, Mistake> {
    let known: Vec<String> = manifest.options.iter().map(|option| format!("\"{}\"", option.name)).collect();
    let expected = if known.is_empty() { "it has none".to_owned() } else { format!("expected {}", known.join(" or ")) };
    let message = format!("the manifest has no option \"{}\": {expected}", name.escape_debug());
    manifest.option(name).ok_or_else(|| Mistake::at(span, message))
}

/// Reads a condition that needs no report. `None`: it is about something else.
pub(crate) fn given(manifest: &Manifest, condition: &Spanned<Condition>) -> Result<Option<Given>, Mistake> {
    let Condition { option, property, value, size, .. } = condition.get_ref();
    let subjects = [option.is_some(), property.is_some(), value.is_some(), size.is_some()];
    if subjects.into_iter().filter(|is_there| *is_there).count() != 1 {
        let message = "a condition is about one of `option`, `property`, `value` and `size`";
        return Err(Mistake::at(&condition.span(), message));
    }
    match (option, property) {
        (Some(name), _) => option_test(manifest, condition, name).map(|test| Some(Given::Option(test))),
        (_, Some(name)) => property_test(condition, name).map(|test| Some(Given::Property(test))),
        _ => Ok(None),
    }
}

fn property_test(condition: &Spanned<Condition>, name: &Spanned<String>) -> Result<PropertyTest, Mistake> {
    let property = name.get_ref().clone();
    let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if property.is_empty() || !property.bytes().all(is_name) {
        let message =
            format!("invalid udev property \"{}\": expected capitals, digits and underscores", property.escape_debug());
        return Err(Mistake::at(&name.span(), message));
    }
    let (is, list) = match condition.get_ref() {
        Condition { is: Some(list), not: None, above: None, below: None, mask: None, .. } => (true, list),
        Condition { is: None, not: Some(list), above: None, below: None, mask: None, .. } => (false, list),
        _ => return Err(Mistake::at(&condition.span(), "a condition of a property needs one of `is` and `not`")),
    };
    let text = |constant: &Constant| match constant {
        Constant::Text(text) => Pattern::of(text),
        Constant::Bool(_) | Constant::Number(_) => Err("expected a text: udev properties are texts".to_owned()),
    };
    let texts: Result<Vec<Pattern>, String> = list.get_ref().0.iter().map(text).collect();
    match texts {
        Ok(texts) if texts.is_empty() => Err(Mistake::at(&list.span(), "expected at least one text")),
        Ok(texts) => Ok(PropertyTest { property, is, texts }),
        Err(why) => Err(Mistake::at(&list.span(), why)),
    }
}

/// Returns the indexes of the match rules that labels name. `None`: no labels, which means all rules.
pub(crate) fn rules(
    manifest: &Manifest,
    labels: Option<&Spanned<OneOrMore<String>>>,
) -> Result<Option<Vec<u32>>, Mistake> {
    let Some(labels) = labels else { return Ok(None) };
    let names: Vec<String> = manifest.matches.iter().enumerate().map(|(index, rule)| rule.name(index)).collect();
    let mut indexes = Vec::new();
    for label in &labels.get_ref().0 {
        let own = names.iter().zip(0..).filter(|(name, _)| *name == label).map(|(_, index)| index);
        let before = indexes.len();
        indexes.extend(own);
        if indexes.len() == before {
            let expected: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let message =
                format!("no match rule has the label \"{}\": expected {}", label.escape_debug(), expected.join(" or "));
            return Err(Mistake::at(&labels.span(), message));
        }
    }
    if indexes.is_empty() {
        return Err(Mistake::at(&labels.span(), "expected at least one label"));
    }
    Ok(Some(indexes))
}

fn option_test(
    manifest: &Manifest,
    condition: &Spanned<Condition>,
    name: &Spanned<String>,
) -> Result<OptionTest, Mistake> {
    let known = option(manifest, name.get_ref(), &name.span())?;
    let number = |constant: &Constant| match (known.kind, constant) {
        (Type::Bool, Constant::Bool(value)) => Ok(i64::from(*value)),
        (Type::Integer, Constant::Number(number)) => Ok(*number),
        (Type::Choice, Constant::Text(text)) if known.values.contains(text) => {
            Ok(known.values.iter().position(|value| value == text).unwrap_or(0) as i64)
        }
        (kind, _) => Err(match kind {
            Type::Bool => "expected true or false".to_owned(),
            Type::Integer => "expected a number".to_owned(),
            Type::Table | Type::Text => "a table or a text is for drivers in C".to_owned(),
            Type::Choice => {
                let values: Vec<String> = known.values.iter().map(|value| format!("\"{value}\"")).collect();
                format!("expected {}", values.join(" or "))
            }
        }),
    };
    Ok(OptionTest { option: known.name.clone(), comparison: comparison(condition, number)? })
}

/// Loads an option, and returns its values.
pub(crate) fn load_option(
    code: &mut Code,
    manifest: &Manifest,
    object: &Object<'_>,
    name: &str,
    to: Register,
) -> Result<Interval, Mistake> {
    let known = option(manifest, name, &(0..0)).map_err(|mistake| Mistake { span: None, ..mistake })?;
    let variable =
        object.option(name).ok_or_else(|| Mistake::general(format!("the option `{name}` has no variable")))?;
    code.address(to, variable);
    match known.kind {
        Type::Bool => {
            code.load(Width::One, to, to, 0);
            Ok(Interval { low: 0, high: 1 })
        }
        Type::Table | Type::Text => Err(Mistake::general(format!("the option `{name}` is not a number"))),
        Type::Choice => {
            code.load(Width::Four, to, to, 0);
            Ok(Interval { low: 0, high: known.values.len() as i64 - 1 })
        }
        Type::Integer => {
            code.load(Width::Four, to, to, 0);
            let (low, high) = (known.min.unwrap_or(i32::MIN), known.max.unwrap_or(i32::MAX));
            if low < 0 {
                value::extend(code, to, 32);
            }
            Ok(Interval { low: low.into(), high: high.into() })
        }
    }
}

/// Jumps to a label unless a condition holds. Uses up two registers.
pub(crate) fn test(
    code: &mut Code,
    manifest: &Manifest,
    object: &mut Object<'_>,
    given: &Given,
    [register, other]: [Register; 2],
    otherwise: Label,
) -> Result<(), Mistake> {
    match given {
        Given::Option(test) => {
            load_option(code, manifest, object, &test.option, register)?;
            compare(code, register, &test.comparison, otherwise)
        }
        Given::Rule(indexes) => {
            let variable = object.rule();
            code.address(register, variable);
            code.load(Width::Four, register, register, 0);
            compare(code, register, &Comparison::Is(indexes.iter().copied().map(i64::from).collect()), otherwise)
        }
        Given::Property(PropertyTest { property, is, texts }) => {
            let variable = object.property(property);
            code.address(register, variable);
            let found = code.label();
            for pattern in texts {
                let next = code.label();
                value::pieces(0, &pattern.bytes(), &Width::ALL[..3], |width, at, number| {
                    code.load(width, other, register, at);
                    code.jump_if_32(Test::NotEqual, other, number as i32, next);
                });
                code.jump(if *is { found } else { otherwise });
                code.place(next);
            }
            if *is {
                code.jump(otherwise);
            }
            code.place(found);
            Ok(())
        }
    }
}

/// Jumps to a label unless a register passes a comparison.
pub(crate) fn compare(
    code: &mut Code,
    register: Register,
    comparison: &Comparison,
    otherwise: Label,
) -> Result<(), Mistake> {
    let small = |number: i64| {
        i32::try_from(number).map_err(|_| {
            Mistake::general(format!("{number} is too large to compare with: expected a number of 31 bits"))
        })
    };
    match comparison {
        Comparison::Is(numbers) => {
            let fits = code.label();
            if let [others @ .., last] = numbers.as_slice() {
                for other in others {
                    code.jump_if(Test::Equal, register, small(*other)?, fits);
                }
                code.jump_if(Test::NotEqual, register, small(*last)?, otherwise);
            }
            code.place(fits);
        }
        Comparison::Not(numbers) => {
            for number in numbers {
                code.jump_if(Test::Equal, register, small(*number)?, otherwise);
            }
        }
        Comparison::Above(than) => code.jump_if(Test::SignedAtMost, register, small(*than)?, otherwise),
        Comparison::Below(than) => code.jump_if(Test::SignedAtLeast, register, small(*than)?, otherwise),
    }
    Ok(())
}
