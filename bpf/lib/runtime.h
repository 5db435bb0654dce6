/* The words that steer all programs at run time (maps/runtime.h). A data section of its own makes them one pinned,
 * memory-mapped map that every program shares and reads without a lookup. */
#ifndef SLUICE_BPF_RUNTIME_H
#define SLUICE_BPF_RUNTIME_H

#include "lib/common.h"
#include "maps/runtime.h"

volatile struct runtime runtime SEC(".data.runtime") = { .epoch = 1 };

#endif
