/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * udev properties of the device, as text. User space fills them in before it loads the programs, and the verifier
 * treats them as constants. A branch on a property costs nothing at run time.
 */
#ifndef HIDBPF_PROPERTY_H
#define HIDBPF_PROPERTY_H

#include <hidbpf/kernel.h>

/* Bytes of a property's value, including its terminating zero. User space cuts longer values. */
#define HIDBPF_PROPERTY_SIZE 64

/*
 * HIDBPF_UDEV_PROPERTY(NAME); declares that the driver reads the property NAME. Its value is "" if the device does not
 * have the property.
 */
#define HIDBPF_UDEV_PROPERTY(name) const volatile char UDEV_PROP_##name[HIDBPF_PROPERTY_SIZE]

/* HIDBPF_PROPERTY_STARTS_WITH(NAME, "text"): true if the value of a declared property begins with a literal text. */
#define HIDBPF_PROPERTY_STARTS_WITH(name, prefix)                                                                      \
	({                                                                                                             \
		_Static_assert(sizeof(prefix) <= HIDBPF_PROPERTY_SIZE, "the text is longer than any property");        \
		hidbpf_starts_with(UDEV_PROP_##name, "" prefix, sizeof(prefix) - 1);                                   \
	})

/* Returns whether a text begins with the first `size` characters of `prefix`. */
static __always_inline _Bool hidbpf_starts_with(const volatile char *value, const char *prefix,
						const unsigned long size)
{
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < size; i++)
		if (value[i] != prefix[i])
			return 0;
	return 1;
}

/*
 * HIDBPF_PROPERTY_BYTE(NAME, index): the value of two hex digits in lower case of a declared property, whose bytes are
 * counted from 0. Other characters, and the zeros behind the end, have some value of 0 to 15.
 */
#define HIDBPF_PROPERTY_BYTE(name, index)                                                                              \
	(hidbpf_hex_digit(UDEV_PROP_##name[2 * (index)]) << 4 | hidbpf_hex_digit(UDEV_PROP_##name[2 * (index) + 1]))

static __always_inline __u32 hidbpf_hex_digit(const char digit)
{
	const __u32 character = (__u8)digit;

	return (character >= 'a' ? character - 'a' + 10 : character - '0') & 0x0f;
}

#endif
