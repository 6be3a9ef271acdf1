// SPDX-License-Identifier: GPL-2.0-only
/* The helpers of hidbpf/report.h at the ends of their ranges. Exits with the line of the first check that fails. */
#include <hidbpf/descriptor.h>
#include <hidbpf/property.h>
#include <hidbpf/report.h>

static __u8 buffer[4096] __attribute__((aligned(8)));

__u8 *hid_bpf_get_data(struct hid_bpf_ctx *ctx, unsigned int offset, const unsigned long size)
{
	return offset + size <= ctx->allocated_size ? buffer + offset : NULL;
}

long bpf_dynptr_from_mem(void *data, __u64 size, __u64 flags __attribute__((unused)), struct bpf_dynptr *pointer)
{
	pointer->opaque[0] = (__u64)data;
	pointer->opaque[1] = size;
	return 0;
}

long bpf_dynptr_read(void *to, __u64 size, const struct bpf_dynptr *pointer, __u64 offset,
		     __u64 flags __attribute__((unused)))
{
	if (offset + size > pointer->opaque[1])
		return -7;
	__builtin_memcpy(to, (void *)(pointer->opaque[0] + offset), size);
	return 0;
}

long bpf_dynptr_write(const struct bpf_dynptr *pointer, __u64 offset, void *from, __u64 size,
		      __u64 flags __attribute__((unused)))
{
	if (offset + size > pointer->opaque[1])
		return -7;
	__builtin_memcpy((void *)(pointer->opaque[0] + offset), from, size);
	return 0;
}

#define CHECK(condition)                                                                                               \
	if (!(condition)) {                                                                                            \
		__builtin_printf("%s:%d: " #condition "\n", __FILE__, __LINE__);                                       \
		return 1;                                                                                              \
	}

static __u16 negated(__u16 value)
{
	__u8 bytes[2];

	hidbpf_put_le16(bytes, value);
	hidbpf_negate_le16(bytes);
	return hidbpf_le16(bytes);
}

static __u8 negated8(__u8 value)
{
	hidbpf_negate_s8(&value);
	return value;
}

static const struct hidbpf_shortcut shortcuts[HIDBPF_SHORTCUTS] = {
	HIDBPF_SHORTCUT(0x00, 0x08, 3),
	HIDBPF_SHORTCUT(0x01, 0x08, 6),
	HIDBPF_SHORTCUT(0x05, 0x1d, 0x8000),
};

HIDBPF_DESCRIPTOR(padding, Padding(8), Padding(16), Padding(3));
#define EIGHT(...)                                                                                                     \
	__VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__
HIDBPF_DESCRIPTOR(longest, EIGHT(EIGHT(EIGHT(1, 2, 3, 4, 5, 6, 7, 8))));
HIDBPF_DESCRIPTOR(two_bytes, 7, 8);
static const __u8 constant[] = {Padding(5)};
HIDBPF_DESCRIPTOR(long_and_odd, EIGHT(EIGHT(EIGHT(1, 2, 3))), 9);

HIDBPF_UDEV_PROPERTY(EMPTY);
const volatile char UDEV_PROP_SET[HIDBPF_PROPERTY_SIZE] = "HUION_T21j_221221";

static int same(const __u8 *bytes, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++)
		if (buffer[i] != bytes[i])
			return 0;
	return 1;
}

