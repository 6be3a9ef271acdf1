/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hooks of a driver. Each macro is followed by a function body and generates the programs of both HID-BPF
 * generations from it: FMOD_RET programs for Linux 6.3 to 6.10, struct_ops programs for 6.11 and later. User space
 * loads only the programs that it needs.
 *
 * User space relies on these names: the programs event_fmod, fixup_fmod, event_ops, fixup_ops, request_ops, output_ops,
 * probe and setup (setup.h); the map hidbpf_ops; the variable hidbpf_fixup. The kernel keeps 15 characters of a name.
 *
 * If the manifest says `requires = ["struct-ops"]`, the build defines HIDBPF_STRUCT_OPS_ONLY and the driver gets no
 * FMOD_RET programs.
 */
#ifndef HIDBPF_DRIVER_H
#define HIDBPF_DRIVER_H

#include <hidbpf/kernel.h>

#include <hidbpf/descriptor.h>
#include <hidbpf/field.h>
#include <hidbpf/ids.h>
#include <hidbpf/option.h>
#include <hidbpf/property.h>
#include <hidbpf/report.h>

#define HIDBPF__UNUSED __attribute__((unused))

#ifdef HIDBPF_STRUCT_OPS_ONLY
#define HIDBPF__OLDER(...)
#define HIDBPF__NEWER_ONLY(what)
#else
#define HIDBPF__OLDER(...) __VA_ARGS__
#define HIDBPF__NEWER_ONLY(what)                                                                                       \
	_Static_assert(0, what " needs Linux 6.11: say `requires = [\"struct-ops\"]` in driver.toml");
#endif
/* The same, inside a function. */
#define HIDBPF__NEWER_ONLY_HERE(what) HIDBPF__NEWER_ONLY(what)

/*
 * HIDBPF__RESULT(result): the value that a hook returns, unchanged. It is a compile error if clang can tell that the
 * value is a truth value, as in `return hidbpf_patch_byte(...)` or `return report[0] == 1`. The kernel would take
 * "true" for a size of one byte.
 *
 * clang knows the range of a comparison's result but not the range of a size. The macro refuses a result that cannot be
 * above 1 and may be 1. The check leaves no instructions in the program. To return a size of 1, write hidbpf_size(1).
 */
#define HIDBPF__RESULT(result)                                                                                         \
	({                                                                                                             \
		int hidbpf_returned = (result);                                                                        \
                                                                                                                       \
		if (__builtin_constant_p(hidbpf_returned <= 1) && hidbpf_returned <= 1 &&                              \
		    !(__builtin_constant_p(hidbpf_returned != 1) && hidbpf_returned != 1))                             \
			hidbpf_hook_returns_a_truth_value();                                                           \
		hidbpf_returned;                                                                                       \
	})

extern void hidbpf_hook_returns_a_truth_value(void) __attribute__((error(
	"a hook returns 0, a size in bytes or a negative errno, and this one returns a truth value, which the kernel takes for a size of 1 "
	"byte; if you mean that size, return hidbpf_size(1)")));

/* hidbpf_size(bytes): a size for a hook to return; it may be 1. */
static __always_inline int hidbpf_size(int bytes)
{
	/* Hides the value from the check above. */
	asm("" : "+r"(bytes));
	return bytes;
}

/*
 * HIDBPF_DEVICE_EVENT(ctx, type) { ... }
 *
 * Runs on every report that comes from the device; `type` is an enum hid_report_type. ctx->size is the report's size in
 * bytes. It includes the id if reports are numbered. Return 0 to keep the size, the new size in bytes if it changed, or
 * a negative errno to drop the report.
 */
#define HIDBPF_DEVICE_EVENT(ctx, type)                                                                                 \
	HIDBPF__EVENT_PROGRAMS(__u64 *)                                                                                \
	static __always_inline int hidbpf_device_event(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                         \
						       enum hid_report_type type HIDBPF__UNUSED)

