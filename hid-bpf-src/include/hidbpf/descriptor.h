/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Report descriptors as readable lists. A macro for each item of HID 1.11, section 6.2.2, expands to the item's bytes,
 * and the compiler checks its values. This header does not depend on BPF.
 *
 * A macro's name contains the width of its number, as the bytes do: LogicalMaximum16(2047) is 26 ff 07. Values of
 * Logical and Physical items are signed (section 6.2.2.7). The compiler refuses LogicalMaximum8(255), because some
 * parsers read that as -1.
 *
 * Names of pages, usages, flags, collections and units come from the specification and the usage tables, without
 * spaces: Usage(GenericDesktop, X), Input(Data, Var, Abs). The tables are in usages.h.
 */
#ifndef HIDBPF_DESCRIPTOR_H
#define HIDBPF_DESCRIPTOR_H

#include <hidbpf/usages.h>

/*
 * HIDBPF_DESCRIPTOR(name, item, ...); defines the array `name`. The array is not const: the kernel copies only from
 * memory that the program may write to (see hidbpf_put() in report.h).
 */
#define HIDBPF_DESCRIPTOR(name, ...)                                                                                   \
	static unsigned char name[] = {__VA_ARGS__};                                                                   \
	_Static_assert(sizeof(name) <= 4096, "the kernel takes descriptors of 4096 bytes at most")

/*
 * HIDBPF_SILENT_DESCRIPTOR(name, bytes); defines a descriptor for an interface that must not become an input device.
 * The interface has to stay because reports come from it or because a tool talks to it. The descriptor declares one
 * constant field on a vendor page, in a report that no device sends. `bytes` is the length of the interface's longest
 * report, including its id. It keeps the kernel's buffers at their size.
 */
#define HIDBPF_SILENT_DESCRIPTOR(name, bytes)                                                                          \
	HIDBPF_DESCRIPTOR(name, UsagePage16(0xffff), Usage8(0x01), Collection(Application, HIDBPF_SILENT_FIELD(bytes)))

/*
 * Declares the same as part of another descriptor: a report of `bytes` bytes, including its id, that the device never
 * sends. It keeps the kernel's buffers as long as the device's own reports if the new descriptor declares shorter ones.
 */
#define HIDBPF_SILENT_FIELD(bytes)                                                                                     \
	ReportId(0xac), ReportSize(8),                                                                                 \
		HID__U8(0x94, HID__CHECKED(-1 + (bytes), (bytes) >= 2 && (bytes) <= 256,                               \
					   "a silent report has 2 to 256 bytes")),                                     \
		Input(Const)

/* ---- Main items: 6.2.2.4 to 6.2.2.6 ------------------------------------------------------------------------------ */

/*
 * Input(flag, ...), Output(flag, ...), Feature(flag, ...). The flags come in pairs of opposites, and the first of each
 * pair is the default: Data Const, Array Var, Abs Rel, NoWrap Wrap, Linear NonLinear, Preferred NoPreferred, NoNull
 * Null, NonVolatile Volatile (not for Input). There is also BitField. The compiler refuses both flags of a pair.
 * BufferedBytes needs the macros with that name.
 */
#define Input(...)                                                                                                     \
	HID__MAIN(0x80, HID__FLAGS(__VA_ARGS__), !(HID__FLAGS(__VA_ARGS__) & 0x80), "an Input can't be Volatile")
#define Output(...) HID__MAIN(0x90, HID__FLAGS(__VA_ARGS__), 1, "")
#define Feature(...) HID__MAIN(0xb0, HID__FLAGS(__VA_ARGS__), 1, "")
#define InputBufferedBytes(...) 0x82, (unsigned char)(HID__FLAGS(__VA_ARGS__)), 0x01
#define OutputBufferedBytes(...) 0x92, (unsigned char)(HID__FLAGS(__VA_ARGS__)), 0x01
#define FeatureBufferedBytes(...) 0xb2, (unsigned char)(HID__FLAGS(__VA_ARGS__)), 0x01

/*
 * Collection(type, item, ...), including its end. Types: Physical, Application, Logical, Report, NamedArray,
 * UsageSwitch, UsageModifier; CollectionVendor(0x80 to 0xff, item, ...).
 */
#define Collection(type, ...) 0xa1, HID_COLLECTION_##type, __VA_ARGS__, 0xc0
#define CollectionVendor(type, ...)                                                                                    \
	0xa1, HID__CHECKED(type, (type) >= 0x80 && (type) <= 0xff, "vendor collections are 0x80 to 0xff"),             \
		__VA_ARGS__, 0xc0

