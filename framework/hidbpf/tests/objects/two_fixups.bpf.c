// SPDX-License-Identifier: GPL-2.0-only
/* More than a device has room for. */
#include "fixture.h"

SEC("fmod_ret/hid_bpf_rdesc_fixup") int first(__u64 *args)
{
	return 0;
}

SEC("fmod_ret/hid_bpf_rdesc_fixup") int second(__u64 *args)
{
	return 0;
}
