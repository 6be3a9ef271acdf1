/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions that a kernel worker runs later, when sleeping is allowed, for sources that are written for udev-hid-bpf or
 * for the kernel tree. Needs Linux 6.11.
 *
 *   #define HID_BPF_ASYNC_MAX_CTX 1
 *   #include "hid_bpf_async.h"
 *
 *   static int HID_BPF_ASYNC_FUN(switch_mode)(struct hid_bpf_ctx *hctx)
 *   {
 *           return hid_bpf_hw_request(hctx, ...);
 *   }
 *
 * HID_BPF_ASYNC_INIT(switch_mode) in the probe reserves an element of the map below. In a hook,
 * HID_BPF_ASYNC_DELAYED_CALL(switch_mode, hctx, milliseconds) runs the function after that time.
 *
 * A timer waits and then starts a work item, because timers can't sleep and work items can't wait.
 */
#ifndef __HID_BPF_ASYNC_H__
#define __HID_BPF_ASYNC_H__

#include <hid_bpf_helpers.h>

#ifndef HID_BPF_ASYNC_MAX_CTX
#error "define HID_BPF_ASYNC_MAX_CTX, the number of functions that run later, before you include hid_bpf_async.h"
#endif

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

typedef int (*hid_bpf_async_callback_t)(void *map, int *key, void *value);

enum hid_bpf_async_state {
	HID_BPF_ASYNC_STATE_UNSET = 0,
	HID_BPF_ASYNC_STATE_INITIALIZING,
	HID_BPF_ASYNC_STATE_INITIALIZED,
	HID_BPF_ASYNC_STATE_STARTING,
	HID_BPF_ASYNC_STATE_RUNNING,
};

struct hid_bpf_async_map_elem {
	/* Protects `state`. */
	struct bpf_spin_lock lock;
	enum hid_bpf_async_state state;
	struct bpf_timer t;
	struct bpf_wq wq;
	/* The device's number. */
	u32 hid;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HID_BPF_ASYNC_MAX_CTX);
	__type(key, u32);
	__type(value, struct hid_bpf_async_map_elem);
} hid_bpf_async_ctx_map SEC(".maps");

/*
 * HID_BPF_ASYNC_CB(name)(struct hid_bpf_ctx *hctx) { ... }
 *
 * Defines the callback of a work item. The body gets a context for requests to the device. It does not run if the device
 * is gone.
 */
#define HID_BPF_ASYNC_CB(_name)                                                                                        \
	_name(void *map, int *key, void *value);                                                                       \
	static __always_inline int _name##__body(struct hid_bpf_ctx *hctx);                                            \
	typeof(_name(0, 0, 0)) _name(void *map __maybe_unused, int *key __maybe_unused, void *value)                   \
	{                                                                                                              \
		struct hid_bpf_async_map_elem *_elem = value;                                                          \
		struct hid_bpf_ctx *_hctx = hid_bpf_allocate_context(_elem->hid);                                      \
                                                                                                                       \
		if (_hctx) {                                                                                           \
			_elem->state = HID_BPF_ASYNC_STATE_RUNNING;                                                    \
			_name##__body(_hctx);                                                                          \
			_elem->state = HID_BPF_ASYNC_STATE_INITIALIZED;                                                \
			hid_bpf_release_context(_hctx);                                                                \
		}                                                                                                      \
		return 0;                                                                                              \
	}                                                                                                              \
	static __always_inline int _name##__body

