/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device that a driver's programs are loaded for, filled in by user space before they are: the verifier takes it for a constant, so
 * that a branch on it costs nothing at run time. Where a program follows ctx->hid instead, the verifiers of some kernels take longer than
 * for all the rest of it.
 */
#ifndef HIDBPF_IDS_H
#define HIDBPF_IDS_H

#include <hidbpf/kernel.h>

/* User space knows these offsets. */
struct hidbpf_ids {
	/* The device's number, as hid_bpf_allocate_context() takes it. */
	__u32 hid;
	__u32 vendor;
	__u32 product;
};

/* In the object where a program reads it. */
static const volatile struct hidbpf_ids hidbpf_ids __attribute__((unused));

#endif
