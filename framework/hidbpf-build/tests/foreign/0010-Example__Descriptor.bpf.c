// SPDX-License-Identifier: GPL-2.0-only
/* A foreign source with every macro of hid_report_helpers.h, in a descriptor that replaces the original one. */
#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include "hid_report_helpers.h"
#include <bpf/bpf_tracing.h>

HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x0003));

/* clang-format off */
static const __u8 fixed[] = {
	UsagePage_GenericDesktop
	Usage_GD_Mouse
	CollectionApplication(
		ReportId(1)
		Usage_GD_Pointer
		CollectionPhysical(
			UsagePage_Button
			UsageMinimum_i8(1)
			UsageMaximum_i8(3)
			LogicalMinimum_i8(0)
			LogicalMaximum_i8(1)
			ReportSize(1)
			ReportCount(3)
			Input(Var|Abs)
			ReportCount(5)
			Input(Const)
			UsagePage_Digitizers
			Usage_Dig_BarrelSwitch
			PushPop(
				UsagePage_GenericDesktop
				Usage_GD_X
				Unit(cm)
				UnitExponent(-2)
				LogicalMinimum_i16(-32767)
				LogicalMaximum_i16(32767)
				PhysicalMinimum_i8(-100)
				PhysicalMaximum_i16(300)
				ReportSize(16)
				ReportCount(1)
				Input(Var|Rel)
				Usage_i16(0x31)
				Unit_i8(in)
				LogicalMinimum_i32(-2147483648)
				LogicalMaximum_i32(2147483647)
				PhysicalMinimum_i16(-300)
				PhysicalMinimum_i32(-70000)
				PhysicalMaximum_i8(100)
				PhysicalMaximum_i32(70000)
				ReportSize(32)
				Input_i16(Var|Rel|Null|Buff)
			)
			CollectionLogical(
				Usage_i8(0x38)
				Usage_i32(0x000c0238)
				Unit_i16(0xe111)
				Unit_i32(0x0100f012)
				Output(Arr)
				Output_i16(Arr)
				Feature(Var)
				Feature_i16(Var)
			)
			Collection(0x80, UsagePage_i8(0x0c) UsagePage_i16(0xff01) UsagePage_Vendor(0xff02))
		)
		UsagePage_Consumer
		UsageMinimum_i16(0x100)
		UsageMaximum_i16(0x200)
		Unit(rad)
		Unit(deg)
		Usage_Con_ACPan
		FixedSizeVendorReport(12)
	)
};
/* clang-format on */

SEC(HID_BPF_RDESC_FIXUP)
int BPF_PROG(example_replace_descriptor, struct hid_bpf_ctx *hctx)
{
	__u8 *data = hid_bpf_get_data(hctx, 0, HID_MAX_DESCRIPTOR_SIZE);

	if (!data)
		return 0;
	__builtin_memcpy(data, fixed, sizeof(fixed));
	return sizeof(fixed);
}

HID_BPF_OPS(example_descriptor) = {
	.hid_rdesc_fixup = (void *)example_replace_descriptor,
};

char _license[] SEC("license") = "GPL";
