/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hooks of HID-BPF for sources that are written for udev-hid-bpf or for the kernel tree.
 *
 * Such a source has programs for one generation. Linux 6.11 and later take struct_ops programs. With HID_BPF_TRACING
 * defined, the same source makes FMOD_RET programs, for Linux 6.3 to 6.10. `hidbpf build` compiles it both ways.
 */
#ifndef ____HID_BPF__H
#define ____HID_BPF__H

#ifdef HID_BPF_TRACING

#define HID_BPF_DEVICE_EVENT "fmod_ret/hid_bpf_device_event"
#define HID_BPF_RDESC_FIXUP "fmod_ret/hid_bpf_rdesc_fixup"
/* These kernels take each program by itself, so the record is an ordinary variable. */
#define HID_BPF_OPS(name) struct hid_bpf_ops name
/* Their programs can't write to a device's name. */
#define hid_set_name(_hdev, _name)

#else

#define HID_BPF_DEVICE_EVENT "struct_ops/hid_device_event"
#define HID_BPF_RDESC_FIXUP "struct_ops/hid_rdesc_fixup"
#define HID_BPF_HW_REQUEST "struct_ops/hid_hw_request"
#define HID_BPF_HW_OUTPUT_REPORT "struct_ops/hid_hw_output_report"
#define HID_BPF_OPS(name) SEC(".struct_ops.link") struct hid_bpf_ops name
/* Sets a device's name to a string constant. */
#define hid_set_name(_hdev, _name) __builtin_memcpy((_hdev)->name, (_name), sizeof(_name))

#endif

/* The argument of a probe. The loader fills all of it, and refuses the device if `retval` is not 0 afterwards. */
struct hid_bpf_probe_args {
	/* The device's number, as hid_bpf_allocate_context() takes it. */
	unsigned int hid;
	/* Bytes of the original descriptor. */
	unsigned int rdesc_size;
	unsigned char rdesc[4096];
	int retval;
};

#endif
