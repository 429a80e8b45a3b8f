#include "manager/generator_sample.h"

#include <algorithm>
#include <cstring>

#include "nf_lib/packet_meta.h"

namespace hb {
namespace {

constexpr std::uint64_t kNumber = ~std::uint64_t{0} << 32;

}  // namespace

void GeneratorSample::begin(std::uint32_t n_packets) {
  if (!kept_) kept_ = std::make_unique<Kept[]>(kMostPackets);
  const std::uint64_t number = (asked_.load(std::memory_order_relaxed) & kNumber) + (1ull << 32);
  // Release: pairs with the acquire in take(), so the TX thread finds the buffers. It alone writes
  // them, from the first on once it has seen this.
  asked_.store(number | std::min(n_packets, kMostPackets), std::memory_order_release);
}

void GeneratorSample::take(std::span<rte_mbuf* const> burst) noexcept {
  // Acquire: pairs with the release in begin().
  const std::uint64_t asked = asked_.load(std::memory_order_acquire);
  if (asked != current_) {
    current_ = asked;
    n_ = 0;
  }
  const auto wanted = static_cast<std::uint32_t>(asked);
  if (n_ < wanted) {
    // Another place of each burst: bursts begin where rounds of a device do.
    rte_mbuf* const mbuf = burst[n_ % burst.size()];
    Kept& kept = kept_[n_++];
    kept.capture_ns = packet_meta(mbuf).capture_ns;
    kept.bytes = mbuf->data_len;
    std::memcpy(kept.data, rte_pktmbuf_mtod(mbuf, const void*), std::min(kept.bytes, kMostBytes));
    // Release: pairs with the acquire in write(), so an entry that counts is whole.
    taken_.store((asked & kNumber) | n_, std::memory_order_release);
  }
  if (n_ >= wanted) finished_ = asked;
}

std::uint32_t GeneratorSample::write(pcap_dumper_t* out) const noexcept {
  // Acquire: pairs with the release in take().
  const std::uint64_t taken = taken_.load(std::memory_order_acquire);
  if (((taken ^ asked_.load(std::memory_order_relaxed)) & kNumber) != 0) return 0;
  const auto n = static_cast<std::uint32_t>(taken);
  for (std::uint32_t i = 0; i < n; ++i) {
    const Kept& kept = kept_[i];
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<decltype(header.ts.tv_sec)>(kept.capture_ns / 1'000'000'000);
    // A capture with nanoseconds has them in this field.
    header.ts.tv_usec = static_cast<decltype(header.ts.tv_usec)>(kept.capture_ns % 1'000'000'000);
    header.len = kept.bytes;
    header.caplen = std::min(kept.bytes, kMostBytes);
    pcap_dump(reinterpret_cast<u_char*>(out), &header, kept.data);
  }
  return n;
}

}  // namespace hb
