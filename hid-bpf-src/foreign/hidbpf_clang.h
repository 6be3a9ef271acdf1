/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes older versions of clang compile sources that are written for newer ones. `hidbpf build` includes it before each
 * foreign source, even if there are headers beside the source.
 */
#ifndef HIDBPF_CLANG_H
#define HIDBPF_CLANG_H

#if __clang_major__ < 16

/*
 * clang puts a constant array of 16 bytes into .rodata.cst16, and before version 16 describes it as part of .rodata. The
 * kernel refuses type information in which two variables are at one place.
 */
#pragma clang section rodata = ".rodata"

/* It has no instructions for this builtin, and would call a function that BPF programs do not have. */
#define __builtin_memcmp(_one, _other, _size) hidbpf_memcmp((_one), (_other), (_size))

static inline __attribute__((always_inline, unused)) int hidbpf_memcmp(const void *one, const void *other,
								       unsigned long size)
{
	const unsigned char *left = one, *right = other;

	/* Unrolled, the offsets are constants. The kernel accepts no others in the argument of a probe. */
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < size; i++) {
		if (left[i] != right[i])
			return left[i] - right[i];
	}
	return 0;
}

#endif

/*
 * __builtin_clzg(number, zero): leading zeros of a number of any size, or `zero` for 0. clang has it since version 19.
 * Older ones have no instructions for the builtins that it would be made of.
 */
#if !__has_builtin(__builtin_clzg)
#define __builtin_clzg(_number, _zero)                                                                                 \
	({                                                                                                             \
		typeof(_number) _bits = (_number);                                                                     \
                                                                                                                       \
		_bits ? 8 * (int)sizeof(_bits) - 1 - hidbpf_highest_bit(_bits) : (_zero);                              \
	})

static inline __attribute__((always_inline, unused)) int hidbpf_highest_bit(unsigned long long number)
{
	int bit = 0;

	for (int half = 32; half; half /= 2) {
		if (number >> half) {
			number >>= half;
			bit += half;
		}
	}
	return bit;
}
#endif

#endif
