// Longest-prefix match for IPv4: DPDK's rte_lpm (DIR-24-8) and the table of next hops.
#pragma once

#include <rte_lpm.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/router/route_file.h"

namespace hb::router {

/// Where packets of one or more routes go.
struct NextHop {
  std::uint32_t port = 0;
  MacAddress mac{};
  bool operator==(const NextHop&) const = default;
};

/// An immutable routing table; any thread may look up in it.
///
/// Takes 64 MiB, plus 1 KiB for each /24 that has longer prefixes. rte_lpm can't hold a prefix of
/// length 0: the default route is kept beside it. Building compares each prefix with all others of
/// its length (rte_lpm_add): some 0.1 s for 10,000 routes, some seconds for 100,000.
class Fib {
 public:
  /// Next hop of an address without a route.
  static constexpr std::uint32_t kNoRoute = ~0u;

  /// Needs EAL; the table lies in the process' own EAL memory.
  static Result<Fib> build(std::span<const Route> routes);

  /// Looks up a burst: one load for a prefix of up to 24 bits, two for a longer one.
  /// @param addresses  0..kMaxBurst, in host order
  /// @param hops       same length; each an index for next_hop(), or kNoRoute
  void lookup_burst(std::span<const std::uint32_t> addresses,
                    std::span<std::uint32_t> hops) const noexcept {
    if (addresses.empty()) return;  // rte_lpm sizes an array by it
    rte_lpm_lookup_bulk(lpm_.get(), addresses.data(), hops.data(),
                        static_cast<unsigned>(addresses.size()));
    for (std::uint32_t& hop : hops.first(addresses.size()))
      hop = (hop & RTE_LPM_LOOKUP_SUCCESS) != 0 ? hop & kHopMask : default_hop_;
  }

  [[nodiscard]] const NextHop& next_hop(std::uint32_t hop) const noexcept { return hops_[hop]; }
  [[nodiscard]] std::span<const NextHop> next_hops() const noexcept { return hops_; }

 private:
  static constexpr std::uint32_t kHopMask = (1u << 24) - 1;

  struct FreeLpm {
    void operator()(rte_lpm* lpm) const noexcept { rte_lpm_free(lpm); }
  };

  std::unique_ptr<rte_lpm, FreeLpm> lpm_;
  std::vector<NextHop> hops_;
  std::uint32_t default_hop_ = kNoRoute;
};

}  // namespace hb::router
