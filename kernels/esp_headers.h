// ESP in tunnel mode without its ciphers: outer headers, trailers, ECN. Both twins call these.
// Source: RFC 4303 section 2, RFC 4301 section 5.1.2, RFC 6040 section 4.
#ifndef HB_KERNELS_ESP_HEADERS_H
#define HB_KERNELS_ESP_HEADERS_H

#include "esp_layout.h"

DEVICE u32 hb_be16(GLOBAL const u8* p) { return ((u32)p[0] << 8) | (u32)p[1]; }
DEVICE u32 hb_be32(GLOBAL const u8* p) { return (hb_be16(p) << 16) | hb_be16(p + 2); }
DEVICE void hb_put_be16(GLOBAL u8* p, u32 v) {
  p[0] = (u8)(v >> 8);
  p[1] = (u8)v;
}
DEVICE void hb_put_be32(GLOBAL u8* p, u32 v) {
  hb_put_be16(p, v >> 16);
  hb_put_be16(p + 2, v);
}

/// RFC 1071 over an IPv4 header, as its checksum field wants it when that field is 0; 0 over a
/// header whose checksum is right.
DEVICE u32 hb_ip4_checksum(GLOBAL const u8* header, u32 bytes) {
  u32 sum = 0;
  for (u32 i = 0; i < bytes; i += 2) sum += hb_be16(header + i);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return ~sum & 0xffffu;
}

/// Changes one 16-bit word of an IPv4 header and patches the checksum: RFC 1624 equation 3.
DEVICE void hb_ip4_patch(GLOBAL u8* header, u32 offset, u32 value) {
  u32 sum = (~hb_be16(header + 10) & 0xffffu) + (~hb_be16(header + offset) & 0xffffu) + value;
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  hb_put_be16(header + offset, value);
  hb_put_be16(header + 10, ~sum & 0xffffu);
}

/// The TOS byte or traffic class of a header, by its version: DSCP in bits 2..7, ECN in 0..1.
DEVICE u32 hb_ip_tos(GLOBAL const u8* ip) {
  return (ip[0] >> 4) == 4 ? (u32)ip[1] : (hb_be16(ip) >> 4) & 0xffu;
}

DEVICE void hb_ip_set_tos(GLOBAL u8* ip, u32 tos) {
  if ((ip[0] >> 4) == 4)
    hb_ip4_patch(ip, 0, ((u32)ip[0] << 8) | tos);
  else
    hb_put_be16(ip, (hb_be16(ip) & 0xf00fu) | (tos << 4));
}

/// Takes one from the TTL or hop limit, which is above 1.
DEVICE void hb_ip_decrement_ttl(GLOBAL u8* ip) {
  if ((ip[0] >> 4) == 4)
    hb_ip4_patch(ip, 8, hb_be16(ip + 8) - 0x100u);
  else
    ip[7] -= 1;
}

/// Bytes of the sealed part: packet, padding, its length, next header.
DEVICE u32 hb_esp_sealed_bytes(GLOBAL const HbEspSa* sa, u32 inner_bytes) {
  return (inner_bytes + 2 + sa->block_bytes - 1) & ~(sa->block_bytes - 1);
}

/// Bytes of the whole ESP packet behind the outer header.
DEVICE u32 hb_esp_bytes(GLOBAL const HbEspSa* sa, u32 sealed_bytes) {
  return HB_ESP_HEADER_BYTES + sa->iv_bytes + sealed_bytes + sa->icv_bytes;
}