/* Generates the programs. They read their arguments, the type first, through a pointer of type `arguments`. */
#define HIDBPF__EVENT_PROGRAMS(arguments)                                                                              \
	static __always_inline int hidbpf_device_event(struct hid_bpf_ctx *ctx, enum hid_report_type type);            \
	HIDBPF__OLDER(SEC("?fmod_ret/hid_bpf_device_event") int event_fmod(__u64 *args) {                              \
		struct hid_bpf_ctx *hidbpf_ctx = (void *)args[0];                                                      \
		return HIDBPF__RESULT(hidbpf_device_event(hidbpf_ctx, hidbpf_ctx->report_type));                       \
	})                                                                                                             \
	SEC("?struct_ops/hid_device_event") int event_ops(__u64 *args)                                                 \
	{                                                                                                              \
		arguments hidbpf_args = args;                                                                          \
		enum hid_report_type hidbpf_type = (enum hid_report_type)hidbpf_args[1];                               \
                                                                                                                       \
		return HIDBPF__RESULT(hidbpf_device_event((void *)hidbpf_args[0], hidbpf_type));                       \
	}

/*
 * HIDBPF_DEVICE_EVENT_FROM(ctx, type, source) { ... }
 *
 * Like HIDBPF_DEVICE_EVENT. `source` is 0 for a report that the device sent, and not 0 for one that a driver injected
 * (inject.h). Up to Linux 6.10 no event hook can inject reports, and it is always 0.
 */
#define HIDBPF_DEVICE_EVENT_FROM(ctx, type, source)                                                                    \
	static __always_inline int hidbpf_device_event_from(struct hid_bpf_ctx *ctx, enum hid_report_type type,        \
							    __u64 source);                                             \
	HIDBPF__OLDER(SEC("?fmod_ret/hid_bpf_device_event") int event_fmod(__u64 *args) {                              \
		struct hid_bpf_ctx *hidbpf_ctx = (void *)args[0];                                                      \
		return HIDBPF__RESULT(hidbpf_device_event_from(hidbpf_ctx, hidbpf_ctx->report_type, 0));               \
	})                                                                                                             \
	SEC("?struct_ops/hid_device_event") int event_ops(__u64 *args)                                                 \
	{                                                                                                              \
		enum hid_report_type hidbpf_type = (enum hid_report_type)args[1];                                      \
                                                                                                                       \
		return HIDBPF__RESULT(hidbpf_device_event_from((void *)args[0], hidbpf_type, args[2]));                \
	}                                                                                                              \
	static __always_inline int hidbpf_device_event_from(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                    \
							    enum hid_report_type type HIDBPF__UNUSED,                  \
							    __u64 source HIDBPF__UNUSED)

/*
 * HIDBPF_INPUT_EVENT(ctx) { ... }
 *
 * Like HIDBPF_DEVICE_EVENT, but runs on input reports only. The kernel also passes feature reports to the event hook, if
 * the device answers GET_REPORT with them. They may have the id of an input report. Nearly every driver wants this macro
 * or HIDBPF_INPUT_REPORT.
 */
#define HIDBPF_INPUT_EVENT(ctx)                                                                                        \
	static __always_inline int hidbpf_input_event(struct hid_bpf_ctx *ctx);                                        \
	HIDBPF_DEVICE_EVENT(hidbpf_event_ctx, hidbpf_event_type)                                                       \
	{                                                                                                              \
		return hidbpf_event_type == HID_INPUT_REPORT ? hidbpf_input_event(hidbpf_event_ctx) : 0;               \
	}                                                                                                              \
	static __always_inline int hidbpf_input_event(struct hid_bpf_ctx *ctx HIDBPF__UNUSED)

/*
 * HIDBPF_INPUT_REPORT(ctx, report, size) { ... }
 *
 * Like HIDBPF_INPUT_EVENT, but runs on input reports of at least `size` bytes only; `size` is a constant. `report`
 * points to the first `size` bytes, as hidbpf_report() returns them. Shorter reports, which the device has cut short,
 * pass unchanged.
 */