/* A function that runs later, with its callback and the key of its element in the map. */
#define HID_BPF_ASYNC_FUN(_function)                                                                                   \
	_function(struct hid_bpf_ctx *hctx);                                                                           \
	int _function##__key;                                                                                          \
	static int _function##__init(void)                                                                             \
	{                                                                                                              \
		int _key = hid_bpf_async_get_ctx();                                                                    \
                                                                                                                       \
		_function##__key = _key;                                                                               \
		return _key < 0 ? _key : 0;                                                                            \
	}                                                                                                              \
	static int HID_BPF_ASYNC_CB(_function##__callback)(struct hid_bpf_ctx * hctx)                                  \
	{                                                                                                              \
		return _function(hctx);                                                                                \
	}                                                                                                              \
	typeof(_function(0)) _function

/* Returns 0 or a negative errno. */
#define HID_BPF_ASYNC_INIT(_function) _function##__init()
#define HID_BPF_ASYNC_DELAYED_CALL(_function, _hctx, _milliseconds)                                                    \
	hid_bpf_async_delayed_call((_hctx), (_milliseconds), _function##__key, _function##__callback)

static inline __maybe_unused u64 ms_to_ns(u64 milliseconds)
{
	return milliseconds * 1000000ULL;
}

/* The timer's callback. */
static int hid_bpf_async_time_is_up(void *map __maybe_unused, int *key __maybe_unused, void *value)
{
	struct hid_bpf_async_map_elem *elem = value;

	bpf_wq_start(&elem->wq, 0);
	return 0;
}

/* Changes an element's state, if it is the one or the other. Returns whether it was. */
static __always_inline bool hid_bpf_async_change(struct hid_bpf_async_map_elem *elem, enum hid_bpf_async_state one,
						 enum hid_bpf_async_state other, enum hid_bpf_async_state to)
{
	bool changes;

	bpf_spin_lock(&elem->lock);
	changes = elem->state == one || elem->state == other;
	if (changes)
		elem->state = to;
	bpf_spin_unlock(&elem->lock);
	return changes;
}

/* Reserves an element. Returns its key, or -EINVAL if all are in use. */
static __maybe_unused int hid_bpf_async_find_empty_key(void)
{
	int i;

	bpf_for(i, 0, HID_BPF_ASYNC_MAX_CTX)
	{
		int key = i;
		struct hid_bpf_async_map_elem *elem = bpf_map_lookup_elem(&hid_bpf_async_ctx_map, &key);

		if (!elem)
			return -ENOMEM;
		if (hid_bpf_async_change(elem, HID_BPF_ASYNC_STATE_UNSET, HID_BPF_ASYNC_STATE_UNSET,
					 HID_BPF_ASYNC_STATE_INITIALIZING))
			return key;
	}
	return -EINVAL;
}

/* Reserves an element and makes its timer and its work item ready. Returns its key or a negative errno. */
static __maybe_unused int hid_bpf_async_get_ctx(void)
{
	int key = hid_bpf_async_find_empty_key();
	struct hid_bpf_async_map_elem *elem;
	int error;

	if (key < 0)
		return key;
	elem = bpf_map_lookup_elem(&hid_bpf_async_ctx_map, &key);
	if (!elem)
		return -EINVAL;
	error = bpf_timer_init(&elem->t, &hid_bpf_async_ctx_map, CLOCK_MONOTONIC);
	if (!error)
		error = bpf_timer_set_callback(&elem->t, hid_bpf_async_time_is_up);
	if (!error)
		error = bpf_wq_init(&elem->wq, &hid_bpf_async_ctx_map, 0);
	if (error)
		return error;
	elem->state = HID_BPF_ASYNC_STATE_INITIALIZED;
	return key;
}

/*
 * Runs the callback in a worker after that time. Returns 0 or a negative errno: -EINVAL if the element is not ready or
 * its call is still pending. A running callback may call itself again.
 */
static __maybe_unused int hid_bpf_async_delayed_call(struct hid_bpf_ctx *hctx, u64 milliseconds, int key,
						     hid_bpf_async_callback_t callback)
{
	struct hid_bpf_async_map_elem *elem = bpf_map_lookup_elem(&hid_bpf_async_ctx_map, &key);
	int error;

	if (!elem || !hid_bpf_async_change(elem, HID_BPF_ASYNC_STATE_INITIALIZED, HID_BPF_ASYNC_STATE_RUNNING,
					   HID_BPF_ASYNC_STATE_STARTING))
		return -EINVAL;
	elem->hid = hctx->hid->id;
	error = bpf_wq_set_callback(&elem->wq, callback, 0);
	if (error)
		return error;
	if (!milliseconds)
		return bpf_wq_start(&elem->wq, 0);
	/* Cancelling a timer clears its callback. */
	error = bpf_timer_set_callback(&elem->t, hid_bpf_async_time_is_up);
	return error ? error : bpf_timer_start(&elem->t, ms_to_ns(milliseconds), 0);
}

static inline __maybe_unused int hid_bpf_async_call(struct hid_bpf_ctx *hctx, int key,
						    hid_bpf_async_callback_t callback)
{
	return hid_bpf_async_delayed_call(hctx, 0, key, callback);
}

#endif
