// What a packet gets in front when it is sealed, written on the host: by whole words, as the
// compiler makes long work of single bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/esp_headers.h"
#include "nf_lib/decode.h"

namespace hb::ipsec {

inline void put_be16(std::uint8_t* to, std::uint16_t v) noexcept {
  v = __builtin_bswap16(v);
  std::memcpy(to, &v, sizeof(v));
}

inline void put_be32(std::uint8_t* to, std::uint32_t v) noexcept {
  v = __builtin_bswap32(v);
  std::memcpy(to, &v, sizeof(v));
}

inline void put_be64(std::uint8_t* to, std::uint64_t v) noexcept {
  v = __builtin_bswap64(v);
  std::memcpy(to, &v, sizeof(v));
}

/// hb_esp_write_trailer's bytes: padding 1, 2, 3, ..., its length, next header.
/// @param inner  the packet; behind it there is room for 16 bytes, of which those behind the sealed
///               part may be overwritten
inline void write_trailer(std::uint8_t* inner, std::uint32_t inner_bytes,
                          std::uint32_t sealed_bytes) noexcept {
  constexpr std::uint64_t kFirst = 0x0807060504030201, kSecond = 0x100f0e0d0c0b0a09;
  std::memcpy(inner + inner_bytes, &kFirst, 8);
  std::memcpy(inner + inner_bytes + 8, &kSecond, 8);
  const std::uint32_t next_header = inner[0] >> 4 == 4 ? 4 : 41;
  const auto last = static_cast<std::uint16_t>((sealed_bytes - inner_bytes - 2) | next_header << 8);
  std::memcpy(inner + sealed_bytes - 2, &last, sizeof(last));
}

/// The outer IP header, and its Ethernet type in front.
/// @param out    room for sa.outer_bytes, and two in front
/// @param inner  the packet's own IP header
/// @param id     identification, used when the packet may be fragmented
inline void write_outer(std::uint8_t* out, const HbEspSa& sa, const std::uint8_t* inner,
                        std::uint32_t esp_bytes, std::uint16_t id) noexcept {
  const bool is_4 = inner[0] >> 4 == 4;
  const std::uint32_t inner_df = is_4 ? inner[6] & 0x40u : 0x40u;
  const HbEspOuter outer = hb_esp_outer(&sa, hb_ip_tos(inner), inner_df, esp_bytes, id);
  put_be64(out, std::uint64_t{outer.first} << 32 | outer.second);
  if (sa.outer_bytes == 20) {
    put_be32(out + 8, outer.third);
    std::memcpy(out + 12, sa.outer + 12, 8);
    put_be16(out - 2, kEthertypeIpv4);
  } else {
    std::memcpy(out + 8, sa.outer + 8, 32);
    put_be16(out - 2, kEthertypeIpv6);
  }
}

/// SPI and sequence number: at once, as the ciphers load them so.
inline void write_esp_header(std::uint8_t* esp, const HbEspSa& sa,
                             std::uint64_t sequence) noexcept {
  put_be64(esp, std::uint64_t{sa.spi} << 32 | static_cast<std::uint32_t>(sequence));
}

}  // namespace hb::ipsec
