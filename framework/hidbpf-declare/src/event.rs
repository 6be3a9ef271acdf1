//! The instructions of the event hook.

use std::collections::BTreeMap;
use std::ops::Range;

use hidbpf_core::manifest::Manifest;
use hidbpf_prelink::Generation;
use toml::Spanned;

use crate::address::{Field, Place, Words};
use crate::assembler::{Alu, Code, Label, Member, Register, Test, Width};
use crate::click::{self, Finish};
use crate::condition::{self, Comparison, Given, compare, comparison, given, load_option, plain_number};
use crate::elf::{GET_DATA, MOST_CLICKS, Object};
use crate::language::{Condition, Edge, Operand, ReportRule, Step, Types};
use crate::mistake::Mistake;
use crate::recorded::Recorded;
use crate::value::{self, Interval, Unit};

/// The negative errno that drops a report: `EINVAL`.
const DROP: i64 = -22;

const DATA: Register = 0;
const VALUE: Register = 1;
const OTHER: Register = 2;
const THIRD: Register = 3;
/// A register that calls keep.
const SIZE: Register = 6;

/// The values that a held value can have if nothing narrower is known.
const HELD: Interval = Interval { low: i32::MIN as i64, high: i32::MAX as i64 };

/// The longest report that the kernel's buffer has room for in any case: it has whole blocks of 64 bytes.
const BLOCK: u32 = 64;

/// The longest report that rules can be for, in bytes. Those of real devices are much shorter.
const LONGEST: u32 = 4096;

/// The rules of a driver.
pub(crate) struct Rules<'a> {
    pub rules: Vec<&'a Spanned<ReportRule>>,
    recorded: &'a [Recorded],
    pub types: Types,
    /// The bytes that reports must have at least, rule by rule.
    pub sizes: Vec<u32>,
    /// The byte after the last one that each rule names.
    pub touched: Vec<u32>,
    /// The values that held values can have.
    held: BTreeMap<String, Interval>,
    /// The byte after the last one that the rules touch.
    reach: u32,
    /// The match rules that each rule is for. `None`: all of them.
    pub chosen: Vec<Option<Vec<u32>>>,
    /// Whether any rule has a click.
    pub clicks: bool,
}

impl<'a> Rules<'a> {
    pub fn of(
        manifest: &Manifest,
        rules: &'a [Spanned<ReportRule>],
        recorded: &'a [Recorded],
    ) -> Result<Rules<'a>, Mistake> {
        let types = rules.first().map_or(Types::Input, |rule| rule.get_ref().kind);
        if let Some(other) = rules.iter().find(|rule| rule.get_ref().kind != types) {
            return Err(Mistake::at(&other.span(), "all rules for reports need the same `type`"));
        }
        let too_large = |rule: &&Spanned<ReportRule>| rule.get_ref().size.is_some_and(|size| size > LONGEST);
        if let Some(rule) = rules.iter().find(too_large) {
            return Err(Mistake::at(&rule.span(), format!("expected a `size` of at most {LONGEST} bytes")));
        }
        let rules: Vec<_> = rules.iter().filter(|rule| !rule.get_ref().steps.is_empty()).collect();
        let chosen = rules.iter().map(|rule| condition::rules(manifest, rule.get_ref().labels.as_ref()));
        let mut all = Rules {
            chosen: chosen.collect::<Result<_, Mistake>>()?,
            clicks: rules.iter().any(|rule| rule.get_ref().steps.iter().any(clicks)),
            rules,
            recorded,
            types,
            sizes: Vec::new(),
            touched: Vec::new(),
            held: BTreeMap::new(),
            reach: 1,
        };
        // Held values begin with 0. What is assigned to them may depend on others.
        for round in 0.. {
            let (mut sizes, mut touched) = (Vec::new(), Vec::new());
            let (mut assigned, mut reach) = (all.held.clone(), 1);
            for (index, rule) in all.rules.iter().enumerate() {
                let mut scratch = Object::new(manifest, "", "");
                let mut generator = Generator::new(&all, manifest, &mut scratch, index);
                generator.rule(rule)?;
                for (name, interval) in generator.assigned {
                    let zero = Interval::of(0);
                    let known = assigned.entry(name).or_insert(zero);
                    *known = if round < 4 { known.with(interval) } else { HELD };
                }
                sizes.push(rule.get_ref().size.unwrap_or(generator.touched));
                touched.push(generator.touched);
                reach = reach.max(generator.reach);
            }
            let is_stable = assigned == all.held;
            (all.held, all.sizes, all.touched, all.reach) = (assigned, sizes, touched, reach);
            if is_stable {
                break;
            }
        }
        let longest = all.buffer();
        if all.reach > longest {
            let span = all.rules.first().map_or(0..0, |rule| rule.span());
            let message =
                format!("the rules touch byte {}, and the kernel's buffer may have {longest} bytes", all.reach - 1);
            return Err(Mistake::at(&span, message));
        }
        Ok(all)
    }

    /// Returns the bytes that the kernel's buffer has in any case.
    fn buffer(&self) -> u32 {
        self.sizes.iter().copied().max().unwrap_or(0).max(1).next_multiple_of(BLOCK)
    }
}

pub(crate) fn generate(
    rules: &Rules<'_>,
    generation: Generation,
    manifest: &Manifest,
    object: &mut Object<'_>,
) -> Result<Code, Mistake> {
    let mut generator = Generator::new(rules, manifest, object, 0);
    let (end, unchanged) = (generator.code.label(), generator.code.label());
    if let Some(first) = rules.rules.first() {
        generator.code.line(first.span().start);
        generator.begin(generation, end);
        generator.rules(if rules.clicks { unchanged } else { end })?;
    }
    if rules.clicks {
        let (kept, resized) = (rules.buffer(), generator.resized);
        let Generator { code, object, clicked, .. } = &mut generator;
        let finish = Finish { data: DATA, size: SIZE, kept, fields: clicked, unchanged, resized };
        finish.generate(code, object);
    }
    let code = &mut generator.code;
    code.place(end);
    code.set(0, 0);
    code.exit();
    generator.code.finish()
}

