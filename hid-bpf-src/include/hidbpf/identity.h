/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changing what the kernel says about a device: its name, its place and its serial number. Needs Linux 6.11, `requires =
 * ["struct-ops"]` in driver.toml.
 *
 * The kernel lets programs write these three members of struct hid_device, except for the last byte of each
 * (hid_bpf_ops_btf_struct_access(), drivers/hid/bpf/hid_bpf_struct_ops.c). Do so in the descriptor hook: the kernel
 * driver names its input devices after the hook has run. A text stays until the device is plugged in again, even after
 * the driver was detached.
 */
#ifndef HIDBPF_IDENTITY_H
#define HIDBPF_IDENTITY_H

#include <hidbpf/driver.h>

/* hidbpf_set_name(ctx, "text"): the name, a string constant of at most 127 bytes. */
#define hidbpf_set_name(ctx, text) HIDBPF__SET_TEXT((ctx), name, text)

/* hidbpf_set_phys(ctx, "text"): the place at which the device is connected, at most 63 bytes. */
#define hidbpf_set_phys(ctx, text) HIDBPF__SET_TEXT((ctx), phys, text)

/* hidbpf_set_uniq(ctx, "text"): the serial number, at most 63 bytes. */
#define hidbpf_set_uniq(ctx, text) HIDBPF__SET_TEXT((ctx), uniq, text)

#define HIDBPF__SET_TEXT(ctx, member, text)                                                                            \
	do {                                                                                                           \
		HIDBPF__NEWER_ONLY_HERE("hidbpf_set_" #member)                                                         \
		_Static_assert(sizeof(text) <= sizeof((ctx)->hid->member), "the text is too long");                    \
		/* The kernel has zeroed the rest, or another text is there. */                                        \
		__builtin_memcpy((ctx)->hid->member, text, sizeof(text));                                              \
	} while (0)

#endif
