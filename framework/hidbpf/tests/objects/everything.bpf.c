// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything of the kernel that a driver can use. The first byte of a report chooses one thing. The driver writes the
 * result to the report from the second byte on.
 */
#include "fixture.h"

struct counter {
	__u32 count;
	struct bpf_spin_lock lock;
};

struct element {
	__u32 number;
	struct bpf_timer timer;
	struct bpf_wq work;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 3);
	__type(key, __u16);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, 2);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct element);
} elements SEC(".maps");

struct {
	__uint(type, 27);
	__uint(max_entries, 4096);
} ring SEC(".maps");

__u32 total = 5;
__u64 wide;
static const char greeting[] = "hello";

static __noinline int square(int number)
{
	return number * number;
}

static __noinline int fibonacci_like(int number)
{
	return number < 2 ? number : square(number - 1) + square(number - 2);
}

static int add_turn(__u32 turn, void *context)
{
	*(__u32 *)context += turn;
	return turn == 6;
}

static int add_counter(void *map, const __u16 *key, struct counter *value, void *context)
{
	*(__u32 *)context += *key * value->count;
	return 0;
}

static int send(struct element *element, __u8 what)
{
	struct hid_bpf_ctx *ctx = hid_bpf_allocate_context(7);
	__u8 report[4] = {what, element->number};

	if (!ctx)
		return 0;
	hid_bpf_input_report(ctx, HID_INPUT_REPORT, report, 4);
	hid_bpf_release_context(ctx);
	return 0;
}

static int work_done(void *map, int *key, void *value)
{
	((struct element *)value)->number += *key + 1;
	return send(value, 0xf0);
}

static int timer_fired(void *map, int *key, struct element *element)
{
	element->number++;
	bpf_wq_start(&element->work, 0);
	return 0;
}

static int timer_again(void *map, int *key, struct element *element)
{
	element->number++;
	if (element->number < 4)
		bpf_timer_start(&element->timer, 1000000000, 0);
	return 0;
}

static __always_inline int use_maps(__u8 *data)
{
	struct counter first = {.count = 3}, *found;
	__u16 key = data[2];

	found = bpf_map_lookup_elem(&counters, &key);
	if (!found) {
		data[1] = -bpf_map_update_elem(&counters, &key, &first, 1);
		return 0;
	}
	bpf_spin_lock(&found->lock);
	data[1] = ++found->count;
	bpf_spin_unlock(&found->lock);
	if (data[3])
		data[3] = 1 - bpf_map_delete_elem(&counters, &key);
	return 0;
}

static __always_inline int use_texts(__u8 *data)
{
	char text[16] = {}, copy[8];
	struct bpf_dynptr pointer;
	__u64 arguments[2] = {data[2], (__u64)greeting};

	data[1] = bpf_strncmp((void *)data + 2, 2, "ab") == 0;
	bpf_trace_printk("%d and %x\n", 11, data[2], data[3]);
	bpf_trace_vprintk("%03d %s", 8, arguments, sizeof(arguments));
	data[2] = bpf_snprintf(text, sizeof(text), "<%d>", arguments, 8);
	data[3] = text[3];
	bpf_probe_read_kernel_str(copy, sizeof(copy), greeting);
	if (copy[4] != 'o' || copy[5])
		return -5;
	if (bpf_probe_read_kernel(copy, sizeof(copy), (void *)8) != -14 || copy[0])
		return -5;
	if (bpf_dynptr_from_mem(text, sizeof(text), 1, &pointer) != -22 ||
	    bpf_dynptr_read(copy, 1, &pointer, 0, 0) != -22)
		return -5;
	if (bpf_dynptr_from_mem(text, sizeof(text), 0, &pointer) || bpf_dynptr_read(copy, 8, &pointer, 9, 0) != -7)
		return -5;
	if (bpf_dynptr_read(copy, sizeof(copy), &pointer, 1, 0) || copy[0] != text[1] || copy[7] != text[8])
		return -5;
	return 0;
}

static __always_inline int use_loops(__u8 *data)
{
	__u32 sum = 0;
	struct bpf_iter_num numbers;
	int *number;

	data[1] = bpf_loop(10, add_turn, &sum, 0);
	data[2] = sum;
	sum = 0;
	bpf_iter_num_new(&numbers, 3, 6);
	while ((number = bpf_iter_num_next(&numbers)))
		sum += *number;
	bpf_iter_num_destroy(&numbers);
	data[3] = sum;
	return 0;
}

static __always_inline int start(__u8 *data, __u32 key, __u64 delay)
{
	struct element *element = bpf_map_lookup_elem(&elements, &key);

	if (!element)
		return 0;
	data[1] = -bpf_timer_init(&element->timer, &elements, 1);
	bpf_timer_set_callback(&element->timer, key ? (void *)timer_again : (void *)timer_fired);
	if (!key) {
		bpf_wq_init(&element->work, &elements, 0);
		bpf_wq_set_callback_impl(&element->work, work_done, 0, NULL);
	}
	data[2] = -bpf_timer_start(&element->timer, delay, 0);
	if (data[3])
		data[3] = 1 + bpf_timer_cancel(&element->timer);
	return 0;
}