/* Each half alone, for part of a descriptor that ends one collection and begins the next. */
#define CollectionBegin(type) 0xa1, HID_COLLECTION_##type
#define CollectionEnd() 0xc0

/* ---- Global items: 6.2.2.7 --------------------------------------------------------------------------------------- */

/* UsagePage(name) for a page of usages.h; UsagePage8 and UsagePage16 take a number. */
#define UsagePage(page) HID__UNSIGNED(0x04, HID_PAGE_##page)
#define UsagePage8(page) HID__U8(0x04, page)
#define UsagePage16(page) HID__U16(0x04, page)

#define LogicalMinimum8(value) HID__S8(0x14, value)
#define LogicalMinimum16(value) HID__S16(0x14, value)
#define LogicalMinimum32(value) HID__S32(0x14, value)
#define LogicalMaximum8(value) HID__S8(0x24, value)
#define LogicalMaximum16(value) HID__S16(0x24, value)
#define LogicalMaximum32(value) HID__S32(0x24, value)
#define PhysicalMinimum8(value) HID__S8(0x34, value)
#define PhysicalMinimum16(value) HID__S16(0x34, value)
#define PhysicalMinimum32(value) HID__S32(0x34, value)
#define PhysicalMaximum8(value) HID__S8(0x44, value)
#define PhysicalMaximum16(value) HID__S16(0x44, value)
#define PhysicalMaximum32(value) HID__S32(0x44, value)

/* Minimum and maximum together, both of that width. The compiler checks their order. */
#define LogicalRange8(minimum, maximum) LogicalMinimum8(minimum), LogicalMaximum8(HID__ORDERED(minimum, maximum))
#define LogicalRange16(minimum, maximum) LogicalMinimum16(minimum), LogicalMaximum16(HID__ORDERED(minimum, maximum))
#define LogicalRange32(minimum, maximum) LogicalMinimum32(minimum), LogicalMaximum32(HID__ORDERED(minimum, maximum))
#define PhysicalRange8(minimum, maximum) PhysicalMinimum8(minimum), PhysicalMaximum8(HID__ORDERED(minimum, maximum))
#define PhysicalRange16(minimum, maximum) PhysicalMinimum16(minimum), PhysicalMaximum16(HID__ORDERED(minimum, maximum))
#define PhysicalRange32(minimum, maximum) PhysicalMinimum32(minimum), PhysicalMaximum32(HID__ORDERED(minimum, maximum))

/* The power of ten that multiplies the unit, -8 to 7: UnitExponent(-1) turns Unit(Centimeter) into millimetres. */
#define UnitExponent(power) 0x55, HID__CHECKED(0x0f & (power), (power) >= -8 && (power) <= 7, "UnitExponent is -8 to 7")

/*
 * Unit(name) for None, Centimeter, Radians, Inch, Degrees, Gram, Second, Kelvin, Hertz, Newton...; Unit8, Unit16 and
 * Unit32 take the nibbles.
 */
#define Unit(name) HID__UNSIGNED(0x64, HID_UNIT_##name)
#define Unit8(unit) HID__U8(0x64, unit)
#define Unit16(unit) HID__U16(0x64, unit)
#define Unit32(unit) HID__U32(0x64, unit)

/* The bits of one field. The kernel reads at most 32 of them as a number. */
#define ReportSize(bits) 0x75, HID__CHECKED(bits, (bits) >= 1 && (bits) <= 255, "ReportSize is 1 to 255 bits")
#define ReportCount(fields) HID__U8(0x94, fields)
#define ReportCount16(fields) HID__U16(0x94, fields)
#define ReportId(id) 0x85, HID__CHECKED(id, (id) >= 1 && (id) <= 255, "ReportId is 1 to 255")
#define Push() 0xa4
#define Pop() 0xb4

/* ---- Local items: 6.2.2.8 ---------------------------------------------------------------------------------------- */

/*
 * Usage(page, name): a usage of usages.h. The page must be the current UsagePage, which the compiler does not check.
 * Usage8 and Usage16 take a number.
 */
#define Usage(page, name) HID__UNSIGNED(0x08, HID_USAGE_##page##_##name)
#define UsageMinimum(page, name) HID__UNSIGNED(0x18, HID_USAGE_##page##_##name)
#define UsageMaximum(page, name) HID__UNSIGNED(0x28, HID_USAGE_##page##_##name)
#define Usage8(usage) HID__U8(0x08, usage)
#define Usage16(usage) HID__U16(0x08, usage)
#define UsageMinimum8(usage) HID__U8(0x18, usage)
#define UsageMinimum16(usage) HID__U16(0x18, usage)
#define UsageMaximum8(usage) HID__U8(0x28, usage)
#define UsageMaximum16(usage) HID__U16(0x28, usage)
/* A usage with its page, independent of the current UsagePage. */
#define UsageOnPage(page, usage) 0x0b, HID__BYTES16(usage, "usage"), HID__BYTES16(page, "page")

