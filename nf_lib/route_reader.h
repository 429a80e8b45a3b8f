// From a packet and a verdict to the endpoint it goes to: one load from a dense table.
#pragma once

#include <rte_hash_crc.h>
#include <rte_mbuf.h>

#include <cstdint>

#include "nf_lib/drop_reason.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/verdict.h"

namespace hb {

/// Where a packet goes. For the reclaimer the reason is already in the packet's metadata.
using Destination = std::uint16_t;

/// Marks a packet for the reclaimer.
/// @param service  whom the reason is counted for: PacketMeta::drop_service
inline Destination drop_packet(rte_mbuf* mbuf, std::uint8_t reason,
                               std::uint32_t service) noexcept {
  PacketMeta& meta = packet_meta(mbuf);
  meta.drop_reason = reason;
  meta.drop_service = static_cast<std::uint8_t>(service);
  return static_cast<Destination>(kReclaimer.value);
}
inline Destination drop_packet(rte_mbuf* mbuf, DropReason reason, std::uint32_t service) noexcept {
  return drop_packet(mbuf, static_cast<std::uint8_t>(reason), service);
}

/// Reads the route tables for one place in the chains (a service, or kRxRow). One thread.
class RouteReader {
 public:
  RouteReader() = default;
  /// For a row that no NF's verdicts come from: kRxRow, or a service that others skip.
  RouteReader(const RouteTables* routes, const Registry* registry, std::uint32_t row)
      : RouteReader(routes, registry, row, InstanceId(row)) {}
  /// @param instance  who answers for drops by verdict
  RouteReader(const RouteTables* routes, const Registry* registry, std::uint32_t row,
              InstanceId instance)
      : routes_(routes), registry_(registry), row_(row), instance_(instance.value) {}

  /// The table version that RX stamps now.
  [[nodiscard]] std::uint32_t current_version() const noexcept {
    // Acquire: pairs with the release store in publish_routes(), so the table is whole.
    return routes_->current.load(std::memory_order_acquire);
  }

  /// Where the packet goes, by its type and the version it was stamped with.
  [[nodiscard]] Destination resolve(rte_mbuf* mbuf, Verdict verdict) const noexcept {
    const PacketMeta& meta = packet_meta(mbuf);
    const std::uint32_t version =
        meta.route_version == kJudgedByCurrent ? current_version() : meta.route_version;
    const RouteTable& table = routes_->table[version & 1];
    switch (verdict.kind()) {
      case HB_VERDICT_NEXT:
        return follow(table, table.next[meta.type % kMaxTypes][row_], mbuf);
      case HB_VERDICT_DROP:
        return drop_packet(mbuf, nf_reason(verdict.argument()), instance_);
      case HB_VERDICT_TO_SERVICE:
        if (verdict.argument() >= kMaxServices)
          return drop_packet(mbuf, DropReason::kBadVerdict, instance_);
        return to_service(table, verdict.argument(), mbuf);
      case HB_VERDICT_TO_PORT:
        if (verdict.argument() >= registry_->n_ports)
          return drop_packet(mbuf, DropReason::kBadVerdict, instance_);
        return table.port_endpoint[verdict.argument()];
      default:
        return drop_packet(mbuf, DropReason::kBadVerdict, instance_);
    }
  }

  /// The one place where all packets go that have just been received, are of this type and version,
  /// and came in at this port.
  /// @return kReclaimer if they are to be dropped, or each goes where its flow goes: resolve() them
  [[nodiscard]] Destination resolve_received(std::uint32_t type, std::uint32_t version,
                                             std::uint32_t port) const noexcept {
    const RouteTable& table = routes_->table[version & 1];
    const Hop hop = table.next[type % kMaxTypes][row_];
    switch (hop_kind(hop)) {
      case HopKind::kService: {
        const ServiceTargets& targets = table.targets[hop_index(hop) % kMaxServices];
        if (targets.n == 1) return targets.endpoint[0];
        break;
      }
      case HopKind::kPort:
        return table.port_endpoint[hop_index(hop) % kMaxPorts];
      case HopKind::kPeerPort:
        return table.port_endpoint[table.peer_port[port % kMaxPorts] % kMaxPorts];
      default:
        break;
    }
    return static_cast<Destination>(kReclaimer.value);
  }

