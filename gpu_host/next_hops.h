// Where the verdict "next" leads the packets of one burst: packets that are alike are asked once.
#pragma once

#include "nf_lib/platform_view.h"
#include "nf_lib/route_reader.h"

namespace hb {

/// Made for each burst, inside its BurstScope: no table that it has looked at changes meanwhile.
class NextHops {
 public:
  /// @param service  whose row of the tables it is
  NextHops(const RouteTables& tables, const RouteReader& routes, std::uint32_t service) noexcept
      : tables_(tables), routes_(routes), service_(service) {}

  [[nodiscard]] Destination of(rte_mbuf* mbuf) noexcept {
    const PacketMeta& meta = packet_meta(mbuf);
    const std::uint32_t key = meta.type | std::uint32_t{meta.route_version} << 8 |
                              std::uint32_t{meta.out_port_plus_1} << 16;
    if (key == key_ && known_) return to_;
    to_ = routes_.resolve(mbuf, Verdict::next());
    key_ = key;
    known_ = is_all(meta);
    return to_;
  }

 private:
  /// Nothing but what is in the key decides: no flow, no input port, and no reason has to be noted.
  [[nodiscard]] bool is_all(const PacketMeta& meta) const noexcept {
    if (meta.route_version == kJudgedByCurrent) return false;
    const RouteTable& table = tables_.table[meta.route_version & 1];
    const Hop hop = table.next[meta.type % kMaxTypes][service_];
    return hop_kind(hop) == HopKind::kPort || (hop_kind(hop) == HopKind::kService &&
                                               table.targets[hop_index(hop) % kMaxServices].n == 1);
  }

  const RouteTables& tables_;
  const RouteReader& routes_;
  std::uint32_t service_;
  std::uint32_t key_ = 0;
  bool known_ = false;
  Destination to_ = 0;
};

}  // namespace hb
