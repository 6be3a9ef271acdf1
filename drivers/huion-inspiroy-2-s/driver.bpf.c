// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Huion Inspiroy 2 S (H641P) is a tablet of 160 x 100 mm with six buttons and a wheel on its pad, and a pen with two buttons and
 * no eraser. It has three interfaces, told apart by the size of their descriptors, and two modes.
 *
 * In firmware mode, the one it starts in, the vendor interface is silent. The pad interface is a keyboard: buttons and wheel send
 * shortcuts such as Ctrl+Z. The pen interface calls the second pen button an eraser, has eraser and tilt usages that no such pen has,
 * and gives its size as 2048 cubic inches.
 *
 * In vendor mode, which the tool huion-switcher asks for, pad and pen are silent and all comes from the vendor interface, of which
 * the descriptor says nothing but "88 bits". It has the tablet's full resolution, and several buttons at once. huion-switcher leaves
 * the firmware's name in the udev property HUION_FIRMWARE_ID, by which we know the mode.
 *
 * The pad becomes a tablet pad and the pen a pen of the right size; in vendor mode these two fall silent so that there aren't two of
 * each. The vendor interface always becomes pen and pad in one.
 *
 * In vendor mode the device also says, for up to four reports after the second pen button is pressed or released, that a tip on
 * the tablet was lifted. The driver holds the tip down for that long, or until the device itself says that it is down.
 */
HIDBPF_UDEV_PROPERTY(HUION_FIRMWARE_ID);
#define IN_VENDOR_MODE() HIDBPF_PROPERTY_STARTS_WITH(HUION_FIRMWARE_ID, "HUION_T21j_")

/* The size of each interface's descriptor. */
#define PAD_DESCRIPTOR_SIZE 65
#define PEN_DESCRIPTOR_SIZE 93
#define VENDOR_DESCRIPTOR_SIZE 18

/* What the pad sends in firmware mode, 8 bytes: a keyboard report. */
#define FIRMWARE_PAD_ID 3
#define FIRMWARE_PAD_SIZE 8
#define FIRMWARE_PAD_MODIFIERS 1
#define FIRMWARE_PAD_KEY 2

/* What the pen sends in firmware mode. */
#define FIRMWARE_PEN_ID 10
#define FIRMWARE_PEN_SIZE 10

/* What the device sends in vendor mode, 12 bytes: pad, wheel and pen alike. */
#define VENDOR_ID 8
#define VENDOR_SIZE 12
#define VENDOR_FLAGS 1
#define VENDOR_PAD 0x20
#define VENDOR_IN_RANGE 0x80
#define VENDOR_SECOND_BUTTON 0x04
#define VENDOR_TIP 0x01
/* The flags of a wheel report, as a whole; byte 5 then is 1 for up and 2 for down. In other pad reports byte 4 has the buttons. */
#define VENDOR_WHEEL 0xf1
#define VENDOR_BUTTONS 4
#define VENDOR_WHEEL_DIRECTION 5
#define VENDOR_WHEEL_DOWN 2

/* What the pad is made to send. The bytes before are marks that are never set. */
#define PAD_ID 3
struct firmware_pad_report {
	__u8 id;
	__u8 marks[3];
	__s8 wheel;
	/* The number of the one button that is down, or 0. */
	__u8 button;
};
struct vendor_pad_report {
	__u8 id;
	__u8 marks[3];
	/* A bit for each button. */
	__u8 buttons;
	__s8 wheel;
};

/* For how many reports the device lifts the tip of its own accord. */
#define FALSE_LIFTS 4

/* Modifiers, key, and the pad's button or the wheel's turn that they stand for. */
#define WHEEL_UP 0x100
#define WHEEL_DOWN 0x200
static const struct hidbpf_shortcut shortcuts[] = {
	{0x00, 0x05, 1},	  {0x00, 0x0c, 2},	    {0x00, 0x08, 3}, {0x01, 0x16, 4}, {0x00, 0x2c, 5}, {0x05, 0x1d, 6},
	{0x01, 0x2d, WHEEL_DOWN}, {0x01, 0x2e, WHEEL_UP},
};

