// One statement of an SA file, read.
#pragma once

#include "nfs/ipsec/xfrm_words.h"

namespace hb::ipsec {

/// @param sa  default-constructed, in secret memory; undefined after an error
Result<void> parse_state(const std::string& file, const Statement& statement, SaConfig& sa,
                         std::vector<std::string>& warnings);
Result<PolicyConfig> parse_policy(const std::string& file, const Statement& statement,
                                  std::vector<std::string>& warnings);

}  // namespace hb::ipsec
