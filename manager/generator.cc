#include "manager/generator.h"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <rte_cycles.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "nf_lib/decode.h"

namespace hb {
namespace {

// Where the fields that differ lie in a packet.
constexpr std::size_t kIpStart = 14;
constexpr std::size_t kTotalLengthAt = 16;
constexpr std::size_t kIdentificationAt = 18;
constexpr std::size_t kChecksumAt = 24;
constexpr std::size_t kSourceAt = 26;
constexpr std::size_t kUdpLengthAt = 38;
constexpr std::uint32_t kFirstSource = 10u << 24 | 1;  // 10.0.0.1
/// A thread that was away longer than this does not make up for it with a burst.
constexpr double kMostDebtSeconds = 0.001;
constexpr std::uint32_t kLeastDebtPackets = 64;

/// Bytes of a payload by which it is recognised, in as many places.
constexpr std::uint32_t kSampleBytes = 16;
constexpr std::uint32_t kSamples = 4;

/// Whether the bytes are those, as far as samples say.
bool looks_like(const std::uint8_t* bytes, const std::uint8_t* those, std::uint32_t n) noexcept {
  if (n < kSamples * kSampleBytes) return std::memcmp(bytes, those, n) == 0;
  for (std::uint32_t i = 0; i < kSamples; ++i) {
    const std::uint32_t at = (n - kSampleBytes) * i / (kSamples - 1);
    if (std::memcmp(bytes + at, those + at, kSampleBytes) != 0) return false;
  }
  return true;
}

/// Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4.
std::size_t spread(const std::uint8_t* buffer, std::size_t n) noexcept {
  const std::uint64_t hash = (reinterpret_cast<std::uint64_t>(buffer) >> 6) * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
}

void store_be16(std::uint8_t* at, std::uint32_t value) noexcept {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

/// MAC addresses of nobody; 198.18.0.0/15 is for benchmarks (RFC 2544 appendix C.2.2); port 9 is
/// discard; a UDP checksum of 0 says that there is none (RFC 768).
constexpr std::array<std::uint8_t, kGeneratedHeaderBytes> kHeader = {
    0x02, 0, 0, 0, 0, 2, 0x02, 0, 0,  0,  0, 1, 0x08, 0,                       // Ethernet, IPv4
    0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0,    0, 0, 0, 198, 18, 0, 1,  // DF, TTL 64, UDP
    0xc0, 0, 0, 9, 0, 0, 0,    0};

}  // namespace

std::vector<std::uint16_t> imix_sizes() {
  return {64, 594, 64, 594, 64, 64, 1518, 64, 594, 64, 594, 64};
}

Result<std::vector<std::uint8_t>> load_payloads(const std::string& path) {
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  pcap_t* const capture = pcap_open_offline(path.c_str(), reason.data());
  if (capture == nullptr)
    return Error{fmt::format("payload file '{}' is no readable capture: {}", path, reason.data()),
                 "give a pcap or pcapng file"};
  std::vector<std::uint8_t> all;
  pcap_pkthdr* header = nullptr;
  const std::uint8_t* bytes = nullptr;
  while (pcap_next_ex(capture, &header, &bytes) == 1) {
    const std::span frame(bytes, header->caplen);
    const DecodedPacket packet = decode_packet(frame);
    if (!packet.ok() || (packet.l4 != L4Kind::kTcp && packet.l4 != L4Kind::kUdp)) continue;
    const auto payload = frame.subspan(packet.l4_payload_offset, packet.l4_payload_length);
    all.insert(all.end(), payload.begin(), payload.end());
  }
  pcap_close(capture);
  if (all.empty())
    return Error{fmt::format("payload file '{}' has no TCP or UDP payload", path),
                 "give a capture that has some"};
  return all;
}

std::size_t LatencyHistogram::index(std::uint64_t ns) noexcept {
  if (ns < 16) return ns;
  const auto exponent = static_cast<std::size_t>(std::bit_width(ns)) - 1;  // 4..63
  return (exponent - 3) * 16 + ((ns >> (exponent - 4)) & 15);
}

std::uint64_t LatencyHistogram::upper_edge(std::size_t bucket) noexcept {
  if (bucket < 16) return bucket;
  const std::size_t exponent = bucket / 16 + 3;
  return ((std::uint64_t{16} + bucket % 16 + 1) << (exponent - 4)) - 1;
}

std::uint64_t LatencyHistogram::count() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& bucket : buckets_) sum += bucket.load(std::memory_order_relaxed);
  return sum;
}

std::uint64_t LatencyHistogram::quantile_ns(double part) const noexcept {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(total - 1)) + 1;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    sum += buckets_[i].load(std::memory_order_relaxed);
    if (sum >= wanted) return upper_edge(i);
  }
  return upper_edge(kBuckets - 1);
}