struct Generator<'a, 'o> {
    all: &'a Rules<'a>,
    manifest: &'a Manifest,
    object: &'a mut Object<'o>,
    code: Code,
    /// The index of the current rule.
    index: usize,
    /// The ID of the current rule's reports.
    id: Option<u8>,
    /// The fields of the clicks so far.
    clicked: Vec<Field>,
    /// The place that reports of another size go to if there are clicks.
    resized: Label,
    /// The byte after the last one that the rule names.
    touched: u32,
    /// The byte after the last one that instructions access.
    reach: u32,
    /// What is assigned to held values.
    assigned: Vec<(String, Interval)>,
}

impl<'a, 'o> Generator<'a, 'o> {
    fn new(all: &'a Rules<'a>, manifest: &'a Manifest, object: &'a mut Object<'o>, index: usize) -> Generator<'a, 'o> {
        let id = all.rules.get(index).and_then(|rule| rule.get_ref().id);
        let mut code = Code::default();
        let resized = code.label();
        Generator {
            all,
            manifest,
            object,
            code,
            index,
            id,
            clicked: Vec::new(),
            resized,
            touched: u32::from(id.is_some()),
            reach: 1,
            assigned: Vec::new(),
        }
    }

    /// Returns whether the rules need the report's size after the data.
    fn needs_size(&self) -> bool {
        let sizes = &self.all.sizes;
        let has_step = |rule: &&Spanned<ReportRule>| {
            rule.get_ref().when.iter().any(is_size) || rule.get_ref().steps.iter().any(uses_size)
        };
        self.all.clicks || sizes.iter().any(|size| Some(size) != sizes.first()) || self.all.rules.iter().any(has_step)
    }

    /// Gets the data, or jumps to the end for reports that no rule is for.
    fn begin(&mut self, generation: Generation, end: Label) {
        let least = self.all.sizes.iter().copied().min().unwrap_or(0);
        let is_input = self.all.types == Types::Input;
        let needs_size = self.needs_size();
        // A click copies all of the buffer.
        let reach = if self.all.clicks { self.all.buffer() } else { self.all.reach };
        let has_clicks = self.all.clicks;
        let code = &mut self.code;
        if has_clicks {
            click::begin(code, 1, end);
        }
        match (generation, is_input) {
            (Generation::StructOps, true) => {
                code.load(Width::Eight, 2, 1, 8);
                code.load(Width::Eight, 1, 1, 0);
            }
            (Generation::FmodRet, true) => {
                code.load(Width::Eight, 1, 1, 0);
                code.load_member(2, 1, Member::ReportType);
            }
            (_, _) => {
                code.load(Width::Eight, 1, 1, 0);
                code.set(2, 0);
            }
        }
        let size = if needs_size { SIZE } else { THIRD };
        if needs_size || least > 0 {
            code.load_member(size, 1, Member::Size);
        }
        if least > 0 {
            code.jump_if_32(Test::SignedBelow, size, least as i32, end);
        }
        if is_input {
            // Other types get an offset behind the end of any buffer, where the kernel returns no data.
            code.shift_left_32(2, 16);
        }
        code.set(3, reach.into());
        code.call_kfunc(GET_DATA);
        code.jump_if(Test::Equal, DATA, 0, end);
    }

    /// Generates the rules. Those for the same ID that follow each other test it once.
    fn rules(&mut self, end: Label) -> Result<(), Mistake> {
        let rules = &self.all.rules;
        let least = self.all.sizes.iter().copied().min().unwrap_or(0);
        let mut index = 0;
        while let Some(first) = rules.get(index) {
            let id = first.get_ref().id;
            let group: Vec<_> = rules.iter().skip(index).take_while(|rule| rule.get_ref().id == id).collect();
            let after = index + group.len();
            let behind = if after == rules.len() { end } else { self.code.label() };
            if let Some(id) = id {
                self.code.line(first.span().start);
                self.code.load(Width::One, VALUE, DATA, 0);
                self.code.jump_if(Test::NotEqual, VALUE, id.into(), behind);
            }
            for (place, rule) in group.iter().enumerate() {
                let next = if place + 1 == group.len() { behind } else { self.code.label() };
                let size = self.all.sizes.get(index + place).copied().unwrap_or(0);
                self.code.line(rule.span().start);
                if size > least {
                    self.code.jump_if_32(Test::SignedBelow, SIZE, size as i32, next);
                }
                (self.index, self.id) = (index + place, id);
                self.body(rule.get_ref(), next)?;
                if place + 1 < group.len() {
                    self.code.place(next);
                }
            }
            if after < rules.len() {
                let may_follow = |rule: &&Spanned<ReportRule>| {
                    rule.get_ref().id.is_none() || id.is_none() || rule.get_ref().id == id
                };
                if !rules.iter().skip(after).any(may_follow) {
                    self.code.jump(end);
                }
                self.code.place(behind);
            }
            index = after;
        }
        Ok(())
    }

    /// Generates a rule alone, to learn what it touches.
    fn rule(&mut self, rule: &Spanned<ReportRule>) -> Result<(), Mistake> {
        let end = self.code.label();
        self.body(rule.get_ref(), end)
    }

