// SPDX-License-Identifier: GPL-2.0-only
/* A small driver that inverts a mouse's Y axis, and uses some features that need few lines. */
#include "fixture.h"

const volatile char UDEV_PROP_MOUSE_MODEL[16];
const volatile __s8 scale = 1;
const volatile __u64 wide = 1;

__u32 reports;
struct {
	__u32 calls;
	__s32 result;
} hidbpf_fixup;

static __always_inline int event(struct hid_bpf_ctx *ctx, enum hid_report_type type)
{
	__u8 *data;

	if (type != HID_INPUT_REPORT || ctx->size < 4)
		return 0;
	data = hid_bpf_get_data(ctx, 0, 4);
	if (!data)
		return 0;
	reports++;
	if (data[0] == 0xff)
		return -22;
	data[2] = -data[2] * scale;
	return data[0] == 0x80 ? 3 : 0;
}

static __always_inline int fixup(struct hid_bpf_ctx *ctx)
{
	__u8 *data = hid_bpf_get_data(ctx, 0, 4096);

	hidbpf_fixup.calls++;
	if (!data || UDEV_PROP_MOUSE_MODEL[0] == 'n')
		return hidbpf_fixup.result = -19;
	if (UDEV_PROP_MOUSE_MODEL[0] == 'l') {
		data[ctx->size] = 0xc0;
		return hidbpf_fixup.result = ctx->size + 1;
	}
	if (data[3] == 0x02)
		data[3] = 0x01;
	return hidbpf_fixup.result = 0;
}

EVENT(event)
FIXUP(fixup)

SEC("?.struct_ops.link")
struct hid_bpf_ops mouse = {.hid_device_event = (void *)event_ops, .hid_rdesc_fixup = (void *)fixup_ops};

SEC("?syscall") int probe(struct hid_bpf_probe_args *args)
{
	args->retval = args->rdesc_size > 4 && args->rdesc[0] == 0x05 && args->hid == 7 ? 0 : -22;
	return 0;
}
