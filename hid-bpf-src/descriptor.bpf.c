// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies a device's original or fixed report descriptor to user space. sysfs has only the current one, which the bound
 * kernel driver may have changed, and none for a device without a kernel driver. The program changes nothing and causes
 * no rebind.
 *
 * User space runs it with BPF_PROG_RUN, once for each DESCRIPTOR_PART bytes. The program avoids
 * bpf_probe_read_kernel(), because kernels refuse that helper in lockdown's confidentiality mode and without
 * CONFIG_BPF_EVENTS.
 */
#include <hidbpf/kernel.h>
#include <bpf/bpf_core_read.h>

/*
 * The number of bytes that one run copies. Small parts are cheaper, although they take more runs: Linux 7.3 executes 2.1
 * million instructions to verify this program, and 9.1 million with 512 bytes. A run takes 10,000 to 40,000.
 */
#define DESCRIPTOR_PART 64

enum descriptor {
	/* As the device sent it. */
	DESCRIPTOR_ORIGINAL = 0,
	/* As the descriptor hook returned it, on kernels that store it. */
	DESCRIPTOR_FIXED = 1,
};

/* User space relies on these offsets. */
struct descriptor_args {
	/* The device's number. */
	__u32 hid;
	/* enum descriptor */
	__u32 which;
	/* The offset of the first byte to copy, a multiple of 8. */
	__u32 offset;
	/* The size of the whole descriptor in bytes, or a negative errno. */
	__s32 size;
	/* The bytes. After the end of the descriptor, the last word has unrelated bytes. */
	__u64 words[DESCRIPTOR_PART / 8];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* More members of struct hid_device. The sizes are in bytes. */
struct hid_device___descriptors {
	const __u8 *dev_rdesc;
	/* Since Linux 6.13. */
	const __u8 *bpf_rdesc;
	unsigned int dev_rsize;
	unsigned int bpf_rsize;
};

#pragma clang attribute pop

/*
 * The bytes are read as words in one place of the kernel's struct. The verifier lets an access cross the elements of an
 * array of integers, but not its end (btf_struct_walk(), kernel/bpf/btf.c).
 */
#define WINDOW_OFFSET bpf_core_field_offset(struct hid_device, name)

_Static_assert(sizeof(((struct hid_device *)0)->name) >= DESCRIPTOR_PART, "a part fits into the kernel's array");

static __always_inline void copy_part(struct descriptor_args *args, __u64 descriptor)
{
	const int left = args->size - args->offset;
	const __u64 start = descriptor + args->offset;
	/*
	 * A kfunc since Linux 6.2. Reads through the pointer that it returns cannot fault, even if the address is
	 * invalid.
	 */
	const char *base = (char *)bpf_core_cast((void *)(start - WINDOW_OFFSET), struct hid_device) + WINDOW_OFFSET;
	int at;

	/* Unrolled, because older kernels allow only constant offsets into the context. */
#pragma unroll
	for (at = 0; at < DESCRIPTOR_PART; at += 8) {
		if (at >= left)
			return;
		args->words[at / 8] = *(const __u64 *)(base + at);
	}
}

SEC("syscall") int descriptor(struct descriptor_args *args)
{
	struct hid_bpf_ctx *ctx = hid_bpf_allocate_context(args->hid);
	struct hid_device___descriptors *device;
	__u64 descriptor = 0;

	args->size = -ENODEV;
	if (!ctx)
		return 0;
	device = (void *)ctx->hid;
	if (args->which == DESCRIPTOR_ORIGINAL) {
		descriptor = (__u64)device->dev_rdesc;
		args->size = device->dev_rsize;
	} else if (bpf_core_field_exists(device->bpf_rdesc)) {
		descriptor = (__u64)device->bpf_rdesc;
		args->size = device->bpf_rsize;
	} else {
		args->size = -EOPNOTSUPP;
	}
	if (args->size > 0 && args->offset < (__u32)args->size)
		copy_part(args, descriptor);
	hid_bpf_release_context(ctx);
	return 0;
}

char hidbpf_license[] SEC("license") = "GPL";
