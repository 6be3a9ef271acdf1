// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ties a loaded FMOD_RET program to one device, on Linux 6.3 to 6.10, where only a syscall program may ask the kernel for that.
 *
 * Run with BPF_PROG_RUN. The caller needs CAP_SYS_ADMIN: with CAP_BPF and CAP_PERFMON alone, Linux 6.6 oopses in the kfunc.
 */
#include <hidbpf/kernel.h>

/* User space knows these offsets. */
struct attach_prog_args {
	int prog_fd;
	unsigned int hid;
	/* 0 puts the program behind those that the device has, 1 (the kernel's HID_BPF_FLAG_INSERT_HEAD) before them. */
	__u32 flags;
	/* A link's file descriptor, which the caller owns, or a negative errno. */
	int retval;
};

extern int hid_bpf_attach_prog(unsigned int hid, int prog_fd, __u32 flags) __ksym __weak;

SEC("syscall") int attach_prog(struct attach_prog_args *args)
{
	args->retval = hid_bpf_attach_prog(args->hid, args->prog_fd, args->flags);
	return 0;
}

char hidbpf_license[] SEC("license") = "GPL";
