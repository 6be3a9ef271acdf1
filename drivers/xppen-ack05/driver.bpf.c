// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/setup.h>
#include <hidbpf/ugee.h>
#include <hidbpf/work.h>

/*
 * The XP-Pen ACK05 is a remote with ten buttons and a wheel, on a cable or through a dongle. It has three interfaces,
 * which differ in the size of their descriptors. The pad's descriptor differs between cable and dongle.
 *
 * The pad interface is a keyboard and types shortcuts. Two of them cannot be told apart from others that are held
 * together. The pen interface declares a pen that the remote lacks. The vendor interface is silent until it gets a
 * request. It then sends everything, each button separately and the battery too, and the pad falls silent.
 *
 * The driver sends that request at the start, and whenever the dongle reports that the remote came back. The vendor
 * interface keeps its own descriptor, with the output report that the request needs. The driver adds a tablet pad and a
 * battery to it. The device sends both in one report, with a byte for the subject, and the driver gives each subject
 * its own id. The other two interfaces make no input devices. Neither does the row of bytes in the vendor interface's
 * own descriptor.
 */
#define WIRED_PAD_DESCRIPTOR_SIZE 102
#define DONGLE_PAD_DESCRIPTOR_SIZE 177
#define PEN_DESCRIPTOR_SIZE 109
#define VENDOR_DESCRIPTOR_SIZE 36
/* The offset of the vendor descriptor's only Input, and its flags (Data, Var, Abs) with and without Data. */
#define VENDOR_INPUT 20
#define INPUT_DATA 0x02
#define INPUT_CONST 0x03

/* The longest reports of the interfaces that fall silent. */
#define PAD_SIZE 8

/* The report of the vendor interface. Byte 1 is its subject. */
#define VENDOR_ID 2
#define VENDOR_SUBJECT 1
#define SUBJECT_PAD 0xf0
#define SUBJECT_BATTERY 0xf2
#define SUBJECT_DONGLE 0xf8
/* SUBJECT_DONGLE: the event, in bytes 2 and 3. */
#define DONGLE_EVENT 2
#define DONGLE_REMOTE_IS_BACK 0x0102
/*
 * SUBJECT_PAD: 1 and 2 for the wheel's two directions. The bytes before have the buttons, and three that are always 0.
 */
#define PAD_WHEEL 7
#define PAD_WHEEL_BACK 2
/* SUBJECT_BATTERY: the percentage in byte 3, and in byte 4 whether it is charging. */
#define BATTERY_SIZE 5
/* The number of bytes that the driver reads of any of these reports. It is also the size of the pad's report. */
#define VENDOR_READ 8

HIDBPF_SILENT_DESCRIPTOR(silent_pad, PAD_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, UGEE_PEN_SIZE);

/* The reports' ids are the subjects. */
HIDBPF_DESCRIPTOR(pad_and_battery,
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Keypad),
	Collection(Application,
		ReportId(SUBJECT_PAD),
		Padding(8),
		UsagePage(Digitizers),
		Usage(Digitizers, TabletFunctionKeys),
		Collection(Physical,
			UsagePage(Button),
			Buttons(1, 10),
			LogicalRange8(0, 1),
			ReportSize(1),
			ReportCount(10),
			Input(Data, Var, Abs),
			/*
			 * The eleventh button has the number 49. For buttons of pads, Linux has names for 1 to 10 and
			 * from 49 on.
			 */
			Usage8(49),
			ReportCount(1),
			Input(Data, Var, Abs),
			Padding(5),
			TabletPadMarks(),
			Usage(GenericDesktop, Wheel),
			LogicalRange8(-1, 1),
			ReportCount(1),
			Input(Data, Var, Rel)),
		ReportId(SUBJECT_BATTERY),
		Padding(16),
		UsagePage(Digitizers),
		/* In a Stylus, Linux waits for the battery's reports and does not request them. */
		Usage(Digitizers, Stylus),
		Collection(Physical,
			UsagePage(Battery),
			/* AbsoluteStateOfCharge, Charging */
			Usage8(0x65),
			LogicalRange8(0, 100),
			ReportSize(8),
			Input(Data, Var, Abs),
			Usage8(0x44),
			LogicalRange8(0, 1),
			Input(Data, Var, Abs))));

/* The request that starts the vendor interface's reports. */
static __u8 speech[32] = {VENDOR_ID, 0xb0, 0x04};

HIDBPF_SETUP(device)
{
	if (device->args->rdesc_size != VENDOR_DESCRIPTOR_SIZE)
		return 0;
	return hidbpf_send_output(device, speech, sizeof(speech));
}

/* Milliseconds from the remote's return to the request. */
#define AFTER_RETURN 10

HIDBPF_WORK(speak, ctx)
{
	hid_bpf_hw_output_report(ctx, speech, sizeof(speech));
	return 0;
}

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_change change = HIDBPF_UNCHANGED();

	switch (ctx->size) {
	case WIRED_PAD_DESCRIPTOR_SIZE:
	case DONGLE_PAD_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(silent_pad);
		break;
	case PEN_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(silent_pen);
		break;
	case VENDOR_DESCRIPTOR_SIZE:
		hidbpf_patch_input(ctx, VENDOR_INPUT, INPUT_DATA, INPUT_CONST);
		change = HIDBPF_APPENDED(VENDOR_DESCRIPTOR_SIZE, pad_and_battery);
		break;
	}
	return hidbpf_change(ctx, change);
}

HIDBPF_INPUT_REPORT(ctx, report, VENDOR_READ)
{
	if (report[0] != VENDOR_ID)
		return 0;
	switch (report[VENDOR_SUBJECT]) {
	case SUBJECT_PAD:
		report[0] = SUBJECT_PAD;
		if (report[PAD_WHEEL] == PAD_WHEEL_BACK)
			report[PAD_WHEEL] = (__u8)-1;
		return VENDOR_READ;
	case SUBJECT_BATTERY:
		report[0] = SUBJECT_BATTERY;
		return BATTERY_SIZE;
	case SUBJECT_DONGLE:
		if (hidbpf_le16(report + DONGLE_EVENT) == DONGLE_REMOTE_IS_BACK)
			hidbpf_schedule(speak, AFTER_RETURN);
		break;
	}
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
