// The Toeplitz hash with the symmetric key 6d5a repeated, at the price of two loads.
#pragma once

#include <array>
#include <cstdint>

#include "onvm_compat/include/onvm_flow_table.h"

namespace hb::onvm {

/// The key repeats after 16 bits, so each 16-bit word of the input meets the same part of it, and
/// as the hash is linear, that of the words' xor is that of the whole input. (Woo and Park,
/// "Scalable TCP session monitoring with symmetric receive-side scaling", 2012.)
class SymmetricToeplitz {
 public:
  constexpr SymmetricToeplitz() {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      high_[byte] = slow(byte << 8);
      low_[byte] = slow(byte);
    }
  }
  /// @param words  the xor of the input's 16-bit words, each in host byte order
  [[nodiscard]] constexpr std::uint32_t operator()(std::uint16_t words) const {
    return high_[words >> 8] ^ low_[words & 0xff];
  }

 private:
  static constexpr std::uint32_t slow(std::uint32_t word) {
    std::uint64_t key = 0x6d5a6d5a6d5a6d5a;
    std::uint32_t hash = 0;
    for (int bit = 15; bit >= 0; --bit) {
      if ((word >> bit & 1) != 0) hash ^= static_cast<std::uint32_t>(key >> 32);
      key = key << 1 | key >> 63;
    }
    return hash;
  }
  std::array<std::uint32_t, 256> high_{};
  std::array<std::uint32_t, 256> low_{};
};
inline constexpr SymmetricToeplitz kSymmetricToeplitz;

inline std::uint32_t flow_hash(const onvm_ft_ipv4_5tuple& key) noexcept {
  const auto fold = [](std::uint32_t address) {
    const std::uint32_t host = rte_be_to_cpu_32(address);
    return host >> 16 ^ (host & 0xffff);
  };
  return kSymmetricToeplitz(static_cast<std::uint16_t>(fold(key.src_addr) ^ fold(key.dst_addr) ^
                                                       rte_be_to_cpu_16(key.src_port) ^
                                                       rte_be_to_cpu_16(key.dst_port)));
}

}  // namespace hb::onvm
