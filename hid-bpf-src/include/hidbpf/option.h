/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Options: variables of a driver that users set, with `hidbpf set` or in a configuration, while the driver is attached.
 * driver.toml declares each option's name, its possible values and its default. The build checks that the declarations
 * agree.
 *
 * Hooks on reports see a new value at the next report. The descriptor hook and the probe read options only when the
 * driver is attached: such an option has `reattach = true` in driver.toml.
 */
#ifndef HIDBPF_OPTION_H
#define HIDBPF_OPTION_H

#include <hidbpf/kernel.h>
#include <hidbpf/property.h>

/*
 * Options have their own section, which user space writes while the driver is attached. The build writes the defaults
 * into it.
 */
#define HIDBPF__OPTION(type, name) volatile type option_##name SEC(".data.options")

/* HIDBPF_OPTION_BOOL(name); declares an option that is true or false: the variable `option_name`. */
#define HIDBPF_OPTION_BOOL(name) HIDBPF__OPTION(_Bool, name)

/* HIDBPF_OPTION_INTEGER(name); declares a signed 32-bit option: the variable `option_name`. */
#define HIDBPF_OPTION_INTEGER(name) HIDBPF__OPTION(__s32, name)

/*
 * HIDBPF_OPTION_CHOICE(name, NAME_ONE, NAME_OTHER, ...); declares an option with one of several values: the variable
 * `option_name`. Each value is a constant, in the order of driver.toml. The choice `other-way` of the option `axis` is
 * AXIS_OTHER_WAY.
 */
#define HIDBPF_OPTION_CHOICE(name, ...)                                                                                \
	enum hidbpf_option_##name{__VA_ARGS__};                                                                        \
	HIDBPF__OPTION(enum hidbpf_option_##name, name)

/*
 * HIDBPF_OPTION_TABLE(name, size); declares a curve: users set its points, and user space writes a table of `size` values
 * on the lines between them. hidbpf_table(name, x) reads it. driver.toml has the range of x, which `size` values divide
 * into equal steps of a whole number.
 */
#define HIDBPF_OPTION_TABLE(name, size) volatile __s32 option_##name[(size) + HIDBPF_TABLE_HEADER] SEC(".data.options")

/* The x of the table's first value, and the step to the x of the next. */
#define HIDBPF_TABLE_HEADER 2

/*
 * hidbpf_table(name, x): the curve's y for an x. Between two values of the table it is on the line between them, rounded
 * towards the first. Beyond the range of x it is the outer value.
 */
#define hidbpf_table(name, x)                                                                                          \
	hidbpf_table_value(option_##name, sizeof(option_##name) / sizeof(option_##name[0]) - HIDBPF_TABLE_HEADER, (x))

static __always_inline __s32 hidbpf_table_value(volatile __s32 *table, const unsigned long size, __s32 x)
{
	const __s32 first = table[0];
	const __u32 step = (__u32)table[1], distance = x > first ? (__u32)x - (__u32)first : 0;
	__u32 index = step ? distance / step : 0, rest;
	__s32 value, next;

	/* Keeps the check and the access in one register, for which the verifier then knows the bounds. */
	asm("" : "+r"(index));
	if (index >= size - 1)
		return table[HIDBPF_TABLE_HEADER + size - 1];
	value = table[HIDBPF_TABLE_HEADER + index];
	if (step <= 1)
		return value;
	next = table[HIDBPF_TABLE_HEADER + 1 + index];
	rest = distance % step;
	/* BPF divides unsigned numbers only. */
	if (next >= value)
		return value + (__s32)((__u64)((__u32)next - (__u32)value) * rest / step);
	return value - (__s32)((__u64)((__u32)value - (__u32)next) * rest / step);
}

/*
 * HIDBPF_OPTION_TEXT(name, length); declares a text of at most `length` bytes, 1 to 255: the array `option_name`, with
 * zeros after the text. HIDBPF_TEXT_STARTS_WITH(name, "text") compares.
 */
#define HIDBPF_OPTION_TEXT(name, length) volatile char option_##name[(length) + 1] SEC(".data.options")

/* True if the option begins with a literal text. The text must fit into the option. */
#define HIDBPF_TEXT_STARTS_WITH(name, prefix)                                                                          \
	({                                                                                                             \
		_Static_assert(sizeof(prefix) <= sizeof(option_##name), "the text is longer than the option can be");  \
		hidbpf_starts_with(option_##name, "" prefix, sizeof(prefix) - 1);                                      \
	})

#endif