HIDBPF_SILENT_DESCRIPTOR(silent_pad, FIRMWARE_PAD_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, FIRMWARE_PEN_SIZE);

#define WIDTH_MM 160
#define HEIGHT_MM 100

/* struct firmware_pad_report */
HIDBPF_DESCRIPTOR(firmware_pad,
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Keypad),
	Collection(Application,
		UsagePage(Digitizers),
		Usage(Digitizers, TabletFunctionKeys),
		Collection(Physical,
			ReportId(PAD_ID),
			TabletPadMarks(),
			Usage(GenericDesktop, Wheel),
			LogicalRange8(-1, 1),
			ReportCount(1),
			Input(Data, Var, Rel),
			UsagePage(Button),
			Buttons(1, 6),
			LogicalRange8(1, 6),
			Input(Data, Array, Abs)),
		UsagePage(VendorFFFF),
		Usage8(0x01),
		Collection(Physical, HIDBPF_SILENT_FIELD(FIRMWARE_PAD_SIZE))));

/* Byte 1 of both pen reports: tip, first and second button, and in bit 7 whether the pen is near. */
#define PEN_FLAGS()                                                                                                    \
	UsagePage(Digitizers), Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),                          \
		Usage(Digitizers, SecondaryBarrelSwitch), LogicalRange8(0, 1), ReportSize(1), ReportCount(3),          \
		Input(Data, Var, Abs), ReportCount(4), Input(Const, Var, Abs), Usage(Digitizers, InRange),             \
		ReportCount(1), Input(Data, Var, Abs)

/* Bytes 2 to 5 of both: X and Y, each over the whole tablet. Push and Pop keep the millimetres from what follows. */
#define PEN_POSITION(x_maximum, y_maximum)                                                                             \
	UsagePage(GenericDesktop), ReportSize(16), Push(), Unit(Centimeter), UnitExponent(-1),                         \
		Usage(GenericDesktop, X), LogicalRange16(0, x_maximum), PhysicalRange16(0, WIDTH_MM),                  \
		Input(Data, Var, Abs), Usage(GenericDesktop, Y), LogicalRange16(0, y_maximum),                         \
		PhysicalRange16(0, HEIGHT_MM), Input(Data, Var, Abs), Pop()

/* Bytes 6 and 7 of both. */
#define PEN_PRESSURE(maximum)                                                                                          \
	UsagePage(Digitizers), Usage(Digitizers, TipPressure), LogicalRange16(0, maximum), Input(Data, Var, Abs)

/* The pen's report in firmware mode as it comes; its last two bytes would be a tilt that the pen does not have. */
HIDBPF_DESCRIPTOR(firmware_pen,
	UsagePage(Digitizers),
	Usage(Digitizers, Pen),
	Collection(Application,
		ReportId(FIRMWARE_PEN_ID),
		Usage(Digitizers, Pen),
		Collection(Physical,
			PEN_FLAGS(),
			PEN_POSITION(32767, 32767),
			PEN_PRESSURE(8191),
			Padding(16))));

/* The pen's report in vendor mode as it comes, and struct vendor_pad_report. */
HIDBPF_DESCRIPTOR(vendor,
	UsagePage(Digitizers),
	Usage(Digitizers, Pen),
	Collection(Application,
		ReportId(VENDOR_ID),
		Usage(Digitizers, Pen),
		Collection(Physical,
			PEN_FLAGS(),
			PEN_POSITION(32000, 20000),
			PEN_PRESSURE(8192))),
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Keypad),
	Collection(Application,
		UsagePage(Digitizers),
		Usage(Digitizers, TabletFunctionKeys),
		Collection(Physical,
			ReportId(PAD_ID),
			TabletPadMarks(),
			UsagePage(Button),
			Buttons(1, 6),
			ReportSize(1),
			ReportCount(6),
			Input(Data, Var, Abs),
			Padding(2),
			UsagePage(GenericDesktop),
			Usage(GenericDesktop, Wheel),
			LogicalRange8(-1, 1),
			ReportSize(8),
			Input(Data, Var, Rel)),
		UsagePage(VendorFFFF),
		Usage8(0x01),
		Collection(Physical, HIDBPF_SILENT_FIELD(VENDOR_SIZE))));