static __always_inline int event(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u64 source)
{
	__u8 *data = hid_bpf_get_data(ctx, 0, 4);
	__u32 sum = 0;

	if (!data || ctx->size < 4)
		return 0;
	switch (data[0]) {
	case 1:
		return use_maps(data);
	case 2:
		return use_texts(data);
	case 3:
		return use_loops(data);
	case 4:
		data[1] = fibonacci_like(data[2]);
		return 0;
	case 5:
#if CPU >= 3
		data[1] = __sync_fetch_and_add(&total, data[2]);
#else
		data[1] = total;
		__sync_fetch_and_add(&total, data[2]);
#endif
		__sync_fetch_and_add(&wide, -1);
		data[2] = wide >> 56;
		return 0;
	case 6:
		data[1] = ctx->hid->bus;
		data[2] = ctx->hid->vendor;
		data[3] = ctx->hid->name[1];
		return 0;
	case 7:
		data[1] = ((struct hid_device___more *)ctx->hid)->phys[0];
		data[2] = ((struct hid_device___more *)ctx->hid)->vendor;
		data[3] = ctx->allocated_size;
		return 0;
	case 8:
		data[1] = type;
		data[2] = __builtin_preserve_field_info(ctx->report_type, 2) |
			  __builtin_preserve_field_info(ctx->index, 2) << 1 |
			  __builtin_preserve_field_info(ctx->never, 2) << 2 |
			  __builtin_preserve_type_info(*(struct bpf_struct_ops_hid_bpf_ops *)0, 0) << 3 |
			  __builtin_preserve_type_info(*(struct hid_bpf_ctx *)0, 0) << 4 |
			  __builtin_preserve_field_info(((struct hid_bpf_ops *)0)->hid_hw_request, 2) << 5;
		data[3] = (hid_bpf_get_data != NULL) | (hid_bpf_try_input_report != NULL) << 1 |
			  (no_such_kfunc != NULL) << 2;
		return 0;
	case 9:
		data[1] = bpf_for_each_map_elem(&counters, add_counter, &sum, 0);
		data[2] = sum;
		return 0;
	case 10:
		return start(data, 0, 2000000);
	case 11:
		return start(data, 1, 1000000000);
	case 12:
		data[1] = bpf_ktime_get_ns() / 1000000000;
		return 0;
	case 13:
		data = hid_bpf_get_data(ctx, 60, 4);
		if (!data || data[0])
			return 0;
		data[3] = 9;
		return 64;
	case 14:
		return hid_bpf_get_data(ctx, 61, 4) ? -5 : 3;
	case 15:
		ctx->retval = 2;
		return 0;
	case 16: {
		__u8 report[4] = {4, 0, data[2], 0};

		data[1] = -hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, report, 4);
		return 0;
	}
	case 17: {
		__u8 report[4] = {18};

		return hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, report, 4);
	}
	case 18: {
		__u8 report[4] = {};

		/* The driver's own report. It must not send another one. */
		return source ? hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, report, 4) : 1;
	}
	default:
		return 0;
	}
}

SEC("?fmod_ret/hid_bpf_device_event") int event_fmod(__u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];

	return event(ctx, ctx->report_type, 0);
}

SEC("?struct_ops/hid_device_event") int event_ops(__u64 *args)
{
	return event((void *)args[0], args[1], args[2]);
}

SEC("?struct_ops.s/hid_rdesc_fixup") int fixup_ops(__u64 *args)
{
	struct hid_bpf_ctx *own, *ctx = (void *)args[0];
	__u8 request[2] = {5}, *data;
	int result;

	own = hid_bpf_allocate_context(ctx->hid->id);
	if (!own)
		return -12;
	/* The kernel has not parsed any report yet, so it refuses requests. */
	result = hid_bpf_hw_request(own, request, 2, HID_FEATURE_REPORT, HID_REQ_GET_REPORT);
	hid_bpf_release_context(own);
	data = hid_bpf_get_data(ctx, 0, 2);
	if (data)
		data[1] = -result;
	__builtin_memcpy(ctx->hid->name, "renamed", 8);
	return ctx->size;
}

SEC("?struct_ops.s/hid_hw_request") int request_ops(__u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];
	__u8 *data = hid_bpf_get_data(ctx, 0, 2);

	if (!data || args[1] != 6)
		return 0;
	if (args[3] == HID_REQ_SET_REPORT)
		return -1;
	data[1] = args[2] + 40;
	return 2;
}

SEC("?struct_ops.s/hid_hw_output_report") int output_ops(__u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];
	__u8 *data = hid_bpf_get_data(ctx, 0, 2);

	if (!data || data[1] != 9)
		return 0;
	data[1] = 10;
	return hid_bpf_hw_output_report(ctx, data, 2);
}

SEC("?.struct_ops.link")
struct hid_bpf_ops everything = {
	.hid_device_event = (void *)event_ops,
	.hid_rdesc_fixup = (void *)fixup_ops,
	.hid_hw_request = (void *)request_ops,
	.hid_hw_output_report = (void *)output_ops,
};

SEC("?syscall") int setup(struct hid_bpf_probe_args *args)
{
	struct hid_bpf_ctx *ctx = hid_bpf_allocate_context(args->hid);
	__u8 request[3] = {5, 1, 1};
	int result;

	if (!ctx)
		return -1;
	result = hid_bpf_hw_request(ctx, request, 2, HID_FEATURE_REPORT, HID_REQ_GET_REPORT);
	if (result == 2 && request[1] == 0x21) {
		request[1] = 0x22;
		result = hid_bpf_hw_request(ctx, request, 3, HID_FEATURE_REPORT, HID_REQ_SET_REPORT);
	}
	args->retval = result;
	request[0] = 8;
	result = hid_bpf_hw_request(ctx, request, 3, HID_FEATURE_REPORT, HID_REQ_GET_REPORT);
	hid_bpf_release_context(ctx);
	return result;
}
