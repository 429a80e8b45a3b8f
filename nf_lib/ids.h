// Ids as types of their own, so that swapped arguments do not compile.
#pragma once

#include <compare>
#include <cstdint>

namespace hb {

template <typename Tag>
struct Id {
  std::uint32_t value = 0;
  constexpr Id() = default;
  explicit constexpr Id(std::uint32_t v) : value(v) {}
  auto operator<=>(const Id&) const = default;
};

using ContextId = Id<struct ContextTag>;    ///< who produces: an RX thread, an NF, a CPUSyncer, ...
using EndpointId = Id<struct EndpointTag>;  ///< who receives: an NF, a port's TX queue, ...
using ServiceId = Id<struct ServiceTag>;    ///< what an NF does
using InstanceId = Id<struct InstanceTag>;  ///< one running process (or slice) of it
using RingId = Id<struct RingTag>;          ///< index into the region's rings

}  // namespace hb