void LatencyHistogram::add_all(const LatencyHistogram& other) noexcept {
  for (std::size_t i = 0; i < kBuckets; ++i)
    buckets_[i].store(buckets_[i].load(std::memory_order_relaxed) +
                          other.buckets_[i].load(std::memory_order_relaxed),
                      std::memory_order_relaxed);
}

void LatencyHistogram::subtract(const LatencyHistogram& earlier) noexcept {
  for (std::size_t i = 0; i < kBuckets; ++i)
    buckets_[i].store(buckets_[i].load(std::memory_order_relaxed) -
                          earlier.buckets_[i].load(std::memory_order_relaxed),
                      std::memory_order_relaxed);
}

GeneratorQueue::GeneratorQueue(const GeneratorSpec& spec, const std::vector<std::uint8_t>& payload,
                               std::uint32_t queue, std::uint32_t n_queues)
    : sizes_(spec.sizes),
      is_blank_(spec.is_blank),
      payload_(payload),
      first_flow_(queue),
      n_queues_(n_queues),
      n_flows_(spec.n_flows),
      rate_pps_(spec.rate_pps),
      flow_(queue) {
  std::ranges::copy(kHeader, header_.begin());
  for (std::size_t i = kIpStart; i < kIpStart + 20; i += 2)
    header_sum_ += static_cast<std::uint32_t>(kHeader[i] << 8 | kHeader[i + 1]);
  if (!payload.empty()) n_starts_ = payload.size() - *std::ranges::max_element(spec.sizes) + 1;
}

void GeneratorQueue::follow_rate() noexcept {
  followed_pps_ = rate_pps_.load(std::memory_order_relaxed);
  // Every flow has the same share of the rate.
  const std::uint32_t own_flows = (n_flows_ - first_flow_ + n_queues_ - 1) / n_queues_;
  per_cycle_ = static_cast<double>(followed_pps_) * own_flows / n_flows_ /
               static_cast<double>(rte_get_tsc_hz());
  started_ = 0;
  sent_ = 0;
}

std::uint32_t GeneratorQueue::allowed(std::uint32_t n, std::uint64_t tsc) noexcept {
  if (first_flow_ >= n_flows_ && !is_blank_) return 0;
  if (rate_pps_.load(std::memory_order_relaxed) != followed_pps_) follow_rate();
  if (per_cycle_ == 0) return n;
  n = due(n, tsc);
  sent_ += n;
  return n;
}

std::uint32_t GeneratorQueue::due(std::uint32_t n, std::uint64_t tsc) noexcept {
  if (started_ == 0) started_ = tsc;
  const double due = static_cast<double>(tsc - started_) * per_cycle_ - static_cast<double>(sent_);
  if (due < 1) return 0;
  const double most = std::max<double>(
      kLeastDebtPackets, kMostDebtSeconds * per_cycle_ * static_cast<double>(rte_get_tsc_hz()));
  if (due > most) {  // the count starts again from what may still be sent
    started_ = tsc - static_cast<std::uint64_t>(most / per_cycle_);
    sent_ = 0;
  }
  return std::min(n, static_cast<std::uint32_t>(std::min(due, most)));
}

std::uint16_t GeneratorQueue::make(std::uint8_t* packet) noexcept {
  const std::uint16_t size = sizes_[size_idx_];
  if (++size_idx_ == sizes_.size()) size_idx_ = 0;
  if (is_blank_) return size;
  write(packet, size);
  flow_ += n_queues_;
  if (flow_ >= n_flows_) flow_ = first_flow_;
  return size;
}

void GeneratorQueue::write(std::uint8_t* packet, std::uint32_t size) noexcept {
  std::memcpy(packet, header_.data(), kGeneratedHeaderBytes);
  const std::uint32_t length = size - kIpStart;
  const std::uint32_t source = kFirstSource + flow_;
  const std::uint32_t id = number_++;
  // RFC 1071: the sum of all words, its carries folded back twice.
  std::uint32_t sum = header_sum_ + length + id + (source >> 16) + (source & 0xffff);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(packet + kTotalLengthAt, length);
  store_be16(packet + kIdentificationAt, id);
  store_be16(packet + kChecksumAt, ~sum & 0xffff);
  store_be16(packet + kSourceAt, source >> 16);
  store_be16(packet + kSourceAt + 2, source & 0xffff);
  store_be16(packet + kUdpLengthAt, length - 20);
  if (n_starts_ != 0) write_payload(packet + kGeneratedHeaderBytes, size - kGeneratedHeaderBytes);
}

void GeneratorQueue::write_payload(std::uint8_t* at, std::uint32_t bytes) const noexcept {
  const std::uint8_t* const piece = payload_.data() + spread(at, n_starts_);
  if (!looks_like(at, piece, bytes)) std::memcpy(at, piece, bytes);
}

}  // namespace hb
