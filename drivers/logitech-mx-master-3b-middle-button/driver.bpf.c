// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/setup.h>

/*
 * The button behind the wheel of the Logitech MX Master 3 for Business switches the wheel between clicking and running
 * free. The mouse does not report the button. A request of HID++ 2.0, the protocol of Logitech's vendor reports, can
 * make it send another button instead. The request is report 0x11. It contains the number of the device behind the
 * receiver, and the number that this mouse gives to the feature that assigns its controls. The feature's function
 * follows, with four bits of the requester's choice, and then the parameters. Controls have numbers too.
 *
 * The mouse forgets the assignment when it is switched off. The driver sends the request when it is attached and when
 * the machine wakes up.
 */
#define REQUEST_ID 0x11
#define REQUEST_SIZE 20
#define ASSIGN_CONTROLS 0x09
#define ASSIGN 0x32
#define CONTROL_MIDDLE_BUTTON 0x52
#define CONTROL_WHEEL_MODE 0xc4

HIDBPF_OPTION_CHOICE(acts_as, ACTS_AS_MIDDLE_BUTTON, ACTS_AS_WHEEL_MODE);
HIDBPF_OPTION_INTEGER(receiver_slot);

HIDBPF_SETUP(device)
{
	__u8 control = option_acts_as == ACTS_AS_WHEEL_MODE ? CONTROL_WHEEL_MODE : CONTROL_MIDDLE_BUTTON;
	/* The control, no flags, and its new function. Both numbers have two bytes, the high byte first. */
	__u8 request[REQUEST_SIZE] = {
		REQUEST_ID, (__u8)option_receiver_slot, ASSIGN_CONTROLS, ASSIGN, 0, CONTROL_WHEEL_MODE, 0, 0, control,
	};

	return hidbpf_set_report(device, HID_OUTPUT_REPORT, request, sizeof(request));
}

HIDBPF_DRIVER_WITHOUT_HOOKS();
