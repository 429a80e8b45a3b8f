// An SA file's content: what decides on packets, and the keys.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/esp/sa.h"
#include "nf_lib/secret_memory.h"

namespace hb::ipsec {

/// One SA as configured. It holds keys: only ever in secret memory.
struct SaConfig : SaParameters {
  std::array<std::uint8_t, 32> cipher_key{};
  std::uint32_t cipher_key_bytes = 0;  ///< 16 or 32
  std::array<std::uint8_t, 4> salt{};  ///< kAesGcm
  std::array<std::uint8_t, 64> auth_key{};
  std::uint32_t auth_key_bytes = 0;  ///< of the CBC algorithms
};

struct SaFile {
  std::string name;
  SecretVector<SaConfig> sas;
  std::vector<PolicyConfig> policies;
  std::vector<std::string> warnings;  ///< file:line and what was ignored
};

}  // namespace hb::ipsec
