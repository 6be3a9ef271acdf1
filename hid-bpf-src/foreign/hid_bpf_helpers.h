/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel functions, the match table and helpers, for sources that are written for udev-hid-bpf or for the kernel tree.
 *
 * These headers include each other with angle brackets, so that a header beside the source replaces one of them.
 */
#ifndef __HID_BPF_HELPERS_H
#define __HID_BPF_HELPERS_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <linux/errno.h>
#include <hid_report_descriptor_helpers.h>

#define HID_MAX_DESCRIPTOR_SIZE 4096
#define HID_MAX_BUFFER_SIZE 16384
/* An event hook returns this to drop a report. */
#define HID_IGNORE_EVENT (-1)

#define BIT(n) (1UL << (n))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Two tokens in one, after the preprocessor has replaced each: COMBINE(line, __LINE__) is line42. */
#define COMBINE(X, Y) COMBINE1(X, Y)
#define COMBINE1(X, Y) X##Y

/*
 * Kernel functions. Each is called as drivers/hid/bpf/hid_bpf_dispatch.c defines it. The weak ones are missing in some
 * kernels, and bpf_ksym_exists() tests for them.
 */

/* `size` must be a constant. Returns NULL if offset + size is beyond the buffer. */
extern __u8 *hid_bpf_get_data(struct hid_bpf_ctx *ctx, unsigned int offset, const size_t size) __ksym;
/* In syscall programs; since 6.11 where sleeping is allowed. */
extern struct hid_bpf_ctx *hid_bpf_allocate_context(unsigned int hid_id) __ksym;
extern void hid_bpf_release_context(struct hid_bpf_ctx *ctx) __ksym;
extern int hid_bpf_hw_request(struct hid_bpf_ctx *ctx, __u8 *data, size_t buf__sz, enum hid_report_type type,
			      enum hid_class_request reqtype) __ksym;
/* Since 6.11, where sleeping is allowed. */
extern int hid_bpf_hw_output_report(struct hid_bpf_ctx *ctx, __u8 *buf, size_t buf__sz) __weak __ksym;
extern int hid_bpf_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				size_t buf__sz) __weak __ksym;
/* Since 6.11, in event hooks. */
extern int hid_bpf_try_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, __u8 *data,
				    size_t buf__sz) __weak __ksym;

/* Work items: kernel/bpf/helpers.c. */
extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __weak __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __weak __ksym;
/* Kernels up to 6.19 have the first function, kernels since 7.0 the second. */
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback_fn)(void *map, int *key, void *value),
				    unsigned int flags, void *aux__ign) __weak __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq, int (*callback_fn)(void *map, int *key, void *value),
			       unsigned int flags) __weak __ksym;

/* Calls the function that the running kernel has. */
#define bpf_wq_set_callback(wq, callback, flags)                                                                       \
	(bpf_ksym_exists(bpf_wq_set_callback) ? bpf_wq_set_callback((wq), (callback), (flags)) :                       \
						bpf_wq_set_callback_impl((wq), (callback), (flags), NULL))

/*
 * Release and unlock at the end of a scope.
 *
 * _cleanup_(function) type variable: calls function(&variable).
 *
 * _release_(name) *variable: calls name_release(variable), unless it is NULL. DEFINE_RELEASE_CLEANUP_FUNC(name) makes
 * that possible for a struct name.
 *
 * guard(name)(pointer): locks now and unlocks then. DEFINE_GUARD(name, type, lock, unlock) makes that possible for a
 * type.
 */
#define _cleanup_(_function) __attribute__((cleanup(_function)))
#define _release_(_name) struct _name _cleanup_(_name##_releasep)

#define DEFINE_RELEASE_CLEANUP_FUNC(_name)                                                                             \
	static inline __maybe_unused void _name##_releasep(struct _name **_variable)                                   \
	{                                                                                                              \
		struct _name *_value = *_variable;                                                                     \
                                                                                                                       \
		if (_value)                                                                                            \
			_name##_release(_value);                                                                       \
	}                                                                                                              \
	struct _name