int main(void)
{
	struct hid_bpf_ctx ctx = {.allocated_size = 64, .size = 8};
	struct hid_bpf_ctx descriptor = {.allocated_size = 4096, .size = 18};

	/* A negative number's sign must survive both ways, and -32768 must not stay what it is. */
	CHECK(negated(0) == 0 && negated(1) == 0xffff && negated(0xffff) == 1);
	CHECK(negated(0x00ff) == 0xff01 && negated(0x0100) == 0xff00 && negated(0xff00) == 0x0100);
	CHECK(negated(0x7fff) == 0x8001 && negated(0x8001) == 0x7fff && negated(0x8000) == 0x7fff);
	CHECK(negated8(0) == 0 && negated8(1) == 0xff && negated8(0x7f) == 0x81 && negated8(0x81) == 0x7f);
	CHECK(negated8(0x80) == 0x7f);

	/* A report is as long as the device sent it, however long the buffer. */
	buffer[0] = 7;
	CHECK(hidbpf_report(&ctx, 8) == buffer && hidbpf_report(&ctx, 9) == NULL);
	CHECK(hidbpf_report_with_id(&ctx, 7, 8) == buffer && hidbpf_report_with_id(&ctx, 8, 8) == NULL);
	CHECK(hidbpf_report_with_id(&ctx, 7, 9) == NULL && hidbpf_report_id(&ctx) == 7);
	CHECK(hidbpf_report_of_type(&ctx, HID_INPUT_REPORT, 8) == buffer &&
	      !hidbpf_report_of_type(&ctx, HID_INPUT_REPORT, 9));
	CHECK(!hidbpf_report_of_type(&ctx, HID_OUTPUT_REPORT, 8) &&
	      !hidbpf_report_of_type(&ctx, HID_FEATURE_REPORT, 8));
	ctx.size = 0;
	CHECK(hidbpf_report_id(&ctx) == -1);

	buffer[17] = 3;
	CHECK(!hidbpf_patch_byte(&descriptor, 17, 4, 5) && buffer[17] == 3);
	CHECK(hidbpf_patch_byte(&descriptor, 17, 3, 5) && buffer[17] == 5);
	CHECK(!hidbpf_patch_byte(&descriptor, 18, 0, 1) && buffer[18] == 0);

	CHECK(hidbpf_shortcut_button(shortcuts, 0x00, 0x08) == 3 && hidbpf_shortcut_button(shortcuts, 0x01, 0x08) == 6);
	CHECK(hidbpf_shortcut_button(shortcuts, 0x05, 0x1d) == 0x8000 &&
	      hidbpf_shortcut_button(shortcuts, 0x02, 0x08) == 0);
	CHECK(hidbpf_shortcut_button(shortcuts, 0x00, 0x48) == 0 && hidbpf_shortcut_button(shortcuts, 0x00, 0x00) == 0);

	CHECK(hidbpf_replace(&descriptor, padding) == 18 && same(padding, 18) && buffer[18] == 0);
	CHECK(hidbpf_replace(&descriptor, long_and_odd) == 1537 && same(long_and_odd, 1537) && buffer[1537] == 0);
	CHECK(sizeof(longest) == 4096 && hidbpf_replace(&descriptor, longest) == 4096 && same(longest, 4096));
	CHECK(hidbpf_replace(&ctx, longest) == -EIO);
	CHECK(hidbpf_change(&descriptor, HIDBPF_REPLACED(padding)) == 18 && same(padding, 18) &&
	      buffer[18] == longest[18]);
	buffer[0] = 0xff;
	CHECK(hidbpf_change(&descriptor, HIDBPF_UNCHANGED()) == 0 && buffer[0] == 0xff);
	CHECK(hidbpf_change(&descriptor, HIDBPF_OVERWRITTEN(0, padding)) == 0 && same(padding, 18));
	CHECK(hidbpf_change(&descriptor, HIDBPF_APPENDED(18, padding)) == 36 && same(padding, 18) &&
	      buffer[18] == padding[0]);
	CHECK(buffer[35] == padding[17] && buffer[36] == longest[36]);
	CHECK(hidbpf_change(&descriptor, HIDBPF_OVERWRITTEN(2, two_bytes)) == 0 && buffer[1] == padding[1] &&
	      buffer[2] == 7);
	CHECK(buffer[3] == 8 && buffer[4] == padding[4]);
	CHECK(hidbpf_change(&ctx, HIDBPF_REPLACED(padding)) == -EIO);
	CHECK(hidbpf_replace(&descriptor, constant) == 6 && same(constant, 6) && buffer[6] == padding[6]);
	CHECK(hidbpf_append(&descriptor, 18, constant) == 24 && buffer[18] == constant[0] && buffer[23] == constant[5]);
	CHECK(hidbpf_change(&descriptor, HIDBPF_OVERWRITTEN(3, constant)) == 0 && buffer[3] == constant[0] &&
	      buffer[9] == padding[9]);

	CHECK(!HIDBPF_PROPERTY_STARTS_WITH(EMPTY, "HUION") && HIDBPF_PROPERTY_STARTS_WITH(EMPTY, ""));
	CHECK(HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21j_") && !HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21k_"));
	CHECK(HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21") && !HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T22"));
	CHECK(HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21j") && HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21j_2"));
	CHECK(!HIDBPF_PROPERTY_STARTS_WITH(SET, "HUION_T21j_221221_"));
	return 0;
}
