//! The helpers that drivers call. `enum bpf_func_id` (include/uapi/linux/bpf.h) defines their numbers and behaviour.

use crate::error::{AccessKind, Reason};
use crate::format::{self, Text};
use crate::maps::Map;
use crate::memory::{Kind, Memory, RegionId};

use super::problem::{Problem, negative, out_of_memory};
use super::{Deferred, MAX_LOOPS, Machine};

/// Returns the name of a helper, if it is one that a driver could want.
pub(crate) fn helper_name(number: u32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Names of helpers, including unsupported ones that a driver could want.
const NAMES: [(u32, &str); 47] = [
    (1, "bpf_map_lookup_elem"),
    (2, "bpf_map_update_elem"),
    (3, "bpf_map_delete_elem"),
    (4, "bpf_probe_read"),
    (5, "bpf_ktime_get_ns"),
    (6, "bpf_trace_printk"),
    (7, "bpf_get_prandom_u32"),
    (8, "bpf_get_smp_processor_id"),
    (12, "bpf_tail_call"),
    (14, "bpf_get_current_pid_tgid"),
    (16, "bpf_get_current_comm"),
    (25, "bpf_perf_event_output"),
    (35, "bpf_get_current_task"),
    (45, "bpf_probe_read_str"),
    (87, "bpf_map_push_elem"),
    (88, "bpf_map_pop_elem"),
    (89, "bpf_map_peek_elem"),
    (93, "bpf_spin_lock"),
    (94, "bpf_spin_unlock"),
    (105, "bpf_strtol"),
    (106, "bpf_strtoul"),
    (113, "bpf_probe_read_kernel"),
    (115, "bpf_probe_read_kernel_str"),
    (118, "bpf_jiffies64"),
    (125, "bpf_ktime_get_boot_ns"),
    (130, "bpf_ringbuf_output"),
    (131, "bpf_ringbuf_reserve"),
    (132, "bpf_ringbuf_submit"),
    (133, "bpf_ringbuf_discard"),
    (158, "bpf_get_current_task_btf"),
    (160, "bpf_ktime_get_coarse_ns"),
    (164, "bpf_for_each_map_elem"),
    (165, "bpf_snprintf"),
    (166, "bpf_sys_bpf"),
    (169, "bpf_timer_init"),
    (170, "bpf_timer_set_callback"),
    (171, "bpf_timer_start"),
    (172, "bpf_timer_cancel"),
    (177, "bpf_trace_vprintk"),
    (181, "bpf_loop"),
    (182, "bpf_strncmp"),
    (194, "bpf_kptr_xchg"),
    (195, "bpf_map_lookup_percpu_elem"),
    (197, "bpf_dynptr_from_mem"),
    (201, "bpf_dynptr_read"),
    (202, "bpf_dynptr_write"),
    (208, "bpf_ktime_get_tai_ns"),
];

const E2BIG: i64 = 7;
const EFAULT: i64 = 14;
const EBUSY: i64 = 16;
const EINVAL: i64 = 22;

/// The maximum size of a message's format and of its arguments, in bytes.
const MAX_FORMAT: u32 = 4096;

/// The maximum length of a text for `%s`.
const MAX_TEXT: u32 = 512;

/// The size of a `struct bpf_dynptr`, and the maximum size of its memory, in bytes.
const DYNPTR_SIZE: u32 = 16;
const DYNPTR_MAX: u32 = (1 << 24) - 1;

/// The kernel's ticks per second.
const HZ: u64 = 250;

const TIMER_ABSOLUTE: u64 = 1;
const TIMER_CPU_PIN: u64 = 2;

impl Text for Memory {
    fn text_at(&self, address: u64) -> String {
        let byte = |offset| self.load::<1>(address.wrapping_add(offset)).map(|[byte]| byte).filter(|byte| *byte != 0);
        let bytes: Vec<u8> = (0..u64::from(MAX_TEXT)).map_while(byte).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Machine {
    pub(crate) fn call_helper(&mut self, number: u32, arguments: [u64; 5]) -> Result<u64, Problem> {
        let [a, b, c, d, e] = arguments;
        match number {
            1 => self.map_lookup(a, b),
            195 if c == 0 => self.map_lookup(a, b),
            195 => Ok(0),
            2 => self.map_update(a, b, c, d),
            3 => self.map_delete(a, b),
            4 | 113 => self.probe_read(a, b as u32, c),
            45 | 115 => self.probe_read_text(a, b as u32, c),
            5 | 125 | 160 | 208 => Ok(self.clock()),
            6 => self.trace_printk(a, b as u32, [c, d, e]),
            7 => Ok(u64::from(self.random.next() as u32)),
            // There is one CPU and no process: hooks run in the device's interrupt.
            8 | 14 => Ok(0),
            93 | 94 => Ok(0),
            118 => Ok(self.clock() / (1_000_000_000 / HZ)),
            164 => self.for_each_map_element(a, b, c, d),
            165 => self.snprintf(a, b as u32, c, d, e as u32),
            169 => self.timer_init(a, b),
            170 => self.timer_set_callback(a, b),
            171 => Ok(self.timer_start(a, b, c)),
            172 => Ok(self.timer_cancel(a)),
            177 => self.trace_vprintk(a, b as u32, c, d as u32),
            181 => self.repeat(a as u32, b, c, d),
            182 => self.strncmp(a, b as u32, c),
            197 => self.dynptr_from_memory(a, b as u32, c, d),
            201 => self.dynptr_read(a, b as u32, c, d as u32, e),
            202 => self.dynptr_write(a, b as u32, c, d as u32, e),
            _ => Err(Reason::UnknownHelper { number, name: helper_name(number) }.into()),
        }
    }

    /// Returns the bytes that a program passes in.
    pub(crate) fn input(&self, address: u64, size: u32) -> Result<&[u8], Problem> {
        self.memory.slice(address, size).map_err(|_| self.bad_access(AccessKind::Read, address, size).into())
    }

    /// Returns the bytes that a program wants filled.
    pub(crate) fn output(&mut self, address: u64, size: u32) -> Result<&mut [u8], Problem> {
        if self.memory.slice_mut(address, size).is_err() {
            return Err(self.bad_access(AccessKind::Write, address, size).into());
        }
        self.memory.slice_mut(address, size).map_err(|_| Reason::BadInstruction.into())
    }

    /// Returns the map behind a handle, and the key.
    fn map_and_key(&self, function: &'static str, map: u64, key: u64) -> Result<(usize, Vec<u8>), Problem> {
        let (index, key_size) = self.map_of(function, map)?;
        Ok((index, self.input(key, key_size)?.to_vec()))
    }

    /// Returns the index of the map behind a handle, and the size of its keys.
    fn map_of(&self, function: &'static str, handle: u64) -> Result<(usize, u32), Problem> {
        let argument = |problem: String| Problem::Here(Reason::Argument { function, problem });
        let index = match self.memory.locate(handle) {
            Some((_, Kind::Map(index), 0)) => index as usize,
            _ => return Err(argument("something that is not a map".to_owned())),
        };
        match self.data.maps.get(index) {
            Some(map) if map.is_usable() => Ok((index, map.definition.key_size)),
            _ => {
                let (name, kind) = self
                    .data
                    .maps
                    .get(index)
                    .map_or(("", 0), |map| (map.definition.name.as_str(), map.definition.kind));
                Err(argument(format!("the map `{name}` of type {kind}, which a replay does not have")))
            }
        }
    }

    fn map_lookup(&mut self, map: u64, key: u64) -> Result<u64, Problem> {
        let (index, key) = self.map_and_key("bpf_map_lookup_elem", map, key)?;
        let Some(map) = self.data.maps.get_mut(index) else { return Ok(0) };
        let value = map.lookup(&key, &mut self.memory).map_err(out_of_memory)?;
        Ok(value.map_or(0, |value| value.pointer(0)))
    }

    fn map_update(&mut self, map: u64, key: u64, value: u64, flags: u64) -> Result<u64, Problem> {
        let (index, key) = self.map_and_key("bpf_map_update_elem", map, key)?;
        let Some(size) = self.data.maps.get(index).map(|map| map.definition.value_size) else { return Ok(0) };
        self.charge(size as usize)?;
        self.charge_search(self.data.maps.get(index).map_or(0, Map::slots))?;
        let value = self.input(value, size)?.to_vec();
        let Some(map) = self.data.maps.get_mut(index) else { return Ok(0) };
        let mut removed = Vec::new();
        let answer = map.update(&key, &value, flags, &mut self.memory, &mut removed).map_err(out_of_memory)?;
        self.remove(removed)?;
        Ok(answer.map_or_else(|errno| i64::from(errno) as u64, |()| 0))
    }

    fn map_delete(&mut self, map: u64, key: u64) -> Result<u64, Problem> {
        let (index, key) = self.map_and_key("bpf_map_delete_elem", map, key)?;
        let Some(map) = self.data.maps.get_mut(index) else { return Ok(0) };
        let mut removed = Vec::new();
        let answer = map.delete(&key, &mut removed);
        self.remove(removed)?;
        Ok(answer.map_or_else(|errno| i64::from(errno) as u64, |()| 0))
    }

    /// Releases values that were removed from maps. As in the kernel, pointers to them remain valid until the program
    /// ends.
    fn remove(&mut self, values: Vec<RegionId>) -> Result<(), Problem> {
        for value in &values {
            self.charge_search(self.deferred.len())?;
            let (from, to) = (value.pointer(0), value.pointer(u32::MAX));
            self.deferred.retain(|address, _| *address < from || *address > to);
        }
        self.transient.extend(values);
        Ok(())
    }

    fn probe_read(&mut self, to: u64, size: u32, from: u64) -> Result<u64, Problem> {
        self.charge(size as usize)?;
        match self.memory.slice(from, size).map(<[u8]>::to_vec) {
            Ok(bytes) => {
                self.output(to, size)?.copy_from_slice(&bytes);
                Ok(0)
            }
            Err(_) => {
                self.output(to, size)?.fill(0);
                Ok(negative(EFAULT))
            }
        }
    }

    fn probe_read_text(&mut self, to: u64, size: u32, from: u64) -> Result<u64, Problem> {
        if size == 0 {
            return Ok(0);
        }
        self.charge(size as usize)?;
        let into = self.output(to, size)?;
        into.fill(0);
        let mut text = Vec::new();
        for offset in 0..u64::from(size - 1) {
            match self.memory.load::<1>(from.wrapping_add(offset)) {
                Some([0]) => break,
                Some([byte]) => text.push(byte),
                None => return Ok(negative(EFAULT)),
            }
        }
        self.output(to, size)?[..text.len()].copy_from_slice(&text);
        Ok(text.len() as u64 + 1)
    }

    /// Writes a `struct bpf_dynptr` at `pointer`: address and size, or zeros on failure, as in the kernel.
    fn dynptr_from_memory(&mut self, data: u64, size: u32, flags: u64, pointer: u64) -> Result<u64, Problem> {
        let refused = if size > DYNPTR_MAX { Some(E2BIG) } else { (flags != 0).then_some(EINVAL) };
        let (address, size) = if refused.is_some() { (0, 0) } else { (data, size) };
        let into = self.output(pointer, DYNPTR_SIZE)?;
        into[..8].copy_from_slice(&address.to_le_bytes());
        into[8..].copy_from_slice(&u64::from(size).to_le_bytes());
        Ok(refused.map_or(0, negative))
    }

    /// Returns the address and the size in a `struct bpf_dynptr`.
    fn dynptr(&self, pointer: u64) -> Result<(u64, u64), Problem> {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        let (address, whole) = self.input(pointer, DYNPTR_SIZE)?.split_at(8);
        Ok((number(address), number(whole)))
    }

    fn dynptr_read(&mut self, to: u64, size: u32, pointer: u64, offset: u32, flags: u64) -> Result<u64, Problem> {
        let (address, whole) = self.dynptr(pointer)?;
        let from = address.wrapping_add(offset.into());
        self.dynptr_copy((address, whole), offset, size, flags, from, to)
    }

    fn dynptr_write(&mut self, pointer: u64, offset: u32, from: u64, size: u32, flags: u64) -> Result<u64, Problem> {
        let (address, whole) = self.dynptr(pointer)?;
        let to = address.wrapping_add(offset.into());
        self.dynptr_copy((address, whole), offset, size, flags, from, to)
    }

    /// Copies bytes into or out of a dynptr's memory, if they are in bounds.
    fn dynptr_copy(
        &mut self,
        (address, whole): (u64, u64),
        offset: u32,
        size: u32,
        flags: u64,
        from: u64,
        to: u64,
    ) -> Result<u64, Problem> {
        if address == 0 || flags != 0 {
            return Ok(negative(EINVAL));
        }
        if u64::from(offset) + u64::from(size) > whole {
            return Ok(negative(E2BIG));
        }
        self.charge(size as usize)?;
        let bytes = self.input(from, size)?.to_vec();
        self.output(to, size)?.copy_from_slice(&bytes);
        Ok(0)
    }

    fn text(&self, function: &'static str, address: u64, size: u32) -> Result<String, Problem> {
        if size > MAX_FORMAT {
            return Err(Reason::Argument { function, problem: format!("a format of {size} bytes") }.into());
        }
        let bytes = self.input(address, size)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// Returns the arguments of a message, 8 bytes each.
    fn words(&self, function: &'static str, address: u64, size: u32) -> Result<Vec<u64>, Problem> {
        if size > MAX_FORMAT || !size.is_multiple_of(8) {
            return Err(Reason::Argument { function, problem: format!("{size} bytes of arguments") }.into());
        }
        let bytes = if size == 0 { &[] } else { self.input(address, size)? };
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    fn print(&mut self, text: &str, arguments: &[u64]) -> Result<u64, Problem> {
        let message = format::format(text, arguments, &self.memory);
        self.charge(message.len())?;
        self.say(message.trim_end_matches('\n').to_owned());
        Ok(message.len() as u64)
    }

    fn trace_printk(&mut self, text: u64, size: u32, arguments: [u64; 3]) -> Result<u64, Problem> {
        let text = self.text("bpf_trace_printk", text, size)?;
        self.print(&text, &arguments)
    }

    fn trace_vprintk(&mut self, text: u64, size: u32, data: u64, data_size: u32) -> Result<u64, Problem> {
        let text = self.text("bpf_trace_vprintk", text, size)?;
        let arguments = self.words("bpf_trace_vprintk", data, data_size)?;
        self.print(&text, &arguments)
    }

    fn snprintf(&mut self, to: u64, size: u32, text: u64, data: u64, data_size: u32) -> Result<u64, Problem> {
        let text = self.memory.text_at(text);
        let arguments = self.words("bpf_snprintf", data, data_size)?;
        let message = format::format(&text, &arguments, &self.memory);
        self.charge(message.len())?;
        if size > 0 {
            let into = self.output(to, size)?;
            let used = message.len().min(into.len() - 1);
            into[..used].copy_from_slice(&message.as_bytes()[..used]);
            into[used] = 0;
        }
        // The length includes the zero at the end.
        Ok(message.len() as u64 + 1)
    }

    fn strncmp(&mut self, left: u64, size: u32, right: u64) -> Result<u64, Problem> {
        self.charge(size as usize)?;
        let left = self.input(left, size)?;
        for (offset, byte) in left.iter().enumerate() {
            let address = right.wrapping_add(offset as u64);
            let Some([other]) = self.memory.load::<1>(address) else {
                return Err(self.bad_access(AccessKind::Read, address, 1).into());
            };
            if *byte != other {
                return Ok((i64::from(*byte) - i64::from(other)) as u64);
            }
            if other == 0 {
                break;
            }
        }
        Ok(0)
    }

    /// Returns the start of a callback.
    fn callback(&self, function: &'static str, address: u64) -> Result<usize, Problem> {
        match self.memory.locate(address) {
            Some((_, Kind::Code, start)) => Ok(start as usize),
            _ => Err(Reason::Argument { function, problem: "something that is not a function".to_owned() }.into()),
        }
    }

    fn repeat(&mut self, times: u32, callback: u64, context: u64, flags: u64) -> Result<u64, Problem> {
        if flags != 0 {
            return Ok(negative(EINVAL));
        }
        if u64::from(times) > MAX_LOOPS {
            return Ok(negative(E2BIG));
        }
        let callback = self.callback("bpf_loop", callback)?;
        for turn in 0..times {
            if self.run(callback, [turn.into(), context, 0, 0, 0]).map_err(Problem::Deeper)? != 0 {
                return Ok(u64::from(turn) + 1);
            }
        }
        Ok(times.into())
    }

    fn for_each_map_element(&mut self, map: u64, callback: u64, context: u64, flags: u64) -> Result<u64, Problem> {
        let (index, _) = self.map_of("bpf_for_each_map_elem", map)?;
        self.charge_search(self.data.maps.get(index).map_or(0, Map::slots))?;
        if flags != 0 {
            return Ok(negative(EINVAL));
        }
        let callback = self.callback("bpf_for_each_map_elem", callback)?;
        let (mut from, mut turns) = (0, 0);
        while let Some(slot) = self.data.maps.get(index).and_then(|map| map.slot_from(from)) {
            let key = self.data.maps.get(index).map(|map| map.key_of(slot)).unwrap_or_default();
            let Some(map_state) = self.data.maps.get_mut(index) else { break };
            let value = map_state.lookup(&key, &mut self.memory).map_err(out_of_memory)?;
            let key = self.transient_bytes(&key).map_err(out_of_memory)?;
            let arguments = [map, key, value.map_or(0, |value| value.pointer(0)), context, 0];
            turns += 1;
            if self.run(callback, arguments).map_err(Problem::Deeper)? != 0 {
                break;
            }
            let Some(next) = slot.checked_add(1) else { break };
            from = next;
        }
        Ok(turns)
    }

    /// Checks that a timer or work item is in a map's value.
    fn deferred_place(&self, function: &'static str, address: u64) -> Result<(), Problem> {
        match self.memory.locate(address) {
            Some((_, Kind::Value { .. }, _)) => self.input(address, 16).map(drop),
            _ => {
                let problem = "a pointer to outside of a map's value".to_owned();
                Err(Reason::Argument { function, problem }.into())
            }
        }
    }

    /// Initialises a timer or work item.
    pub(crate) fn deferred_init(
        &mut self,
        function: &'static str,
        address: u64,
        map: u64,
        is_work: bool,
    ) -> Result<u64, Problem> {
        self.deferred_place(function, address)?;
        self.map_of(function, map)?;
        if self.deferred.contains_key(&address) {
            return Ok(negative(EBUSY));
        }
        self.deferred.insert(address, Deferred { map, is_work, ..Deferred::default() });
        Ok(0)
    }

    /// Sets the callback of a timer or work item.
    pub(crate) fn deferred_set_callback(
        &mut self,
        function: &'static str,
        address: u64,
        callback: u64,
    ) -> Result<u64, Problem> {
        self.deferred_place(function, address)?;
        let callback = self.callback(function, callback)?;
        let Some(deferred) = self.deferred.get_mut(&address) else { return Ok(negative(EINVAL)) };
        deferred.callback = Some(callback);
        Ok(0)
    }

    /// Schedules a timer or work item.
    pub(crate) fn deferred_start(&mut self, address: u64, due: u64) -> u64 {
        let Some(deferred) = self.deferred.get_mut(&address).filter(|deferred| deferred.callback.is_some()) else {
            return negative(EINVAL);
        };
        self.sequence += 1;
        deferred.due = Some((due, self.sequence));
        0
    }

    fn timer_init(&mut self, timer: u64, map: u64) -> Result<u64, Problem> {
        self.deferred_init("bpf_timer_init", timer, map, false)
    }

    fn timer_set_callback(&mut self, timer: u64, callback: u64) -> Result<u64, Problem> {
        self.deferred_set_callback("bpf_timer_set_callback", timer, callback)
    }

    fn timer_start(&mut self, timer: u64, nanoseconds: u64, flags: u64) -> u64 {
        if flags & !(TIMER_ABSOLUTE | TIMER_CPU_PIN) != 0 {
            return negative(EINVAL);
        }
        let base = self.clock() - self.now;
        let due = match flags & TIMER_ABSOLUTE {
            0 => self.now.saturating_add(nanoseconds),
            _ => nanoseconds.saturating_sub(base).max(self.now),
        };
        self.deferred_start(timer, due)
    }

    fn timer_cancel(&mut self, timer: u64) -> u64 {
        let Some(deferred) = self.deferred.get_mut(&timer) else { return negative(EINVAL) };
        deferred.due.take().is_some().into()
    }
}
