// Counts matches for threshold and detection_filter.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "nf_lib/decode.h"
#include "nfs/nids/rule.h"

namespace hb::nids {

/// What a threshold says of one match.
enum class ThresholdAnswer : std::uint8_t {
  kNothing,     ///< as if the rule had not matched
  kActionOnly,  ///< the rule's action without an alert: the period has had its alerts
  kAlert,
};

/// One thread's counts: fixed memory, nothing is allocated after construction.
///
/// A count belongs to a rule and to what it tracks. When more are wanted at once than a bucket
/// holds, the one whose period began first is forgotten, and counted.
class ThresholdTable {
 public:
  static constexpr std::size_t kWays = 8;

  /// @param n_counts  rounded up to a power of two of buckets
  explicit ThresholdTable(std::size_t n_counts = 65536);

  /// Counts a match at `now_ns`, the packet's capture time: Suricata's rules, by which a period
  /// begins with the match that finds none under way.
  /// @param threshold  of rule rule_key
  /// @param rule_key   the same for a rule as long as its count is to last
  ThresholdAnswer count(const Threshold& threshold, std::uint64_t rule_key,
                        const DecodedPacket& packet, std::uint64_t now_ns) noexcept;

  [[nodiscard]] std::uint64_t n_forgotten() const noexcept { return n_forgotten_; }

 private:
  struct Key {
    std::uint64_t rule = 0;
    std::uint8_t ip_version = 0;  // an IPv4 address fills 4 of the 16 bytes
    std::array<std::uint8_t, 16> a{};
    std::array<std::uint8_t, 16> b{};
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Count {
    Key key;
    std::uint64_t start_ns = 0;
    std::uint32_t n = 0;
    bool used = false;
  };
  Count& find(const Key& key, bool& is_new) noexcept;

  std::vector<Count> counts_;  // kWays neighbours are a bucket
  std::size_t bucket_mask_;
  std::uint64_t n_forgotten_ = 0;
};

}  // namespace hb::nids
