/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests that a driver sends to its device after attaching, and again when the machine wakes up: for example to
 * switch a mode or to set a feature. A setup runs on every kernel that has HID-BPF.
 */
#ifndef HIDBPF_SETUP_H
#define HIDBPF_SETUP_H

#include <hidbpf/driver.h>

/* A request to the device that failed. `request` is HIDBPF_OUTPUT for a report on the device's output channel. */
struct hidbpf_refusal {
	__s32 error;
	__u8 request;
	__u8 type;
	__u8 report_id;
	__u8 padding;
};
#define HIDBPF_OUTPUT 0

/* The argument and the result of a setup. User space relies on these offsets. */
struct hidbpf_setup_args {
	/* The device's number. */
	__u32 hid;
	/* Bytes of the original descriptor. A driver can tell interfaces apart by it. */
	__u32 rdesc_size;
	__s32 retval;
	/* The last request that failed; `error` is 0 if none did. */
	struct hidbpf_refusal refusal;
};

/* A device that accepts requests. `ctx` is for kfuncs that the functions below do not call; it has no report. */
struct hidbpf_device {
	struct hid_bpf_ctx *ctx;
	struct hidbpf_setup_args *args;
};

/*
 * HIDBPF_SETUP(device) { ... }
 *
 * Runs when the driver is attached and the descriptor is fixed, before udev announces the device as ready. It runs
 * again each time the machine wakes up. `device` is a struct hidbpf_device *. Return 0 on success. On a negative errno,
 * hidbpf detaches the driver and reports which request failed. The setup shares the driver's variables with the hooks,
 * which run at the same time.
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

static __always_inline int hidbpf_answered(struct hidbpf_device *device, int result, __u8 report_id, __u8 type,
					   __u8 request)
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

/*
 * In all of these functions, byte 0 of the report is its id, or 0 if the device does not number its reports. `size`
 * counts that byte and is a constant.
 */

/* GET_REPORT. The answer overwrites `report`. Returns the number of bytes of the answer, or a negative errno. */
static __always_inline int hidbpf_get_feature(struct hidbpf_device *device, __u8 *report, const unsigned long size)
{
	__u8 id = report[0];

	return hidbpf_answered(device,
			       hid_bpf_hw_request(device->ctx, report, size, HID_FEATURE_REPORT, HID_REQ_GET_REPORT),
			       id, HID_FEATURE_REPORT, HID_REQ_GET_REPORT);
}

/* SET_REPORT. Returns 0 or a negative errno. */
static __always_inline int hidbpf_set_report(struct hidbpf_device *device, enum hid_report_type type, __u8 *report,
					     const unsigned long size)
{
	__u8 id = report[0];
	int result = hid_bpf_hw_request(device->ctx, report, size, type, HID_REQ_SET_REPORT);

	return hidbpf_answered(device, result < 0 ? result : 0, id, type, HID_REQ_SET_REPORT);
}

/* Bytes of the longest report whose fields a driver can read with hidbpf_get_field(). */
#define HIDBPF_FIELD_REPORT_SIZE 1024
static __u8 hidbpf_field_report[HIDBPF_FIELD_REPORT_SIZE] HIDBPF__UNUSED;

/*
 * Requests the report that has a field (field.h) from the device, with GET_REPORT, and extracts the field's bits.
 * Returns 0 or a negative errno: -EIO if the answer ends before the field, -EINVAL if the device does not have the
 * field.
 */
static __always_inline int hidbpf_get_field(struct hidbpf_device *device, const volatile struct hidbpf_field *field,
					    __u32 *value)
{
	const __u32 first = field->offset / 8, size = field->size;
	__u64 bits = 0;
	int result;

	if (!size)
		return -EINVAL;
	hidbpf_field_report[0] = field->report_id;
	result = hid_bpf_hw_request(device->ctx, hidbpf_field_report, sizeof(hidbpf_field_report), field->type,
				    HID_REQ_GET_REPORT);
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
 * HIDBPF_EXPORT(NAME); a udev property that the setup gives to the device: the variable `export_NAME`. driver.toml has
 * an `[[export]]` with this name. The setup writes a number into the variable, and driver.toml maps the number to a
 * text.
 */
#define HIDBPF_EXPORT(name) volatile __u32 export_##name SEC(".data.exports")

static __always_inline int hidbpf_set_feature(struct hidbpf_device *device, __u8 *report, const unsigned long size)
{
	return hidbpf_set_report(device, HID_FEATURE_REPORT, report, size);
}

/*
 * Sends an output report on the device's output channel if it has one, otherwise with SET_REPORT, as hidraw does
 * (drivers/hid/hidraw.c:hidraw_send_report). Up to Linux 6.10 the kernel lets programs only use SET_REPORT, which most
 * devices accept as well. Returns 0 or a negative errno.
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
