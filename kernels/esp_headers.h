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

/// RFC 1071 over an IPv4 header, as its checksum field wants it when that field is 0; 0 over a
/// header whose checksum is right.
DEVICE u32 hb_ip4_checksum(GLOBAL const u8* header, u32 bytes) {
  u32 sum = 0;
  for (u32 i = 0; i < bytes; i += 2) sum += hb_be16(header + i);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return ~sum & 0xffffu;
}

/// A header's checksum once one of its 16-bit words has changed: RFC 1624 equation 3.
DEVICE u32 hb_patched_checksum(u32 checksum, u32 before, u32 after) {
  u32 sum = (~checksum & 0xffffu) + (~before & 0xffffu) + after;
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return ~sum & 0xffffu;
}

/// Changes one 16-bit word of an IPv4 header and patches the checksum.
DEVICE void hb_ip4_patch(GLOBAL u8* header, u32 offset, u32 value) {
  hb_put_be16(header + 10,
              hb_patched_checksum(hb_be16(header + 10), hb_be16(header + offset), value));
  hb_put_be16(header + offset, value);
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

DEVICE u32 hb_ip_ttl(GLOBAL const u8* ip) { return (ip[0] >> 4) == 4 ? ip[8] : ip[7]; }

/// The length that an IP header states, header included.
/// @param available  bytes from the header on
/// @return 0 if it is none that can be true
DEVICE u32 hb_ip_stated_bytes(GLOBAL const u8* ip, u32 available) {
  if (available < 20) return 0;
  if ((ip[0] >> 4) == 4) {
    const u32 header = (ip[0] & 15u) * 4;
    const u32 total = hb_be16(ip + 2);
    return header >= 20 && total >= header && total <= available ? total : 0;
  }
  if ((ip[0] >> 4) != 6 || available < 40) return 0;
  const u32 payload = hb_be16(ip + 4);
  // Length 0 is a jumbogram's (RFC 2675), unless nothing follows.
  if (payload == 0 && ip[6] != 59) return 0;
  return payload <= available - 40 ? payload + 40 : 0;
}

/// The same, from the header's first four words; whether so many bytes are there is not known yet.
DEVICE u32 hb_esp_stated_bytes(const u32* words) {
  if (words[0] >> 28 == 4u) {
    const u32 header = ((words[0] >> 24) & 15u) * 4u;
    const u32 total = words[0] & 0xffffu;
    return header >= 20u && total >= header ? total : 0;
  }
  const u32 payload = words[1] >> 16;
  if (words[0] >> 28 != 6u || (payload == 0 && ((words[1] >> 8) & 0xffu) != 59u)) return 0;
  return payload + 40u;
}

/// Writes the Ethernet type in front of an IP header, for its version.
DEVICE void hb_ip_set_ethertype(GLOBAL u8* ip) {
  hb_put_be16(ip - 2, (ip[0] >> 4) == 4 ? 0x0800u : 0x86ddu);
}

/// Bytes of the sealed part: packet, padding, its length, next header.
DEVICE u32 hb_esp_sealed_bytes(GLOBAL const HbEspSa* sa, u32 inner_bytes) {
  return (inner_bytes + 2 + sa->block_bytes - 1) & ~(sa->block_bytes - 1);
}

/// Bytes of the whole ESP packet behind the outer header.
DEVICE u32 hb_esp_bytes(GLOBAL const HbEspSa* sa, u32 sealed_bytes) {
  return HB_ESP_HEADER_BYTES + sa->iv_bytes + sealed_bytes + sa->icv_bytes;
}

/// The words of an outer header that differ from packet to packet, as numbers of 32 bits: three of
/// an IPv4 header, two of an IPv6 header. The rest is the template's.
typedef struct HbEspOuter {
  u32 first;
  u32 second;
  u32 third;
} HbEspOuter;

/// @param inner_tos  of the packet's own IP header
/// @param inner_df   0x40 if its DF is set or it is IPv6, which knows no fragmentation on the way
/// @param id         identification, used when the packet may be fragmented (RFC 6864 section 4.1)
DEVICE HbEspOuter hb_esp_outer(GLOBAL const HbEspSa* sa, u32 inner_tos, u32 inner_df, u32 esp_bytes,
                               u32 id) {
  const u32 tos = ((sa->flags & HB_ESP_ZERO_DSCP) != 0 ? 0 : inner_tos & 0xfcu) |
                  ((sa->flags & HB_ESP_NOECN) != 0 ? 0 : inner_tos & 3u);
  HbEspOuter outer;
  outer.third = hb_be32(sa->outer + 8);
  if (sa->outer_bytes == 20) {
    const u32 df = (sa->flags & HB_ESP_CLEAR_DF) != 0 ? 0 : inner_df;  // RFC 4301 section 8.1
    outer.first = 0x45000000u | (tos << 16) | (20 + esp_bytes);
    outer.second = df != 0 ? df << 8 : id << 16;
    // The template's checksum has the rest.
    u32 sum = (~outer.third & 0xffffu) + tos + (20 + esp_bytes) + (df != 0 ? df << 8 : id);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    outer.third = (outer.third & 0xffff0000u) | (~sum & 0xffffu);
  } else {
    outer.first = 0x60000000u | (tos << 20);
    outer.second = (esp_bytes << 16) | hb_be16(sa->outer + 6);
  }
  return outer;
}

/// Makes the outer header: sa->outer_bytes of it, likewise. Parameters as above.
/// @param words  ten
DEVICE void hb_esp_outer_words(u32* words, GLOBAL const HbEspSa* sa, u32 inner_tos, u32 inner_df,
                               u32 esp_bytes, u32 id) {
  const HbEspOuter outer = hb_esp_outer(sa, inner_tos, inner_df, esp_bytes, id);
  words[0] = outer.first;
  words[1] = outer.second;
  words[2] = outer.third;
  for (u32 i = 3; i < 10; ++i) words[i] = hb_be32(sa->outer + 4 * i);
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

#define HB_ESP_TOS_DROP 0x100u

/// The TOS byte that leaves the tunnel.
/// @return HB_ESP_TOS_DROP if the packet is to be dropped
DEVICE u32 hb_esp_merged_tos(u32 inner, u32 outer, u32 flags) {
  if ((flags & HB_ESP_DECAP_DSCP) != 0) inner = (inner & 3u) | (outer & 0xfcu);
  if ((flags & HB_ESP_NOECN) != 0) return inner;
  const u32 ecn = hb_esp_ecn(inner & 3u, outer & 3u);
  return ecn == HB_ESP_ECN_DROP ? HB_ESP_TOS_DROP : (inner & 0xfcu) | ecn;
}

/// Carries TOS bits from the outer header of an opened packet to the inner one.
/// @return 0 if the packet is to be dropped
DEVICE u32 hb_esp_merge_tos(GLOBAL u8* inner, u32 outer_tos, u32 flags) {
  const u32 before = hb_ip_tos(inner);
  const u32 after = hb_esp_merged_tos(before, outer_tos, flags);
  if (after == HB_ESP_TOS_DROP) return 0;
  if (after != before) hb_ip_set_tos(inner, after);
  return 1;
}

/// What an opened packet turned out to be.
typedef struct HbEspOpened {
  u32 inner_bytes;  ///< of the packet inside; 0: it is dropped,
  u32 drop;         ///< for this HB_ESP_DROP_*
} HbEspOpened;

/// Finishes a frame whose ICV was right and whose sealed part is plain: checks padding and the
/// packet inside, carries TOS bits over and moves the Ethernet header in front of it.
/// @param ip_at      of the outer IP header, from the frame's start
/// @param sealed_at  of the sealed part, likewise
DEVICE HbEspOpened hb_esp_finish_open(GLOBAL u8* frame, GLOBAL const HbEspSa* sa, u32 ip_at,
                                      u32 sealed_at, u32 sealed_bytes) {
  GLOBAL u8* inner = frame + sealed_at;
  HbEspOpened opened;
  opened.inner_bytes = 0;
  opened.drop = HB_ESP_DROP_BAD_PADDING;
  const u32 plain_bytes = hb_esp_check_trailer(inner, sealed_bytes);
  if (plain_bytes == HB_ESP_BAD_PADDING) return opened;
  const u32 next_header = inner[sealed_bytes - 1];
  opened.drop = HB_ESP_DROP_DUMMY;
  if (next_header == 59) return opened;
  opened.drop = HB_ESP_DROP_BAD_INNER;
  const u32 inner_bytes = hb_ip_stated_bytes(inner, plain_bytes);  // the rest hides the length
  if (inner_bytes == 0 || next_header != ((inner[0] >> 4) == 4 ? 4u : 41u)) return opened;
  opened.drop = HB_ESP_DROP_CONGESTION;
  if (hb_esp_merge_tos(inner, hb_ip_tos(frame + ip_at), sa->flags) == 0) return opened;
  if ((sa->flags & HB_ESP_DECREMENT) != 0) {
    opened.drop = HB_ESP_DROP_TTL_EXPIRED;
    if (hb_ip_ttl(inner) <= 1) return opened;
    hb_ip_decrement_ttl(inner);
  }
  for (u32 i = ip_at; i > 0; --i) inner[(int)i - 1 - (int)ip_at] = frame[i - 1];
  hb_ip_set_ethertype(inner);
  opened.inner_bytes = inner_bytes;
  return opened;
}

#endif  // HB_KERNELS_ESP_HEADERS_H
