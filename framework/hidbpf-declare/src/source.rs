//! A declared driver as C with the SDK's macros, for authors who go on in C and for the kernel tree.

use std::collections::BTreeSet;
use std::fmt::Write;

use hidbpf_core::manifest::options::Type;
use hidbpf_core::manifest::{Manifest, position};
use toml::Spanned;

use crate::address::{Field, Place, Words};
use crate::condition::{Comparison, Given, comparison, given, plain_number};
use crate::elf::constants;
use crate::event::{Rules, numbers};
use crate::language::{Condition, Declaration, Edge, Operand, ReportRule, Step, Types};
use crate::mistake::Mistake;
use crate::plan::{self, Plan, Splice, Variant};
use crate::recorded::Recorded;
use crate::value::{low_bits, range};

/// The helpers that the source may need. The instruction set has no division with signs.
const QUOTIENT: &str = "/* Divides towards zero. */
static __always_inline __s64 quotient(__s64 value, __u32 by)
{
	return value < 0 ? -(__s64)(-(__u64)value / by) : (__s64)((__u64)value / by);
}
";
const LIMITED: &str = "static __always_inline __s64 limited(__s64 value, __s64 low, __s64 high)
{
	return value < low ? low : value > high ? high : value;
}
";

/// The number of bytes from which on an overwritten part is an array.
const ARRAY: usize = 9;

pub(crate) fn source(
    manifest: &Manifest,
    text: &str,
    declaration: &Declaration,
    recorded: &[Recorded],
) -> Result<String, Mistake> {
    let mut writer = Writer {
        manifest,
        recorded,
        id: None,
        rules: None,
        arrays: String::new(),
        properties: BTreeSet::new(),
        held: BTreeSet::new(),
        clicked: Vec::new(),
        body: String::new(),
    };
    let mut hooks = Vec::new();
    if !declaration.descriptor.is_empty() {
        writer.fixup(&Plan::of(manifest, &declaration.descriptor, recorded)?)?;
        hooks.push("rdesc_fixup");
    }
    if !declaration.report.is_empty() {
        writer.event(&Rules::of(manifest, &declaration.report, recorded)?)?;
        hooks.push("device_event");
    }
    let mut source = String::from("// SPDX-License-Identifier: GPL-2.0-only\n#include <hidbpf/driver.h>\n");
    source += if writer.clicked.is_empty() { "\n" } else { "#include <hidbpf/inject.h>\n\n" };
    source += &story(text, declaration);
    for option in &manifest.options {
        let name = option.name.replace('-', "_");
        let constants: String = constants(option).iter().map(|constant| format!(", {constant}")).collect();
        // Writing to a string can't fail.
        let _ = match option.kind {
            Type::Bool => writeln!(source, "HIDBPF_OPTION_BOOL({name});"),
            Type::Integer => writeln!(source, "HIDBPF_OPTION_INTEGER({name});"),
            Type::Choice => writeln!(source, "HIDBPF_OPTION_CHOICE({name}{constants});"),
            Type::Table => writeln!(source, "HIDBPF_OPTION_TABLE({name}, {});", option.size.unwrap_or(0)),
            Type::Text => writeln!(source, "HIDBPF_OPTION_TEXT({name}, {});", option.max_length.unwrap_or(0)),
        };
    }
    source += if manifest.options.is_empty() { "" } else { "\n" };
    for property in &writer.properties {
        let _ = writeln!(source, "HIDBPF_UDEV_PROPERTY({property});");
    }
    source += if writer.properties.is_empty() { "" } else { "\n" };
    source += &writer.arrays;
    for (name, helper) in [("quotient(", QUOTIENT), ("limited(", LIMITED)] {
        if writer.body.contains(name) {
            let _ = writeln!(source, "{helper}");
        }
    }
    for held in &writer.held {
        let _ = writeln!(source, "static __s64 {held};");
    }
    for click in 0..writer.clicked.len() {
        let _ = writeln!(source, "static _Bool click_{click}_was;");
    }
    source += if writer.held.is_empty() && writer.clicked.is_empty() { "" } else { "\n" };
    source += &writer.body;
    let _ = writeln!(source, "HIDBPF_DRIVER({});", hooks.join(", "));
    Ok(source)
}

