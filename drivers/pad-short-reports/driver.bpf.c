// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * For devices that send shorter reports than their descriptor declares.
 *
 * Linux used to pad such reports with zeros. Since 7.0 (and 6.18.y, 6.19.y) hid_report_raw_event() in
 * drivers/hid/hid-core.c pads only within the transport's buffer, and otherwise drops the report. Transports
 * that call hid_input_report() pass the report's own size as that of the buffer, which leaves no room.
 *
 * If a program is attached to a device's input reports, the kernel copies each report into a buffer. That buffer has
 * room for the device's longest report, and the kernel pads the report there. Attaching this hook is enough. It
 * changes nothing.
 */
HIDBPF_INPUT_EVENT(ctx)
{
	return 0;
}

HIDBPF_DRIVER(device_event);
