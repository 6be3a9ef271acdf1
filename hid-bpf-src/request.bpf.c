// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks a device for a report, or tells it one, for user space, which can't do so for devices without a hidraw node and can't for input
 * reports at all. Run with BPF_PROG_RUN.
 */
#include <hidbpf/kernel.h>

/*
 * The report; user space sets it before the load, and finds the answer in it. It is not in the context, of which the verifier lets no
 * part be handed on. 16384 is HID_MAX_BUFFER_SIZE of include/linux/hid.h.
 */
__u8 hidbpf_report[16384];

/* User space knows these offsets. */
struct request_args {
	__u32 hid;
	/* enum hid_report_type */
	__u32 type;
	/* enum hid_class_request, or 0 for a report on the device's own channel for output. */
	__u32 request;
	/* Bytes of the report, the byte for its id included. */
	__u32 size;
	/* The bytes that were answered or taken, or a negative errno. */
	__s32 retval;
};

SEC("syscall") int request(struct request_args *args)
{
	struct hid_bpf_ctx *ctx;
	const unsigned long size = args->size;

	args->retval = -EINVAL;
	if (size > sizeof(hidbpf_report))
		return 0;
	args->retval = -ENODEV;
	ctx = hid_bpf_allocate_context(args->hid);
	if (!ctx)
		return 0;
	if (args->request)
		args->retval = hid_bpf_hw_request(ctx, hidbpf_report, size, args->type, args->request);
	else if (bpf_ksym_exists(hid_bpf_hw_output_report))
		args->retval = hid_bpf_hw_output_report(ctx, hidbpf_report, size);
	else
		args->retval = -EOPNOTSUPP;
	hid_bpf_release_context(ctx);
	return 0;
}

char hidbpf_license[] SEC("license") = "GPL";
