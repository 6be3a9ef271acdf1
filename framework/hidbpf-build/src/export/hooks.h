/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The SDK's macros for hooks, for a source in the kernel tree's form. Each makes a function, which the programs at the
 * end of the source call. `hidbpf export` replaces them in a driver, and copies those that the SDK's own macros use.
 */

#define HIDBPF__UNUSED __attribute__((unused))

#define HIDBPF_RDESC_FIXUP(ctx) static __always_inline int fix_descriptor(struct hid_bpf_ctx *ctx)

#define HIDBPF_DEVICE_EVENT(ctx, type)                                                                                 \
	static __always_inline int fix_event(struct hid_bpf_ctx *ctx, enum hid_report_type type)

#define HIDBPF_INPUT_EVENT(ctx) static __always_inline int fix_input(struct hid_bpf_ctx *ctx)

#define HIDBPF_INPUT_REPORT(ctx, report, size)                                                                         \
	enum { hid_fix_size = (size) };                                                                                \
	static __always_inline int fix_report(struct hid_bpf_ctx *ctx, __u8 *report)

/* The loader fills it in. */
#define HIDBPF_UDEV_PROPERTY(name) char UDEV_PROP_##name[HIDBPF_PROPERTY_SIZE] __attribute__((aligned(4)))
