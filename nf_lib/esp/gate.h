// What is decided about a packet before and after its ciphers: SA, sequence number, replay, limits.
// Both twins pass their packets through it, whatever computes the ciphers between.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "nf_lib/esp/drop.h"
#include "nf_lib/esp/sa_table.h"

namespace hb::ipsec {

/// One Ethernet frame in its buffer.
struct FrameView {
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;
  std::uint32_t headroom = 0;
  std::uint32_t tailroom = 0;
};

enum class Action : std::uint8_t { kDrop, kPass, kSeal, kOpen };

/// What is to be done with a frame.
struct Order {
  Action action = Action::kDrop;
  Drop drop = Drop::kNotIp;  ///< kDrop: why
  std::uint16_t sa = 0;      ///< index in the table, kSeal and kOpen
  std::uint16_t ip_at = 0;   ///< of the IP header from the frame's start: the packet to be sealed,
                             ///< the outer header of the one to be opened
  std::uint16_t esp_at = 0;  ///< kOpen: of the ESP header
  std::uint16_t bytes = 0;   ///< kSeal: of the packet to be sealed; kOpen: from the ESP header on
  std::uint64_t sequence = 0;  ///< all 64 bits

  static Order to_drop(Drop reason) noexcept { return {.action = Action::kDrop, .drop = reason}; }
  static Order to_pass() noexcept { return {.action = Action::kPass}; }
};

/// What became of a frame.
struct Outcome {
  bool passes = false;
  Drop drop = Drop::kNotIp;  ///< if it does not
};

struct SeenPacket;

/// One thread, but for SaTable::check_limits.
class Gate {
 public:
  /// @param states  of the surviving block; outlives the gate
  static Result<std::unique_ptr<Gate>> make(const GateConfig& config, SaStates& states);

  /// Says what is to be done. A packet to be sealed gets its sequence number, for good: those of
  /// one SA leave in the order of these calls. In gate_seal.h.
  [[nodiscard]] inline Order decide(const FrameView& frame) noexcept;

  /// Settles a kSeal or kOpen once its ciphers are done.
  /// @param ciphered  whether they could be computed and, opening, ICV and inner packet were right
  /// @param frame     what leaves, if so
  [[nodiscard]] Outcome settle(const Order& order, Outcome ciphered,
                               std::span<const std::uint8_t> frame) noexcept {
    const bool is_done = order.action == Action::kSeal && ciphered.passes;
    return is_done ? ciphered : settle_other(order, ciphered, frame);
  }

  [[nodiscard]] SaTable& table() noexcept { return *table_; }

 private:
  Gate(const GateOptions& options, std::unique_ptr<SaTable> table)
      : options_(options), table_(std::move(table)) {}

  [[nodiscard]] inline Order seal_with(Sa& sa, const FrameView& frame, std::uint32_t ip_offset,
                                       std::uint32_t inner_bytes) noexcept;
  /// Whatever kind of frame it is.
  [[nodiscard]] Order decide_any(const FrameView& frame) noexcept;
  [[nodiscard]] bool is_inbound(const SeenPacket& packet) const noexcept;
  [[nodiscard]] Order decide_seal(const FrameView& frame, const SeenPacket& packet) noexcept;
  [[nodiscard]] Order decide_inbound(const FrameView& frame, const SeenPacket& packet) noexcept;
  [[nodiscard]] Order decide_open(const FrameView& frame, const SeenPacket& packet) noexcept;
  [[nodiscard]] Order decide_unprotected(const SelectorKey& key) noexcept;
  [[nodiscard]] Outcome settle_other(const Order& order, Outcome ciphered,
                                     std::span<const std::uint8_t> frame) noexcept;

  GateOptions options_;
  std::unique_ptr<SaTable> table_;
};

}  // namespace hb::ipsec
