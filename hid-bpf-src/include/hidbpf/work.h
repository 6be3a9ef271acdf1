/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a hook can't do itself, because it must not sleep or because it is too early: done a little later by a worker of the kernel,
 * which may talk to the device. Needs Linux 6.11, `requires = ["struct-ops"]` in driver.toml.
 *
 * A timer waits and then starts a work item, since timers can't sleep and work items can't wait. Both live in a map, which user space
 * pins with the driver's links: the kernel cancels timers in maps that programs alone hold.
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
 * Runs when hidbpf_schedule(name, ...) says. `ctx` is good for the kfuncs that talk to the device; it has no report. Return 0, or after
 * how many milliseconds to run again. Nothing runs for a device that is gone or that the driver was taken off.
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
 * hidbpf_schedule(name, milliseconds): has HIDBPF_WORK(name) run after that time. If it was scheduled before and has not run yet, it runs
 * once, at the new time. Returns 0 or a negative errno.
 */
#define hidbpf_schedule(name, milliseconds) hidbpf_schedule_in(&(name), name##_work, (milliseconds))

/*
 * hidbpf_run(name): the same as soon as can be. It needs no timer, so that HIDBPF_WORK(name) must return 0. If it was to run and has
 * not yet, it runs once.
 */
#define hidbpf_run(name) hidbpf_run_in(&(name), name##_work)

static __always_inline int hidbpf_start(struct hidbpf_work *work, __u32 milliseconds)
{
	return (int)bpf_timer_start(&work->timer, milliseconds * 1000000ULL, 0);
}

/* The timer's end. */
static __attribute__((unused)) int hidbpf_time_is_up(void *map HIDBPF__UNUSED, int *key HIDBPF__UNUSED, struct hidbpf_work *work)
{
	bpf_wq_start(&work->item, 0);
	return 0;
}

/* The map's value, with the work item ready, or NULL. What is ready already says -EBUSY to that, and stays so. */
static __always_inline struct hidbpf_work *hidbpf_ready(void *map, int (*callback)(void *map, int *key, void *value))
{
	__u32 first = 0;
	struct hidbpf_work *work = bpf_map_lookup_elem(map, &first);

	if (!work)
		return NULL;
	bpf_wq_init(&work->item, map, 0);
	if (bpf_ksym_exists(bpf_wq_set_callback))
		bpf_wq_set_callback(&work->item, callback, 0);
	else
		bpf_wq_set_callback_impl(&work->item, callback, 0, NULL);
	return work;
}

static __always_inline int hidbpf_run_in(void *map, int (*callback)(void *map, int *key, void *value))
{
	struct hidbpf_work *work = hidbpf_ready(map, callback);

	return work ? bpf_wq_start(&work->item, 0) : -ENODEV;
}

static __always_inline int hidbpf_schedule_in(void *map, int (*callback)(void *map, int *key, void *value), __u32 milliseconds)
{
	struct hidbpf_work *work = hidbpf_ready(map, callback);

	if (!work)
		return -ENODEV;
	bpf_timer_init(&work->timer, map, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&work->timer, hidbpf_time_is_up);
	return hidbpf_start(work, milliseconds);
}

#endif