  /// Follows an entry of the table.
  [[nodiscard]] Destination follow(const RouteTable& table, Hop hop,
                                   rte_mbuf* mbuf) const noexcept {
    switch (hop_kind(hop)) {
      case HopKind::kService:
        return to_service(table, hop_index(hop) % kMaxServices, mbuf);
      case HopKind::kPort:
        return leave(table, hop_index(hop) % kMaxPorts, mbuf);
      case HopKind::kPeerPort:
        return leave(table, table.peer_port[mbuf->port % kMaxPorts] % kMaxPorts, mbuf);
      case HopKind::kDrop:
        return drop_packet(mbuf, DropReason::kRouteDrop, row_);
      case HopKind::kMissing:
        return drop_packet(mbuf, DropReason::kMissingNf, hop_index(hop));
      case HopKind::kUnrouted:
        break;
    }
    // No rule: the chain ends here, which is fine for a packet whose port has been chosen.
    if (const std::uint32_t chosen = chosen_port(mbuf); chosen != kNoPort)
      return table.port_endpoint[chosen];
    return drop_packet(mbuf, DropReason::kUnrouted, row_);
  }

 private:
  static constexpr std::uint32_t kNoPort = ~0u;
  /// The port that an NF chose with set_out_port(), if there is such a port.
  [[nodiscard]] std::uint32_t chosen_port(rte_mbuf* mbuf) const noexcept {
    const std::uint32_t chosen = packet_meta(mbuf).out_port_plus_1;
    return chosen != 0 && chosen <= registry_->n_ports ? chosen - 1 : kNoPort;
  }

  /// Out of the port that an NF has chosen, else out of the one that the route names.
  [[nodiscard]] Destination leave(const RouteTable& table, std::uint32_t port,
                                  rte_mbuf* mbuf) const noexcept {
    const std::uint32_t chosen = chosen_port(mbuf);
    return table.port_endpoint[chosen != kNoPort ? chosen : port];
  }

  /// The NF's reason as the reclaimer counts it; one that it did not declare is said to be so.
  [[nodiscard]] std::uint8_t nf_reason(std::uint32_t idx) const noexcept {
    return static_cast<std::uint8_t>(idx < kMaxNfReasons
                                         ? kNfReasons + idx
                                         : static_cast<std::uint32_t>(DropReason::kBadVerdict));
  }

  static Destination to_service(const RouteTable& table, std::uint32_t service,
                                rte_mbuf* mbuf) noexcept {
    const ServiceTargets& targets = table.targets[service];
    if (targets.n == 1) return targets.endpoint[0];
    if (targets.n == 0) return drop_packet(mbuf, DropReason::kMissingNf, service);
    return targets.endpoint[choose(targets, mbuf) % targets.n % kMaxTargets];
  }

  static std::uint32_t choose(const ServiceTargets& targets, rte_mbuf* mbuf) noexcept {
    switch (targets.choice) {
      case InstanceChoice::kSingle:
        return 0;
      case InstanceChoice::kOwnKey: {
        const std::uint32_t at = targets.key_offset;
        const std::uint32_t n = targets.key_bytes;
        if (at + n > mbuf->data_len || n > 16) return packet_meta(mbuf).flow_hash;
        return rte_hash_crc(rte_pktmbuf_mtod_offset(mbuf, const void*, at), n, 0);
      }
      case InstanceChoice::kFlowHash:
      case InstanceChoice::kSymmetricFlowHash:
        break;
    }
    return packet_meta(mbuf).flow_hash;  // symmetric, so it serves both
  }

  const RouteTables* routes_ = nullptr;
  const Registry* registry_ = nullptr;
  std::uint32_t row_ = 0;
  std::uint32_t instance_ = 0;
};

}  // namespace hb