/// Returns the comments above the repairs, as one.
fn story(text: &str, declaration: &Declaration) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let starts = declaration.descriptor.iter().map(Spanned::span).chain(declaration.report.iter().map(Spanned::span));
    let mut paragraphs = Vec::new();
    for span in starts {
        let (line, _) = position(text, span.start);
        let above = lines.get(..line - 1).unwrap_or_default();
        let count = above.iter().rev().take_while(|line| line.starts_with('#')).count();
        let comment = above.get(above.len() - count..).unwrap_or_default();
        if !comment.is_empty() {
            let rest = comment.iter().map(|line| format!(" *{}", line.trim_start_matches('#').replace("*/", "* /")));
            paragraphs.push(rest.collect::<Vec<_>>().join("\n"));
        }
    }
    if paragraphs.is_empty() { String::new() } else { format!("/*\n{}\n */\n\n", paragraphs.join("\n *\n")) }
}

struct Writer<'a> {
    manifest: &'a Manifest,
    recorded: &'a [Recorded],
    /// The ID of the current rule's reports, and the match rules that it is for.
    id: Option<u8>,
    rules: Option<Vec<u32>>,
    arrays: String,
    properties: BTreeSet<String>,
    held: BTreeSet<String>,
    /// The field of each click.
    clicked: Vec<Field>,
    body: String,
}

