// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * For devices that send shorter reports than their descriptor declares.
 *
 * Linux has always filled up such reports with zeros. Since 7.0 (and 6.18.y, 6.19.y) hid_report_raw_event() in
 * drivers/hid/hid-core.c fills up only what fits in the transport's buffer, and drops the report otherwise. Transports that call
 * hid_input_report() pass the report's own size as that of the buffer: nothing fits.
 *
 * Where a program is attached to a device's input reports, the kernel copies each report into a buffer for the longest report of the
 * device, and fills it up there. So it is enough that this hook is attached; it changes nothing.
 */
HIDBPF_INPUT_EVENT(ctx)
{
	return 0;
}

HIDBPF_DRIVER(device_event);
