//! Tests every instruction against independent arithmetic, and whole programs against another interpreter.
//!
//! rbpf is right about most of versions 1 to 3. The rest is only tested against arithmetic. rbpf zero-extends the
//! immediates of 64-bit comparisons, and keeps the upper half of the dividend in a 32-bit remainder by 0 (RFC 9669
//! clears it). It panics when it negates the smallest 64-bit number, doesn't support version 4, and refuses atomic
//! operations.

use hidbpf_prelink::Generation;

use crate::error::{AccessKind, Fault, Reason};
use crate::insn::{self, Raw};
use crate::object::{Function, Object};
use crate::random::Random;

use super::Machine;

const LIMIT: u64 = 100_000;

fn raw(opcode: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Raw {
    Raw { opcode, dst, src, offset, immediate }
}

fn load(dst: u8, value: u64) -> [Raw; 2] {
    [raw(0x18, dst, 0, 0, value as u32 as i32), raw(0, 0, 0, 0, (value >> 32) as u32 as i32)]
}

const EXIT: Raw = Raw { opcode: 0x95, dst: 0, src: 0, offset: 0, immediate: 0 };

fn machine(object: Object) -> Machine {
    Machine::new(&object.into(), Generation::StructOps, LIMIT, 1 << 20).unwrap()
}

fn run(code: &[Raw]) -> Result<u64, Box<Fault>> {
    let mut machine = machine(Object::of_functions(&[("main", code)]));
    machine.begin();
    machine.run(0, [0; 5])
}

/// A program that runs repeatedly on r1 and r2.
struct Program(Machine);

impl Program {
    fn new(code: &[Raw]) -> Program {
        Program(machine(Object::of_functions(&[("main", code)])))
    }

    fn run(&mut self, r1: u64, r2: u64) -> u64 {
        self.0.begin();
        self.0.run(0, [r1, r2, 0, 0, 0]).unwrap()
    }
}

/// Runs one instruction on r1 and r2 and returns r1.
fn one(insn: Raw) -> Program {
    Program::new(&[insn, raw(0xbf, 0, 1, 0, 0), EXIT])
}

#[test]
fn instructions_are_counted_as_they_are_executed() {
    // A 64-bit load counts as one despite its two halves. The two instructions of the loop run five times.
    let code = [&load(0, 5)[..], &[raw(0x17, 0, 0, 0, 1), raw(0x55, 0, 0, -2, 0), EXIT]].concat();
    let mut machine = machine(Object::of_functions(&[("main", &code)]));
    for runs in 1..=3 {
        machine.begin();
        assert_eq!(machine.run(0, [0; 5]), Ok(0));
        machine.end();
        assert_eq!(machine.instructions, runs * 12);
    }
}

/// Numbers near all the edges, and others.
fn numbers() -> Vec<u64> {
    let mut numbers = vec![0, 1, 2, 3, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x8000, 0xffff];
    numbers.extend([
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_ffff,
        1 << 32,
        1 << 63,
        (1 << 63) - 1,
        0x0102_0304_0506_0708,
    ]);
    let mut random = Random::new(1);
    numbers.extend((0..8).map(|_| random.next()));
    let negative: Vec<u64> = numbers.iter().map(|number| number.wrapping_neg()).collect();
    numbers.extend(negative);
    numbers
}

/// Returns the result of an operation, computed in 128-bit integers.
fn arithmetic(code: u8, offset: i16, bits: u32, d: u64, s: u64) -> u64 {
    let modulus = 1i128 << bits;
    let unsigned = |value: u64| i128::from(value) & (modulus - 1);
    let signed = |value: u64| if unsigned(value) >= modulus / 2 { unsigned(value) - modulus } else { unsigned(value) };
    let shift = unsigned(s) % i128::from(bits);
    let (du, su, ds, ss) = (unsigned(d), unsigned(s), signed(d), signed(s));
    let result = match (code, offset) {
        (0x0, _) => du + su,
        (0x1, _) => du - su,
        (0x2, _) => (d as u128).wrapping_mul(s.into()) as i128,
        (0x3, 0) => du.checked_div(su).unwrap_or(0),
        (0x3, _) => ds.checked_div(ss).unwrap_or(0),
        (0x4, _) => du | su,
        (0x5, _) => du & su,
        (0x6, _) => du << shift,
        (0x7, _) => du >> shift,
        (0x8, _) => -du,
        (0x9, 0) => du.checked_rem(su).unwrap_or(du),
        (0x9, _) => ds.checked_rem(ss).unwrap_or(ds),
        (0xa, _) => du ^ su,
        (0xb, _) => su,
        (0xc, _) => ds.div_euclid(1 << shift),
        _ => unreachable!(),
    };
    (result & (modulus - 1)) as u64
}

#[test]
fn arithmetic_is_right_for_every_operation_width_and_operand() {
    for code in 0x0..=0xc {
        for (class, bits) in [(7, 64), (4, 32)] {
            for offset in if [0x3, 0x9].contains(&code) { 0..=1 } else { 0..=0 } {
                for s in numbers() {
                    let from_register = raw(code << 4 | 8 | class, 1, 2, offset, 0);
                    let immediate = if code == 0x8 { 0 } else { s as u32 as i32 };
                    let constant = raw(code << 4 | class, 1, 0, offset, immediate);
                    for (insn, s) in [(from_register, s), (constant, i64::from(immediate) as u64)] {
                        // Negation has no operand.
                        if insn.opcode & 8 == 0 || code != 0x8 {
                            let mut program = one(insn);
                            for d in numbers() {
                                assert_eq!(
                                    program.run(d, s),
                                    arithmetic(code, offset, bits, d, s),
                                    "{insn:?} {d:#x} {s:#x}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn jumps_are_taken_when_they_should_be() {
    let holds = |code: u8, bits: u32, d: u64, s: u64| {
        let shift = 64 - bits;
        let (du, su) = (d << shift >> shift, s << shift >> shift);
        let (ds, ss) = ((d << shift) as i64 >> shift, (s << shift) as i64 >> shift);
        match code {
            0x1 => du == su,
            0x2 => du > su,
            0x3 => du >= su,
            0x4 => du & su != 0,
            0x5 => du != su,
            0x6 => ds > ss,
            0x7 => ds >= ss,
            0xa => du < su,
            0xb => du <= su,
            0xc => ds < ss,
            _ => ds <= ss,
        }
    };
    for code in [0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xa, 0xb, 0xc, 0xd] {
        for (class, bits) in [(5, 64), (6, 32)] {
            for s in numbers() {
                for (jump, s) in [
                    (raw(code << 4 | 8 | class, 1, 2, 2, 0), s),
                    (raw(code << 4 | class, 1, 0, 2, s as u32 as i32), i64::from(s as u32 as i32) as u64),
                ] {
                    let mut program = Program::new(&[jump, raw(0xb7, 0, 0, 0, 0), EXIT, raw(0xb7, 0, 0, 0, 1), EXIT]);
                    for d in numbers() {
                        assert_eq!(program.run(d, s), u64::from(holds(code, bits, d, s)), "{jump:?} {d:#x} {s:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn moves_extend_signs_and_bytes_change_places() {
    for d in numbers() {
        let bytes = d.to_le_bytes();
        let (low16, low32) = (u16::from_le_bytes([bytes[0], bytes[1]]), d as u32);
        for (insn, expected) in [
            (raw(0xbf, 1, 1, 8, 0), bytes[0] as i8 as u64),
            (raw(0xbf, 1, 1, 16, 0), low16 as i16 as u64),
            (raw(0xbf, 1, 1, 32, 0), low32 as i32 as u64),
            (raw(0xbc, 1, 1, 8, 0), (bytes[0] as i8 as u32).into()),
            (raw(0xbc, 1, 1, 16, 0), (low16 as i16 as u32).into()),
            (raw(0xd4, 1, 0, 0, 16), low16.into()),
            (raw(0xd4, 1, 0, 0, 32), low32.into()),
            (raw(0xd4, 1, 0, 0, 64), d),
            (raw(0xdc, 1, 0, 0, 16), u16::from_be_bytes([bytes[0], bytes[1]]).into()),
            (raw(0xdc, 1, 0, 0, 32), u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into()),
            (raw(0xdc, 1, 0, 0, 64), u64::from_be_bytes(bytes)),
            (raw(0xd7, 1, 0, 0, 16), u16::from_be_bytes([bytes[0], bytes[1]]).into()),
            (raw(0xd7, 1, 0, 0, 32), u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into()),
            (raw(0xd7, 1, 0, 0, 64), u64::from_be_bytes(bytes)),
        ] {
            assert_eq!(one(insn).run(d, 0), expected, "{insn:?} {d:#x}");
        }
    }
}

/// Stores r1 at r10 - 8 and `r0` in r0, and runs an instruction that can use r2. Returns a register, or the memory.
fn in_memory(insn: Raw, r0: u64, result: Option<u8>) -> Program {
    let mut code = vec![raw(0x7b, 10, 1, -8, 0)];
    code.extend(load(0, r0));
    code.push(insn);
    code.push(match result {
        Some(register) => raw(0xbf, 0, register, 0, 0),
        None => raw(0x79, 0, 10, -8, 0),
    });
    code.push(EXIT);
    Program::new(&code)
}

/// The sizes of memory accesses as in opcodes, and the bits that they cover.
const SIZES: [(u8, u64); 4] = [(0x10, 0xff), (0x08, 0xffff), (0x00, 0xffff_ffff), (0x18, u64::MAX)];

#[test]
fn loads_and_stores_have_the_right_width_and_sign() {
    for value in numbers() {
        for (opcode, expected) in [
            (0x71, value & 0xff),
            (0x69, value & 0xffff),
            (0x61, value & 0xffff_ffff),
            (0x79, value),
            (0x91, value as i8 as u64),
            (0x89, value as i16 as u64),
            (0x81, value as i32 as u64),
        ] {
            let mut program = in_memory(raw(opcode, 3, 10, -8, 0), 0, Some(3));
            assert_eq!(program.run(value, 0), expected, "{opcode:#x} {value:#x}");
        }
        let old = 0x1122_3344_5566_7788;
        for (size, mask) in SIZES {
            let mut from_register = in_memory(raw(0x63 | size, 10, 2, -8, 0), 0, None);
            assert_eq!(from_register.run(old, value), old & !mask | value & mask);
            let constant = i64::from(value as u32 as i32) as u64;
            let mut immediate = in_memory(raw(0x62 | size, 10, 0, -8, value as u32 as i32), 0, None);
            assert_eq!(immediate.run(old, 0), old & !mask | constant & mask);
        }
    }
}

#[test]
fn atomic_operations_change_memory_and_give_the_old_value() {
    type Combine = fn(u64, u64) -> u64;
    let operations: [(i32, Combine); 5] = [
        (0x00, u64::wrapping_add),
        (0x40, |memory, operand| memory | operand),
        (0x50, |memory, operand| memory & operand),
        (0xa0, |memory, operand| memory ^ operand),
        (0xe1, |_, operand| operand),
    ];
    for (opcode, mask) in [(0xdb, u64::MAX), (0xc3, 0xffff_ffff)] {
        for (operation, combine) in operations {
            for fetch in [operation, operation | 1] {
                let insn = raw(opcode, 10, 2, -8, fetch);
                let (mut new, mut source) = (in_memory(insn, 0, None), in_memory(insn, 0, Some(2)));
                for memory in numbers() {
                    for operand in numbers() {
                        let expected = memory & !mask | combine(memory, operand) & mask;
                        assert_eq!(new.run(memory, operand), expected, "{insn:?} {memory:#x} {operand:#x}");
                        let expected = if fetch & 1 == 1 { memory & mask } else { operand };
                        assert_eq!(source.run(memory, operand), expected, "{insn:?} {memory:#x} {operand:#x}");
                    }
                }
            }
        }
        for memory in numbers() {
            for r0 in [memory, memory ^ 1, memory ^ 1 << 63] {
                let insn = raw(opcode, 10, 2, -8, 0xf1);
                let (mut new, mut old) = (in_memory(insn, r0, None), in_memory(insn, r0, Some(0)));
                let swapped = r0 & mask == memory & mask;
                for operand in numbers() {
                    let expected = if swapped { memory & !mask | operand & mask } else { memory };
                    assert_eq!(new.run(memory, operand), expected);
                    assert_eq!(old.run(memory, operand), memory & mask);
                }
            }
        }
    }
    for (size, mask) in SIZES {
        let mut load_acquire = in_memory(raw(0xc3 | size, 3, 10, -8, 0x100), 0, Some(3));
        let mut store_release = in_memory(raw(0xc3 | size, 10, 2, -8, 0x110), 0, None);
        for memory in numbers() {
            assert_eq!(load_acquire.run(memory, 0), memory & mask);
            for operand in numbers() {
                assert_eq!(store_release.run(memory, operand), memory & !mask | operand & mask);
            }
        }
    }
}

#[test]
fn long_jumps_and_loops_that_the_kernel_ends() {
    let gotol = [raw(0xb7, 0, 0, 0, 1), raw(0x06, 0, 0, 0, 1), raw(0xb7, 0, 0, 0, 2), EXIT];
    assert_eq!(run(&gotol), Ok(1));
    // while (can_loop) r0++: the instruction limit applies first.
    let may_goto = [raw(0xb7, 0, 0, 0, 0), raw(0xe5, 0, 0, 2, 0), raw(0x07, 0, 0, 0, 1), raw(0x05, 0, 0, -3, 0), EXIT];
    assert_eq!(run(&may_goto).unwrap_err().reason, Reason::Endless(LIMIT));
    let backwards =
        [raw(0xb7, 1, 0, 0, 10), raw(0x07, 0, 0, 0, 3), raw(0x17, 1, 0, 0, 1), raw(0x55, 1, 0, -3, 0), EXIT];
    assert_eq!(run(&backwards), Ok(30));
}

#[test]
fn functions_have_frames_and_keep_four_registers() {
    let call = |start: i32| raw(0x85, 0, 1, 0, start);
    let main = [
        raw(0xb7, 6, 0, 0, 60),
        raw(0x7a, 10, 0, -8, 5),
        raw(0xbf, 1, 10, 0, 0),
        raw(0x07, 1, 0, 0, -8),
        call(2),
        raw(0x0f, 0, 6, 0, 0),
        raw(0x79, 1, 10, -8, 0),
        raw(0x0f, 0, 1, 0, 0),
        EXIT,
        // Takes a pointer to the caller's frame, and has a frame of its own.
        raw(0xb7, 6, 0, 0, 1),
        raw(0x7a, 10, 0, -8, 1),
        raw(0x7a, 1, 0, 0, 7),
        raw(0x79, 0, 10, -512, 0),
        EXIT,
    ];
    let mut object = Object::of_functions(&[("main", &main)]);
    let whole = object.functions[0].clone();
    object.functions[0].len = 9;
    object.functions.push(Function { name: "inner".to_owned(), start: 9, len: 5, ..whole });
    // Calls within a section count from the next instruction.
    object.code[0].instructions[4].immediate = 4;
    object.find_calls();
    let mut machine = machine(object);
    machine.begin();
    assert_eq!(machine.run(0, [0; 5]), Ok(67));
    assert_eq!(machine.depth, 0);

    let endless = [raw(0x85, 0, 1, 0, -1), EXIT];
    assert_eq!(run(&endless).unwrap_err().reason, Reason::CallDepth(8));
}

#[test]
fn what_is_no_program_is_an_error_where_it_is_reached() {
    let zero = raw(0xb7, 0, 0, 0, 0);
    for (code, instruction, reason) in [
        (vec![zero], 0, Reason::PastTheEnd),
        (vec![], 0, Reason::PastTheEnd),
        (vec![zero, raw(0x05, 0, 0, 5, 0), EXIT], 1, Reason::BadJump),
        (vec![zero, raw(0x05, 0, 0, -3, 0), EXIT], 1, Reason::BadJump),
        (vec![zero, raw(0x05, 0, 0, 1, 0), load(1, 0)[0], load(1, 0)[1], EXIT], 1, Reason::BadJump),
        (vec![zero, load(1, 0)[0]], 1, Reason::BadInstruction),
        (vec![zero, load(1, 0)[0], EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0xff, 0, 0, 0, 0), EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0xbf, 10, 0, 0, 0), EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0xbf, 0, 11, 0, 0), EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0xb7, 0, 3, 0, 0), EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0x8d, 0, 0, 0, 0), EXIT], 1, Reason::BadInstruction),
        (vec![zero, raw(0xdb, 10, 0, -8, 0x33), EXIT], 1, Reason::BadInstruction),
        (
            vec![zero, raw(0x85, 0, 1, 0, 0), EXIT],
            1,
            Reason::Unresolved("it calls into the middle of a function".to_owned()),
        ),
        (vec![zero, raw(0x05, 0, 0, -1, 0), EXIT], 1, Reason::Endless(LIMIT)),
        (vec![zero, raw(0x85, 0, 0, 0, 9999), EXIT], 1, Reason::UnknownHelper { number: 9999, name: None }),
        (
            vec![raw(0x79, 0, 10, 0, 0), EXIT],
            0,
            Reason::OutOfBounds {
                access: AccessKind::Read,
                size: 8,
                offset: 512,
                place: "the function's stack frame".to_owned(),
                length: 512,
            },
        ),
        (
            vec![zero, raw(0x73, 10, 0, -513, 0), EXIT],
            1,
            Reason::OutOfBounds {
                access: AccessKind::Write,
                size: 1,
                offset: -1,
                place: "the function's stack frame".to_owned(),
                length: 512,
            },
        ),
        (
            vec![zero, raw(0x61, 0, 0, 4, 0), EXIT],
            1,
            Reason::BadPointer { access: AccessKind::Read, size: 4, address: 4 },
        ),
    ] {
        let fault = run(&code).unwrap_err();
        assert_eq!((fault.instruction, &fault.reason), (instruction, &reason), "{code:?}");
        assert_eq!(fault.program, "main");
    }
}

/// Returns a program of random arithmetic, forward jumps and memory accesses that rbpf executes correctly.
fn random_program(random: &mut Random) -> Vec<Raw> {
    let mut code = Vec::new();
    for register in 0..10 {
        code.extend(load(register, random.next() >> random.below(64)));
    }
    let length = 1 + random.below(60);
    for left in (0..length).rev() {
        let (dst, src) = (random.below(10) as u8, random.below(10) as u8);
        let immediate = random.next() as i32 >> random.below(32);
        let from_register = random.below(2) as u8 * 8;
        let (src_or_0, immediate_or_0) = if from_register != 0 { (src, 0) } else { (0, immediate) };
        code.push(match random.below(8) {
            0..=3 => {
                let operation = [0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x9, 0xa, 0xb, 0xc][random.below(12)];
                let class = [4, 7][random.below(2)];
                let bits = if class == 7 { 64 } else { 32 };
                // No specification defines shifts by more than the width, and rbpf refuses some.
                let immediate =
                    if [0x6, 0x7, 0xc].contains(&operation) { immediate & (bits - 1) } else { immediate_or_0 };
                let divides = [0x3, 0x9].contains(&operation) && from_register == 0;
                let immediate = if divides && immediate == 0 { 1 } else { immediate };
                let immediate = if from_register != 0 { 0 } else { immediate };
                let remainder_by_register = operation == 0x9 && from_register != 0;
                let class = if remainder_by_register { 7 } else { class };
                raw(operation << 4 | from_register | class, dst, src_or_0, 0, immediate)
            }
            4 => raw(0x84, dst, 0, 0, 0),
            5 => raw([0xd4, 0xdc][random.below(2)], dst, 0, 0, [16, 32, 64][random.below(3)]),
            6 if left > 0 => {
                let operation = [0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xa, 0xb, 0xc, 0xd][random.below(11)];
                let class = [5, 6][random.below(2)];
                let immediate = if from_register == 0 && class == 5 { immediate & i32::MAX } else { immediate_or_0 };
                raw(operation << 4 | from_register | class, dst, src_or_0, random.below(left + 1) as i16, immediate)
            }
            _ => {
                let (size, _) = SIZES[random.below(SIZES.len())];
                let offset = -(8 * (1 + random.below(16) as i16));
                match random.below(3) {
                    0 => raw(0x61 | size, dst, 10, offset, 0),
                    1 => raw(0x62 | size, 10, 0, offset, immediate),
                    _ => raw(0x63 | size, 10, src, offset, 0),
                }
            }
        });
    }
    let mut result = vec![raw(0xbf, 0, 0, 0, 0)];
    // The result covers every register and the stack.
    for register in 1..10 {
        result.extend([raw(0x27, 0, 0, 0, 31), raw(0xaf, 0, register, 0, 0)]);
    }
    for slot in 1..=16 {
        result.extend([raw(0x79, 1, 10, -8 * slot, 0), raw(0x27, 0, 0, 0, 31), raw(0xaf, 0, 1, 0, 0)]);
    }
    code.extend(result);
    code.push(EXIT);
    // The initial stack is zero in one interpreter and undefined in others.
    let mut program: Vec<Raw> = (1..=16).map(|slot| raw(0x7a, 10, 0, -8 * slot, 0)).collect();
    program.extend(code);
    program
}

#[test]
fn random_programs_do_what_they_do_in_rbpf() {
    let mut random = Random::new(4);
    for round in 0..5_000 {
        let program = random_program(&mut random);
        let bytes: Vec<u8> = program.iter().flat_map(|insn| insn.bytes()).collect();
        let expected = rbpf::EbpfVmNoData::new(Some(&bytes)).and_then(|vm| vm.execute_program());
        let expected = expected.unwrap_or_else(|error| panic!("{round}: {error}: {program:?}"));
        assert_eq!(run(&program), Ok(expected), "{round}: {program:?}");
    }
}

#[test]
fn random_bytes_are_run_to_an_end() {
    let mut random = Random::new(5);
    let opcodes = [insn::CALL, insn::LOAD_IMMEDIATE, 0x95, 0xdb, 0x05, 0x61, 0x7b, 0xbf, 0x0f, 0x55];
    for _ in 0..10_000 {
        let code: Vec<Raw> = (0..1 + random.below(30))
            .map(|_| {
                let opcode =
                    if random.below(2) == 0 { opcodes[random.below(opcodes.len())] } else { random.next() as u8 };
                let registers = random.next() as u8;
                let immediate = random.next() as i32 >> random.below(32);
                raw(opcode, registers & 15, registers >> 4, random.next() as i16 >> random.below(16), immediate)
            })
            .collect();
        let _ = run(&code);
    }
}