    fn body(&mut self, rule: &ReportRule, next: Label) -> Result<(), Mistake> {
        if let Some(indexes) = self.chosen() {
            let given = Given::Rule(indexes.to_vec());
            condition::test(&mut self.code, self.manifest, self.object, &given, [VALUE, OTHER], next)?;
        }
        self.conditions(&rule.when, next)?;
        self.steps(&rule.steps)
    }

    /// Returns the match rules that the current rule is for.
    fn chosen(&self) -> Option<&'a [u32]> {
        self.all.chosen.get(self.index).and_then(Option::as_deref)
    }

    fn words(&self) -> Words<'a> {
        Words { recorded: self.all.recorded, id: self.id, rules: self.chosen() }
    }

    fn place(&mut self, text: &str, span: &Range<usize>) -> Result<Place, Mistake> {
        let place = self.words().place(text).map_err(|why| Mistake::at(span, why))?;
        match &place {
            Place::Field(field) => self.touched = self.touched.max(field.end()),
            Place::Option(name) if self.manifest.option(name).is_none() => {
                return Err(Mistake::at(span, format!("the manifest has no option \"{}\"", name.escape_debug())));
            }
            Place::Held(_) | Place::Option(_) => {}
        }
        Ok(place)
    }

    fn reaches(&mut self, end: u32) {
        self.reach = self.reach.max(end);
    }

    /// Jumps to a label unless all conditions hold.
    fn conditions(&mut self, conditions: &[Spanned<Condition>], otherwise: Label) -> Result<(), Mistake> {
        conditions.iter().try_for_each(|condition| self.condition(condition, otherwise))
    }

    fn condition(&mut self, condition: &Spanned<Condition>, otherwise: Label) -> Result<(), Mistake> {
        let span = condition.span();
        self.code.line(span.start);
        if let Some(given) = given(self.manifest, condition)? {
            return condition::test(&mut self.code, self.manifest, self.object, &given, [VALUE, OTHER], otherwise);
        }
        let Condition { value: name, size, mask, is, not, above, below, .. } = condition.get_ref();
        let name = match (name, size) {
            (Some(name), None) => name,
            (None, Some(size)) if is.is_none() && not.is_none() && above.is_none() && below.is_none() => {
                let size = i32::try_from(*size.get_ref())
                    .map_err(|_| Mistake::at(&size.span(), "expected a size in bytes"))?;
                self.code.jump_if_32(Test::NotEqual, SIZE, size, otherwise);
                return Ok(());
            }
            _ => {
                let message = "`size` is the exact size of the report, and has no comparison";
                return Err(Mistake::at(&span, message));
            }
        };
        let comparison = comparison(condition, plain_number)?;
        if let Some(mask) = mask {
            return self.masked(name, mask, &comparison, otherwise);
        }
        match self.place(name.get_ref(), &name.span())? {
            Place::Field(field) if field.count > 1 => self.any_value(&field, &comparison, &span, otherwise),
            Place::Field(field) => self.compare_field(&field, &comparison, &span, otherwise),
            Place::Held(held) => {
                self.load_held(&held, VALUE);
                compare(&mut self.code, VALUE, &comparison, otherwise)
            }
            Place::Option(_) => Err(Mistake::at(&name.span(), "use `option = \"NAME\"` to test an option")),
        }
    }

    /// Compares some bits of a value.
    fn masked(
        &mut self,
        name: &Spanned<String>,
        mask: &Spanned<u32>,
        comparison: &Comparison,
        otherwise: Label,
    ) -> Result<(), Mistake> {
        let bits = i32::try_from(*mask.get_ref())
            .map_err(|_| Mistake::at(&mask.span(), "expected a mask of 31 bits at most"))?;
        match self.place(name.get_ref(), &name.span())? {
            Place::Field(field) => {
                self.single(&field, &name.span())?;
                self.load_field(&Field { signed: false, ..field });
            }
            Place::Held(held) => _ = self.load_held(&held, VALUE),
            Place::Option(_) => return Err(Mistake::at(&name.span(), "an option has no `mask`")),
        }
        if *comparison == Comparison::Is(vec![0]) {
            self.code.jump_if(Test::AnyBit, VALUE, bits, otherwise);
            return Ok(());
        }
        self.code.calculate(Alu::And, VALUE, bits);
        compare(&mut self.code, VALUE, comparison, otherwise)
    }

    /// Tests whether one of several values is as wanted.
    fn any_value(
        &mut self,
        field: &Field,
        comparison: &Comparison,
        span: &Range<usize>,
        otherwise: Label,
    ) -> Result<(), Mistake> {
        let found = self.code.label();
        for index in 0..field.count {
            let next = self.code.label();
            // `not` holds if no value is one of those.
            let is_last = index + 1 == field.count;
            let fails = if is_last || matches!(comparison, Comparison::Not(_)) { otherwise } else { next };
            self.compare_field(&field.element(index), comparison, span, fails)?;
            if !is_last && !matches!(comparison, Comparison::Not(_)) {
                self.code.jump(found);
            }
            self.code.place(next);
        }
        self.code.place(found);
        Ok(())
    }

    fn compare_field(
        &mut self,
        field: &Field,
        comparison: &Comparison,
        span: &Range<usize>,
        otherwise: Label,
    ) -> Result<(), Mistake> {
        let is_zero =
            matches!(comparison, Comparison::Is(numbers) | Comparison::Not(numbers) if numbers.as_slice() == [0]);
        if is_zero && field.bits > 32 {
            self.load_any_bit(field);
            return compare(&mut self.code, VALUE, comparison, otherwise);
        }
        if field.bits > 32 {
            return Err(Mistake::at(span, "a field of more than 32 bits can only be compared with 0"));
        }
        let unit = Unit::of(field.bit, field.bits).filter(|_| !field.signed);
        if let (Some(unit), Comparison::Is(numbers) | Comparison::Not(numbers)) = (unit, comparison)
            && let Some(mask) = unit.mask(field.bits)
            && numbers.iter().all(|number| value::range(field).contains(Interval::of(*number)))
        {
            self.reaches(unit.end());
            self.code.load(unit.width, VALUE, DATA, unit.at as i16);
            match comparison {
                // A single bit is tested without a mask.
                Comparison::Is(_) if is_zero => self.code.jump_if(Test::AnyBit, VALUE, mask, otherwise),
                Comparison::Not(numbers) if field.bits == 1 && numbers.as_slice() == [1] => {
                    self.code.jump_if(Test::AnyBit, VALUE, mask, otherwise);
                }
                _ => {
                    if unit.below > 0 || unit.above > 0 {
                        self.code.calculate(Alu::And, VALUE, mask);
                    }
                    let shifted = |numbers: &Vec<i64>| numbers.iter().map(|number| number << unit.below).collect();
                    let comparison = match comparison {
                        Comparison::Not(numbers) => Comparison::Not(shifted(numbers)),
                        _ => Comparison::Is(shifted(numbers)),
                    };
                    compare(&mut self.code, VALUE, &comparison, otherwise)?;
                }
            }
            return Ok(());
        }
        self.load_field(field);
        compare(&mut self.code, VALUE, comparison, otherwise)
            .map_err(|mistake| Mistake { span: Some(span.clone()), ..mistake })
    }

    /// Loads a number that is 0 exactly if all bits of a long field are.
    fn load_any_bit(&mut self, field: &Field) {
        let (mut bit, last) = (field.bit, field.bit + field.bits);
        let mut to = VALUE;
        while bit < last {
            let at = bit / 64 * 8;
            let bits = (last - bit).min(64 - bit % 64);
            let unit = Unit::of(bit, bits).unwrap_or(Unit { width: Width::Eight, at, below: bit % 64, above: 0 });
            self.reaches(unit.end());
            self.code.load(unit.width, to, DATA, unit.at as i16);
            if unit.below > 0 {
                self.code.calculate(Alu::ShiftRight, to, unit.below as i32);
            }
            if unit.above > 0 {
                self.code.calculate(Alu::ShiftLeft, to, (64 - bits) as i32);
            }
            if to != VALUE {
                self.code.calculate_with(Alu::Or, VALUE, to);
            }
            to = OTHER;
            bit += bits;
        }
    }

    fn load_field(&mut self, field: &Field) -> Interval {
        let end = value::load(&mut self.code, DATA, field, VALUE, OTHER);
        self.reaches(end);
        value::range(field)
    }

    fn load_held(&mut self, name: &str, to: Register) -> Interval {
        let variable = self.object.held(name);
        self.code.address(to, variable);
        self.code.load(Width::Eight, to, to, 0);
        self.all.held.get(name).copied().unwrap_or(Interval::of(0))
    }

    fn steps(&mut self, steps: &[Spanned<Step>]) -> Result<(), Mistake> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, found: &Spanned<Step>) -> Result<(), Mistake> {
        let (span, step) = (found.span(), found.get_ref());
        self.code.line(span.start);
        let actions = [
            step.change.is_some(),
            step.set.is_some(),
            step.moved.is_some(),
            step.write.is_some(),
            step.drop.is_some(),
            step.length.is_some(),
            step.click.is_some(),
            step.conditions.is_some(),
        ];
        if actions.into_iter().filter(|is_there| *is_there).count() != 1 {
            let message = "a step has one of `change`, `set`, `move`, `write`, `click`, `drop`, `length` and `if`";
            return Err(Mistake::at(&span, message));
        }
        if let Some(conditions) = &step.conditions {
            return self.branch(conditions, step);
        }
        if !step.steps.is_empty() || !step.otherwise.is_empty() {
            return Err(Mistake::at(&span, "`do` and `else` of a step belong to `if`"));
        }
        if let Some(of) = step.of.as_ref().filter(|_| step.click.is_none()) {
            return Err(Mistake::at(&of.span(), "unexpected `of`: it belongs to `click`"));
        }
        if let Some(on) = step.on.as_ref().filter(|_| step.click.is_none()) {
            return Err(Mistake::at(&on.span(), "unexpected `on`: it belongs to `click`"));
        }
        if let Some(drop) = &step.drop {
            if !drop.get_ref() {
                return Err(Mistake::at(&drop.span(), "expected `drop = true`"));
            }
            self.code.set(0, DROP);
            self.code.exit();
        } else if let Some(length) = &step.length {
            self.resize(*length.get_ref(), &length.span())?;
        } else if let Some(bytes) = &step.write {
            let at = step.at.unwrap_or(0);
            if at as usize + bytes.get_ref().0.len() > LONGEST as usize {
                return Err(Mistake::at(&bytes.span(), format!("the bytes are beyond a report of {LONGEST} bytes")));
            }
            let end = at + bytes.get_ref().0.len() as u32;
            value::write_bytes(&mut self.code, DATA, at, &bytes.get_ref().0);
            self.touched = self.touched.max(end);
            self.reaches(end);
        } else if let Some(name) = &step.click {
            self.click(name, step)?;
        } else if let Some(name) = &step.change {
            if let Some(to) = &step.to {
                return Err(Mistake::at(&to.span(), "unexpected `to`: it belongs to `set` and `move`"));
            }
            let place = self.place(name.get_ref(), &name.span())?;
            self.change(&place, &name.span(), step)?;
        } else if let Some(name) = &step.set {
            let to = step.to.as_ref().ok_or_else(|| Mistake::at(&span, "missing `to`: the value to set"))?;
            let place = self.place(name.get_ref(), &name.span())?;
            self.set(&place, &name.span(), to, step)?;
        } else if let Some(name) = &step.moved {
            let to =
                step.to.as_ref().ok_or_else(|| Mistake::at(&span, "missing `to`: the field that gets the value"))?;
            let Operand::Name(target) = to.get_ref() else {
                return Err(Mistake::at(&to.span(), "expected a field or a held value"));
            };
            let (from, target) = (self.place(name.get_ref(), &name.span())?, self.place(target, &to.span())?);
            let Place::Field(field) = from else { return Err(Mistake::at(&name.span(), "expected a field to move")) };
            self.single(&field, &name.span())?;
            let interval = self.load_field(&field);
            let interval = self.calculate(interval, step)?;
            // The target may have bits of the field.
            let end = value::store_constant(&mut self.code, DATA, &field, 0, OTHER);
            self.reaches(end);
            self.store(&target, &to.span(), interval)?;
        }
        Ok(())
    }

    fn branch(&mut self, conditions: &[Spanned<Condition>], step: &Step) -> Result<(), Mistake> {
        let (otherwise, end) = (self.code.label(), self.code.label());
        self.conditions(conditions, otherwise)?;
        self.steps(&step.steps)?;
        if !step.otherwise.is_empty() && !ends(&step.steps) {
            self.code.jump(end);
        }
        self.code.place(otherwise);
        self.steps(&step.otherwise)?;
        self.code.place(end);
        Ok(())
    }

    /// Ends the rules with another size. Bytes that the report did not have are 0.
    fn resize(&mut self, length: u32, span: &Range<usize>) -> Result<(), Mistake> {
        if length == 0 || length > LONGEST {
            return Err(Mistake::at(span, format!("expected a length of 1 to {LONGEST} bytes")));
        }
        self.reaches(length);
        for at in self.touched..length {
            let next = self.code.label();
            self.code.jump_if_32(Test::SignedAbove, SIZE, at as i32, next);
            value::write_bytes(&mut self.code, DATA, at, &[0]);
            self.code.place(next);
        }
        if self.all.clicks {
            click::resize(&mut self.code, length, self.resized);
            return Ok(());
        }
        self.code.set(0, length.into());
        self.code.exit();
        Ok(())
    }

    /// Presses and releases a field when a value changes.
    fn click(&mut self, name: &Spanned<String>, step: &Step) -> Result<(), Mistake> {
        use hidbpf_core::manifest::Requirement;
        let span = name.span();
        if !self.manifest.requires.contains(&Requirement::StructOps) {
            let message = "a click sends a second report, which needs Linux 6.11: add `requires = [\"struct-ops\"]` to the manifest";
            return Err(Mistake::at(&span, message));
        }
        if self.all.types != Types::Input {
            return Err(Mistake::at(&span, "a click belongs to a rule of type \"input\""));
        }
        if calculates(step) {
            return Err(Mistake::at(&span, "a click has no calculation: expected `to`, `of` and `on`"));
        }
        if self.clicked.len() == MOST_CLICKS {
            return Err(Mistake::at(&span, format!("a driver can have {MOST_CLICKS} clicks")));
        }
        let Place::Field(field) = self.place(name.get_ref(), &span)? else {
            return Err(Mistake::at(&span, "expected a field to click"));
        };
        self.single(&field, &span)?;
        let to = match step.to.as_ref().map(|to| (to.get_ref(), to.span())) {
            None => 1,
            Some((Operand::Number(number), _)) if *number != 0 && fits(&field, *number) => *number,
            Some((_, span)) => return Err(Mistake::at(&span, "expected a number other than 0 that fits the field")),
        };
        match &step.of {
            None => _ = self.load_field(&field),
            Some(of) => match self.place(of.get_ref(), &of.span())? {
                Place::Field(field) => {
                    self.single(&field, &of.span())?;
                    self.load_field(&field);
                }
                Place::Held(held) => _ = self.load_held(&held, VALUE),
                Place::Option(_) => return Err(Mistake::at(&of.span(), "expected a field or a held value")),
            },
        }
        let on = step.on.as_ref().map_or(Edge::Rise, |on| *on.get_ref());
        let end = click::press(&mut self.code, self.object, DATA, self.clicked.len(), (&field, to), on);
        self.reaches(end);
        self.clicked.push(field);
        Ok(())
    }

    fn single(&self, field: &Field, span: &Range<usize>) -> Result<(), Mistake> {
        match field {
            Field { count: 1, bits: 1..=32, .. } => Ok(()),
            Field { count: 1, bits, .. } => {
                Err(Mistake::at(span, format!("the field has {bits} bits, and 32 can be calculated with")))
            }
            _ => Err(Mistake::at(span, "expected one field, and these are several")),
        }
    }

    fn change(&mut self, place: &Place, span: &Range<usize>, step: &Step) -> Result<(), Mistake> {
        match place {
            Place::Field(all) => {
                for index in 0..all.count {
                    let field = all.element(index);
                    self.single(&field, span)?;
                    if let Some(table) = self.sparse(step)? {
                        self.replace(&field, &table, span)?;
                        continue;
                    }
                    let interval = self.load_field(&field);
                    let interval = self.calculate(interval, step)?;
                    self.store(&Place::Field(field), span, interval)?;
                }
                Ok(())
            }
            Place::Held(name) => {
                let interval = self.load_held(name, VALUE);
                let interval = self.calculate(interval, step)?;
                self.store(place, span, interval)
            }
            Place::Option(_) => Err(Mistake::at(span, "a driver cannot change an option")),
        }
    }

    fn set(&mut self, place: &Place, span: &Range<usize>, to: &Spanned<Operand>, step: &Step) -> Result<(), Mistake> {
        let number = match to.get_ref() {
            Operand::Bool(value) => Some(i64::from(*value)),
            Operand::Number(number) => Some(*number),
            Operand::Name(_) => None,
        };
        let fields: Vec<Place> = match place {
            Place::Field(field) => (0..field.count).map(|index| Place::Field(field.element(index))).collect(),
            other => vec![other.clone()],
        };
        for place in fields {
            match (number, &place) {
                (Some(number), Place::Field(field)) if !calculates(step) => {
                    let is_zero_of_long = number == 0 && field.bits > 32;
                    if !is_zero_of_long && (field.bits > 32 || !fits(field, number)) {
                        return Err(Mistake::at(&to.span(), format!("{number} does not fit {} bits", field.bits)));
                    }
                    let end = value::store_constant(&mut self.code, DATA, field, number, OTHER);
                    self.reaches(end);
                }
                (Some(number), Place::Held(name)) if !calculates(step) && i32::try_from(number).is_ok() => {
                    let variable = self.object.held(name);
                    self.code.address(OTHER, variable);
                    self.code.store_number(Width::Eight, OTHER, 0, number as i32);
                    self.assigned.push((name.clone(), Interval::of(number)));
                }
                _ => {
                    let interval = self.operand(to, VALUE)?;
                    let interval = self.calculate(interval, step)?;
                    self.store(&place, span, interval)?;
                }
            }
        }
        Ok(())
    }

    /// Loads what a calculation reads.
    fn operand(&mut self, operand: &Spanned<Operand>, to: Register) -> Result<Interval, Mistake> {
        let span = operand.span();
        match operand.get_ref() {
            Operand::Bool(value) => {
                self.code.set(to, (*value).into());
                Ok(Interval::of((*value).into()))
            }
            Operand::Number(number) => {
                self.code.set(to, *number);
                Ok(Interval::of(*number))
            }
            Operand::Name(name) => match self.place(name, &span)? {
                Place::Field(field) => {
                    self.single(&field, &span)?;
                    let end = value::load(&mut self.code, DATA, &field, to, THIRD);
                    self.reaches(end);
                    Ok(value::range(&field))
                }
                Place::Held(held) => Ok(self.load_held(&held, to)),
                Place::Option(option) => load_option(&mut self.code, self.manifest, self.object, &option, to)
                    .map_err(|mistake| Mistake { span: Some(span), ..mistake }),
            },
        }
    }

    /// Stores the value, limited to what the place can hold.
    fn store(&mut self, place: &Place, span: &Range<usize>, interval: Interval) -> Result<(), Mistake> {
        match place {
            Place::Field(field) => {
                self.single(field, span)?;
                // Bits without a sign also take negative numbers of their size, as two's complement has them.
                let interval = self.limit(interval, value::range(field));
                let end = value::store(&mut self.code, DATA, field, VALUE, interval.low < 0, [OTHER, THIRD]);
                self.reaches(end);
            }
            Place::Held(name) => {
                let interval = self.limit(interval, HELD);
                let variable = self.object.held(name);
                self.code.address(OTHER, variable);
                self.code.store(Width::Eight, OTHER, 0, VALUE);
                self.assigned.push((name.clone(), interval));
            }
            Place::Option(_) => return Err(Mistake::at(span, "a driver cannot change an option")),
        }
        Ok(())
    }

    /// Limits the value to a range, as far as it can be outside of it.
    fn limit(&mut self, interval: Interval, to: Interval) -> Interval {
        if interval.low < to.low {
            self.bound(Test::SignedAtLeast, to.low);
        }
        if interval.high > to.high {
            self.bound(Test::SignedAtMost, to.high);
        }
        Interval { low: interval.low.clamp(to.low, to.high), high: interval.high.clamp(to.low, to.high) }
    }

    fn bound(&mut self, keeps: Test, number: i64) {
        let next = self.code.label();
        match i32::try_from(number) {
            Ok(number) => self.code.jump_if(keeps, VALUE, number, next),
            Err(_) => {
                self.code.set(OTHER, number);
                self.code.jump_if_with(keeps, VALUE, OTHER, next);
            }
        }
        self.code.set(VALUE, number);
        self.code.place(next);
    }

    /// Generates the calculation of a step, and returns the values of its result.
    fn calculate(&mut self, interval: Interval, step: &Step) -> Result<Interval, Mistake> {
        let mut interval = interval;
        if let Some(bits) = &step.sign_extend {
            let bits = *bits.get_ref();
            if !(1..=32).contains(&bits) {
                let span = step.sign_extend.as_ref().map_or(0..0, Spanned::span);
                return Err(Mistake::at(&span, "expected 1 to 32 bits"));
            }
            value::extend(&mut self.code, VALUE, bits);
            interval = value::range(&Field { bit: 0, bits, signed: true, count: 1 });
        }
        if step.negate {
            self.code.calculate(Alu::Negate, VALUE, 0);
            interval = Interval { low: -interval.high, high: -interval.low };
        }
        if let Some(operand) = &step.add {
            interval = self.combine(Alu::Add, interval, operand, i64::saturating_add)?;
        }
        if let Some(operand) = &step.multiply {
            interval = self.combine(Alu::Multiply, interval, operand, i64::saturating_mul)?;
        }
        if let Some(operand) = &step.divide {
            interval = self.divide(interval, operand)?;
        }
        if let Some(operand) = &step.offset {
            interval = self.combine(Alu::Add, interval, operand, i64::saturating_add)?;
        }
        for (what, number) in [(Alu::And, step.and), (Alu::Or, step.or), (Alu::Xor, step.xor)] {
            let Some(number) = number else { continue };
            match i32::try_from(number) {
                Ok(number) => self.code.calculate(what, VALUE, number),
                Err(_) => {
                    self.code.set(OTHER, number.into());
                    self.code.calculate_with(what, VALUE, OTHER);
                }
            }
            let number = i64::from(number);
            interval = match what {
                Alu::And => {
                    Interval { low: 0, high: if interval.low < 0 { number } else { number.min(interval.high) } }
                }
                _ if interval.low < 0 => HELD,
                _ => Interval { low: 0, high: value::low_bits(64 - (interval.high | number).leading_zeros()) },
            };
        }
        if let Some(map) = &step.map {
            let table = numbers(map)?;
            interval = self.map(interval, &table, step.otherwise_value);
        }
        if let Some(clamp) = &step.clamp {
            let [low, high] = *clamp.get_ref();
            if low > high {
                return Err(Mistake::at(&clamp.span(), "the lower limit is above the upper one"));
            }
            interval = self.limit(interval, Interval { low, high });
        }
        Ok(interval)
    }

    fn combine(
        &mut self,
        what: Alu,
        interval: Interval,
        operand: &Spanned<Operand>,
        result: fn(i64, i64) -> i64,
    ) -> Result<Interval, Mistake> {
        let other = match operand.get_ref() {
            Operand::Number(number) if i32::try_from(*number).is_ok() => {
                self.code.calculate(what, VALUE, *number as i32);
                Interval::of(*number)
            }
            _ => {
                let other = self.operand(operand, OTHER)?;
                self.code.calculate_with(what, VALUE, OTHER);
                other
            }
        };
        let interval = interval.combine(other, result);
        if interval.low == i64::MIN || interval.high == i64::MAX {
            return Err(Mistake::at(&operand.span(), "the result may not fit 64 bits"));
        }
        Ok(interval)
    }

    fn divide(&mut self, interval: Interval, operand: &Spanned<Operand>) -> Result<Interval, Mistake> {
        let divisor = match operand.get_ref() {
            Operand::Number(number @ 1..=0x7fff_ffff) => Some(*number),
            Operand::Number(_) | Operand::Bool(_) => {
                return Err(Mistake::at(&operand.span(), "expected a divisor of 1 to 2147483647"));
            }
            Operand::Name(_) => None,
        };
        let by = match divisor {
            Some(number) => Interval::of(number),
            None => self.operand(operand, OTHER)?,
        };
        if by.low < 1 {
            return Err(Mistake::at(
                &operand.span(),
                "the divisor may be 0 or negative: expected an option whose `min` is 1 or more",
            ));
        }
        let (end, positive) = (self.code.label(), self.code.label());
        if interval.low < 0 {
            if interval.high >= 0 {
                self.code.jump_if(Test::SignedAtLeast, VALUE, 0, positive);
            }
            self.code.calculate(Alu::Negate, VALUE, 0);
            self.divide_positive(-interval.low, divisor);
            self.code.calculate(Alu::Negate, VALUE, 0);
            if interval.high >= 0 {
                self.code.jump(end);
            }
            self.code.place(positive);
        }
        if interval.high >= 0 {
            self.divide_positive(interval.high, divisor);
        }
        self.code.place(end);
        Ok(interval.combine(by, |one, by| one / by.max(1)))
    }

    /// Divides a value from 0 to `high`. Multiplying and shifting takes a tenth of a division's time.
    fn divide_positive(&mut self, high: i64, divisor: Option<i64>) {
        let Some(divisor) = divisor else { return self.code.calculate_with(Alu::Divide, VALUE, OTHER) };
        if divisor == 1 {
            return;
        }
        if divisor.count_ones() == 1 {
            return self.code.calculate(Alu::ShiftRight, VALUE, divisor.trailing_zeros() as i32);
        }
        let exact = (8..32).find_map(|shift| {
            let one = 1_i64 << shift;
            let factor = one / divisor + 1;
            // Rounded up by less than 1 / high in each product.
            let error = factor * divisor - one;
            (error.saturating_mul(high) < one && factor.checked_mul(high).is_some()).then_some((factor as i32, shift))
        });
        match exact {
            Some((factor, shift)) => {
                self.code.calculate(Alu::Multiply, VALUE, factor);
                self.code.calculate(Alu::ShiftRight, VALUE, shift);
            }
            None => self.code.calculate(Alu::Divide, VALUE, divisor as i32),
        }
    }

    /// Replaces values by those of a table.
    fn map(&mut self, interval: Interval, table: &[(i64, i64)], otherwise: Option<i64>) -> Interval {
        /// The number of values from which on a lookup is shorter than comparisons.
        const FEW: usize = 3;
        /// The largest value that a table is made for.
        const LARGEST: i64 = 0xffff;
        let mut values = match otherwise {
            Some(number) => Interval::of(number),
            None => interval,
        };
        for (_, number) in table {
            values = values.with(Interval::of(*number));
        }
        let last = table.iter().map(|(key, _)| *key).max().unwrap_or(0);
        let is_small = table.iter().all(|(key, number)| *key >= 0 && u32::try_from(*number).is_ok())
            && otherwise.is_none_or(|number| u32::try_from(number).is_ok());
        if table.len() > FEW && interval.low >= 0 && last <= LARGEST && is_small {
            // Values behind the table's end are looked up as the last one, which is not listed.
            let end = (last + 1).min(interval.high);
            let entry = |key: i64| {
                let listed = table.iter().find(|(known, _)| *known == key).map(|(_, number)| *number);
                listed.or(otherwise).unwrap_or(key) as u32
            };
            let variable = self.object.table(&(0..=end).map(entry).collect::<Vec<u32>>());
            let done = self.code.label();
            if interval.high > end {
                match otherwise {
                    Some(_) => self.bound(Test::SignedAtMost, end),
                    None => self.code.jump_if(Test::SignedAbove, VALUE, end as i32, done),
                }
            }
            self.code.calculate(Alu::ShiftLeft, VALUE, 2);
            self.code.address(OTHER, variable);
            self.code.calculate_with(Alu::Add, OTHER, VALUE);
            self.code.load(Width::Four, VALUE, OTHER, 0);
            self.code.place(done);
            return values;
        }
        let done = self.code.label();
        for (key, number) in table {
            let next = self.code.label();
            self.compare_number(*key, next);
            self.code.set(VALUE, *number);
            self.code.jump(done);
            self.code.place(next);
        }
        if let Some(number) = otherwise {
            self.code.set(VALUE, number);
        }
        self.code.place(done);
        values
    }

    fn compare_number(&mut self, number: i64, otherwise: Label) {
        match i32::try_from(number) {
            Ok(number) => self.code.jump_if(Test::NotEqual, VALUE, number, otherwise),
            Err(_) => {
                self.code.set(OTHER, number);
                self.code.jump_if_with(Test::NotEqual, VALUE, OTHER, otherwise);
            }
        }
    }

    /// Returns the table of a step that only replaces a few values and leaves the others alone.
    fn sparse(&self, step: &Step) -> Result<Option<Vec<(i64, i64)>>, Mistake> {
        let plain = Step { map: step.map.clone(), ..Step::default() };
        let Some(map) =
            step.map.as_ref().filter(|_| !calculates(&Step { map: None, ..step.clone() }) && calculates(&plain))
        else {
            return Ok(None);
        };
        let table = numbers(map)?;
        Ok((table.len() <= 3 && step.otherwise_value.is_none()).then_some(table))
    }

    /// Replaces a few values of a field. Other values are not written again.
    fn replace(&mut self, field: &Field, table: &[(i64, i64)], span: &Range<usize>) -> Result<(), Mistake> {
        let done = self.code.label();
        self.load_field(field);
        for (index, (key, number)) in table.iter().enumerate() {
            if !fits(field, *number) {
                return Err(Mistake::at(span, format!("{number} does not fit {} bits", field.bits)));
            }
            let is_last = index + 1 == table.len();
            let next = if is_last { done } else { self.code.label() };
            self.compare_number(*key, next);
            // The kernel's verifier takes a fifth less for a register than for a constant, because it compares states
            // more often in longer code. No report is slower: few have such a value.
            let end = match (field.bit % 8, field.bits) {
                (0, 8 | 16 | 32) => {
                    self.code.set(VALUE, *number);
                    value::store(&mut self.code, DATA, field, VALUE, false, [OTHER, THIRD])
                }
                _ => value::store_constant(&mut self.code, DATA, field, *number, OTHER),
            };
            self.reaches(end);
            if !is_last {
                self.code.jump(done);
                self.code.place(next);
            }
        }
        self.code.place(done);
        Ok(())
    }
}

