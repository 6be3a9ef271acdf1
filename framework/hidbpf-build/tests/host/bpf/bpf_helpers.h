/* SPDX-License-Identifier: GPL-2.0-only */
/* Stands in for libbpf's header where the SDK is compiled for this machine, for tests/sdk.rs. */
#define SEC(name)
#define __always_inline inline __attribute__((always_inline))
#define __weak __attribute__((weak))
#define __ksym

/* The helpers that copy. */
struct bpf_dynptr;
long bpf_dynptr_from_mem(void *data, __u64 size, __u64 flags, struct bpf_dynptr *pointer);
long bpf_dynptr_read(void *to, __u64 size, const struct bpf_dynptr *pointer, __u64 offset, __u64 flags);
long bpf_dynptr_write(const struct bpf_dynptr *pointer, __u64 offset, void *from, __u64 size, __u64 flags);
