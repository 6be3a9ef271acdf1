// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source whose probe takes no device: it returns an errno, or a number that means nothing. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0009));

SEC(HID_BPF_RDESC_FIXUP)
int BPF_PROG(example_fix_descriptor, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, 8);

	if (data)
		data[3] = 0x06;
	return 0;
}

HID_BPF_OPS(example_refuses) = {
	.hid_rdesc_fixup = (void *)example_fix_descriptor,
};

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	ctx->retval = ctx->rdesc_size == 50 ? 1 : -EINVAL;
	return 0;
}

char _license[] SEC("license") = "GPL";
