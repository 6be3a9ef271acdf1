/* SPDX-License-Identifier: GPL-2.0-only */
/* Stands in for libbpf's header where the SDK is compiled for this machine, for tests/sdk.rs. */
#define SEC(name)
#define __always_inline inline __attribute__((always_inline))
#define __weak __attribute__((weak))
#define __ksym
