/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Values of the match rule that chose the driver, such as the size of a model. driver.toml has them, as `values` of a
 * `[[match]]` or of a row of its `models`. The build makes a table of constants of them, so that they cost nothing when
 * the driver is attached. The verifier knows which rule it is, and treats the values as constants.
 */
#ifndef HIDBPF_VALUES_H
#define HIDBPF_VALUES_H

#include <hidbpf/ids.h>

/* The build defines it if a rule has values. */
#ifndef HIDBPF_VALUES_OF_RULES
#define HIDBPF_VALUES_OF_RULES
#endif

/*
 * HIDBPF_RULE_VALUES(struct tablet); makes the table. The struct has a member for each value, with `_` for `-`. Values
 * that a rule does not have are 0.
 *
 * hidbpf_rule_values() returns the struct of the rule. All its members are 0 if a user forced the driver onto a device
 * that no rule matches.
 */
#define HIDBPF_RULE_VALUES(type)                                                                                       \
	/* The last one is for a device that no rule matches. */                                                       \
	static const type hidbpf_rule_table[] = {HIDBPF_VALUES_OF_RULES{0}};                                           \
	static __always_inline const type *hidbpf_rule_values(void)                                                    \
	{                                                                                                              \
		const __u32 last = sizeof(hidbpf_rule_table) / sizeof(hidbpf_rule_table[0]) - 1, rule = hidbpf_rule;   \
                                                                                                                       \
		return &hidbpf_rule_table[rule < last ? rule : last];                                                  \
	}                                                                                                              \
	_Static_assert(1, "")

#endif
