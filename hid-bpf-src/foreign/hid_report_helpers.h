/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Macros for the bytes of a report descriptor, for sources that are written for udev-hid-bpf or for the kernel tree:
 *
 *   static const __u8 fixed[] = {
 *           UsagePage_GenericDesktop
 *           Usage_GD_Mouse
 *           CollectionApplication(
 *                   ReportId(1)
 *                   LogicalMinimum_i8(0)
 *                   ...
 *           )
 *   };
 *
 * Each macro is one item with its comma: HID 1.11, section 6.2.2. _i8, _i16 and _i32 are the width of an item's data. A
 * value that does not fit is a compile error. UsagePage_NAME and Usage_PAGE_NAME are in hid_report_usages.h.
 */
#ifndef __HID_REPORT_HELPERS_H
#define __HID_REPORT_HELPERS_H

#include <hid_report_usages.h>

/* 0, or a compile error with that message. */
#define must_be(_condition, _message)                                                                                  \
	((int)(0 * sizeof(struct {                                                                                     \
		       char unused;                                                                                    \
		       _Static_assert(_condition, _message);                                                           \
	       })))

/* A value in so many bits, signed or unsigned. The one with 4 bits is signed. */
#define i4(_value) (((_value)&0xf) + must_be((_value) >= -8 && (_value) <= 7, "the value does not fit in 4 bits"))
#define i8(_value) ((__u8)(_value) + must_be((_value) >= -128 && (_value) <= 255, "the value does not fit in 8 bits"))
#define i16(_value)                                                                                                    \
	((__u16)(_value) + must_be((_value) >= -32768 && (_value) <= 65535, "the value does not fit in 16 bits"))
#define i32(_value)                                                                                                    \
	((__u32)(_value) +                                                                                             \
	 must_be((_value) >= -2147483648LL && (_value) <= 4294967295LL, "the value does not fit in 32 bits"))

/* Its bytes, the lowest first. */
#define LE16(_value) i16(_value) & 0xff, ((_value) >> 8) & 0xff
#define LE32(_value) i32(_value) & 0xff, ((_value) >> 8) & 0xff, ((_value) >> 16) & 0xff, ((_value) >> 24) & 0xff

/* An item with its first byte and 1, 2 or 4 bytes of data. The first byte's lowest bits are the size. */
#define _HID_ITEM_i8(_first, _value) (_first) | 1, i8(_value),
#define _HID_ITEM_i16(_first, _value) (_first) | 2, LE16(_value),
#define _HID_ITEM_i32(_first, _value) (_first) | 3, LE32(_value),

/* Main items. The arguments of Input(), Output() and Feature() are flags: Input(Var|Abs). */
#define Input(_flags) _HID_ITEM_i8(0x80, _flags)
#define Input_i16(_flags) _HID_ITEM_i16(0x80, _flags)
#define Output(_flags) _HID_ITEM_i8(0x90, _flags)
#define Output_i16(_flags) _HID_ITEM_i16(0x90, _flags)
#define Feature(_flags) _HID_ITEM_i8(0xb0, _flags)
#define Feature_i16(_flags) _HID_ITEM_i16(0xb0, _flags)

#define Arr 0x000
#define Abs 0x000
#define Const 0x001
#define Var 0x002
#define Rel 0x004
#define Null 0x040
#define Buff 0x100

/* A collection with the items in it, and its end. */
#define Collection(_type, ...) _HID_ITEM_i8(0xa0, _type) __VA_ARGS__ 0xc0,
#define CollectionPhysical(...) Collection(0, __VA_ARGS__)
#define CollectionApplication(...) Collection(1, __VA_ARGS__)
#define CollectionLogical(...) Collection(2, __VA_ARGS__)

