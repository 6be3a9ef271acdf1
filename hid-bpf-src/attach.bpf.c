// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches a loaded FMOD_RET program to one device, on Linux 6.3 to 6.10. There only syscall programs may call the
 * kfunc that attaches.
 *
 * User space runs it with BPF_PROG_RUN and needs CAP_SYS_ADMIN. If the caller has only CAP_BPF and CAP_PERFMON, Linux
 * 6.6 oopses in the kfunc.
 */
#include <hidbpf/kernel.h>

/* User space relies on these offsets. */
struct attach_prog_args {
	int prog_fd;
	unsigned int hid;
	/* 0 puts the program after the device's other programs, 1 (HID_BPF_FLAG_INSERT_HEAD) before them. */
	__u32 flags;
	/* The link's file descriptor, which the caller then owns, or a negative errno. */
	int retval;
};

extern int hid_bpf_attach_prog(unsigned int hid, int prog_fd, __u32 flags) __ksym __weak;

SEC("syscall") int attach_prog(struct attach_prog_args *args)
{
	args->retval = hid_bpf_attach_prog(args->hid, args->prog_fd, args->flags);
	return 0;
}

char hidbpf_license[] SEC("license") = "GPL";
