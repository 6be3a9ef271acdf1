/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * udev properties of the device, as a driver sees them: text that user space fills in before the programs are loaded, and that the
 * verifier then takes for a constant. A branch on a property costs nothing at run time.
 */
#ifndef HIDBPF_PROPERTY_H
#define HIDBPF_PROPERTY_H

#include <hidbpf/kernel.h>

/* Bytes of a property's value, its terminating zero included; user space cuts what is longer. */
#define HIDBPF_PROPERTY_SIZE 64

/* HIDBPF_UDEV_PROPERTY(NAME); asks for the property NAME. Its value is "" where the device has no such property. */
#define HIDBPF_UDEV_PROPERTY(name) const volatile char UDEV_PROP_##name[HIDBPF_PROPERTY_SIZE] __attribute__((aligned(4)))

/* HIDBPF_PROPERTY_STARTS_WITH(NAME, "text"): whether the value of a property that was asked for begins with a literal text. */
#define HIDBPF_PROPERTY_STARTS_WITH(name, prefix)                                                                      \
	({                                                                                                             \
		_Static_assert(sizeof(prefix) <= HIDBPF_PROPERTY_SIZE, "the text is longer than any property");        \
		hidbpf_starts_with(UDEV_PROP_##name, "" prefix, sizeof(prefix) - 1);                                   \
	})

static __always_inline __u32 hidbpf_four(const char *text)
{
	return (__u32)text[0] | (__u32)text[1] << 8 | (__u32)text[2] << 16 | (__u32)text[3] << 24;
}

/* By four characters at once, and what is left one by one. */
static __always_inline _Bool hidbpf_starts_with(const volatile char *value, const char *prefix, const unsigned long size)
{
	unsigned long i = 0;

#pragma clang loop unroll(full)
	for (; i + 4 <= size; i += 4)
		if (*(const volatile __u32 *)(value + i) != hidbpf_four(prefix + i))
			return 0;
#pragma clang loop unroll(full)
	for (; i < size; i++)
		if (value[i] != prefix[i])
			return 0;
	return 1;
}

#endif
