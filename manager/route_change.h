// What a change of the route table means for the packets of each type.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "nf_lib/control_layout.h"

namespace hb {

/// What the NF of a service may do with a packet besides passing it on, as it declared.
struct SteeringNf {
  std::uint64_t sets_types = ~std::uint64_t{0};  ///< bit t: it may give a packet type t
  std::uint64_t names = ~std::uint64_t{0};       ///< bit s: it may send packets to service s
};

/// The types that notice a change from one table to the other: those from which an entry that
/// differs (a hop, or the endpoints behind a service) can be reached, by the routes or by what NFs
/// on the way may do.
/// @param nfs      by service; those beyond its end may do anything
/// @param n_types  types 0..n_types-1 exist; the others count as affected
/// @return bit t: type t is affected
[[nodiscard]] std::uint64_t affected_types(const RouteTable& before, const RouteTable& after,
                                           std::span<const SteeringNf> nfs, std::uint32_t n_types);

/// By type: bit s: packets pass service s as long as no NF steers them away.
[[nodiscard]] std::array<std::uint64_t, kMaxTypes> services_on_path(const RouteTable& table);

}  // namespace hb