HIDBPF_RDESC_FIXUP(ctx)
{
	switch (ctx->size) {
	case PAD_DESCRIPTOR_SIZE:
		return IN_VENDOR_MODE() ? hidbpf_replace(ctx, silent_pad) : hidbpf_replace(ctx, firmware_pad);
	case PEN_DESCRIPTOR_SIZE:
		return IN_VENDOR_MODE() ? hidbpf_replace(ctx, silent_pen) : hidbpf_replace(ctx, firmware_pen);
	case VENDOR_DESCRIPTOR_SIZE:
		return hidbpf_replace(ctx, vendor);
	}
	return 0;
}

/* What must be remembered of the reports before: the pad's buttons while the wheel turns, and the pen. */
static __u8 vendor_buttons;
static _Bool tip_was_down;
static __u8 second_button_was;
static __u8 lifts_to_ignore;

static __always_inline int firmware_pad_event(struct hid_bpf_ctx *ctx)
{
	__u8 *data = hidbpf_report(ctx, sizeof(struct firmware_pad_report));
	__u32 shortcut;

	if (!data)
		return 0;
	shortcut = hidbpf_shortcut_button(shortcuts, data[FIRMWARE_PAD_MODIFIERS], data[FIRMWARE_PAD_KEY]);
	*(struct firmware_pad_report *)data = (struct firmware_pad_report){
		.id = PAD_ID,
		.wheel = (shortcut == WHEEL_UP) - (shortcut == WHEEL_DOWN),
		.button = (__u8)shortcut,
	};
	return sizeof(struct firmware_pad_report);
}

static __always_inline int vendor_pad_event(__u8 *data)
{
	__s8 wheel = 0;

	if (data[VENDOR_FLAGS] == VENDOR_WHEEL)
		wheel = data[VENDOR_WHEEL_DIRECTION] == VENDOR_WHEEL_DOWN ? -1 : (__s8)data[VENDOR_WHEEL_DIRECTION];
	else
		vendor_buttons = data[VENDOR_BUTTONS];
	*(struct vendor_pad_report *)data = (struct vendor_pad_report){
		.id = PAD_ID,
		.buttons = vendor_buttons,
		.wheel = wheel,
	};
	return sizeof(struct vendor_pad_report);
}

static __always_inline int vendor_pen_event(__u8 *data)
{
	__u8 flags = data[VENDOR_FLAGS];
	__u8 second_button = flags & VENDOR_SECOND_BUTTON;

	if (tip_was_down && second_button != second_button_was)
		/* This report is the first that may have a false lift. */
		lifts_to_ignore = 1 + FALSE_LIFTS;
	else if (flags & VENDOR_TIP)
		lifts_to_ignore = 0;
	if (lifts_to_ignore) {
		lifts_to_ignore--;
		flags |= VENDOR_TIP;
	}
	tip_was_down = (flags & VENDOR_TIP) != 0;
	second_button_was = second_button;
	data[VENDOR_FLAGS] = flags;
	return 0;
}

static __always_inline int pen_left(void)
{
	tip_was_down = 0;
	second_button_was = 0;
	lifts_to_ignore = 0;
	return 0;
}

static __always_inline int vendor_event(struct hid_bpf_ctx *ctx)
{
	__u8 *data = hidbpf_report(ctx, sizeof(struct vendor_pad_report));

	if (!data)
		return 0;
	if (data[VENDOR_FLAGS] & VENDOR_PAD)
		return vendor_pad_event(data);
	if (data[VENDOR_FLAGS] & VENDOR_IN_RANGE)
		return vendor_pen_event(data);
	return pen_left();
}

HIDBPF_INPUT_EVENT(ctx)
{
	switch (hidbpf_report_id(ctx)) {
	case FIRMWARE_PAD_ID:
		return firmware_pad_event(ctx);
	case VENDOR_ID:
		return vendor_event(ctx);
	}
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
