// The configuration that an OpenNetVM NF is started with.
#pragma once

#include "onvm_compat/include/onvm_nflib.h"

namespace hb::onvm {

/// Frees what onvm_nflib_init_nf_init_cfg gave; nullptr is nothing.
inline void free_init_cfg(onvm_nf_init_cfg* cfg) noexcept {
  if (cfg == nullptr) return;
  rte_free(cfg->tag);
  rte_free(cfg);
}

}  // namespace hb::onvm
