// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/veikk.h>

/* veikk.h has everything. The models are rows of driver.toml. */
VEIKK_TABLET();
