/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sending further input reports from an event hook: one report becomes several, or a press is followed by its release.
 * Needs Linux 6.11, `requires = ["struct-ops"]` in driver.toml.
 *
 * The kernel passes an injected report through the buffer of the report that the hook works on. All event hooks of the
 * device see it, including the one that injects it (dispatch_hid_bpf_device_event(),
 * drivers/hid/bpf/hid_bpf_dispatch.c). These macros restore the buffer, and don't call the driver's own hook for it.
 */
#ifndef HIDBPF_INJECT_H
#define HIDBPF_INJECT_H

#include <hidbpf/driver.h>

/* The size of the buffer that every event hook has, in bytes, for reports of up to `size` bytes. */
#define HIDBPF__BUFFER(size) (((size) + 63) / 64 * 64)

static __always_inline _Bool hidbpf_is_longer(struct hid_bpf_ctx *ctx, const unsigned long size)
{
	return ctx->size > (int)size;
}

/*
 * HIDBPF_INJECTING_EVENT(ctx, report, size) { ... }
 *
 * Like HIDBPF_INPUT_REPORT, for hooks that call hidbpf_inject(). Does not run on injected reports, its own or those of
 * other drivers. Runs on reports of up to HIDBPF__BUFFER(size) bytes, since the rest could not be restored.
 */
#define HIDBPF_INJECTING_EVENT(ctx, report, size)                                                                      \
	HIDBPF__NEWER_ONLY("HIDBPF_INJECTING_EVENT")                                                                   \
	/* A copy of the report while another one is injected. The kernel passes one report of a device at a time. */  \
	static __u64 hidbpf_kept[HIDBPF__BUFFER(size) / 8];                                                            \
	static __always_inline int hidbpf_injecting_event(struct hid_bpf_ctx *ctx, __u8 *report);                      \
	HIDBPF_DEVICE_EVENT_FROM(hidbpf_ctx, hidbpf_type, hidbpf_source)                                               \
	{                                                                                                              \
		__u8 *hidbpf_data;                                                                                     \
                                                                                                                       \
		if (hidbpf_source || hidbpf_is_longer(hidbpf_ctx, sizeof(hidbpf_kept)))                                \
			return 0;                                                                                      \
		hidbpf_data = hidbpf_report_of_type(hidbpf_ctx, hidbpf_type, (size));                                  \
		return hidbpf_data ? hidbpf_injecting_event(hidbpf_ctx, hidbpf_data) : 0;                              \
	}                                                                                                              \
	static __always_inline int hidbpf_injecting_event(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                      \
							  __u8 *report HIDBPF__UNUSED)

/*
 * hidbpf_inject(ctx, bytes, size): passes an input report to the kernel as if the device had sent it, before the report
 * that the hook works on. `size` is a constant, at least the size of the declared report. `bytes` is not in the
 * report's buffer. Returns 0 or a negative errno: -EINVAL if the descriptor declares no such report. Only in the body of
 * HIDBPF_INJECTING_EVENT, whose `report` is as it was afterwards.
 */
#define hidbpf_inject(ctx, bytes, size)                                                                                \
	hidbpf_inject_with((ctx), (void *)(bytes), (size), hidbpf_kept, sizeof(hidbpf_kept))

static __always_inline int hidbpf_inject_with(struct hid_bpf_ctx *ctx, void *bytes, const unsigned long size,
					      __u64 *kept, const unsigned long length)
{
	__u64 *buffer = (void *)hid_bpf_get_data(ctx, 0, length);
	int result;

	if (!buffer)
		return -EINVAL;
	__builtin_memcpy(kept, buffer, length);
	result = hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, bytes, size);
	__builtin_memcpy(buffer, kept, length);
	return result;
}

/*
 * hidbpf_inject_both(ctx, pressed, released, size): injects two reports of the same size, such as the press of a button
 * and its release. Returns 0 or the first error.
 */
#define hidbpf_inject_both(ctx, pressed, released, size)                                                               \
	({                                                                                                             \
		int hidbpf_first = hidbpf_inject((ctx), (pressed), (size));                                            \
                                                                                                                       \
		hidbpf_first < 0 ? hidbpf_first : hidbpf_inject((ctx), (released), (size));                            \
	})

/*
 * hidbpf_send_input(ctx, bytes, size): the same from work (work.h, queue.h), which may sleep and has no report of its
 * own. The report comes after those that the device has sent until then.
 */
static __always_inline int hidbpf_send_input(struct hid_bpf_ctx *ctx, void *bytes, const unsigned long size)
{
	return hid_bpf_input_report(ctx, HID_INPUT_REPORT, bytes, size);
}

#endif
