// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source with everything of hid_bpf_async.h, and a guard. A report with button 1 is followed by one without. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>

#define HID_BPF_ASYNC_MAX_CTX 2
#include "hid_bpf_async.h"

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0005));

struct counter {
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

static __u8 released[4];

static int HID_BPF_ASYNC_FUN(release)(struct hid_bpf_ctx *hctx)
{
	return hid_bpf_input_report(hctx, HID_INPUT_REPORT, released, sizeof(released));
}

static int HID_BPF_ASYNC_FUN(never)(struct hid_bpf_ctx *hctx)
{
	return hid_bpf_hw_output_report(hctx, released, sizeof(released));
}

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	ctx->retval = HID_BPF_ASYNC_INIT(release);
	if (!ctx->retval)
		ctx->retval = HID_BPF_ASYNC_INIT(never);
	return 0;
}

static __always_inline __u32 count(void)
{
	struct counter *counter = bpf_map_lookup_elem(&counters, &(__u32){0});

	if (!counter)
		return 0;
	{
		guard(bpf_spin)(&counter->lock);
		counter->count++;
	}
	return counter->count;
}

SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(example_release, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, 4);

	if (!data || !(data[0] & 1))
		return 0;
	data[3] = count();
	if (data[0] & 2)
		HID_BPF_ASYNC_DELAYED_CALL(never, hctx, 1000);
	HID_BPF_ASYNC_DELAYED_CALL(release, hctx, 5);
	return 0;
}

HID_BPF_OPS(example_async) = {
	.hid_device_event = (void *)example_release,
};

char _license[] SEC("license") = "GPL";