/* Global items. */
#define UsagePage_i8(_page) _HID_ITEM_i8(0x04, _page)
#define UsagePage_i16(_page) _HID_ITEM_i16(0x04, _page)
#define UsagePage_Vendor(_page)                                                                                        \
	UsagePage_i16((_page) + must_be(((_page) >> 8) == 0xff, "a vendor's page is 0xff00 or above"))
#define LogicalMinimum_i8(_value) _HID_ITEM_i8(0x14, _value)
#define LogicalMinimum_i16(_value) _HID_ITEM_i16(0x14, _value)
#define LogicalMinimum_i32(_value) _HID_ITEM_i32(0x14, _value)
#define LogicalMaximum_i8(_value) _HID_ITEM_i8(0x24, _value)
#define LogicalMaximum_i16(_value) _HID_ITEM_i16(0x24, _value)
#define LogicalMaximum_i32(_value) _HID_ITEM_i32(0x24, _value)
#define PhysicalMinimum_i8(_value) _HID_ITEM_i8(0x34, _value)
#define PhysicalMinimum_i16(_value) _HID_ITEM_i16(0x34, _value)
#define PhysicalMinimum_i32(_value) _HID_ITEM_i32(0x34, _value)
#define PhysicalMaximum_i8(_value) _HID_ITEM_i8(0x44, _value)
#define PhysicalMaximum_i16(_value) _HID_ITEM_i16(0x44, _value)
#define PhysicalMaximum_i32(_value) _HID_ITEM_i32(0x44, _value)
#define UnitExponent(_exponent) _HID_ITEM_i8(0x54, i4(_exponent))
#define Unit(_unit) Unit_i8(_unit)
#define Unit_i8(_unit) _HID_ITEM_i8(0x64, _unit)
#define Unit_i16(_unit) _HID_ITEM_i16(0x64, _unit)
#define Unit_i32(_unit) _HID_ITEM_i32(0x64, _unit)
#define ReportSize(_bits) _HID_ITEM_i8(0x74, _bits)
#define ReportId(_id) _HID_ITEM_i8(0x84, _id)
#define ReportCount(_count) _HID_ITEM_i8(0x94, _count)
/* Push, the items in between, and Pop. */
#define PushPop(...) 0xa4, __VA_ARGS__ 0xb4,

/* Systems of units: section 6.2.2.7. */
#define SILinear 1
#define SIRotation 2
#define EnglishLinear 3
#define EnglishRotation 4
/* For Unit(): a length or an angle with the exponent 1. */
#define cm (SILinear | 0x10)
#define rad (SIRotation | 0x10)
#define in (EnglishLinear | 0x10)
#define deg (EnglishRotation | 0x10)

/* Local items. */
#define Usage_i8(_usage) _HID_ITEM_i8(0x08, _usage)
#define Usage_i16(_usage) _HID_ITEM_i16(0x08, _usage)
#define Usage_i32(_usage) _HID_ITEM_i32(0x08, _usage)
#define UsageMinimum_i8(_usage) _HID_ITEM_i8(0x18, _usage)
#define UsageMinimum_i16(_usage) _HID_ITEM_i16(0x18, _usage)
#define UsageMaximum_i8(_usage) _HID_ITEM_i8(0x28, _usage)
#define UsageMaximum_i16(_usage) _HID_ITEM_i16(0x28, _usage)

/*
 * A report of that many bytes, with its id 0xac, that no device sends. The kernel drops a report that is longer than the
 * longest one of the descriptor. So a driver that changes long reports into short ones adds this to an application
 * collection, with the size of the device's own reports.
 */
/* clang-format off */
#define FixedSizeVendorReport(_bytes)                                                                                  \
	UsagePage_Vendor(0xffff)                                                                                       \
	Usage_i8(1)                                                                                                    \
	CollectionPhysical(                                                                                            \
		ReportId(0xac)                                                                                         \
		ReportSize(8)                                                                                          \
		ReportCount((_bytes) - 1)                                                                              \
		Input(Const)                                                                                           \
	)
/* clang-format on */

#endif
