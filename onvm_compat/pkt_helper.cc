// onvm_pkt_helper.h.
#include "onvm_compat/include/onvm_pkt_helper.h"

#include <rte_ether.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "onvm_compat/include/onvm_pkt_common.h"

namespace {

constexpr uint32_t kIpOffset = sizeof(rte_ether_hdr);
constexpr uint32_t kL4Offset = kIpOffset + sizeof(rte_ipv4_hdr);

/// @return nullptr unless all of it lies in the packet's first segment
template <typename T>
T* header_at(rte_mbuf* pkt, uint32_t offset) {
  if (pkt == nullptr || offset + sizeof(T) > pkt->data_len) return nullptr;
  return rte_pktmbuf_mtod_offset(pkt, T*, offset);
}

bool port_exists(const port_info* ports, uint16_t port) {
  return ports != nullptr && port < RTE_MAX_ETHPORTS && ports->init[port] != 0;
}

/// Prepends n bytes. @return false if there is no room
bool prepend(rte_mbuf* pkt, const void* bytes, size_t n) {
  if (n > UINT16_MAX) return false;
  char* const to = rte_pktmbuf_prepend(pkt, static_cast<uint16_t>(n));
  if (to == nullptr) return false;
  if (n != 0) memcpy(to, bytes, n);
  return true;
}

/// An empty packet with the payload at such a place that the headers fit in front of it.
rte_mbuf* packet_with(rte_mempool* pool, const uint8_t* payload, size_t bytes, size_t headers) {
  rte_mbuf* const pkt = rte_pktmbuf_alloc(pool);
  if (pkt == nullptr) return nullptr;
  if (headers > pkt->buf_len || bytes > pkt->buf_len - headers) {
    rte_pktmbuf_free(pkt);
    return nullptr;
  }
  pkt->data_off = static_cast<uint16_t>(
      std::max<size_t>(headers, std::min<size_t>(RTE_PKTMBUF_HEADROOM, pkt->buf_len - bytes)));
  char* const to = rte_pktmbuf_append(pkt, static_cast<uint16_t>(bytes));
  if (bytes != 0) memcpy(to, payload, bytes);
  return pkt;
}

}  // namespace

