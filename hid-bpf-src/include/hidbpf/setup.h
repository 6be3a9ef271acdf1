/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a device is told or asked when a driver is attached to it, and again when the machine wakes up: a mode to switch to, a feature
 * to set. Runs on every kernel that has HID-BPF.
 */
#ifndef HIDBPF_SETUP_H
#define HIDBPF_SETUP_H

#include <hidbpf/driver.h>

/* A request to the device that failed; `request` is HIDBPF_OUTPUT for a report on the device's own channel for output. */
struct hidbpf_refusal {
	__s32 error;
	__u8 request;
	__u8 type;
	__u8 report_id;
	__u8 padding;
};
#define HIDBPF_OUTPUT 0

/* What a set-up is told, and what came of it. User space knows these offsets. */
struct hidbpf_setup_args {
	/* The device's number. */
	__u32 hid;
	/* Bytes of the original descriptor, by which interfaces can be told apart. */
	__u32 rdesc_size;
	__s32 retval;
	/* The last request that failed; `error` is 0 if none did. */
	struct hidbpf_refusal refusal;
};

/* A device that can be talked to. `ctx` is for kfuncs that the functions below don't call; it has no report. */
struct hidbpf_device {
	struct hid_bpf_ctx *ctx;
	struct hidbpf_setup_args *args;
};

/*
 * HIDBPF_SETUP(device) { ... }
 *
 * Runs once the driver is attached and the descriptor is fixed, before udev is told that the device is ready; and each
 * time the machine wakes up. `device` is a struct hidbpf_device *. Return 0 if the device does what it was told; a negative errno
 * undoes the attach, and people are told which request failed. It shares the driver's variables with the hooks, which run meanwhile.
 */
#define HIDBPF_SETUP(device)                                                                                           \
	static __always_inline int hidbpf_setup(struct hidbpf_device *device);                                         \
	SEC("?syscall") int setup(struct hidbpf_setup_args *hidbpf_args)                                               \
	{                                                                                                              \
		struct hidbpf_device hidbpf_device = {                                                                 \
			.ctx = hid_bpf_allocate_context(hidbpf_args->hid),                                             \
			.args = hidbpf_args,                                                                           \
		};                                                                                                     \
                                                                                                                       \
		if (!hidbpf_device.ctx) {                                                                              \
			hidbpf_args->retval = -ENODEV;                                                                 \
			return 0;                                                                                      \
		}                                                                                                      \
		hidbpf_args->retval = HIDBPF__RESULT(hidbpf_setup(&hidbpf_device));                                    \
		hid_bpf_release_context(hidbpf_device.ctx);                                                            \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline int hidbpf_setup(struct hidbpf_device *device HIDBPF__UNUSED)

static __always_inline int hidbpf_answered(struct hidbpf_device *device, int result, __u8 report_id, __u8 type, __u8 request)
{
	if (result < 0)
		device->args->refusal = (struct hidbpf_refusal){
			.error = result,
			.request = request,
			.type = type,
			.report_id = report_id,
		};
	return result;
}

/* In all of these, byte 0 of the report is its id, or 0 where the device doesn't number them; `size` counts it, and is a constant. */

/* GET_REPORT. The answer takes the place of `report`; returns how many bytes it has, or a negative errno. */
static __always_inline int hidbpf_get_feature(struct hidbpf_device *device, __u8 *report, const unsigned long size)
{
	__u8 id = report[0];

	return hidbpf_answered(device, hid_bpf_hw_request(device->ctx, report, size, HID_FEATURE_REPORT, HID_REQ_GET_REPORT), id,
			       HID_FEATURE_REPORT, HID_REQ_GET_REPORT);
}

/* SET_REPORT. Returns 0 or a negative errno. */
static __always_inline int hidbpf_set_report(struct hidbpf_device *device, enum hid_report_type type, __u8 *report,
					     const unsigned long size)
{
	__u8 id = report[0];
	int result = hid_bpf_hw_request(device->ctx, report, size, type, HID_REQ_SET_REPORT);

	return hidbpf_answered(device, result < 0 ? result : 0, id, type, HID_REQ_SET_REPORT);
}

/* The bytes of the longest report that has a field which can be asked for. */
#define HIDBPF_FIELD_REPORT_SIZE 1024
static __u8 hidbpf_field_report[HIDBPF_FIELD_REPORT_SIZE] HIDBPF__UNUSED;

/*
 * Asks the device for the report that has a field (field.h), with GET_REPORT, and takes the field's bits out of the answer. Returns 0
 * or a negative errno: -EIO if the answer ends before the field, -EINVAL if the device has none.
 */
static __always_inline int hidbpf_get_field(struct hidbpf_device *device, const volatile struct hidbpf_field *field, __u32 *value)
{
	const __u32 first = field->offset / 8, size = field->size;
	__u64 bits = 0;
	int result;

	if (!size)
		return -EINVAL;
	hidbpf_field_report[0] = field->report_id;
	result = hid_bpf_hw_request(device->ctx, hidbpf_field_report, sizeof(hidbpf_field_report), field->type, HID_REQ_GET_REPORT);
	if (result < 0)
		return hidbpf_answered(device, result, field->report_id, field->type, HID_REQ_GET_REPORT);
	if (field->offset + size > (__u32)result * 8)
		return -EIO;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 5; i++)
		if (first + i < sizeof(hidbpf_field_report))
			bits |= (__u64)hidbpf_field_report[first + i] << (8 * i);
	*value = (__u32)(bits >> field->offset % 8) & 0xffffffff >> (32 - size) % 32;
	return 0;
}

/*
 * HIDBPF_EXPORT(NAME); a udev property that the set-up gives the device, the `[[export]]` of driver.toml with this name: the variable
 * `export_NAME`. The set-up writes a number there, and driver.toml says which text stands for it.
 */
#define HIDBPF_EXPORT(name) volatile __u32 export_##name SEC(".data.exports")

static __always_inline int hidbpf_set_feature(struct hidbpf_device *device, __u8 *report, const unsigned long size)
{
	return hidbpf_set_report(device, HID_FEATURE_REPORT, report, size);
}

/*
 * An output report, on the device's own channel for those where it has one, and else with SET_REPORT, as hidraw sends it
 * (drivers/hid/hidraw.c:hidraw_send_report). Up to Linux 6.10 the kernel lets programs only do SET_REPORT, which most devices take as
 * well. Returns 0 or a negative errno.
 */
static __always_inline int hidbpf_send_output(struct hidbpf_device *device, __u8 *report, const unsigned long size)
{
	__u8 id = report[0];
	int result;

#ifndef HIDBPF_STRUCT_OPS_ONLY
	if (!bpf_ksym_exists(hid_bpf_hw_output_report))
		return hidbpf_set_report(device, HID_OUTPUT_REPORT, report, size);
#endif
	result = hid_bpf_hw_output_report(device->ctx, report, size);
	if (result == -ENOSYS)
		return hidbpf_set_report(device, HID_OUTPUT_REPORT, report, size);
	return hidbpf_answered(device, result < 0 ? result : 0, id, HID_OUTPUT_REPORT, HIDBPF_OUTPUT);
}

#endif
