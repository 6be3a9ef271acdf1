/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types and functions that the objects in this folder use. The members are in another order than in every
 * kernel. So tests notice a loader that does not relocate accesses.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;

#define NULL ((void *)0)
#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __uint(name, value) typeof(int[value]) *name
#define __type(name, type) typeof(type) *name

enum hid_report_type { HID_INPUT_REPORT, HID_OUTPUT_REPORT, HID_FEATURE_REPORT };
enum hid_class_request { HID_REQ_GET_REPORT = 1, HID_REQ_SET_REPORT = 9 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hid_device {
	char name[128];
	unsigned int id;
	__u32 product;
	__u32 vendor;
	__u16 bus;
	__u16 group;
};

/* A second declaration, with a member that the first one lacks. */
struct hid_device___more {
	__u32 nothing;
	char phys[64];
	__u32 vendor;
};

struct hid_bpf_ctx {
	union {
		__s32 retval;
		__s32 size;
	};
	enum hid_report_type report_type;
	__u32 allocated_size;
	struct hid_device *hid;
	__u32 index;
	__u32 never;
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

struct bpf_struct_ops_hid_bpf_ops {
	struct hid_bpf_ops data;
};

#pragma clang attribute pop

struct hid_bpf_probe_args {
	unsigned int hid;
	unsigned int rdesc_size;
	unsigned char rdesc[4096];
	int retval;
};

struct bpf_spin_lock {
	__u32 value;
};

struct bpf_timer {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_wq {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern __u8 *hid_bpf_get_data(struct hid_bpf_ctx *ctx, unsigned int offset, const unsigned long size) __ksym __weak;
extern struct hid_bpf_ctx *hid_bpf_allocate_context(unsigned int hid) __ksym __weak;
extern void hid_bpf_release_context(struct hid_bpf_ctx *ctx) __ksym __weak;
extern int hid_bpf_hw_request(struct hid_bpf_ctx *ctx, __u8 *data, unsigned long size, enum hid_report_type type,
			      enum hid_class_request request) __ksym __weak;
extern int hid_bpf_hw_output_report(struct hid_bpf_ctx *ctx, __u8 *data, unsigned long size) __ksym __weak;
extern int hid_bpf_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				const unsigned long size) __ksym __weak;
extern int hid_bpf_try_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				    const unsigned long size) __ksym __weak;
extern int bpf_wq_init(struct bpf_wq *work, void *map, unsigned int flags) __ksym __weak;
extern int bpf_wq_set_callback_impl(struct bpf_wq *work, int (*callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym __weak;
extern int bpf_wq_start(struct bpf_wq *work, unsigned int flags) __ksym __weak;
extern int bpf_iter_num_new(struct bpf_iter_num *numbers, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *numbers) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *numbers) __ksym __weak;
extern int no_such_kfunc(int number) __ksym __weak;

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_trace_printk)(const char *format, __u32 size, ...) = (void *)6;
static __u32 (*bpf_get_prandom_u32)(void) = (void *)7;
static long (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*bpf_probe_read_kernel_str)(void *to, __u32 size, const void *from) = (void *)115;
static long (*bpf_for_each_map_elem)(void *map, void *callback, void *context, __u64 flags) = (void *)164;
static long (*bpf_snprintf)(char *to, __u32 size, const char *format, __u64 *data, __u32 data_size) = (void *)165;
static long (*bpf_timer_init)(struct bpf_timer *timer, void *map, __u64 flags) = (void *)169;
static long (*bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*bpf_timer_start)(struct bpf_timer *timer, __u64 nanoseconds, __u64 flags) = (void *)171;
static long (*bpf_timer_cancel)(struct bpf_timer *timer) = (void *)172;
static long (*bpf_trace_vprintk)(const char *format, __u32 size, const void *data, __u32 data_size) = (void *)177;
static long (*bpf_loop)(__u32 times, void *callback, void *context, __u64 flags) = (void *)181;
static long (*bpf_strncmp)(const char *left, __u32 size, const char *right) = (void *)182;
static long (*bpf_dynptr_from_mem)(void *data, __u32 size, __u64 flags, struct bpf_dynptr *pointer) = (void *)197;
static long (*bpf_dynptr_read)(void *to, __u32 size, const struct bpf_dynptr *pointer, __u32 offset,
			       __u64 flags) = (void *)201;

/* The programs of both generations, for hooks that both have. */
#define EVENT(body)                                                                                                    \
	SEC("?fmod_ret/hid_bpf_device_event") int event_fmod(__u64 *args)                                              \
	{                                                                                                              \
		struct hid_bpf_ctx *ctx = (void *)args[0];                                                             \
		return body(ctx, ctx->report_type);                                                                    \
	}                                                                                                              \
	SEC("?struct_ops/hid_device_event") int event_ops(__u64 *args)                                                 \
	{                                                                                                              \
		return body((void *)args[0], args[1]);                                                                 \
	}
#define FIXUP(body)                                                                                                    \
	SEC("?fmod_ret/hid_bpf_rdesc_fixup") int fixup_fmod(__u64 *args)                                               \
	{                                                                                                              \
		return body((void *)args[0]);                                                                          \
	}                                                                                                              \
	SEC("?struct_ops/hid_rdesc_fixup") int fixup_ops(__u64 *args)                                                  \
	{                                                                                                              \
		return body((void *)args[0]);                                                                          \
	}

char fixture_license[] SEC("license") = "GPL";

#endif
