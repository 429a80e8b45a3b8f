// The run loop of one CPU NF: peek, process, ledger, publish, commit; held and originated packets.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "nf_lib/held_area.h"
#include "nf_lib/nf.h"
#include "nf_lib/publisher.h"
#include "nf_lib/route_reader.h"

namespace hb {

/// One NF instance's place in the platform. One thread.
class BurstLoop final : public NfContext {
 public:
  /// @param page  the context's own page, written by this loop alone
  BurstLoop(const PlatformView& view, ContextPage* page, ContextId context, EndpointId endpoint,
            ServiceId service, InstanceId instance, std::span<std::byte> surviving = {});

  /// Takes one burst from each producer that has one.
  /// @return packets taken
  std::uint32_t poll(NetworkFunction& nf) noexcept;

  /// Calls nf.tick or nf.flush inside a burst of their own.
  void tick(NetworkFunction& nf, std::uint64_t now_ns) noexcept;
  /// @param request  the InstanceEntry::flush that asked for it
  void flush(NetworkFunction& nf, std::uint32_t request) noexcept;

  /// Tells the manager which thread it is that could be hung, where that is not the main thread.
  void runs_on_this_thread() noexcept;

  [[nodiscard]] std::optional<ServiceId> find_service(std::string_view name) const override;
  [[nodiscard]] std::optional<std::uint8_t> find_type(std::string_view name) const override;
  [[nodiscard]] std::uint32_t n_ports() const override { return view_.registry->n_ports; }
  [[nodiscard]] std::span<const std::uint8_t, 6> port_mac(std::uint32_t port) const override {
    return std::span<const std::uint8_t, 6>(view_.registry->ports[port].mac);
  }
  [[nodiscard]] bool lossless() const override { return view_.registry->lossless != 0; }
  void set_counter(std::uint32_t idx, std::uint64_t n) noexcept override {
    // One writer: readers want a whole number, not an order.
    if (idx < kMaxNfCounters) page_->counters.nf[idx].store(n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::span<std::byte> surviving() const override { return surviving_; }
  [[nodiscard]] bool may_wait_for_output() noexcept override;
  void release(std::span<rte_mbuf* const> packets,
               std::span<const Verdict> verdicts) noexcept override;
  [[nodiscard]] std::uint32_t n_held() const noexcept override { return held_.size(); }
  [[nodiscard]] std::uint32_t originate(std::span<rte_mbuf*> out) noexcept override;
  void send_originated(std::span<const Verdict> verdicts) noexcept override;
  /// Fresh packets, empty, and held from the start: the NF fills them and releases them when it
  /// likes. Allowed wherever originate() is, but not between that and send_originated().
  /// @return how many of out (at most kMaxBurst) it got; fewer when the manager is behind or the
  ///         held area is full
  [[nodiscard]] std::uint32_t originate_held(std::span<rte_mbuf*> out) noexcept;

 private:
  void take_burst(NetworkFunction& nf, RingId id, rte_ring* ring) noexcept;
  std::uint32_t take_window(const Window& window, rte_mbuf** packets) noexcept;
  void make_fresh(rte_mbuf* mbuf) const noexcept;
  void release_chunk(rte_mbuf* const* packets, const Verdict* verdicts, std::uint32_t n) noexcept;

  PlatformView view_;
  ContextPage* page_;
  EndpointId endpoint_;
  InstanceId instance_;
  std::span<std::byte> surviving_;
  RouteReader routes_;
  Publisher publisher_;
  HeldArea held_;
  RingId fill_ring_;
  Window originated_{};  ///< of the fill ring, from originate() to send_originated()
  std::array<rte_mbuf*, kMaxBurst> fresh_{};
  std::uint32_t n_fresh_ = 0;
};

}  // namespace hb
