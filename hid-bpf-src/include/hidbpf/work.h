/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work that a hook cannot do itself, because it must not sleep or because it runs too early. A kernel worker does it
 * shortly afterwards and may send requests to the device. Needs Linux 6.11, `requires = ["struct-ops"]` in driver.toml.
 *
 * A timer waits and then starts a work item, because timers cannot sleep and work items cannot wait. Both are in a map,
 * which user space pins with the driver's links. The kernel cancels timers in maps that only programs hold.
 */
#ifndef HIDBPF_WORK_H
#define HIDBPF_WORK_H

#include <hidbpf/driver.h>

struct hidbpf_work {
	struct bpf_timer timer;
	struct bpf_wq item;
};

/*
 * HIDBPF_WORK(name, ctx) { ... }
 *
 * Runs when hidbpf_schedule(name, ...) requests it. `ctx` is for the kfuncs that send requests to the device; it has no
 * report. Return 0, or the number of milliseconds after which to run again. The work does not run if the device is gone
 * or the driver is detached.
 */
#define HIDBPF_WORK(name, ctx)                                                                                         \
	HIDBPF__NEWER_ONLY("HIDBPF_WORK")                                                                              \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, struct hidbpf_work);                                                                     \
	} name SEC(".maps");                                                                                           \
	static __always_inline __u32 name##_body(struct hid_bpf_ctx *ctx);                                             \
	static int name##_work(void *hidbpf_map HIDBPF__UNUSED, int *hidbpf_key HIDBPF__UNUSED, void *hidbpf_value)    \
	{                                                                                                              \
		struct hidbpf_work *hidbpf_work = hidbpf_value;                                                        \
		struct hid_bpf_ctx *hidbpf_ctx = hid_bpf_allocate_context(hidbpf_ids.hid);                             \
		__u32 hidbpf_again;                                                                                    \
                                                                                                                       \
		if (!hidbpf_ctx)                                                                                       \
			return 0;                                                                                      \
		hidbpf_again = name##_body(hidbpf_ctx);                                                                \
		hid_bpf_release_context(hidbpf_ctx);                                                                   \
		if (hidbpf_again)                                                                                      \
			hidbpf_start(hidbpf_work, hidbpf_again);                                                       \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline __u32 name##_body(struct hid_bpf_ctx *ctx HIDBPF__UNUSED)

/*
 * hidbpf_schedule(name, milliseconds): runs HIDBPF_WORK(name) after that time. If an earlier schedule is still pending,
 * the work runs once, at the new time. Returns 0 or a negative errno.
 */
#define hidbpf_schedule(name, milliseconds) hidbpf_schedule_in(&(name), name##_work, (milliseconds))

/*
 * hidbpf_run(name): runs HIDBPF_WORK(name) as soon as possible. It uses no timer, so HIDBPF_WORK(name) must return 0.
 * If an earlier run is still pending, the work runs once.
 */
#define hidbpf_run(name) hidbpf_run_in(&(name), name##_work)

static __always_inline int hidbpf_start(struct hidbpf_work *work, __u32 milliseconds)
{
	return (int)bpf_timer_start(&work->timer, milliseconds * 1000000ULL, 0);
}

/* The timer's callback. */
static __attribute__((unused)) int hidbpf_time_is_up(void *map HIDBPF__UNUSED, int *key HIDBPF__UNUSED,
						     struct hidbpf_work *work)
{
	bpf_wq_start(&work->item, 0);
	return 0;
}

/* Makes a work item ready. If it is ready already, bpf_wq_init() returns -EBUSY and leaves it ready. */
static __always_inline void hidbpf_ready_item(struct bpf_wq *item, void *map,
					      int (*callback)(void *map, int *key, void *value))
{
	bpf_wq_init(item, map, 0);
	if (bpf_ksym_exists(bpf_wq_set_callback))
		bpf_wq_set_callback(item, callback, 0);
	else
		bpf_wq_set_callback_impl(item, callback, 0, NULL);
}

/* Returns the map's value with the work item ready, or NULL. */
static __always_inline struct hidbpf_work *hidbpf_ready(void *map, int (*callback)(void *map, int *key, void *value))
{
	__u32 first = 0;
	struct hidbpf_work *work = bpf_map_lookup_elem(map, &first);

	if (!work)
		return NULL;
	hidbpf_ready_item(&work->item, map, callback);
	return work;
}

static __always_inline int hidbpf_run_in(void *map, int (*callback)(void *map, int *key, void *value))
{
	struct hidbpf_work *work = hidbpf_ready(map, callback);

	return work ? bpf_wq_start(&work->item, 0) : -ENODEV;
}

static __always_inline int hidbpf_schedule_in(void *map, int (*callback)(void *map, int *key, void *value),
					      __u32 milliseconds)
{
	struct hidbpf_work *work = hidbpf_ready(map, callback);

	if (!work)
		return -ENODEV;
	bpf_timer_init(&work->timer, map, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&work->timer, hidbpf_time_is_up);
	return hidbpf_start(work, milliseconds);
}

#endif
