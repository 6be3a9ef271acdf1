/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State that the drivers of one physical device's interfaces share. The kernel makes a HID device of each interface, and
 * each has its own copy of a driver's variables. A key on one interface can change what another one does only by this.
 */
#ifndef HIDBPF_SHARED_H
#define HIDBPF_SHARED_H

#include <hidbpf/driver.h>

/*
 * HIDBPF_SHARED(type, name); declares the variable `shared_name`, which is 0 until a hook writes it. It lasts as long as a
 * driver with it is attached to one of the interfaces. Drivers that share must declare the same variables, in the same
 * order: put them into a header.
 *
 * Hooks of two interfaces may run at the same time on two processors. Reading or writing a number of up to 8 bytes is
 * one step. For other changes, use __sync_fetch_and_add() and the like.
 */
#define HIDBPF_SHARED(type, name) volatile type shared_##name SEC(".data.shared")

#endif
