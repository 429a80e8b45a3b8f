#include "nfs/router/router.h"

#include <arpa/inet.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <utility>

#include "nf_lib/decode.h"
#include "nf_lib/limits.h"

namespace hb::router {
namespace {

/// Checking one header takes a small part of a miss.
constexpr std::size_t kPrefetchAhead = 8;

constexpr Verdict drop(Drop reason) { return Verdict::drop(static_cast<std::uint32_t>(reason)); }

/// Sum of the header's 16-bit words, folded: 0xffff when the checksum is right (RFC 1071).
std::uint32_t header_sum(const std::uint8_t* header, std::uint32_t header_bytes) noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < header_bytes; i += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, header + i, sizeof(word));
    sum += word;
  }
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>((sum & 0xffff) + (sum >> 16));
}

/// The checks of RFC 1812 section 5.2.2, then the TTL.
/// @param header  set to the IPv4 header when the packet may be forwarded
/// @return false with a drop verdict when it may not
bool check(rte_mbuf* mbuf, std::uint8_t*& header, Verdict& verdict) noexcept {
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*),
                                      rte_pktmbuf_data_len(mbuf));
  const DecodedPacket packet = decode_packet(frame);
  if (packet.ethertype != kEthertypeIpv4) {
    const bool cut_short = packet.status == DecodeStatus::kMalformed && packet.ethertype == 0;
    verdict = drop(cut_short ? Drop::kBadHeader : Drop::kNotIpv4);
    return false;
  }
  std::uint8_t* const ip = frame.data() + packet.ip_offset;
  // The decoder lets a total length pass that is 0 or exceeds the frame; a router does not.
  const std::uint32_t total = packet.ok() ? (ip[2] << 8 | ip[3]) : 0;
  const std::uint32_t header_bytes = packet.ok() ? (ip[0] & 0x0fu) * 4 : 0;
  if (total < header_bytes || total == 0 || total > frame.size() - packet.ip_offset) {
    verdict = drop(Drop::kBadHeader);
    return false;
  }
  if (header_sum(ip, header_bytes) != 0xffff) {
    verdict = drop(Drop::kBadChecksum);
    return false;
  }
  if (ip[8] <= 1) {
    verdict = drop(Drop::kTtlExpired);
    return false;
  }
  header = ip;
  return true;
}

/// Decrements the TTL and patches the checksum: RFC 1624 equation 3, HC' = ~(~HC + ~m + m').
void decrement_ttl(std::uint8_t* header) noexcept {
  const std::uint32_t before = header[8] << 8 | header[9];  // TTL and protocol share a word
  --header[8];
  const std::uint32_t checksum = header[10] << 8 | header[11];
  std::uint32_t sum = (~checksum & 0xffff) + (~before & 0xffff) + (before - 0x100);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  header[10] = static_cast<std::uint8_t>(sum >> 8);
  header[11] = static_cast<std::uint8_t>(sum);
}

}  // namespace

std::vector<std::string> drop_names() {
  std::vector<std::string> names = {"not_ipv4", "bad_header", "bad_checksum", "ttl_expired",
                                    "no_route"};
  assert(names.size() == static_cast<std::size_t>(Drop::kCount));
  return names;
}

Router::Router(Fib fib, std::vector<MacAddress> port_macs) : fib_(std::move(fib)) {
  for (const NextHop& hop : fib_.next_hops()) {
    assert(hop.port < port_macs.size());
    rewrites_.push_back({.dst = hop.mac, .src = port_macs[hop.port], .port = hop.port});
  }
}

void Router::process_burst(std::span<rte_mbuf* const> burst,
                           std::span<Verdict> verdicts) const noexcept {
  std::array<std::uint8_t*, kMaxBurst> headers;
  std::array<std::uint32_t, kMaxBurst> addresses;
  std::array<std::uint32_t, kMaxBurst> hops;
  std::array<std::uint8_t, kMaxBurst> packet_idx;
  std::size_t n = 0;  // packets that passed the checks
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (i + kPrefetchAhead < burst.size())
      rte_prefetch0(rte_pktmbuf_mtod(burst[i + kPrefetchAhead], void*));
    if (!check(burst[i], headers[n], verdicts[i])) continue;
    std::uint32_t destination = 0;
    std::memcpy(&destination, headers[n] + 16, sizeof(destination));
    addresses[n] = ntohl(destination);
    packet_idx[n++] = static_cast<std::uint8_t>(i);
  }
  fib_.lookup_burst({addresses.data(), n}, {hops.data(), n});
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t i = packet_idx[k];
    if (hops[k] == Fib::kNoRoute) {
      verdicts[i] = drop(Drop::kNoRoute);
      continue;
    }
    const Rewrite& rewrite = rewrites_[hops[k]];
    decrement_ttl(headers[k]);
    auto* const frame = rte_pktmbuf_mtod(burst[i], std::uint8_t*);
    std::copy(rewrite.dst.begin(), rewrite.dst.end(), frame);
    std::copy(rewrite.src.begin(), rewrite.src.end(), frame + 6);
    verdicts[i] = Verdict::to_port(rewrite.port);
  }
}

}  // namespace hb::router
