// SPDX-License-Identifier: GPL-2.0-only
/* Two descriptor hooks. A device can have only one. */
#include "fixture.h"

SEC("fmod_ret/hid_bpf_rdesc_fixup") int first(__u64 *args)
{
	return 0;
}

SEC("fmod_ret/hid_bpf_rdesc_fixup") int second(__u64 *args)
{
	return 0;
}