impl Writer<'_> {
    /// Writes a line.
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        let _ = writeln!(self.body, "{}{}", "\t".repeat(depth), text.as_ref());
    }

    // ---- The descriptor -----------------------------------------------------------------------------------------

    fn fixup(&mut self, plan: &Plan) -> Result<(), Mistake> {
        let named = |splice: &&Splice| !splice.is_whole();
        let all = || plan.variants.iter().flat_map(|variant| &variant.splices);
        let moved = plan
            .variants
            .iter()
            .filter(|variant| moves(variant))
            .flat_map(|variant| [variant.sizes.first().copied().unwrap_or(0), plan::result(variant).unwrap_or(0)]);
        let reach = all().filter(named).map(Splice::end).chain(moved).max().unwrap_or(0).max(1);
        self.line(0, "HIDBPF_RDESC_FIXUP(ctx)\n{");
        if plan.variants.iter().any(|variant| !variant.sizes.is_empty() || plan::least(variant).is_some()) {
            self.line(1, "const int size = ctx->size;");
        }
        self.line(1, format!("__u8 *descriptor = hid_bpf_get_data(ctx, 0, {reach});\n"));
        self.line(1, "if (!descriptor)\n\t\treturn 0;");
        for variant in &plan.variants {
            self.variant(variant)?;
        }
        self.line(1, "return 0;\n}\n");
        Ok(())
    }

    fn variant(&mut self, variant: &Variant) -> Result<(), Mistake> {
        let mut conditions: Vec<String> = variant.tests.iter().map(|test| self.given(test)).collect();
        let sizes: Vec<String> = variant.sizes.iter().map(|size| format!("size == {size}")).collect();
        match sizes.as_slice() {
            [] => conditions.extend(plan::least(variant).map(|least| format!("size >= {least}"))),
            [one] => conditions.push(one.clone()),
            several => conditions.push(format!("({})", several.join(" || "))),
        }
        for splice in &variant.splices {
            let old = splice.old.iter().flatten();
            conditions.extend(old.zip(splice.at..).map(|(byte, at)| format!("descriptor[{at}] == {byte:#04x}")));
        }
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" &&\n\t    ") };
        self.line(1, format!("if ({conditions}) {{"));
        let mut result = "0".to_owned();
        if moves(variant) {
            let mut shift = 0;
            for (to, from, count) in parts(variant) {
                self.line(2, format!("hidbpf_move(descriptor, {to}, {from}, {count});"));
            }
            for splice in &variant.splices {
                self.splice(&Splice { at: (i64::from(splice.at) + shift) as u32, ..splice.clone() });
                shift += splice.growth();
            }
            result = format!("hidbpf_size({})", plan::result(variant).unwrap_or(0));
        } else {
            for splice in &variant.splices {
                if splice.is_whole() {
                    result = format!("hidbpf_replace(ctx, {})", self.array(&splice.new));
                } else if splice.keeps_size() {
                    self.splice(splice);
                } else {
                    result = format!("hidbpf_append(ctx, {}, {})", splice.at, self.array(&splice.new));
                }
            }
        }
        self.line(2, format!("return {result};\n\t}}"));
        Ok(())
    }

    fn splice(&mut self, splice: &Splice) {
        let changed = |(index, byte): &(usize, &u8)| {
            let same = splice.old.as_ref().filter(|_| splice.keeps_size());
            same.is_none_or(|old| old.get(*index) != Some(*byte))
        };
        if let Some(number) = &splice.option {
            let option = variable(&number.option);
            let value = match number.dividend {
                Some(dividend) => format!("{dividend} / (__u32){option}"),
                None => format!("(__u32){option}"),
            };
            for byte in 0..number.bytes {
                let shifted = if byte == 0 { value.clone() } else { format!("({value}) >> {}", 8 * byte) };
                self.line(2, format!("descriptor[{}] = (__u8)({shifted});", splice.at + number.at + byte));
            }
            return;
        }
        if splice.old.is_none() && splice.keeps_size() && splice.new.len() >= ARRAY {
            let array = self.array(&splice.new);
            self.line(2, format!("if (hidbpf_overwrite(ctx, {}, {array}) < 0)\n\t\t\treturn 0;", splice.at));
            return;
        }
        for (index, byte) in splice.new.iter().enumerate().filter(changed) {
            self.line(2, format!("descriptor[{}] = {byte:#04x};", splice.at as usize + index));
        }
    }

    /// Returns the name of an array with these bytes.
    fn array(&mut self, bytes: &[u8]) -> String {
        let name = format!("part_{}", self.arrays.matches("HIDBPF_DESCRIPTOR(").count());
        let lines: Vec<String> = bytes
            .chunks(12)
            .map(|line| format!("\t{}", line.iter().map(|byte| format!("{byte:#04x}")).collect::<Vec<_>>().join(", ")))
            .collect();
        let _ = writeln!(self.arrays, "HIDBPF_DESCRIPTOR({name},\n{});\n", lines.join(",\n"));
        name
    }

    /// Returns a condition that needs no report as an expression.
    fn given(&mut self, given: &Given) -> String {
        match given {
            Given::Option(test) => compared(&variable(&test.option), &test.comparison),
            Given::Rule(indexes) => {
                let numbers = indexes.iter().copied().map(i64::from).collect();
                compared("hidbpf_rule", &Comparison::Is(numbers))
            }
            Given::Property(test) => {
                self.properties.insert(test.property.clone());
                let each = test.texts.iter().map(|pattern| {
                    let escaped: String = pattern.bytes().iter().map(|byte| character(*byte)).collect();
                    let not = if test.is { "" } else { "!" };
                    format!("{not}HIDBPF_PROPERTY_STARTS_WITH({}, \"{escaped}\")", test.property)
                });
                let all = each.collect::<Vec<_>>().join(if test.is { " || " } else { " && " });
                if test.texts.len() > 1 { format!("({all})") } else { all }
            }
        }
    }

    // ---- Reports ------------------------------------------------------------------------------------------------

    fn event(&mut self, rules: &Rules<'_>) -> Result<(), Mistake> {
        let least = rules.sizes.iter().copied().min().unwrap_or(0);
        let touched = rules.touched.iter().copied().max().unwrap_or(0).max(1);
        match rules.types {
            _ if rules.clicks => {
                self.line(
                    0,
                    "static __always_inline int rules(struct hid_bpf_ctx *ctx, __u8 *report, __u32 *clicks)\n{",
                );
            }
            Types::Input if rules.rules.is_empty() => {
                self.line(0, "HIDBPF_INPUT_EVENT(ctx)\n{");
            }
            Types::Input if least > 0 && rules.sizes.iter().all(|size| *size == touched) => {
                self.line(0, format!("HIDBPF_INPUT_REPORT(ctx, report, {touched})\n{{"));
            }
            types => {
                let test = if types == Types::Input { "type == HID_INPUT_REPORT && " } else { "" };
                self.line(0, "HIDBPF_DEVICE_EVENT(ctx, type)\n{");
                let data = format!("{test}ctx->size >= {least} ? hid_bpf_get_data(ctx, 0, {touched}) : NULL");
                self.line(1, format!("__u8 *report = {data};\n"));
                self.line(1, "if (!report)\n\t\treturn 0;");
            }
        }
        for ((rule, size), chosen) in rules.rules.iter().zip(&rules.sizes).zip(&rules.chosen) {
            self.rules.clone_from(chosen);
            self.rule(rule.get_ref(), *size, least)?;
        }
        self.line(1, "return 0;\n}\n");
        if rules.clicks {
            self.clicks(least.max(1), touched);
        }
        Ok(())
    }

    /// Writes the hook that sends the presses of clicks.
    fn clicks(&mut self, least: u32, touched: u32) {
        let size = least.max(touched);
        self.line(0, format!("HIDBPF_INJECTING_EVENT(ctx, report, {least})\n{{"));
        self.line(1, format!("static __u64 pressed[HIDBPF__BUFFER({size}) / 8];"));
        self.line(1, "__u64 *buffer = (void *)hid_bpf_get_data(ctx, 0, sizeof(pressed));");
        self.line(1, "__u32 clicks = 0;\n\tint result;\n");
        self.line(1, "if (!buffer)\n\t\treturn 0;");
        self.line(1, "result = rules(ctx, (__u8 *)buffer, &clicks);");
        self.line(1, "if (!clicks || result < 0)\n\t\treturn result;");
        self.line(1, "__builtin_memcpy(pressed, buffer, sizeof(pressed));");
        self.line(1, "hidbpf_inject(ctx, pressed, sizeof(pressed));");
        for (number, field) in std::mem::take(&mut self.clicked).iter().enumerate() {
            self.line(1, format!("if (clicks & {:#x}) {{", 1_u32 << number));
            self.put(field, "0", 2);
            self.line(1, "}");
            self.clicked.push(*field);
        }
        self.line(1, "return result;\n}\n");
    }

    fn rule(&mut self, rule: &ReportRule, size: u32, least: u32) -> Result<(), Mistake> {
        self.id = rule.id;
        let mut conditions: Vec<String> = rule.id.iter().map(|id| format!("report[0] == {id}")).collect();
        conditions.extend((size > least).then(|| format!("ctx->size >= {size}")));
        if let Some(chosen) = self.rules.clone() {
            conditions.push(self.given(&Given::Rule(chosen)));
        }
        for condition in &rule.when {
            conditions.push(self.condition(condition)?);
        }
        let depth = if conditions.is_empty() { 1 } else { 2 };
        if !conditions.is_empty() {
            self.line(1, format!("if ({}) {{", conditions.join(" && ")));
        }
        self.steps(&rule.steps, depth)?;
        if !conditions.is_empty() {
            self.line(1, "}");
        }
        Ok(())
    }

    fn place(&mut self, text: &str) -> Result<Place, Mistake> {
        let place = Words { recorded: self.recorded, id: self.id, rules: self.rules.as_deref() }
            .place(text)
            .map_err(Mistake::general)?;
        if let Place::Held(name) = &place {
            self.held.insert(held(name));
        }
        Ok(place)
    }

    fn condition(&mut self, condition: &Spanned<Condition>) -> Result<String, Mistake> {
        if let Some(test) = given(self.manifest, condition)? {
            return Ok(self.given(&test));
        }
        let Condition { value, size, .. } = condition.get_ref();
        if let Some(size) = size {
            return Ok(format!("ctx->size == {}", size.get_ref()));
        }
        let comparison = comparison(condition, plain_number)?;
        let name = value.as_ref().map(Spanned::get_ref).map_or("", String::as_str);
        if let Some(mask) = &condition.get_ref().mask {
            let own = match self.place(name)? {
                Place::Field(field) => get(&Field { signed: false, ..field }),
                Place::Held(name) => held(&name),
                Place::Option(name) => variable(&name),
            };
            return Ok(compared(&format!("({own} & {:#x})", mask.get_ref()), &comparison));
        }
        Ok(match self.place(name)? {
            Place::Field(field) if field.bits > 32 => {
                let bytes: Vec<String> = (field.bit / 8..field.end()).map(|byte| format!("report[{byte}]")).collect();
                compared(&format!("({})", bytes.join(" | ")), &comparison)
            }
            Place::Field(field) => {
                let each = (0..field.count).map(|index| compared(&get(&field.element(index)), &comparison));
                let joint = if matches!(comparison, Comparison::Not(_)) { " && " } else { " || " };
                let all = each.collect::<Vec<_>>().join(joint);
                if field.count > 1 { format!("({all})") } else { all }
            }
            Place::Held(name) => compared(&held(&name), &comparison),
            Place::Option(name) => compared(&variable(&name), &comparison),
        })
    }

    fn steps(&mut self, steps: &[Spanned<Step>], depth: usize) -> Result<(), Mistake> {
        steps.iter().try_for_each(|step| self.step(step.get_ref(), depth))
    }

    fn step(&mut self, step: &Step, depth: usize) -> Result<(), Mistake> {
        if let Some(conditions) = &step.conditions {
            let all: Result<Vec<String>, Mistake> =
                conditions.iter().map(|condition| self.condition(condition)).collect();
            self.line(depth, format!("if ({}) {{", all?.join(" && ")));
            self.steps(&step.steps, depth + 1)?;
            if !step.otherwise.is_empty() {
                self.line(depth, "} else {");
                self.steps(&step.otherwise, depth + 1)?;
            }
            self.line(depth, "}");
        } else if let Some(name) = &step.click {
            self.click(name.get_ref(), step, depth)?;
        } else if step.drop.is_some() {
            self.line(depth, "return -EINVAL;");
        } else if let Some(length) = &step.length {
            self.line(depth, format!("return hidbpf_size({});", length.get_ref()));
        } else if let Some(bytes) = &step.write {
            for (byte, at) in bytes.get_ref().0.iter().zip(step.at.unwrap_or(0)..) {
                self.line(depth, format!("report[{at}] = {byte:#04x};"));
            }
        } else if let Some(name) = step.change.as_ref().or(step.set.as_ref()).or(step.moved.as_ref()) {
            match self.place(name.get_ref())? {
                Place::Field(field) => {
                    for index in 0..field.count {
                        self.assign(&Place::Field(field.element(index)), step, depth)?;
                    }
                }
                place => self.assign(&place, step, depth)?,
            }
        }
        Ok(())
    }

    fn click(&mut self, name: &str, step: &Step, depth: usize) -> Result<(), Mistake> {
        let Place::Field(field) = self.place(name)? else {
            return Err(Mistake::general("expected a field to click"));
        };
        let of = match &step.of {
            None => get(&field),
            Some(of) => self.operand(&Operand::Name(of.get_ref().clone()))?,
        };
        let number = self.clicked.len();
        let was = format!("click_{number}_was");
        let changed = match step.on.as_ref().map_or(Edge::Rise, |on| *on.get_ref()) {
            Edge::Rise => format!("now && !{was}"),
            Edge::Fall => format!("!now && {was}"),
            Edge::Both => format!("now != {was}"),
        };
        let to = match step.to.as_ref().map(Spanned::get_ref) {
            Some(Operand::Number(to)) => *to,
            _ => 1,
        };
        self.line(
            depth,
            format!("{{\n{0}_Bool now = {of} != 0, changed = {changed};\n\n{0}{was} = now;", "\t".repeat(depth + 1)),
        );
        self.line(depth + 1, format!("*clicks |= changed ? {:#x} : 0;", 1_u32 << number));
        self.put(&field, &format!("(changed ? {to} : 0)"), depth + 1);
        self.line(depth, "}");
        self.clicked.push(field);
        Ok(())
    }

    /// Writes the calculation of a step, and stores its result.
    fn assign(&mut self, place: &Place, step: &Step, depth: usize) -> Result<(), Mistake> {
        if let (Place::Field(field), Some(Operand::Number(0))) = (place, step.to.as_ref().map(Spanned::get_ref))
            && field.bits > 32
        {
            for byte in field.bit / 8..field.end() {
                self.line(depth, format!("report[{byte}] = 0;"));
            }
            return Ok(());
        }
        let own = match place {
            Place::Field(field) => get(field),
            Place::Held(name) => held(name),
            Place::Option(name) => variable(name),
        };
        let start = match &step.to {
            Some(to) if step.set.is_some() => self.operand(to.get_ref())?,
            _ => own,
        };
        self.line(depth, format!("{{\n{}__s64 value = {start};\n", "\t".repeat(depth + 1)));
        let inner = depth + 1;
        if let Some(bits) = &step.sign_extend {
            let shift = 64 - bits.get_ref();
            self.line(inner, format!("value = (__s64)((__u64)value << {shift}) >> {shift};"));
        }
        if step.negate {
            self.line(inner, "value = -value;");
        }
        for (operand, sign) in [(&step.add, "+"), (&step.multiply, "*")] {
            if let Some(operand) = operand {
                let operand = self.operand(operand.get_ref())?;
                self.line(inner, format!("value {sign}= {operand};"));
            }
        }
        if let Some(operand) = &step.divide {
            let operand = self.operand(operand.get_ref())?;
            self.line(inner, format!("value = quotient(value, (__u32){operand});"));
        }
        if let Some(operand) = &step.offset {
            let operand = self.operand(operand.get_ref())?;
            self.line(inner, format!("value += {operand};"));
        }
        for (number, sign) in [(step.and, "&"), (step.or, "|"), (step.xor, "^")] {
            if let Some(number) = number {
                self.line(inner, format!("value {sign}= {number:#x};"));
            }
        }
        if let Some(map) = &step.map {
            self.line(inner, "switch (value) {");
            for (key, number) in numbers(map)? {
                self.line(inner, format!("case {key}:\n{0}\tvalue = {number};\n{0}\tbreak;", "\t".repeat(inner)));
            }
            if let Some(number) = step.otherwise_value {
                self.line(inner, format!("default:\n{}\tvalue = {number};", "\t".repeat(inner)));
            }
            self.line(inner, "}");
        }
        if let Some(clamp) = &step.clamp {
            let [low, high] = clamp.get_ref();
            self.line(inner, format!("value = limited(value, {low}, {high});"));
        }
        match (&step.moved, &step.to) {
            (Some(_), Some(to)) => {
                if let Place::Field(field) = place {
                    self.put(field, "0", inner);
                }
                let Operand::Name(name) = to.get_ref() else { return Err(Mistake::at(&to.span(), "expected a field")) };
                let target = self.place(name)?;
                self.store(&target, inner);
            }
            _ => self.store(place, inner),
        }
        self.line(depth, "}");
        Ok(())
    }

    fn store(&mut self, place: &Place, depth: usize) {
        match place {
            Place::Field(field) => {
                let limits = range(field);
                self.line(depth, format!("value = limited(value, {}, {});", limits.low, limits.high));
                self.put(field, "value", depth);
            }
            Place::Held(name) => self.line(depth, format!("{} = value;", held(name))),
            Place::Option(_) => {}
        }
    }

    fn operand(&mut self, operand: &Operand) -> Result<String, Mistake> {
        Ok(match operand {
            Operand::Bool(value) => u8::from(*value).to_string(),
            Operand::Number(number) => number.to_string(),
            Operand::Name(name) => match self.place(name)? {
                Place::Field(field) => get(&field),
                Place::Held(name) => held(&name),
                Place::Option(name) => variable(&name),
            },
        })
    }

    /// Writes a value to a field.
    fn put(&mut self, field: &Field, value: &str, depth: usize) {
        let at = field.bit / 8;
        match (field.bit % 8, field.bits) {
            (0, 8) => self.line(depth, format!("report[{at}] = (__u8){value};")),
            (0, 16) => self.line(depth, format!("hidbpf_put_le16(report + {at}, (__u16){value});")),
            _ => {
                let (mut bit, mut done) = (field.bit, 0);
                while done < field.bits {
                    let (at, below) = (bit / 8, bit % 8);
                    let bits = (8 - below).min(field.bits - done);
                    let mask = low_bits(bits) << below;
                    self.line(
                        depth,
                        format!("report[{at}] = (__u8)((report[{at}] & ~{mask:#04x}) | (((__u64){value} >> {done}) << {below} & {mask:#04x}));"),
                    );
                    bit += bits;
                    done += bits;
                }
            }
        }
    }
}

