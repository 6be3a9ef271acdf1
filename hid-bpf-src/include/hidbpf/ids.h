/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device that a driver's programs are loaded for. User space fills this in before it loads the programs. The
 * verifier treats it as constant, so that a branch on it costs nothing at run time. If a program follows ctx->hid
 * instead, the verifiers of some kernels need more time for that than for the rest of the program.
 */
#ifndef HIDBPF_IDS_H
#define HIDBPF_IDS_H

#include <hidbpf/kernel.h>

/* User space relies on these offsets. */
struct hidbpf_ids {
	/* The device's number, as hid_bpf_allocate_context() takes it. */
	__u32 hid;
	__u32 vendor;
	__u32 product;
};

/* The object contains this variable only if a program reads it. */
static const volatile struct hidbpf_ids hidbpf_ids __attribute__((unused));

/*
 * The match rule that chose the driver: its place among those of driver.toml, counted from 0. HIDBPF_NO_RULE if none
 * matches, because a user forced the driver.
 */
#define HIDBPF_NO_RULE 0xffffffffU
static const volatile __u32 hidbpf_rule __attribute__((unused));

#endif
