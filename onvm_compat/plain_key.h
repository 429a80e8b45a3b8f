// A flow's key as hash tables compare it: all 16 bytes count, so those behind proto are zero. Of a
// struct they would not survive being passed on by value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "onvm_compat/include/onvm_flow_table.h"

namespace hb::onvm {

struct PlainKey {
  std::array<std::uint64_t, 2> words{};
  bool operator==(const PlainKey&) const = default;
};
static_assert(sizeof(PlainKey) == sizeof(onvm_ft_ipv4_5tuple));

inline PlainKey plain_key(const onvm_ft_ipv4_5tuple& key) noexcept {
  PlainKey plain;
  std::memcpy(plain.words.data(), &key, offsetof(onvm_ft_ipv4_5tuple, proto) + sizeof(key.proto));
  return plain;
}

}  // namespace hb::onvm