/// Returns whether a variant moves bytes of the descriptor.
fn moves(variant: &Variant) -> bool {
    let is_append = |splice: &Splice| splice.len == 0 && variant.sizes.as_slice() == [splice.at];
    let others: Vec<_> = variant.splices.iter().filter(|splice| !splice.keeps_size()).collect();
    match others.as_slice() {
        [one] => !one.is_whole() && !is_append(one),
        several => !several.is_empty(),
    }
}

/// Returns the parts of the descriptor that move: their new offset, their old one, and their bytes. The order is such
/// that no part overwrites another that is still to move.
fn parts(variant: &Variant) -> Vec<(u32, u32, u32)> {
    let size = variant.sizes.first().copied().unwrap_or(0);
    let (mut shift, mut parts) = (0, Vec::new());
    for (index, splice) in variant.splices.iter().enumerate() {
        shift += splice.growth();
        let (from, to) = (splice.end(), variant.splices.get(index + 1).map_or(size, |next| next.at));
        if shift != 0 && to > from {
            parts.push(((i64::from(from) + shift) as u32, from, to - from));
        }
    }
    let (later, earlier): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(to, from, _)| to > from);
    later.into_iter().rev().chain(earlier).collect()
}

/// Returns a byte of a text as C has it within quotes.
fn character(byte: u8) -> String {
    match byte {
        b'"' | b'\\' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        // Three digits, because a digit may follow.
        _ => format!("\\{byte:03o}"),
    }
}