#define HIDBPF_INPUT_REPORT(ctx, report, size)                                                                         \
	static __always_inline int hidbpf_input_report(struct hid_bpf_ctx *ctx, __u8 *report);                         \
	/* Volatile keeps the order of the reads: the context replaces the arguments, and no value moves. */           \
	HIDBPF__EVENT_PROGRAMS(volatile __u64 *)                                                                       \
	static __always_inline int hidbpf_device_event(struct hid_bpf_ctx *hidbpf_ctx,                                 \
						       enum hid_report_type hidbpf_type)                               \
	{                                                                                                              \
		__u8 *hidbpf_data = hidbpf_report_of_type(hidbpf_ctx, hidbpf_type, (size));                            \
		int hidbpf_result = hidbpf_data ? hidbpf_input_report(hidbpf_ctx, hidbpf_data) : 0;                    \
                                                                                                                       \
		if (hidbpf_result)                                                                                     \
			return hidbpf_result;                                                                          \
		/* One return for both saves clang an instruction a report, of 6 to 43: it sets the result once. */    \
		asm volatile("");                                                                                      \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline int hidbpf_input_report(struct hid_bpf_ctx *ctx HIDBPF__UNUSED, __u8 *report)

/*
 * User space reads this record to check that the kernel ran the descriptor hook. The kernel can skip the hook and still
 * report success. The alignment makes clang write both members at once.
 */
struct hidbpf_fixup_record {
	__u32 ran;
	__s32 result;
} __attribute__((aligned(8)));

/*
 * HIDBPF_RDESC_FIXUP(ctx) { ... }
 *
 * Runs when the kernel is about to parse the report descriptor. hid_bpf_get_data() returns the descriptor, in a buffer
 * of 4096 bytes. ctx->size is the descriptor's size in bytes. Return 0 if the size stays the same, the new size if it
 * changes, or a negative errno to keep the original descriptor. Kernels before 6.13 run the hook again at every open,
 * so it must not keep state.
 */
#define HIDBPF_RDESC_FIXUP(ctx)                                                                                        \
	HIDBPF__FIXUP_BODY(ctx)                                                                                        \
	HIDBPF__OLDER(SEC("?fmod_ret/hid_bpf_rdesc_fixup") int fixup_fmod(__u64 *args) {                               \
		return hidbpf_record_fixup((void *)args[0]);                                                           \
	})                                                                                                             \
	SEC("?struct_ops/hid_rdesc_fixup") int fixup_ops(__u64 *args)                                                  \
	{                                                                                                              \
		return hidbpf_record_fixup((void *)args[0]);                                                           \
	}                                                                                                              \
	static __always_inline int hidbpf_rdesc_fixup(struct hid_bpf_ctx *ctx HIDBPF__UNUSED)

/*
 * HIDBPF_RDESC_FIXUP_SLEEPABLE(ctx) { ... }
 *
 * Like HIDBPF_RDESC_FIXUP, but the hook may call kfuncs that sleep. It still cannot send requests to the device: the
 * kernel has not parsed any report yet, and hid_bpf_hw_request() returns -EINVAL. Use HIDBPF_WORK of hidbpf/work.h for
 * requests. Needs `requires = ["struct-ops"]`.
 */
#define HIDBPF_RDESC_FIXUP_SLEEPABLE(ctx)                                                                              \
	HIDBPF__NEWER_ONLY("HIDBPF_RDESC_FIXUP_SLEEPABLE")                                                             \
	HIDBPF__FIXUP_BODY(ctx)                                                                                        \
	SEC("?struct_ops.s/hid_rdesc_fixup") int fixup_ops(__u64 *args)                                                \
	{                                                                                                              \
		return hidbpf_record_fixup((void *)args[0]);                                                           \
	}                                                                                                              \
	static __always_inline int hidbpf_rdesc_fixup(struct hid_bpf_ctx *ctx HIDBPF__UNUSED)

#define HIDBPF__FIXUP_BODY(ctx)                                                                                        \
	struct hidbpf_fixup_record hidbpf_fixup;                                                                       \
	static __always_inline int hidbpf_rdesc_fixup(struct hid_bpf_ctx *ctx);                                        \
	static __always_inline int hidbpf_record_fixup(struct hid_bpf_ctx *hidbpf_ctx)                                 \
	{                                                                                                              \
		int hidbpf_result = HIDBPF__RESULT(hidbpf_rdesc_fixup(hidbpf_ctx));                                    \
                                                                                                                       \
		hidbpf_fixup = (struct hidbpf_fixup_record){.ran = 1, .result = hidbpf_result};                        \
		return hidbpf_result;                                                                                  \
	}

/* The arguments of hid_hw_raw_request(). `source` is 0 for the kernel itself; other values tell requesters apart. */
struct hidbpf_request {
	__u8 report_id;
	enum hid_report_type type;
	enum hid_class_request request;
	__u64 source;
};

/*
 * HIDBPF_HW_REQUEST(ctx, request) { ... }
 *
 * Runs on every request to the device on its control channel; `request` is a struct hidbpf_request. Byte 0 of the data
 * is the report id, or 0 if reports are not numbered. In a GET_REPORT from hidraw it has no defined value
 * (hidraw_get_report(), drivers/hid/hidraw.c): use `request.report_id`. Set the byte before you send the data with
 * hid_bpf_hw_request(). Return 0 to let the request pass, the number of bytes if the driver answered it, or a negative
 * errno for the requester. The hook may sleep. Needs `requires = ["struct-ops"]`.
 */
#define HIDBPF_HW_REQUEST(ctx, request)                                                                                \
	HIDBPF__NEWER_ONLY("HIDBPF_HW_REQUEST")                                                                        \
	HIDBPF__REQUEST_PROGRAM("?struct_ops.s/hid_hw_request", ctx, request)

/*
 * HIDBPF_HW_REQUEST_ATOMIC(ctx, request) { ... }
 *
 * Like HIDBPF_HW_REQUEST, but the hook must not sleep. It may use what the verifier refuses to programs that sleep, and
 * costs a little less.
 */
#define HIDBPF_HW_REQUEST_ATOMIC(ctx, request)                                                                         \
	HIDBPF__NEWER_ONLY("HIDBPF_HW_REQUEST_ATOMIC")                                                                 \
	HIDBPF__REQUEST_PROGRAM("?struct_ops/hid_hw_request", ctx, request)

#define HIDBPF__REQUEST_PROGRAM(section, ctx, request)                                                                 \
	static __always_inline int hidbpf_hw_request(struct hid_bpf_ctx *ctx, struct hidbpf_request request);          \
	SEC(section) int request_ops(__u64 *args)                                                                      \
	{                                                                                                              \
		struct hidbpf_request hidbpf_asked = {                                                                 \
			.report_id = (__u8)args[1],                                                                    \
			.type = (enum hid_report_type)args[2],                                                         \
			.request = (enum hid_class_request)args[3],                                                    \
			.source = args[4],                                                                             \
		};                                                                                                     \
		return HIDBPF__RESULT(hidbpf_hw_request((void *)args[0], hidbpf_asked));                               \
	}                                                                                                              \
	static __always_inline int hidbpf_hw_request(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                           \
						     struct hidbpf_request request HIDBPF__UNUSED)

/*
 * HIDBPF_HW_OUTPUT_REPORT(ctx, source) { ... }
 *
 * Runs on every output report to the device. Data, return values and requirements are those of HIDBPF_HW_REQUEST.
 */
#define HIDBPF_HW_OUTPUT_REPORT(ctx, source)                                                                           \
	HIDBPF__NEWER_ONLY("HIDBPF_HW_OUTPUT_REPORT")                                                                  \
	HIDBPF__OUTPUT_PROGRAM("?struct_ops.s/hid_hw_output_report", ctx, source)

/* HIDBPF_HW_OUTPUT_REPORT_ATOMIC(ctx, source) { ... }: the same for a hook that must not sleep. */
#define HIDBPF_HW_OUTPUT_REPORT_ATOMIC(ctx, source)                                                                    \
	HIDBPF__NEWER_ONLY("HIDBPF_HW_OUTPUT_REPORT_ATOMIC")                                                           \
	HIDBPF__OUTPUT_PROGRAM("?struct_ops/hid_hw_output_report", ctx, source)

#define HIDBPF__OUTPUT_PROGRAM(section, ctx, source)                                                                   \
	static __always_inline int hidbpf_hw_output_report(struct hid_bpf_ctx *ctx, __u64 source);                     \
	SEC(section) int output_ops(__u64 *args)                                                                       \
	{                                                                                                              \
		return HIDBPF__RESULT(hidbpf_hw_output_report((void *)args[0], args[1]));                              \
	}                                                                                                              \
	static __always_inline int hidbpf_hw_output_report(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                     \
							   __u64 source HIDBPF__UNUSED)

/* The argument of a probe. User space fills all members but `retval`, and relies on these offsets. */
struct hid_bpf_probe_args {
	/* The device's number, as hid_bpf_allocate_context() takes it. */
	unsigned int hid;
	/* Bytes of the original descriptor. */
	unsigned int rdesc_size;
	/* The descriptor; zeros after rdesc_size. */
	unsigned char rdesc[4096];
	int retval;
};

/*
 * HIDBPF_PROBE(args) { ... }
 *
 * Runs once, before anything is attached, for a device that the manifest matches. `args` points to a struct
 * hid_bpf_probe_args. Return 0 to accept the device, a negative errno to refuse it. Use a probe only for conditions
 * that match rules cannot express.
 */
#define HIDBPF_PROBE(args)                                                                                             \
	static __always_inline int hidbpf_probe(struct hid_bpf_probe_args *args);                                      \
	SEC("?syscall") int probe(struct hid_bpf_probe_args *hidbpf_args)                                              \
	{                                                                                                              \
		hidbpf_args->retval = HIDBPF__RESULT(hidbpf_probe(hidbpf_args));                                       \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline int hidbpf_probe(struct hid_bpf_probe_args *args HIDBPF__UNUSED)

/*
 * HIDBPF_DRIVER(hook, ...);
 *
 * The last line of a driver. It lists the driver's hooks: rdesc_fixup, device_event, hw_request, hw_output_report. An
 * input event is a device_event. The macro defines the struct_ops map and the licence that the kernel requires of
 * programs that call its kfuncs.
 */
#define HIDBPF_DRIVER(...)                                                                                             \
	SEC("?.struct_ops.link")                                                                                       \
	struct hid_bpf_ops hidbpf_ops = {HIDBPF__HOOKS(__VA_ARGS__, , , , )};                                          \
	HIDBPF__LICENSE

/* HIDBPF_DRIVER_WITHOUT_HOOKS(): the last line of a driver that only has a setup (setup.h). */
#define HIDBPF_DRIVER_WITHOUT_HOOKS() HIDBPF__LICENSE

#define HIDBPF__LICENSE char hidbpf_license[] SEC("license") = "GPL"
#define HIDBPF__HOOKS(a, b, c, d, ...) HIDBPF__HOOK_##a HIDBPF__HOOK_##b HIDBPF__HOOK_##c HIDBPF__HOOK_##d
#define HIDBPF__HOOK_
#define HIDBPF__HOOK_rdesc_fixup .hid_rdesc_fixup = (void *)fixup_ops,
#define HIDBPF__HOOK_device_event .hid_device_event = (void *)event_ops,
#define HIDBPF__HOOK_hw_request .hid_hw_request = (void *)request_ops,
#define HIDBPF__HOOK_hw_output_report .hid_hw_output_report = (void *)output_ops,

#endif