#define DEFINE_GUARD(_name, _type, _lock, _unlock)                                                                     \
	typedef _type *_name##_guard_t;                                                                                \
	static __always_inline __maybe_unused _name##_guard_t _name##_guard_lock(_type *_pointer)                      \
	{                                                                                                              \
		if (_pointer)                                                                                          \
			_lock(_pointer);                                                                               \
		return _pointer;                                                                                       \
	}                                                                                                              \
	static __always_inline __maybe_unused void _name##_guard_unlock(_name##_guard_t *_pointer)                     \
	{                                                                                                              \
		if (*_pointer)                                                                                         \
			_unlock(*_pointer);                                                                            \
	}                                                                                                              \
	struct _name##_guard

#define guard(_name)                                                                                                   \
	_name##_guard_t COMBINE(_guard, __LINE__)                                                                      \
	__maybe_unused _cleanup_(_name##_guard_unlock) = _name##_guard_lock

#define hid_bpf_ctx_release hid_bpf_release_context
DEFINE_RELEASE_CLEANUP_FUNC(hid_bpf_ctx);
DEFINE_GUARD(bpf_spin, struct bpf_spin_lock, bpf_spin_lock, bpf_spin_unlock);

/* Buses: include/uapi/linux/input.h. BUS_ANY is for match tables. */
#define BUS_ANY 0x00
#define BUS_PCI 0x01
#define BUS_ISAPNP 0x02
#define BUS_USB 0x03
#define BUS_HIL 0x04
#define BUS_BLUETOOTH 0x05
#define BUS_VIRTUAL 0x06
#define BUS_ISA 0x10
#define BUS_I8042 0x11
#define BUS_XTKBD 0x12
#define BUS_RS232 0x13
#define BUS_GAMEPORT 0x14
#define BUS_PARPORT 0x15
#define BUS_AMIGA 0x16
#define BUS_ADB 0x17
#define BUS_I2C 0x18
#define BUS_HOST 0x19
#define BUS_GSC 0x1a
#define BUS_ATARI 0x1b
#define BUS_SPI 0x1c
#define BUS_RMI 0x1d
#define BUS_CEC 0x1e
#define BUS_INTEL_ISHTP 0x1f
#define BUS_AMD_SFH 0x20

/* Groups: include/linux/hid.h. */
#define HID_GROUP_ANY 0x0000
#define HID_GROUP_GENERIC 0x0001
#define HID_GROUP_MULTITOUCH 0x0002
#define HID_GROUP_SENSOR_HUB 0x0003
#define HID_GROUP_MULTITOUCH_WIN_8 0x0004
#define HID_GROUP_RMI 0x0100
#define HID_GROUP_WACOM 0x0101
#define HID_GROUP_LOGITECH_DJ_DEVICE 0x0102
#define HID_GROUP_STEAM 0x0103
#define HID_GROUP_LOGITECH_27MHZ_DEVICE 0x0104
#define HID_GROUP_VIVALDI 0x0105

/* Any vendor and any product, in match tables alone. */
#define HID_VID_ANY 0x0000
#define HID_PID_ANY 0x0000

/*
 * The match table:
 *
 *   HID_BPF_CONFIG(
 *           HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x046d, 0xc077),
 *           HID_DEVICE(BUS_BLUETOOTH, HID_GROUP_ANY, 0x046d, 0xb023)
 *   );
 *
 * It is the type of a variable that nobody reads. Each device is a member, whose own members are pointers to arrays. The
 * number of an array's elements is the value, so a loader finds all values in the type information (BTF).
 */
#define HID_DEVICE(_bus, _group, _vendor, _product)                                                                    \
	struct {                                                                                                       \
		__uint(name, 0);                                                                                       \
		__uint(bus, (_bus));                                                                                   \
		__uint(group, (_group));                                                                               \
		__uint(vid, (_vendor));                                                                                \
		__uint(pid, (_product));                                                                               \
	} COMBINE(_entry, __COUNTER__)

#define HID_BPF_CONFIG(...)                                                                                            \
	union {                                                                                                        \
		_HID_BPF_EACH(__VA_ARGS__)                                                                             \
	} _device_ids SEC(".hid_bpf_config")

/*
 * A semicolon after each argument. The preprocessor replaces no macro inside itself, so the next step is hidden from it
 * until the rescan that _HID_BPF_RESCAN() causes: 256 of them, for as many devices.
 */
#define _HID_BPF_EACH(...) _HID_BPF_RESCAN(_HID_BPF_STEP(__VA_ARGS__))
#define _HID_BPF_STEP(_first, ...)                                                                                     \
	_first;                                                                                                        \
	__VA_OPT__(_HID_BPF_NEXT _HID_BPF_NOTHING()()(__VA_ARGS__))
#define _HID_BPF_NEXT() _HID_BPF_STEP
#define _HID_BPF_NOTHING()
#define _HID_BPF_RESCAN(...) _HID_BPF_RESCAN4(_HID_BPF_RESCAN4(_HID_BPF_RESCAN4(_HID_BPF_RESCAN4(__VA_ARGS__))))
#define _HID_BPF_RESCAN4(...) _HID_BPF_RESCAN3(_HID_BPF_RESCAN3(_HID_BPF_RESCAN3(_HID_BPF_RESCAN3(__VA_ARGS__))))
#define _HID_BPF_RESCAN3(...) _HID_BPF_RESCAN2(_HID_BPF_RESCAN2(_HID_BPF_RESCAN2(_HID_BPF_RESCAN2(__VA_ARGS__))))
#define _HID_BPF_RESCAN2(...) _HID_BPF_RESCAN1(_HID_BPF_RESCAN1(_HID_BPF_RESCAN1(_HID_BPF_RESCAN1(__VA_ARGS__))))
#define _HID_BPF_RESCAN1(...) __VA_ARGS__

/* Numbers in reports are little-endian, and in some vendors' reports big-endian. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define hid_bpf_le16_to_cpu(x) (x)
#define hid_bpf_le32_to_cpu(x) (x)
#define hid_bpf_le64_to_cpu(x) (x)
#else
#define hid_bpf_le16_to_cpu(x) __builtin_bswap16(x)
#define hid_bpf_le32_to_cpu(x) __builtin_bswap32(x)
#define hid_bpf_le64_to_cpu(x) __builtin_bswap64(x)
#endif
#define hid_bpf_cpu_to_le16(x) hid_bpf_le16_to_cpu(x)
#define hid_bpf_cpu_to_le32(x) hid_bpf_le32_to_cpu(x)
#define hid_bpf_cpu_to_le64(x) hid_bpf_le64_to_cpu(x)
#define hid_bpf_be16_to_cpu(x) bpf_ntohs(x)
#define hid_bpf_be32_to_cpu(x) bpf_ntohl(x)
#define hid_bpf_be64_to_cpu(x) bpf_be64_to_cpu(x)
#define hid_bpf_cpu_to_be16(x) bpf_htons(x)
#define hid_bpf_cpu_to_be32(x) bpf_htonl(x)
#define hid_bpf_cpu_to_be64(x) bpf_cpu_to_be64(x)

/*
 * udev properties of the device that a program sets. EXPORT_UDEV_PROP(NAME, size) makes the property NAME of at most
 * `size` bytes with its final zero. UDEV_PROP_SPRINTF(NAME, format, value, ...) writes it, at least one value. The
 * program must be the probe, because a loader reads the properties right after it.
 */
#define EXPORT_UDEV_PROP(_name, _size)                                                                                 \
	const __u32 SIZEOF_##_name = _size;                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, __u8[_size]);                                                                            \
	} UDEV_PROP_##_name SEC(".maps")

