/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several pieces of work at once, each with data and a delay of its own. Needs Linux 6.11, `requires = ["struct-ops"]`
 * in driver.toml. For one piece of work without data, work.h is enough.
 */
#ifndef HIDBPF_QUEUE_H
#define HIDBPF_QUEUE_H

#include <hidbpf/work.h>

/*
 * HIDBPF_QUEUE(name, places, item_type, ctx, item) { ... }
 *
 * Runs for each hidbpf_queue(name, ...), with a copy of an item: `item` is a `const item_type *`. `item_type` is a struct or a
 * number of at most 256 bytes. `places` is the maximum number of pieces of work that wait, at most 32. `ctx` is for the
 * kfuncs that send requests and reports. The body returns nothing. It does not run if the device is gone or the driver
 * is detached.
 *
 * A lock protects each place, because a hook and the worker may use it on two processors at once.
 */
#define HIDBPF_QUEUE(name, places, item_type, ctx, item)                                                               \
	HIDBPF__NEWER_ONLY("HIDBPF_QUEUE")                                                                             \
	_Static_assert((places) > 0 && (places) <= 32, "a queue has 1 to 32 places");                                  \
	_Static_assert(sizeof(item_type) <= 256, "a queue's item has at most 256 bytes");                              \
	struct name##_place {                                                                                          \
		struct bpf_timer timer;                                                                                \
		struct bpf_wq work;                                                                                    \
		struct bpf_spin_lock lock;                                                                             \
		__u32 taken;                                                                                           \
		item_type data;                                                                                        \
	};                                                                                                             \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, places);                                                                           \
		__type(key, __u32);                                                                                    \
		__type(value, struct name##_place);                                                                    \
	} name SEC(".maps");                                                                                           \
	static __always_inline void name##_body(struct hid_bpf_ctx *ctx, const item_type *item);                       \
	static int name##_work(void *hidbpf_map HIDBPF__UNUSED, int *hidbpf_key HIDBPF__UNUSED, void *hidbpf_value)    \
	{                                                                                                              \
		struct name##_place *hidbpf_place = hidbpf_value;                                                      \
		struct hid_bpf_ctx *hidbpf_ctx;                                                                        \
		item_type hidbpf_data;                                                                                 \
                                                                                                                       \
		bpf_spin_lock(&hidbpf_place->lock);                                                                    \
		hidbpf_data = hidbpf_place->data;                                                                      \
		hidbpf_place->taken = 0;                                                                               \
		bpf_spin_unlock(&hidbpf_place->lock);                                                                  \
		hidbpf_ctx = hid_bpf_allocate_context(hidbpf_ids.hid);                                                 \
		if (!hidbpf_ctx)                                                                                       \
			return 0;                                                                                      \
		name##_body(hidbpf_ctx, &hidbpf_data);                                                                 \
		hid_bpf_release_context(hidbpf_ctx);                                                                   \
		return 0;                                                                                              \
	}                                                                                                              \
	static int name##_time_is_up(void *hidbpf_map HIDBPF__UNUSED, int *hidbpf_key HIDBPF__UNUSED,                  \
				     struct name##_place *hidbpf_place)                                                \
	{                                                                                                              \
		bpf_wq_start(&hidbpf_place->work, 0);                                                                  \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline int name##_put(const item_type *hidbpf_data, __u32 hidbpf_milliseconds)                 \
	{                                                                                                              \
		for (__u32 hidbpf_index = 0; hidbpf_index < (places); hidbpf_index++) {                                \
			__u32 hidbpf_number = hidbpf_index;                                                            \
			struct name##_place *hidbpf_place = bpf_map_lookup_elem(&name, &hidbpf_number);                \
			__u32 hidbpf_taken;                                                                            \
                                                                                                                       \
			if (!hidbpf_place)                                                                             \
				return -ENODEV;                                                                        \
			bpf_spin_lock(&hidbpf_place->lock);                                                            \
			hidbpf_taken = hidbpf_place->taken;                                                            \
			if (!hidbpf_taken) {                                                                           \
				hidbpf_place->taken = 1;                                                               \
				hidbpf_place->data = *hidbpf_data;                                                     \
			}                                                                                              \
			bpf_spin_unlock(&hidbpf_place->lock);                                                          \
			if (hidbpf_taken)                                                                              \
				continue;                                                                              \
			hidbpf_ready_item(&hidbpf_place->work, &name, name##_work);                                    \
			if (!hidbpf_milliseconds)                                                                      \
				return bpf_wq_start(&hidbpf_place->work, 0);                                           \
			bpf_timer_init(&hidbpf_place->timer, &name, CLOCK_MONOTONIC);                                  \
			bpf_timer_set_callback(&hidbpf_place->timer, name##_time_is_up);                               \
			return (int)bpf_timer_start(&hidbpf_place->timer, hidbpf_milliseconds * 1000000ULL, 0);        \
		}                                                                                                      \
		return -EBUSY;                                                                                         \
	}                                                                                                              \
	static __always_inline void name##_body(struct hid_bpf_ctx *ctx HIDBPF__UNUSED,                                \
						const item_type *item HIDBPF__UNUSED)

/*
 * hidbpf_queue(name, item, milliseconds): runs HIDBPF_QUEUE(name) after that time with a copy of `*item`, at once for 0.
 * Returns 0, or -EBUSY if all places are taken.
 */
#define hidbpf_queue(name, item, milliseconds) name##_put((item), (milliseconds))

#endif
