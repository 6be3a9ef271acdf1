// SPDX-License-Identifier: GPL-2.0-only
/* A newer version of a driver, for another device than the version 0010. Y becomes a wheel. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0007));

SEC(HID_BPF_RDESC_FIXUP)
int BPF_PROG(example_make_wheel, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, HID_MAX_DESCRIPTOR_SIZE);

	if (data)
		data[27] = 0x38;
	return 0;
}

HID_BPF_OPS(example_wheel) = {
	.hid_rdesc_fixup = (void *)example_make_wheel,
};

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	ctx->retval = ctx->rdesc_size == 41 ? 0 : -22;
	return 0;
}

char _license[] SEC("license") = "GPL";