#define DesignatorIndex(index) HID__U8(0x38, index)
#define DesignatorMinimum(index) HID__U8(0x48, index)
#define DesignatorMaximum(index) HID__U8(0x58, index)
#define StringIndex(index) HID__U8(0x78, index)
#define StringMinimum(index) HID__U8(0x88, index)
#define StringMaximum(index) HID__U8(0x98, index)
/* Alternative usages: Delimiter(Open), Usage..., Delimiter(Close). */
#define Delimiter(which) 0xa9, HID_DELIMITER_##which

/* ---- Common groups of items -------------------------------------------------------------------------------------- */

/* `bits` unused bits, 1 to 255. Sets ReportSize and ReportCount. */
#define Padding(bits) ReportSize(bits), ReportCount(1), Input(Const, Var, Abs)

/* Usages `first` to `last` of UsagePage(Button). You add the field itself. */
#define Buttons(first, last) UsageMinimum8(first), UsageMaximum8(HID__ORDERED(first, last))

/*
 * Bytes 1 to 3 of a tablet pad's report: a barrel switch bit that is never set, 7 bits of padding, and X and Y that
 * stay
 * 0. udev and libinput recognise a pad as part of a tablet by these fields. Leaves UsagePage GenericDesktop and logical
 * 0 to 1.
 */
#define TabletPadMarks()                                                                                               \
	UsagePage(Digitizers), Usage(Digitizers, BarrelSwitch), LogicalRange8(0, 1), ReportSize(1), ReportCount(1),    \
		Input(Data, Var, Abs), Padding(7), UsagePage(GenericDesktop), Usage(GenericDesktop, X),                \
		Usage(GenericDesktop, Y), ReportSize(8), ReportCount(2), Input(Data, Var, Abs)

/* ---- Names ------------------------------------------------------------------------------------------------------- */

#define HID_COLLECTION_Physical 0x00
#define HID_COLLECTION_Application 0x01
#define HID_COLLECTION_Logical 0x02
#define HID_COLLECTION_Report 0x03
#define HID_COLLECTION_NamedArray 0x04
#define HID_COLLECTION_UsageSwitch 0x05
#define HID_COLLECTION_UsageModifier 0x06

#define HID_DELIMITER_Close 0x00
#define HID_DELIMITER_Open 0x01

/*
 * The bit of each flag. Its opposite has no bit in the item and uses the bit 16 places higher, so that the macros
 * notice both flags of a pair.
 */
#define HID_FLAG_Data 0x00010000
#define HID_FLAG_Const 0x00000001
#define HID_FLAG_Array 0x00020000
#define HID_FLAG_Var 0x00000002
#define HID_FLAG_Abs 0x00040000
#define HID_FLAG_Rel 0x00000004
#define HID_FLAG_NoWrap 0x00080000
#define HID_FLAG_Wrap 0x00000008
#define HID_FLAG_Linear 0x00100000
#define HID_FLAG_NonLinear 0x00000010
#define HID_FLAG_Preferred 0x00200000
#define HID_FLAG_NoPreferred 0x00000020
#define HID_FLAG_NoNull 0x00400000
#define HID_FLAG_Null 0x00000040
#define HID_FLAG_NonVolatile 0x00800000
#define HID_FLAG_Volatile 0x00000080
#define HID_FLAG_BitField 0x01000000

/*
 * Width in bits, and value. The nibbles, from the lowest, are system, length, mass, time, temperature, current,
 * luminous intensity.
 */
#define HID_UNIT_None 8, 0x00
#define HID_UNIT_Centimeter 8, 0x11
#define HID_UNIT_Radians 8, 0x12
#define HID_UNIT_Inch 8, 0x13
#define HID_UNIT_Degrees 8, 0x14
#define HID_UNIT_Gram 16, 0x0101
#define HID_UNIT_Second 16, 0x1001
#define HID_UNIT_Hertz 16, 0xf001
#define HID_UNIT_CentimeterPerSecond 16, 0xf011
#define HID_UNIT_DegreesPerSecond 16, 0xf014
#define HID_UNIT_Newton 16, 0xe111
#define HID_UNIT_Kelvin 32, 0x00010001
#define HID_UNIT_Ampere 32, 0x00100001
#define HID_UNIT_Volt 32, 0x00f0d121

