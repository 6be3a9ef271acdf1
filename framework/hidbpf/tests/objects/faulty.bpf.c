// SPDX-License-Identifier: GPL-2.0-only
/* Faults of drivers. The first byte of a report chooses one. The tests look for the lines with a number. */
#include "fixture.h"

struct {
	__uint(type, 1);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} numbers SEC(".maps");

struct again {
	struct bpf_timer timer;
};

struct {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct again);
} timers SEC(".maps");

static const volatile __u32 constant = 1;
static const char wide[] = "%500d%500d%500d";
__u32 variable;

static __noinline int forever(int depth)
{
	if (depth < 100)
		variable = forever(depth + 1); /* 5 */
	return variable;
}

static int at_once(void *map, int *key, struct again *again)
{
	return bpf_timer_start(&again->timer, 0, 0); /* 19 */
}

static __always_inline int start(void)
{
	__u32 key = 0;
	struct again *again = bpf_map_lookup_elem(&timers, &key);

	if (!again)
		return 0;
	bpf_timer_init(&again->timer, &timers, 1);
	bpf_timer_set_callback(&again->timer, at_once);
	return bpf_timer_start(&again->timer, 0, 0);
}

static __always_inline int event(struct hid_bpf_ctx *ctx, enum hid_report_type type)
{
	__u8 *data = hid_bpf_get_data(ctx, 0, 4);
	__u32 *number, key = 1;
	volatile __u8 zero = 0;
	__u8 silent[4] = {};

	if (!data)
		return 0;
	switch (data[0]) {
	case 1:
		return data[4]; /* 1 */
	case 2:
		data[-1] = 1; /* 2 */
		return 0;
	case 3:
		number = bpf_map_lookup_elem(&numbers, &key);
		return *number; /* 3 */
	case 4:
		while (!zero) /* 4 */
			variable++;
		return 0;
	case 5:
		return forever(0);
	case 6:
		*(volatile __u32 *)&constant = 2; /* 6 */
		return 0;
	case 7:
		return bpf_get_current_task(); /* 7 */
	case 8:
		return no_such_kfunc(1); /* 8 */
	case 9:
		return hid_bpf_hw_request(ctx, data, 4, HID_FEATURE_REPORT, HID_REQ_GET_REPORT); /* 9 */
	case 10:
		return 65; /* 10 */
	case 11:
		ctx->allocated_size = 4; /* 11 */
		return 0;
	case 12:
		return ctx->never; /* 12 */
	case 13:
		number = (void *)ctx;
		return number[100]; /* 13 */
	case 14:
		return bpf_map_delete_elem(ctx, &key); /* 14 */
	case 15:
		return bpf_loop(5, &variable, NULL, 0); /* 15 */
	case 16:
		return *(__u64 *)((void *)&numbers); /* 16 */
	case 17:
		while (!zero)
			bpf_trace_printk(wide, sizeof(wide), 1, 2, 3); /* 17 */
		return 0;
	case 18:
		while (!zero)
			hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, silent, sizeof(silent)); /* 18 */
		return 0;
	case 19:
		return start();
	default:
		return 0;
	}
}

EVENT(event)

SEC("?syscall") int probe(struct hid_bpf_probe_args *args)
{
	struct hid_bpf_ctx *ctx = hid_bpf_allocate_context(args->hid);

	if (!ctx)
		return 0;
	hid_bpf_release_context(ctx);
	return ctx->size; /* probe */
}
