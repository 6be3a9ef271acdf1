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

#endif