#define udev_prop_ptr(_name) bpf_map_lookup_elem(&UDEV_PROP_##_name, &(__u32){0})

#define UDEV_PROP_SPRINTF(_name, ...) BPF_SNPRINTF(udev_prop_ptr(_name), SIZEOF_##_name, __VA_ARGS__)

/* The bytes of a report that contain a field's first and last bit. */
static inline __maybe_unused __u16 field_start_byte(struct hid_rdesc_field *field)
{
	return field->bits_start >> 3;
}

static inline __maybe_unused __u16 field_end_byte(struct hid_rdesc_field *field)
{
	return field->bits_end ? (field->bits_end - 1) >> 3 : 0;
}

/*
 * Returns a field's value, unsigned, from a report of `size` bytes. Returns 0 if the field has no bits, has more than
 * 32, or is not in the report. EXTRACT_BITS(report, field) is for reports in an array.
 */
static __maybe_unused __u32 extract_bits(__u8 *buffer, const size_t size, struct hid_rdesc_field *field)
{
	const __u32 first = field->bits_start, end = field->bits_end;
	__u64 value = 0;
	__u32 i;

	if (end <= first || end - first > 32)
		return 0;
	/* 32 bits can begin within a byte, and are in 5 bytes then. */
	bpf_for(i, 0, 5)
	{
		__u64 at = first / 8 + i;

		if (8 * at >= end)
			break;
		/* The verifier has to see the check of the register that the access uses. */
		asm volatile("" : "+r"(at));
		if (at >= size)
			return 0;
		asm volatile("" : "+r"(at));
		value |= (__u64)buffer[at] << (8 * i);
	}
	return (value >> (first % 8)) & ((1ULL << (end - first)) - 1);
}