fn held(name: &str) -> String {
    format!("held_{}", name.replace('-', "_"))
}

fn variable(option: &str) -> String {
    format!("option_{}", option.replace('-', "_"))
}

/// Returns the value of a field as an expression.
fn get(field: &Field) -> String {
    let at = field.bit / 8;
    match (field.bit % 8, field.bits, field.signed) {
        (0, 8, false) => format!("report[{at}]"),
        (0, 8, true) => format!("(__s8)report[{at}]"),
        (0, 16, false) => format!("hidbpf_le16(report + {at})"),
        (0, 16, true) => format!("(__s16)hidbpf_le16(report + {at})"),
        (below, 1, false) => format!("(report[{at}] >> {below} & 1)"),
        (below, bits, signed) => {
            let bytes = (at..field.end()).zip(0..);
            let bytes: Vec<String> =
                bytes.map(|(byte, index)| format!("(__u64)report[{byte}] << {}", 8 * index)).collect();
            let all = format!("({})", bytes.join(" | "));
            match signed {
                true => format!("((__s64)({all} << {}) >> {})", 64 - bits - below, 64 - bits),
                false => format!("({all} >> {below} & {:#x})", low_bits(bits)),
            }
        }
    }
}

/// Returns a comparison as an expression.
fn compared(what: &str, comparison: &Comparison) -> String {
    let each = |numbers: &[i64], test: &str, joint: &str| {
        let all: Vec<String> = numbers.iter().map(|number| format!("{what} {test} {number}")).collect();
        if all.len() > 1 { format!("({})", all.join(joint)) } else { all.concat() }
    };
    match comparison {
        Comparison::Is(numbers) => each(numbers, "==", " || "),
        Comparison::Not(numbers) => each(numbers, "!=", " && "),
        Comparison::Above(than) => format!("{what} > {than}"),
        Comparison::Below(than) => format!("{what} < {than}"),
    }
}
