// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/ugee-raw.h>

/* ugee-raw.h has everything. The models are rows of driver.toml. */
UGEE_RAW_MODE();
