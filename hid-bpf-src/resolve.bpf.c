// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds what drivers need to know about the running kernel: the BTF ids of functions and types, and the offsets of some
 * members. The kernel looks them up in memory. User space would have to read megabytes of BTF.
 */
#include <hidbpf/kernel.h>
#include <bpf/bpf_core_read.h>
#include "tables.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* The value of a struct_ops map of hid_bpf_ops. Only kernels of the struct_ops generation have this type. */
struct bpf_struct_ops_hid_bpf_ops {
	struct hid_bpf_ops data;
};

#pragma clang attribute pop

#define VALUE struct bpf_struct_ops_hid_bpf_ops

struct resolve_ops {
	__u32 ops_type;
	__u32 value_type;
	__u32 value_size;
	/* Offsets in a value, in bytes. */
	__u32 hid_id;
	__u32 flags;
	/* 0 for a hook that the kernel does not have. */
	__u32 hooks[HOOK_COUNT];
};

/* Offset and size of a member, in bytes. */
struct resolve_member {
	__u32 offset;
	__u32 size;
};

/* User space relies on these offsets. */
struct resolve_args {
	struct resolve_ops ops;
	/* Zeros for a member that the kernel does not have. */
	struct resolve_member members[MEMBER_COUNT];
};

#define RESOLVE_HOOK(index, hook)                                                                                      \
	if (bpf_core_field_exists(VALUE, data.hook))                                                                   \
		ops->hooks[index] = bpf_core_field_offset(VALUE, data.hook);

#define RESOLVE_MEMBER(index, record, member)                                                                          \
	if (bpf_core_field_exists(struct record, member)) {                                                            \
		members[index].offset = bpf_core_field_offset(struct record, member);                                  \
		members[index].size = bpf_core_field_size(struct record, member);                                      \
	}

static __always_inline void resolve_members(struct resolve_member *members){MEMBERS(RESOLVE_MEMBER)}

/*
 * A kernel without these types cannot relocate this program and refuses to load it. User space detects the generation
 * by that.
 */
SEC("syscall") int resolve_ops(struct resolve_args *args)
{
	struct resolve_ops *ops = &args->ops;

	ops->ops_type = bpf_core_type_id_kernel(struct hid_bpf_ops);
	ops->value_type = bpf_core_type_id_kernel(VALUE);
	ops->value_size = bpf_core_type_size(VALUE);
	ops->hid_id = bpf_core_field_offset(VALUE, data.hid_id);
	ops->flags = bpf_core_field_offset(VALUE, data.flags);
	HOOKS(RESOLVE_HOOK)
	resolve_members(args->members);
	return 0;
}

/* For kernels of the FMOD_RET generation. */
SEC("syscall") int resolve_fmod(struct resolve_args *args)
{
	resolve_members(args->members);
	return 0;
}

/* User space relies on these offsets. */
struct resolve_function_args {
	/* The name, followed by zeros. */
	__u64 name[4];
	/*
	 * The function's BTF id, or a negative errno. For a function of a module, the upper half is a file descriptor
	 * of the module's BTF.
	 */
	__s64 id;
};

#define BTF_KIND_FUNC 12

SEC("syscall") int resolve_func(struct resolve_function_args *args)
{
	/* The helper accepts a name on the stack, but not in the context. */
	__u64 name[4] = {args->name[0], args->name[1], args->name[2], args->name[3]};

	args->id = bpf_btf_find_by_name_kind((char *)name, sizeof(name), BTF_KIND_FUNC, 0);
	return 0;
}

char hidbpf_license[] SEC("license") = "GPL";