#define EXTRACT_BITS(_report, _field) extract_bits((_report), sizeof(_report), (_field))

/*
 * Loops over the parsed descriptor: hid_bpf_for_each_field(report, field) { ... } with a pointer to a report, and a
 * pointer variable `field`. Leave a loop with `break` only.
 */
#define hid_bpf_for_each_input_report(_descriptor, _report)                                                            \
	_HID_BPF_FOR((_descriptor)->input_reports, (_descriptor)->num_input_reports, _report)
#define hid_bpf_for_each_output_report(_descriptor, _report)                                                           \
	_HID_BPF_FOR((_descriptor)->output_reports, (_descriptor)->num_output_reports, _report)
#define hid_bpf_for_each_feature_report(_descriptor, _report)                                                          \
	_HID_BPF_FOR((_descriptor)->feature_reports, (_descriptor)->num_feature_reports, _report)
#define hid_bpf_for_each_field(_report, _field) _HID_BPF_FOR((_report)->fields, (_report)->num_fields, _field)
#define hid_bpf_for_each_collection(_field, _collection)                                                               \
	_HID_BPF_FOR((_field)->collections, (_field)->num_collections, _collection)

/*
 * The loop runs once for each element in use. The kernel counts, so the verifier follows the body once. It has to see
 * that the index is within the array, which the number of elements in use does not tell it. The assembly keeps clang
 * from computing the address before that, and with another register.
 */
#define _HID_BPF_FOR(_array, _count, _element)                                                                         \
	for (struct bpf_iter_num _iterator __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                 \
	     *_index __maybe_unused = (bpf_iter_num_new(&_iterator, 0, (_count) <= ARRAY_SIZE(_array) ? (_count) : 0), \
				       (void)bpf_iter_num_destroy, (_element) = NULL, (void *)0);                      \
	     ({                                                                                                        \
		     const int *_at = bpf_iter_num_next(&_iterator);                                                   \
		     __u64 _number = _at ? (__u32)*_at : ARRAY_SIZE(_array);                                           \
		     bool _is_in = 0;                                                                                  \
                                                                                                                       \
		     asm volatile("" : "+r"(_number));                                                                 \
		     if (_number < ARRAY_SIZE(_array)) {                                                               \
			     asm volatile("" : "+r"(_number));                                                         \
			     (_element) = &(_array)[_number];                                                          \
			     _is_in = 1;                                                                               \
		     }                                                                                                 \
		     _is_in;                                                                                           \
	     });)

/* Writes a report to the kernel's trace, 64 bytes a line, for a program that shows what a device sends. */
static __maybe_unused void hid_bpf_printk_event(struct hid_bpf_ctx *hctx)
{
	enum { BYTES = 64 };
	static char text[3 * BYTES + 1];
	const int size = hctx->size;
	__u32 line, i;

	if (size < 0) {
		bpf_printk("event of the size %d", size);
		return;
	}
	bpf_printk("event: size: %d", size);
	bpf_for(line, 0, HID_MAX_BUFFER_SIZE / BYTES)
	{
		__u8 *data;

		if (line * BYTES >= (__u32)size)
			break;
		data = hid_bpf_get_data(hctx, line * BYTES, BYTES);
		if (!data)
			return;
		text[0] = 0;
		bpf_for(i, 0, BYTES)
		{
			if (line * BYTES + i < (__u32)size)
				BPF_SNPRINTF(text + 3 * i, 4, "%02x ", data[i]);
		}
		bpf_printk(" 0x%08x: %s", line * BYTES, text);
	}
}

#endif