/// Writes the outer header, sa->outer_bytes of it.
/// @param inner  the packet's own IP header
/// @param id     identification, used when the packet may be fragmented (RFC 6864 section 4.1)
DEVICE void hb_esp_write_outer(GLOBAL u8* out, GLOBAL const HbEspSa* sa, GLOBAL const u8* inner,
                               u32 esp_bytes, u32 id) {
  const u32 inner_tos = hb_ip_tos(inner);
  const u32 tos = ((sa->flags & HB_ESP_ZERO_DSCP) != 0 ? 0 : inner_tos & 0xfcu) |
                  ((sa->flags & HB_ESP_NOECN) != 0 ? 0 : inner_tos & 3u);
  for (u32 i = 0; i < sa->outer_bytes; ++i) out[i] = sa->outer[i];
  if (sa->outer_bytes == 20) {
    // RFC 4301 section 8.1. IPv6 knows no fragmentation on the way: as if DF were set.
    const u32 inner_df = (inner[0] >> 4) == 4 ? inner[6] & 0x40u : 0x40u;
    const u32 df = (sa->flags & HB_ESP_CLEAR_DF) != 0 ? 0 : inner_df;
    out[1] = (u8)tos;
    hb_put_be16(out + 2, 20 + esp_bytes);
    hb_put_be16(out + 4, df != 0 ? 0 : id);
    out[6] = (u8)df;
    hb_put_be16(out + 10, hb_ip4_checksum(out, 20));
  } else {
    hb_put_be16(out, 0x6000u | (tos << 4));
    hb_put_be16(out + 4, esp_bytes);
  }
}

DEVICE void hb_esp_write_header(GLOBAL u8* esp, GLOBAL const HbEspSa* sa, u64 sequence) {
  hb_put_be32(esp, sa->spi);
  hb_put_be32(esp + 4, (u32)sequence);
}

/// Padding 1, 2, 3, ... (RFC 4303 section 2.4), its length, next header: 4 or 41.
/// @param inner  the packet; the bytes up to sealed_bytes follow it
DEVICE void hb_esp_write_trailer(GLOBAL u8* inner, u32 inner_bytes, u32 sealed_bytes) {
  const u32 pad = sealed_bytes - inner_bytes - 2;
  for (u32 i = 0; i < pad; ++i) inner[inner_bytes + i] = (u8)(i + 1);
  inner[sealed_bytes - 2] = (u8)pad;
  inner[sealed_bytes - 1] = (inner[0] >> 4) == 4 ? 4 : 41;
}

#define HB_ESP_BAD_PADDING 0xffffffffu

/// Checks the padding of an opened packet.
/// @return bytes in front of the padding, or HB_ESP_BAD_PADDING
DEVICE u32 hb_esp_check_trailer(GLOBAL const u8* sealed, u32 sealed_bytes) {
  const u32 pad = sealed[sealed_bytes - 2];
  if (pad + 2 > sealed_bytes) return HB_ESP_BAD_PADDING;
  const u32 inner_bytes = sealed_bytes - 2 - pad;
  u32 wrong = 0;
  for (u32 i = 0; i < pad; ++i) wrong |= (u32)sealed[inner_bytes + i] ^ ((i + 1) & 0xffu);
  return wrong != 0 ? HB_ESP_BAD_PADDING : inner_bytes;
}

#define HB_ESP_ECN_DROP 4u

/// RFC 6040 figure 4: the ECN field that leaves the tunnel.
/// @return 0..3, or HB_ESP_ECN_DROP: congestion was met that the inner packet can't tell of
DEVICE u32 hb_esp_ecn(u32 inner, u32 outer) {
  if (outer == 3) return inner == 0 ? HB_ESP_ECN_DROP : 3;
  if (inner == 2 && outer == 1) return 1;
  return inner;
}

/// Carries TOS bits from the outer header of an opened packet to the inner one.
/// @return 0 if the packet is to be dropped
DEVICE u32 hb_esp_merge_tos(GLOBAL u8* inner, u32 outer_tos, u32 flags) {
  const u32 before = hb_ip_tos(inner);
  u32 after = before;
  if ((flags & HB_ESP_DECAP_DSCP) != 0) after = (after & 3u) | (outer_tos & 0xfcu);
  if ((flags & HB_ESP_NOECN) == 0) {
    const u32 ecn = hb_esp_ecn(before & 3u, outer_tos & 3u);
    if (ecn == HB_ESP_ECN_DROP) return 0;
    after = (after & 0xfcu) | ecn;
  }
  if (after != before) hb_ip_set_tos(inner, after);
  return 1;
}

#endif  // HB_KERNELS_ESP_HEADERS_H