extern "C" {

struct rte_ether_hdr* onvm_pkt_ether_hdr(struct rte_mbuf* pkt) {
  return header_at<rte_ether_hdr>(pkt, 0);
}

struct rte_ipv4_hdr* onvm_pkt_ipv4_hdr(struct rte_mbuf* pkt) {
  auto* const ip = header_at<rte_ipv4_hdr>(pkt, kIpOffset);
  return ip != nullptr && ip->version_ihl >> 4 == 4 ? ip : nullptr;
}

struct rte_tcp_hdr* onvm_pkt_tcp_hdr(struct rte_mbuf* pkt) {
  return onvm_pkt_is_tcp(pkt) ? header_at<rte_tcp_hdr>(pkt, kL4Offset) : nullptr;
}

struct rte_udp_hdr* onvm_pkt_udp_hdr(struct rte_mbuf* pkt) {
  return onvm_pkt_is_udp(pkt) ? header_at<rte_udp_hdr>(pkt, kL4Offset) : nullptr;
}

int onvm_pkt_is_ipv4(struct rte_mbuf* pkt) { return onvm_pkt_ipv4_hdr(pkt) != nullptr; }

int onvm_pkt_is_tcp(struct rte_mbuf* pkt) {
  const rte_ipv4_hdr* const ip = onvm_pkt_ipv4_hdr(pkt);
  return ip != nullptr && ip->next_proto_id == IP_PROTOCOL_TCP &&
         header_at<rte_tcp_hdr>(pkt, kL4Offset) != nullptr;
}

int onvm_pkt_is_udp(struct rte_mbuf* pkt) {
  const rte_ipv4_hdr* const ip = onvm_pkt_ipv4_hdr(pkt);
  return ip != nullptr && ip->next_proto_id == IP_PROTOCOL_UDP &&
         header_at<rte_udp_hdr>(pkt, kL4Offset) != nullptr;
}

// --- printing
// --------------------------------------------------------------------------------------

void onvm_pkt_print_ether(struct rte_ether_hdr* hdr) {
  char src[RTE_ETHER_ADDR_FMT_SIZE], dst[RTE_ETHER_ADDR_FMT_SIZE];
  if (hdr == nullptr) return;
  rte_ether_format_addr(src, sizeof(src), &hdr->src_addr);
  rte_ether_format_addr(dst, sizeof(dst), &hdr->dst_addr);
  printf("Ethernet: %s > %s, type 0x%04x\n", src, dst, rte_be_to_cpu_16(hdr->ether_type));
}

void onvm_pkt_print_ipv4(struct rte_ipv4_hdr* hdr) {
  char src[16], dst[16];
  if (hdr == nullptr) return;
  onvm_pkt_parse_char_ip(src, rte_be_to_cpu_32(hdr->src_addr));
  onvm_pkt_parse_char_ip(dst, rte_be_to_cpu_32(hdr->dst_addr));
  printf("IPv4: %s > %s, protocol %u, TTL %u, length %u, id %u, offset %u, checksum 0x%04x\n", src,
         dst, hdr->next_proto_id, hdr->time_to_live, rte_be_to_cpu_16(hdr->total_length),
         rte_be_to_cpu_16(hdr->packet_id), rte_be_to_cpu_16(hdr->fragment_offset),
         rte_be_to_cpu_16(hdr->hdr_checksum));
}

void onvm_pkt_print_tcp(struct rte_tcp_hdr* hdr) {
  if (hdr == nullptr) return;
  uint16_t flags = 0;
  ONVM_PKT_GET_FLAGS(hdr, flags);
  printf("TCP: %u > %u, sequence %u, acknowledged %u, flags 0x%03x, window %u, checksum 0x%04x\n",
         rte_be_to_cpu_16(hdr->src_port), rte_be_to_cpu_16(hdr->dst_port),
         rte_be_to_cpu_32(hdr->sent_seq), rte_be_to_cpu_32(hdr->recv_ack), flags,
         rte_be_to_cpu_16(hdr->rx_win), rte_be_to_cpu_16(hdr->cksum));
}

void onvm_pkt_print_udp(struct rte_udp_hdr* hdr) {
  if (hdr == nullptr) return;
  printf("UDP: %u > %u, length %u, checksum 0x%04x\n", rte_be_to_cpu_16(hdr->src_port),
         rte_be_to_cpu_16(hdr->dst_port), rte_be_to_cpu_16(hdr->dgram_len),
         rte_be_to_cpu_16(hdr->dgram_cksum));
}

void onvm_pkt_print(struct rte_mbuf* pkt) {
  rte_ipv4_hdr* const ip = onvm_pkt_ipv4_hdr(pkt);
  if (ip == nullptr) {
    onvm_pkt_print_ether(onvm_pkt_ether_hdr(pkt));
    return;
  }
  onvm_pkt_print_ipv4(ip);
  onvm_pkt_print_tcp(onvm_pkt_tcp_hdr(pkt));
  onvm_pkt_print_udp(onvm_pkt_udp_hdr(pkt));
}

// --- addresses as text
// -----------------------------------------------------------------------------

int onvm_pkt_parse_ip(char* ip, uint32_t* dest) {
  if (ip == nullptr || dest == nullptr) return -1;
  uint32_t address = 0;
  const char* at = ip;
  while (isspace(static_cast<unsigned char>(*at)) != 0) ++at;
  for (int part = 0; part < 4; ++part) {
    if (part != 0 && *at++ != '.') return -1;
    if (isdigit(static_cast<unsigned char>(*at)) == 0) return -1;
    uint32_t value = 0;
    for (int digits = 0; isdigit(static_cast<unsigned char>(*at)) != 0; ++digits, ++at) {
      value = value * 10 + static_cast<uint32_t>(*at - '0');
      if (digits == 3 || value > 255) return -1;
    }
    address = address << 8 | value;
  }
  while (isspace(static_cast<unsigned char>(*at)) != 0) ++at;
  if (*at != '\0') return -1;
  *dest = address;
  return 0;
}

void onvm_pkt_parse_char_ip(char* dest, uint32_t ip) {
  snprintf(dest, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 0xff, ip >> 8 & 0xff, ip & 0xff);
}

int onvm_pkt_parse_mac(char* mac, uint8_t* dest) {
  if (mac == nullptr || dest == nullptr) return -1;
  uint8_t bytes[RTE_ETHER_ADDR_LEN];
  const char* at = mac;
  for (int i = 0; i < RTE_ETHER_ADDR_LEN; ++i) {
    if (i != 0 && *at++ != ':') return -1;
    if (isxdigit(static_cast<unsigned char>(*at)) == 0) return -1;
    char* end = nullptr;
    const unsigned long value = strtoul(at, &end, 16);
    if (end - at > 2 || value > 0xff) return -1;
    bytes[i] = static_cast<uint8_t>(value);
    at = end;
  }
  if (*at != '\0') return -1;
  memcpy(dest, bytes, sizeof(bytes));
  return 0;
}

// --- changing addresses
// ------------------------------------------------------------------------------

int onvm_pkt_swap_src_mac_addr(struct rte_mbuf* pkt, uint16_t dst_port, struct port_info* table) {
  rte_ether_hdr* const eth = onvm_pkt_ether_hdr(pkt);
  if (eth == nullptr || !port_exists(table, dst_port)) return -1;
  eth->dst_addr = eth->src_addr;
  eth->src_addr = table->mac[dst_port];
  return 0;
}

int onvm_pkt_swap_dst_mac_addr(struct rte_mbuf* pkt, uint16_t src_port, struct port_info* table) {
  rte_ether_hdr* const eth = onvm_pkt_ether_hdr(pkt);
  if (eth == nullptr || !port_exists(table, src_port)) return -1;
  eth->src_addr = eth->dst_addr;
  eth->dst_addr = table->mac[src_port];
  return 0;
}

int onvm_pkt_set_mac_addr(struct rte_mbuf* pkt, uint16_t src_port, uint16_t dst_port,
                          struct port_info* table) {
  rte_ether_hdr* const eth = onvm_pkt_ether_hdr(pkt);
  if (eth == nullptr || !port_exists(table, src_port) || !port_exists(table, dst_port)) return -1;
  eth->src_addr = table->mac[src_port];
  eth->dst_addr = table->mac[dst_port];
  return 0;
}

int onvm_pkt_swap_ether_hdr(struct rte_ether_hdr* hdr) {
  std::swap(hdr->src_addr, hdr->dst_addr);
  return 0;
}

int onvm_pkt_swap_ip_hdr(struct rte_ipv4_hdr* hdr) {
  const rte_be32_t src = hdr->src_addr;
  hdr->src_addr = hdr->dst_addr;
  hdr->dst_addr = src;
  return 0;
}

int onvm_pkt_swap_tcp_hdr(struct rte_tcp_hdr* hdr) {
  const rte_be16_t src = hdr->src_port;
  hdr->src_port = hdr->dst_port;
  hdr->dst_port = src;
  return 0;
}

// --- checksums
// ---------------------------------------------------------------------------------------

void onvm_pkt_set_checksums(struct rte_mbuf* pkt) {
  rte_ipv4_hdr* const ip = onvm_pkt_ipv4_hdr(pkt);
  if (ip == nullptr) return;
  const uint32_t header = (ip->version_ihl & 0xfu) * 4;
  const uint32_t total = rte_be_to_cpu_16(ip->total_length);
  // A header of another length than 20, or a packet cut short, is not what this can sum up.
  if (header < sizeof(*ip) || kIpOffset + header > pkt->data_len) return;
  ip->hdr_checksum = 0;
  ip->hdr_checksum = rte_ipv4_cksum(ip);
  if (header != sizeof(*ip) || total < header || kIpOffset + total > pkt->data_len) return;
  constexpr uint16_t kFragmented = RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK;
  if ((ip->fragment_offset & rte_cpu_to_be_16(kFragmented)) != 0) return;
  if (rte_tcp_hdr* const tcp = onvm_pkt_tcp_hdr(pkt); tcp != nullptr) {
    tcp->cksum = 0;
    tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
  } else if (rte_udp_hdr* const udp = onvm_pkt_udp_hdr(pkt); udp != nullptr) {
    udp->dgram_cksum = 0;
    udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
  }
}

uint32_t onvm_pkt_get_checksum_offload_flags(uint8_t /*port*/) { return 0; }

// --- making packets
// ----------------------------------------------------------------------------------

int onvm_pkt_fill_udp(struct rte_udp_hdr* hdr, uint16_t src_port, uint16_t dst_port,
                      uint16_t payload_bytes) {
  hdr->src_port = rte_cpu_to_be_16(src_port);
  hdr->dst_port = rte_cpu_to_be_16(dst_port);
  hdr->dgram_len = rte_cpu_to_be_16(static_cast<uint16_t>(sizeof(*hdr) + payload_bytes));
  hdr->dgram_cksum = 0;
  return 0;
}

int onvm_pkt_fill_ipv4(struct rte_ipv4_hdr* hdr, uint32_t src, uint32_t dst, uint8_t protocol) {
  memset(hdr, 0, sizeof(*hdr));
  hdr->version_ihl = IPV4_VERSION_IHL;
  hdr->time_to_live = IPV4_TTL;
  hdr->next_proto_id = protocol;
  hdr->src_addr = rte_cpu_to_be_32(src);
  hdr->dst_addr = rte_cpu_to_be_32(dst);
  return 0;
}

int onvm_pkt_fill_ether(struct rte_ether_hdr* hdr, int port, struct rte_ether_addr* dst_mac,
                        struct port_info* table) {
  if (port >= 0 && port_exists(table, static_cast<uint16_t>(port)))
    hdr->src_addr = table->mac[port];
  else
    onvm_get_fake_macaddr(&hdr->src_addr);
  hdr->dst_addr = *dst_mac;
  hdr->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
  return 0;
}

struct rte_mbuf* onvm_pkt_generate_tcp(struct rte_mempool* pool, struct rte_tcp_hdr* tcp,
                                       struct rte_ipv4_hdr* ip, struct rte_ether_hdr* eth,
                                       uint8_t* options, size_t option_bytes, uint8_t* payload,
                                       size_t payload_bytes) {
  const size_t headers = sizeof(*eth) + sizeof(*ip) + sizeof(*tcp) + option_bytes;
  rte_mbuf* const pkt = packet_with(pool, payload, payload_bytes, headers);
  if (pkt == nullptr) return nullptr;
  rte_ipv4_hdr ip_hdr = *ip;
  ip_hdr.total_length = rte_cpu_to_be_16(
      static_cast<uint16_t>(sizeof(*ip) + sizeof(*tcp) + option_bytes + payload_bytes));
  rte_tcp_hdr tcp_hdr = *tcp;
  tcp_hdr.data_off =
      static_cast<uint8_t>((tcp_hdr.data_off & 0x0f) | (sizeof(*tcp) + option_bytes) / 4 << 4);
  prepend(pkt, options, option_bytes);
  prepend(pkt, &tcp_hdr, sizeof(tcp_hdr));
  prepend(pkt, &ip_hdr, sizeof(ip_hdr));
  prepend(pkt, eth, sizeof(*eth));
  onvm_pkt_set_checksums(pkt);
  return pkt;
}

struct rte_mbuf* onvm_pkt_generate_udp(struct rte_mempool* pool, struct rte_udp_hdr* udp,
                                       struct rte_ipv4_hdr* ip, struct rte_ether_hdr* eth,
                                       uint8_t* payload, size_t payload_bytes) {
  const size_t headers = sizeof(*eth) + sizeof(*ip) + sizeof(*udp);
  rte_mbuf* const pkt = packet_with(pool, payload, payload_bytes, headers);
  if (pkt == nullptr) return nullptr;
  rte_udp_hdr udp_hdr = *udp;
  udp_hdr.dgram_len = rte_cpu_to_be_16(static_cast<uint16_t>(sizeof(*udp) + payload_bytes));
  rte_ipv4_hdr ip_hdr = *ip;
  ip_hdr.total_length =
      rte_cpu_to_be_16(static_cast<uint16_t>(sizeof(*ip) + sizeof(*udp) + payload_bytes));
  prepend(pkt, &udp_hdr, sizeof(udp_hdr));
  prepend(pkt, &ip_hdr, sizeof(ip_hdr));
  prepend(pkt, eth, sizeof(*eth));
  onvm_pkt_set_checksums(pkt);
  return pkt;
}

struct rte_mbuf* onvm_pkt_generate_udp_sample(struct rte_mempool* pool) {
  uint8_t payload[] = "Hello World";
  rte_udp_hdr udp;
  rte_ipv4_hdr ip;
  rte_ether_hdr eth;
  rte_ether_addr mac;
  onvm_get_fake_macaddr(&mac);
  onvm_pkt_fill_udp(&udp, UDP_SAMPLE_SRC_PORT, UDP_SAMPLE_DST_PORT, sizeof(payload));
  onvm_pkt_fill_ipv4(&ip, IPV4_SAMPLE_SRC, IPV4_SAMPLE_DST, IP_PROTOCOL_UDP);
  onvm_pkt_fill_ether(&eth, SAMPLE_NIC_PORT, &mac, ports);
  return onvm_pkt_generate_udp(pool, &udp, &ip, &eth, payload, sizeof(payload));
}

}  // extern "C"
