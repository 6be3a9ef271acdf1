/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Options: variables of a driver that people set, with `hidbpf set` or in a configuration, while it is at work. What an option is
 * called, what it can be and what it is by default is said in driver.toml, and the build checks that both agree.
 *
 * Hooks on reports see a new value at the next report. What the descriptor hook or the probe reads is only read when the driver is
 * attached: such an option says `reattach = true` in driver.toml.
 */
#ifndef HIDBPF_OPTION_H
#define HIDBPF_OPTION_H

#include <hidbpf/kernel.h>

/* A section of its own, which user space writes while the driver is at work; the build writes the defaults into it. */
#define HIDBPF__OPTION(type, name) volatile type option_##name SEC(".data.options")

/* HIDBPF_OPTION_BOOL(name); an option that is true or false: the variable `option_name`. */
#define HIDBPF_OPTION_BOOL(name) HIDBPF__OPTION(_Bool, name)

/* HIDBPF_OPTION_INTEGER(name); a number with 32 bits and a sign: the variable `option_name`. */
#define HIDBPF_OPTION_INTEGER(name) HIDBPF__OPTION(__s32, name)

/*
 * HIDBPF_OPTION_CHOICE(name, NAME_ONE, NAME_OTHER, ...); one of several values, each a constant, in the order of driver.toml: the
 * variable `option_name`. A choice `other-way` of the option `axis` is AXIS_OTHER_WAY.
 */
#define HIDBPF_OPTION_CHOICE(name, ...)                                                                                \
	enum hidbpf_option_##name { __VA_ARGS__ };                                                                     \
	HIDBPF__OPTION(enum hidbpf_option_##name, name)

#endif
