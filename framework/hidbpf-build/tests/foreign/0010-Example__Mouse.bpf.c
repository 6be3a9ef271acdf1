// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source with everything of hid_bpf.h, and most of hid_bpf_helpers.h. It inverts Y of a mouse. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0001),
	       HID_DEVICE(BUS_BLUETOOTH, HID_GROUP_ANY, 0x1234, 0x0002),
	       HID_DEVICE(BUS_ANY, HID_GROUP_ANY, 0x1234, HID_PID_ANY));

char UDEV_PROP_EXAMPLE_MODE[8];
EXPORT_UDEV_PROP(EXAMPLE_STATE, 32);

static const char expected[] = "precise mode";

/* The halves of a byte as they are. clang places arrays of 16 bytes apart from others. */
static const __u8 low[16] = {0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf};
static const __u8 high[] = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80,
			    0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0x00};

SEC(HID_BPF_RDESC_FIXUP)
int BPF_PROG(example_fix_descriptor, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, HID_MAX_DESCRIPTOR_SIZE);

	if (!data)
		return 0;
	hid_set_name(hctx->hid, "Example Mouse");
	/* The descriptor has 41 bytes. Their number has 10 leading zeros in 16 bits, and 32 - 10 + 5 is the place of Y. */
	data[32 - __builtin_clzg((__u16)hctx->size, 16) + 5] = 0x38;
	return 0;
}

SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(example_fix_event, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, 5);
	__u16 y;

	if (!data)
		return 0;
	if (data[0] & BIT(7))
		return HID_IGNORE_EVENT;
	data[0] = low[data[0] & 15] | high[data[0] >> 4];
	y = hid_bpf_le16_to_cpu(*(__u16 *)(data + 3));
	*(__u16 *)(data + 3) = hid_bpf_cpu_to_le16(-y);
	*(__u16 *)(data + 1) = hid_bpf_cpu_to_be16(hid_bpf_be16_to_cpu(*(__u16 *)(data + 1)));
	return hctx->size;
}

HID_BPF_OPS(example_mouse) = {
	.hid_rdesc_fixup = (void *)example_fix_descriptor,
	.hid_device_event = (void *)example_fix_event,
};

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	_release_(hid_bpf_ctx) *hctx = hid_bpf_allocate_context(ctx->hid);

	ctx->retval = -ENODEV;
	if (!hctx || hctx->hid->vendor != 0x1234)
		return 0;
	if (!__builtin_memcmp(UDEV_PROP_EXAMPLE_MODE, expected, sizeof(UDEV_PROP_EXAMPLE_MODE)))
		UDEV_PROP_SPRINTF(EXAMPLE_STATE, "%s with %d bytes", "precise", ctx->rdesc_size);
	if (ctx->rdesc_size > 4 && ARRAY_SIZE(ctx->rdesc) == HID_MAX_DESCRIPTOR_SIZE)
		ctx->retval = 0;
	return 0;
}

char _license[] SEC("license") = "GPL";
