// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/setup.h>

/*
 * A Precision touchpad declares in a feature report how it is pressed: Pad Type, usage 0x59 of the page Digitizers.
 * Before Linux 7.0 the kernel tells programs only whether there is a button under the pad, INPUT_PROP_BUTTONPAD.
 * Programs should treat a pad that feels pressure, and clicks with a motor, in a different way.
 */
HIDBPF_FIELD(pad_type);
HIDBPF_EXPORT(HID_DIGITIZER_PAD_TYPE);

HIDBPF_SETUP(touchpad)
{
	__u32 type;
	int error = hidbpf_get_field(touchpad, &field_pad_type, &type);

	if (error)
		return error;
	export_HID_DIGITIZER_PAD_TYPE = type;
	return 0;
}

HIDBPF_DRIVER_WITHOUT_HOOKS();
