// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads a report from a device or sends one to it, on behalf of user space. User space itself needs a hidraw node for
 * that, and cannot read input reports at all. It runs this program with BPF_PROG_RUN.
 */
#include <hidbpf/kernel.h>

/*
 * The report. User space sets it before it loads the program, and reads the answer from it. It is not in the context,
 * because the verifier does not let programs pass parts of the context on. 16384 is HID_MAX_BUFFER_SIZE
 * (include/linux/hid.h).
 */
__u8 hidbpf_report[16384];

/* User space relies on these offsets. */
struct request_args {
	__u32 hid;
	/* enum hid_report_type */
	__u32 type;
	/* enum hid_class_request, or 0 for an output report on the interrupt channel. */
	__u32 request;
	/* The size of the report in bytes, including the byte of its id. */
	__u32 size;
	/* The number of bytes read or sent, or a negative errno. */
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
