/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of the kernel that HID-BPF programs use: fixed-width types, a few records, the kfuncs.
 *
 * The records hold only the members that drivers use, and not in the kernel's order. libbpf moves every access to the
 * member's place in the running kernel (CO-RE). This header includes no system headers, so clang alone is enough. A
 * kfunc that only some kernels have is weak. Test `bpf_ksym_exists(kfunc)` before a call if the driver must also load
 * on other kernels.
 */
#ifndef HIDBPF_KERNEL_H
#define HIDBPF_KERNEL_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
/* bpf_helper_defs.h uses these names. */
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#include <bpf/bpf_helpers.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

/* Hooks and probes return these, negated. Numbers of include/uapi/asm-generic/errno-base.h and errno.h. */
#define EIO 5
#define EBUSY 16
#define ENODEV 19
#define EINVAL 22
#define ENOSYS 38
#define EOPNOTSUPP 95

enum hid_report_type {
	HID_INPUT_REPORT = 0,
	HID_OUTPUT_REPORT = 1,
	HID_FEATURE_REPORT = 2,
};

enum hid_class_request {
	HID_REQ_GET_REPORT = 0x01,
	HID_REQ_GET_IDLE = 0x02,
	HID_REQ_GET_PROTOCOL = 0x03,
	HID_REQ_SET_REPORT = 0x09,
	HID_REQ_SET_IDLE = 0x0a,
	HID_REQ_SET_PROTOCOL = 0x0b,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hid_device {
	unsigned int id;
	__u16 bus;
	__u16 group;
	__u32 vendor;
	__u32 product;
	char name[128];
	char phys[64];
	char uniq[64];
};

struct hid_bpf_ctx {
	struct hid_device *hid;
	/*
	 * Bytes that hid_bpf_get_data() can return: at least the longest report, rounded up to 64, or 4096 for a
	 * descriptor.
	 */
	__u32 allocated_size;
	/* Linux 6.3 to 6.10 only. Newer kernels pass the type as an argument. */
	enum hid_report_type report_type;
	union {
		__s32 retval;
		/* Bytes of the report or descriptor. */
		__s32 size;
	};
};

struct hid_bpf_ops {
	int hid_id;
	__u32 flags;
	int (*hid_device_event)(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u64 source);
	int (*hid_rdesc_fixup)(struct hid_bpf_ctx *ctx);
	int (*hid_hw_request)(struct hid_bpf_ctx *ctx, unsigned char reportnum, enum hid_report_type type,
			      enum hid_class_request request, __u64 source);
	int (*hid_hw_output_report)(struct hid_bpf_ctx *ctx, __u64 source);
};

#pragma clang attribute pop

/* In hooks of every generation. `size` must be a constant. Returns NULL if offset + size is beyond `allocated_size`. */
extern __u8 *hid_bpf_get_data(struct hid_bpf_ctx *ctx, unsigned int offset, const unsigned long size) __ksym __weak;

/* In syscall programs of every generation; since 6.11 also in sleepable hooks. */
extern struct hid_bpf_ctx *hid_bpf_allocate_context(unsigned int hid) __ksym __weak;
extern void hid_bpf_release_context(struct hid_bpf_ctx *ctx) __ksym __weak;
extern int hid_bpf_hw_request(struct hid_bpf_ctx *ctx, __u8 *data, unsigned long size, enum hid_report_type type,
			      enum hid_class_request request) __ksym __weak;

/* Since 6.11 (in syscall programs since 6.10), where sleeping is allowed. */
extern int hid_bpf_hw_output_report(struct hid_bpf_ctx *ctx, __u8 *data, unsigned long size) __ksym __weak;
extern int hid_bpf_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				const unsigned long size) __ksym __weak;

/* Since 6.11, in event hooks. */
extern int hid_bpf_try_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				    const unsigned long size) __ksym __weak;

/*
 * Timers and work items, in a map's value. The kernel identifies these two by name and size, and keeps its own data in
 * them. Since 6.10; in hooks since 6.11. See work.h.
 */
struct bpf_timer {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_wq {
	__u64 opaque[2];
} __attribute__((aligned(8)));

/* A lock in a map's value. It is not in user space's view of the value. */
struct bpf_spin_lock {
	__u32 opaque;
};

/* The kernel's data about memory that it is to copy from. It is on a program's stack. */
struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

/* For maps; include/uapi/linux/bpf.h. */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2

/* For bpf_timer_init(); include/uapi/linux/time.h. */
#define CLOCK_MONOTONIC 1

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym __weak;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym __weak;
/*
 * The callback's last parameter is the map's value. Kernels up to 6.19 have the first function, kernels since 7.0 the
 * second.
 */
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *unused) __ksym __weak;
extern int bpf_wq_set_callback(struct bpf_wq *wq, int (*callback)(void *map, int *key, void *value),
			       unsigned int flags) __ksym __weak;

#endif
