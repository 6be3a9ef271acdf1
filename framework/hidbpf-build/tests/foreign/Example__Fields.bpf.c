// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source with everything that reads the parsed descriptor, and hid_usages.h. It sets X to the fields' number. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include "hid_usages.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0004));

struct hid_rdesc_descriptor HID_REPORT_DESCRIPTOR;

/* The field with the wheel, and the number of all things that the loops visit. */
struct hid_rdesc_field wheel;
__u32 visited;

SEC("syscall")
int probe(struct hid_bpf_probe_args *ctx)
{
	struct hid_rdesc_collection *collection;
	struct hid_rdesc_report *report;
	struct hid_rdesc_field *field;

	ctx->retval = -EINVAL;
	hid_bpf_for_each_input_report(&HID_REPORT_DESCRIPTOR, report)
	{
		visited++;
		hid_bpf_for_each_field(report, field)
		{
			visited += 0x10;
			if (field->field_type == HID_FIELD_VARIABLE &&
			    field->usage_page == HidUsagePage_GenericDesktop && field->usage_id == HidUsage_GD_Wheel) {
				wheel = *field;
				ctx->retval = 0;
			}
		}
	}
	hid_bpf_for_each_output_report(&HID_REPORT_DESCRIPTOR, report) visited += 0x100;
	hid_bpf_for_each_feature_report(&HID_REPORT_DESCRIPTOR, report) visited += 0x200;
	hid_bpf_for_each_collection(&wheel, collection)
	{
		if (collection->usage_id == HidUsage_GD_Mouse)
			visited += 0x1000;
	}
	return 0;
}

SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(example_count_fields, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, 8);
	__u8 report[8];

	if (!data)
		return 0;
	__builtin_memcpy(report, data, sizeof(report));
	data[1] = EXTRACT_BITS(report, &wheel);
	data[2] = field_start_byte(&wheel) << 4 | field_end_byte(&wheel);
	data[3] = visited;
	data[4] = visited >> 8;
	return 0;
}

HID_BPF_OPS(example_fields) = {
	.hid_device_event = (void *)example_count_fields,
};

char _license[] SEC("license") = "GPL";