/// Returns whether a field can hold a number, with or without a sign.
fn fits(field: &Field, number: i64) -> bool {
    let signed = Field { signed: true, ..*field };
    value::range(field).contains(Interval::of(number)) || value::range(&signed).contains(Interval::of(number))
}

/// Reads the numbers of a table, `0x68` or decimal.
pub(crate) fn numbers(map: &Spanned<BTreeMap<String, i64>>) -> Result<Vec<(i64, i64)>, Mistake> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let wrong = |key: &String| {
        Mistake::at(
            &map.span(),
            format!("invalid value \"{}\": expected a number such as 104 or 0x68", key.escape_debug()),
        )
    };
    let table: Result<Vec<_>, Mistake> =
        map.get_ref().iter().map(|(key, to)| Ok((number(key).ok_or_else(|| wrong(key))?, *to))).collect();
    let mut table = table?;
    table.sort_unstable();
    match table.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
        true => Err(Mistake::at(&map.span(), "a value is listed twice")),
        false if table.is_empty() => Err(Mistake::at(&map.span(), "expected at least one value")),
        false => Ok(table),
    }
}

/// Returns whether a step calculates anything.
fn calculates(step: &Step) -> bool {
    let Step { sign_extend, negate, add, multiply, divide, offset, and, or, xor, map, otherwise_value, clamp, .. } =
        step;
    sign_extend.is_some()
        || *negate
        || [add, multiply, divide, offset].iter().any(|operand| operand.is_some())
        || [and, or, xor].iter().any(|number| number.is_some())
        || map.is_some()
        || otherwise_value.is_some()
        || clamp.is_some()
}

/// Returns whether a step or one within it is a click.
pub(crate) fn clicks(step: &Spanned<Step>) -> bool {
    let step = step.get_ref();
    step.click.is_some() || step.steps.iter().chain(&step.otherwise).any(clicks)
}

fn is_size(condition: &Spanned<Condition>) -> bool {
    condition.get_ref().size.is_some()
}

/// Returns whether a step needs the size of the report.
fn uses_size(step: &Spanned<Step>) -> bool {
    let step = step.get_ref();
    step.length.is_some()
        || step.conditions.iter().flatten().any(is_size)
        || step.steps.iter().chain(&step.otherwise).any(uses_size)
}

/// Returns whether nothing follows some steps.
fn ends(steps: &[Spanned<Step>]) -> bool {
    steps.last().is_some_and(|step| step.get_ref().drop.is_some() || step.get_ref().length.is_some())
}
