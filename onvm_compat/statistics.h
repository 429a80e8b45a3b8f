// What an NF leaves behind: a summary on stdout and a line of CSV.
#pragma once

#include "onvm_compat/include/onvm_common.h"

namespace hb::onvm {

/// Prints the counters of an instance.
void print_statistics(const onvm_nf& nf);
/// The same, and writes them to <tag>_stats.csv in the current directory; if that can't be written
/// it says so and goes on.
void write_statistics(const onvm_nf& nf);

}  // namespace hb::onvm
