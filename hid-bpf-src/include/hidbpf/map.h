/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps, for drivers that keep more than a few variables. Programs in user space can read or change what a driver does
 * while it is attached. For that, driver.toml names the map in a `[[map]]`, with its mode and group. It is then pinned as
 * /sys/fs/bpf/hidbpf/DEVICE/DRIVER/NAME.
 */
#ifndef HIDBPF_MAP_H
#define HIDBPF_MAP_H

#include <hidbpf/driver.h>

/* HIDBPF_ARRAY(name, type, count); defines a map of `count` values, whose keys are the numbers from 0. All are 0 at first. */
#define HIDBPF_ARRAY(name, value_type, count)                                                                          \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, count);                                                                            \
		__type(key, __u32);                                                                                    \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

/* HIDBPF_HASH(name, key_type, type, count); defines a map of at most `count` values, with keys of any type. */
#define HIDBPF_HASH(name, key_type, value_type, count)                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__uint(max_entries, count);                                                                            \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

/*
 * hidbpf_at(name, key): a pointer to the value of a key, or NULL if there is none. A program in user space can change the
 * value at any time, so read it once.
 */
#define hidbpf_at(name, wanted)                                                                                        \
	({                                                                                                             \
		typeof(*name.key) hidbpf_key = (wanted);                                                               \
		(typeof(name.value))bpf_map_lookup_elem(&name, &hidbpf_key);                                           \
	})

#endif
