#include "nfs/nids/threshold_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace hb::nids {
namespace {

/// Mixes 64 bits: the finaliser of MurmurHash3.
std::uint64_t mixed(std::uint64_t v) noexcept {
  v ^= v >> 33;
  v *= 0xff51afd7ed558ccdULL;
  v ^= v >> 33;
  v *= 0xc4ceb9fe1a85ec53ULL;
  return v ^ (v >> 33);
}

std::uint64_t hash_of(std::uint64_t seed, const std::array<std::uint8_t, 16>& bytes) noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, bytes.data(), sizeof halves);
  return mixed(mixed(seed ^ halves[0]) ^ halves[1]);
}

}  // namespace

ThresholdTable::ThresholdTable(std::size_t n_counts) {
  const std::size_t n_buckets = std::bit_ceil(std::max<std::size_t>(n_counts / kWays, 1));
  bucket_mask_ = n_buckets - 1;
  counts_.resize(n_buckets * kWays);
}

ThresholdTable::Count& ThresholdTable::find(const Key& key, bool& is_new) noexcept {
  const std::uint64_t hash = hash_of(hash_of(mixed(key.rule), key.a), key.b);
  Count* const bucket = &counts_[(hash & bucket_mask_) * kWays];
  Count* oldest = bucket;
  for (std::size_t i = 0; i < kWays; ++i) {
    Count& count = bucket[i];
    if (count.used && count.key == key) {
      is_new = false;
      return count;
    }
    if (!count.used) {
      if (oldest->used) oldest = &count;
    } else if (oldest->used && count.start_ns < oldest->start_ns) {
      oldest = &count;
    }
  }
  n_forgotten_ += oldest->used;
  oldest->key = key;
  oldest->used = true;
  is_new = true;
  return *oldest;
}

ThresholdAnswer ThresholdTable::count(const Threshold& threshold, std::uint64_t rule_key,
                                      const DecodedPacket& packet, std::uint64_t now_ns) noexcept {
  Key key{.rule = rule_key, .ip_version = packet.ip_version, .a = {}, .b = {}};
  switch (threshold.track) {
    case Threshold::Track::kBySource:
      key.a = packet.src;
      break;
    case Threshold::Track::kByDestination:
      key.a = packet.dst;
      break;
    case Threshold::Track::kByBoth:
      key.a = std::min(packet.src, packet.dst);
      key.b = std::max(packet.src, packet.dst);
      break;
    case Threshold::Track::kByRule:
      key.ip_version = 0;
      break;
  }
  bool is_new = false;
  Count& entry = find(key, is_new);
  const std::uint64_t period_ns = std::uint64_t{threshold.seconds} * 1'000'000'000;
  // A packet from before the period's begin starts a new one: the difference wraps to a large one.
  if (is_new || now_ns - entry.start_ns >= period_ns) {
    entry.start_ns = now_ns;
    entry.n = 0;
  }
  if (entry.n != UINT32_MAX) ++entry.n;
  switch (threshold.kind) {
    case Threshold::Kind::kLimit:
      return entry.n <= threshold.count ? ThresholdAnswer::kAlert : ThresholdAnswer::kActionOnly;
    case Threshold::Kind::kThreshold:
      if (entry.n < threshold.count) return ThresholdAnswer::kNothing;
      entry.n = 0;
      return ThresholdAnswer::kAlert;
    case Threshold::Kind::kBoth:
      if (entry.n < threshold.count) return ThresholdAnswer::kNothing;
      return entry.n == threshold.count ? ThresholdAnswer::kAlert : ThresholdAnswer::kActionOnly;
    case Threshold::Kind::kFilter:
      break;
  }
  return entry.n > threshold.count ? ThresholdAnswer::kAlert : ThresholdAnswer::kNothing;
}

}  // namespace hb::nids
