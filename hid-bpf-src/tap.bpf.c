// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies reports to user space. Attached before the drivers, it sees reports as the device sent them. Attached after,
 * it sees them as the drivers changed them. It changes nothing.
 */
#include <hidbpf/driver.h>

/* include/uapi/linux/bpf.h */
#define BPF_MAP_TYPE_RINGBUF 27

/* User space relies on these offsets. */
struct hidbpf_tap_report {
	/* Nanoseconds of CLOCK_MONOTONIC. */
	__u64 time;
	__u32 size;
	__u32 type;
	__u8 data[];
};

/* Bytes. The size of the kernel's buffer for reports is a multiple of this. */
#define CHUNK 64
#define CHUNKS 64

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} hidbpf_reports SEC(".maps");

__u32 hidbpf_lost;

static __always_inline struct hidbpf_tap_report *reserve(struct hid_bpf_ctx *ctx, enum hid_report_type type, int chunks)
{
	struct hidbpf_tap_report *entry = bpf_ringbuf_reserve(&hidbpf_reports, sizeof(*entry) + chunks * CHUNK, 0);

	if (!entry) {
		hidbpf_lost++;
		return NULL;
	}
	entry->time = bpf_ktime_get_ns();
	entry->size = ctx->size;
	entry->type = type;
	return entry;
}

HIDBPF_DEVICE_EVENT(ctx, type)
{
	struct hidbpf_tap_report *entry;
	__u8 *chunk;
	int i;

	/* Most reports are short. The size of a reservation must be a constant, so there are two. */
	if (ctx->size <= CHUNK) {
		entry = reserve(ctx, type, 1);
		if (!entry)
			goto out;
		chunk = hid_bpf_get_data(ctx, 0, CHUNK);
		if (chunk)
			__builtin_memcpy(entry->data, chunk, CHUNK);
	} else {
		entry = reserve(ctx, type, CHUNKS);
		if (!entry)
			goto out;
		for (i = 0; i < CHUNKS && i * CHUNK < ctx->size; i++) {
			chunk = hid_bpf_get_data(ctx, i * CHUNK, CHUNK);
			if (!chunk)
				break;
			__builtin_memcpy(entry->data + i * CHUNK, chunk, CHUNK);
		}
	}
	bpf_ringbuf_submit(entry, 0);
out:
	/*
	 * Up to Linux 6.10, the result of the last program replaces the sizes that drivers before it returned. So the
	 * program returns the size again. The kernel would drop a report whose returned size is beyond the buffer.
	 */
	return (__u32)ctx->size <= ctx->allocated_size ? ctx->size : 0;
}

HIDBPF_DRIVER(device_event);
