// The SAs and policies at work: look-up by SPI and by policy, limits, counters.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/esp_layout.h"
#include "nf_lib/esp/policy_cache.h"
#include "nf_lib/esp/sa.h"
#include "nf_lib/esp/sa_state.h"
#include "nf_lib/result.h"
#include "nf_lib/surviving.h"

namespace hb::ipsec {

/// One SA at work.
struct alignas(64) Sa {
  HbEspSa wire{};
  // What every packet needs is together.
  SaState* state = nullptr;
  ReservedCounter sequence;
  std::uint32_t index = 0;   ///< in the table
  std::uint32_t window = 0;  ///< 0: replays are not looked for
  Limits limits;
  /// By time. check_limits() writes it, which may be called on another thread than the packets'.
  std::atomic<bool> expired{false};
  std::optional<Selector> selector;
  std::uint32_t reqid = 0;
  IpAddress src, dst;
  bool soft_reported = false;  ///< a soft limit was logged
  bool hard_reported = false;

  [[nodiscard]] bool is_spent() const noexcept {
    return expired.load(std::memory_order_relaxed) ||
           state->packets.load(std::memory_order_relaxed) >= limits.hard_packets ||
           state->bytes.load(std::memory_order_relaxed) >= limits.hard_bytes;
  }
  /// Whether its own selector, if it has one, fits.
  [[nodiscard]] bool takes(const SelectorKey& key) const noexcept {
    return !selector || selector->matches(key);
  }
  /// Counts a packet that was sealed or opened.
  void count(std::uint32_t bytes) noexcept {
    add(state->packets, 1);
    add(state->bytes, bytes);
  }
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
    // One writer: readers want a whole number, not an order.
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

/// An SA's fixed part, as both twins take it.
HbEspSa make_wire(const SaParameters& config, const GateOptions& options);

/// What the policies say of an outgoing packet.
struct Choice {
  Sa* sa = nullptr;  ///< kProtect; null if the SA is missing
  PolicyAction action = PolicyAction::kBlock;
  bool found = false;  ///< some policy is about it
  bool spent = false;  ///< that SA has reached a hard limit, as have all others that would do
};

/// Made at set-up and at each reload; one thread works with it.
class SaTable {
 public:
  /// @param states  outlives the table
  static Result<std::unique_ptr<SaTable>> make(const GateConfig& config, SaStates& states);
  SaTable(const SaTable&) = delete;
  SaTable& operator=(const SaTable&) = delete;

  /// @param dst  of the outer header, in network order: 4 or 16 bytes
  /// @return null if there is none for incoming packets
  [[nodiscard]] Sa* find_inbound(std::uint32_t spi, std::uint8_t version,
                                 const std::uint8_t* dst) noexcept;
  /// Whether some SA for incoming packets ends at this address.
  [[nodiscard]] bool is_own_address(std::uint8_t version, const std::uint8_t* dst) const noexcept;
  /// The SA for a packet to be sealed: the quick way to choose_outbound()'s usual answer.
  /// @return null if there is none, or more to be said about it
  [[nodiscard]] Sa* find_outbound(const SelectorKey& key) noexcept {
    const PolicyMatch& match = find_match(key);
    if (match.sa == PolicyMatch::kNone) return nullptr;
    Sa& sa = sas_[match.sa];
    return sa.is_spent() ? nullptr : &sa;
  }
  /// The policy for a packet to be sealed; without policies, the first SA whose selector fits.
  [[nodiscard]] Choice choose_outbound(const SelectorKey& key) noexcept;
  /// Whether an opened packet may have come through that SA: RFC 4301 section 5.2 step 4.
  [[nodiscard]] bool may_come_through(const Sa& sa, const SelectorKey& key) noexcept;
  /// Whether the check above looks at the packet at all.
  [[nodiscard]] bool checks_inner(const Sa& sa) const noexcept {
    return !inbound_policies_.empty() || sa.selector.has_value();
  }
  /// What the inbound policies say of a packet that came unprotected.
  [[nodiscard]] Choice choose_unprotected(const SelectorKey& key) noexcept;

  [[nodiscard]] std::span<Sa> sas() noexcept { return sas_; }

  /// Gives back the sequence numbers that were reserved and not used. Nothing is sealed after it.
  void give_back() noexcept;

  /// Looks at limits by time, and collects what is to be said about any. One thread, any one.
  /// @param now_ns  the wall clock
  std::vector<std::string> check_limits(std::uint64_t now_ns);

 private:
  struct OutboundPolicy {
    Selector selector;
    PolicyAction action = PolicyAction::kProtect;
    std::vector<std::uint32_t> sas;  ///< candidates, in the file's order
  };

  SaTable() = default;
  Result<void> add_sas(const GateConfig& config, SaStates& states);
  Result<void> add_policies(const GateConfig& config);
  void index_inbound(const std::vector<bool>& is_inbound);
  [[nodiscard]] PolicyMatch match_outbound(const SelectorKey& key) const noexcept;
  [[nodiscard]] const PolicyMatch& find_match(const SelectorKey& key) noexcept {
    return outbound_cache_.find(key, [this](const SelectorKey& k) { return match_outbound(k); });
  }
  /// @return null if none is about it
  [[nodiscard]] const PolicyConfig* match_inbound(const SelectorKey& key) noexcept;

  std::vector<Sa> sas_;                ///< in the configuration's order
  std::vector<std::uint32_t> by_spi_;  ///< open addressing, a power of two; kNone is free
  std::vector<IpAddress> own_addresses_;
  std::vector<OutboundPolicy> outbound_;
  std::vector<PolicyConfig> inbound_policies_;
  PolicyCache outbound_cache_;
  PolicyCache inbound_cache_;
};

}  // namespace hb::ipsec
