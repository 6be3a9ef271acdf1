// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source whose struct_ops map is in the section that libbpf attaches without a link. Reports with button 1 get
 * button 2. The version 0020 of the driver is for another device. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0006));

SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(example_swap_buttons, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, 4);

	if (data && data[0] == 1)
		data[0] = 2;
	return 0;
}

#ifdef HID_BPF_TRACING
HID_BPF_OPS(example_linkless) = {
#else
SEC(".struct_ops")
struct hid_bpf_ops example_linkless = {
#endif
	.hid_device_event = (void *)example_swap_buttons,
};

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	ctx->retval = 0;
	return 0;
}

char _license[] SEC("license") = "GPL";