/* ---- Implementation ---------------------------------------------------------------------------------------------- */

/* `value` as one byte, or a compile error with `message` unless `condition` holds. */
#define HID__CHECKED(value, condition, message)                                                                        \
	((unsigned char)((value) + 0 * (int)sizeof(struct {                                                            \
					   _Static_assert(condition, message);                                         \
					   int unused;                                                                 \
				   })))
#define HID__ORDERED(low, high)                                                                                        \
	((high) + 0 * (int)sizeof(struct {                                                                             \
			  _Static_assert((low) <= (high), "the minimum is above the maximum: " #low ", " #high);       \
			  int unused;                                                                                  \
		  }))
#define HID__BYTES16(value, what)                                                                                      \
	HID__CHECKED(0xff & (value), (value) >= 0 && (value) <= 0xffff, what " has 16 bits: " #value),                 \
		(unsigned char)((value) >> 8)
#define HID__BYTES32(value)                                                                                            \
	(unsigned char)(value), (unsigned char)((value) >> 8), (unsigned char)((value) >> 16),                         \
		(unsigned char)((value) >> 24)

#define HID__U8(tag, value) (tag) | 1, HID__CHECKED(value, (value) >= 0 && (value) <= 0xff, "not 0 to 255: " #value)
#define HID__U16(tag, value) (tag) | 2, HID__BYTES16(value, "a number of 0 to 65535")
#define HID__U32(tag, value) (tag) | 3, HID__BYTES32((unsigned long long)(value))
#define HID__S8(tag, value)                                                                                            \
	(tag) | 1, HID__CHECKED(value, (value) >= -128 && (value) <= 127, "not -128 to 127: " #value)
#define HID__S16(tag, value)                                                                                           \
	(tag) | 2,                                                                                                     \
		HID__CHECKED(0xff & (value), (value) >= -32768 && (value) <= 32767, "not -32768 to 32767: " #value),   \
		(unsigned char)((value) >> 8)
#define HID__S32(tag, value)                                                                                           \
	(tag) | 3,                                                                                                     \
		HID__CHECKED(0xff & (value), (value) >= -2147483648LL && (value) <= 2147483647LL,                      \
			     "not of 32 bits: " #value),                                                               \
		(unsigned char)((value) >> 8), (unsigned char)((value) >> 16), (unsigned char)((value) >> 24)

/*
 * Two steps, so that "8, 0x30" of a table becomes two arguments. A name that is in no table becomes one argument, and
 * clang then shows that name.
 */
#define HID__UNSIGNED(tag, ...) HID__UNSIGNED_(tag, __VA_ARGS__, unknown, )
#define HID__UNSIGNED_(tag, width, value, ...) HID__U##width(tag, value)

#define HID__MAIN(tag, flags, condition, message)                                                                      \
	(tag) | 1, HID__CHECKED(0xff & (flags), (condition) && !((flags) & (flags) >> 16 & 0xff),                      \
				message " or has both flags of a pair")

#define HID__FLAGS(...) (HID__FLAG_COUNT(__VA_ARGS__, 9, 8, 7, 6, 5, 4, 3, 2, 1)(__VA_ARGS__))
#define HID__FLAG_COUNT(a, b, c, d, e, f, g, h, i, count, ...) HID__FLAGS_##count
#define HID__FLAGS_1(a) HID_FLAG_##a
#define HID__FLAGS_2(a, ...) HID_FLAG_##a | HID__FLAGS_1(__VA_ARGS__)
#define HID__FLAGS_3(a, ...) HID_FLAG_##a | HID__FLAGS_2(__VA_ARGS__)
#define HID__FLAGS_4(a, ...) HID_FLAG_##a | HID__FLAGS_3(__VA_ARGS__)
#define HID__FLAGS_5(a, ...) HID_FLAG_##a | HID__FLAGS_4(__VA_ARGS__)
#define HID__FLAGS_6(a, ...) HID_FLAG_##a | HID__FLAGS_5(__VA_ARGS__)
#define HID__FLAGS_7(a, ...) HID_FLAG_##a | HID__FLAGS_6(__VA_ARGS__)
#define HID__FLAGS_8(a, ...) HID_FLAG_##a | HID__FLAGS_7(__VA_ARGS__)
#define HID__FLAGS_9(a, ...) HID_FLAG_##a | HID__FLAGS_8(__VA_ARGS__)

#endif
