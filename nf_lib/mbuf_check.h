// Is this pointer one of the pool's packets, and do its header fields hold together?
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "nf_lib/control_layout.h"

namespace hb {

/// Checks pointers that came out of shared memory. Immutable after construction; any thread.
class PacketCheck {
 public:
  PacketCheck() = default;
  PacketCheck(const RegionLayout& region, const PoolLayout& pool, std::uint64_t base = kRegionBase)
      : packets_(base + region.packets + pool.first_page * region.page_bytes),
        packet_bytes_(region.packet_bytes - pool.first_page * region.page_bytes),
        page_bytes_(region.page_bytes),
        page_shift_(static_cast<std::uint32_t>(__builtin_ctzll(region.page_bytes))),
        // ceil(2^40 / stride): exact division for offsets below a page of up to 1 GiB / stride 64.
        reciprocal_(((std::uint64_t{1} << 40) + pool.stride_bytes - 1) / pool.stride_bytes),
        pool_(pool) {}

  /// Number of the packet, 0..size-1, or kNotAPacket.
  static constexpr std::uint32_t kNotAPacket = ~0u;
  [[nodiscard]] std::uint32_t number(const void* pointer) const noexcept {
    const std::uint64_t at = reinterpret_cast<std::uint64_t>(pointer) - packets_;
    if (at >= packet_bytes_) return kNotAPacket;
    const std::uint64_t page = at >> page_shift_;
    const std::uint64_t in_page = (at & (page_bytes_ - 1)) - pool_.first_bytes;
    if (in_page >= page_bytes_) return kNotAPacket;  // before the first: wrapped around
    const auto nth =
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(in_page) * reciprocal_) >> 40);
    const std::uint64_t number = page * pool_.per_page + nth;
    if (nth * pool_.stride_bytes != in_page || nth >= pool_.per_page || number >= pool_.size)
      return kNotAPacket;
    return static_cast<std::uint32_t>(number);
  }
  [[nodiscard]] bool is_packet(const void* pointer) const noexcept {
    return number(pointer) != kNotAPacket;
  }

  /// Data offset and length lie within the packet's buffer, in one segment.
  [[nodiscard]] bool data_ok(const rte_mbuf* mbuf) const noexcept {
    return data_ok(mbuf->data_off, mbuf->data_len, mbuf->pkt_len);
  }
  /// The same of what was read of an mbuf: for who goes on with just that, whoever scribbles.
  [[nodiscard]] bool data_ok(std::uint32_t data_off, std::uint32_t data_len,
                             std::uint32_t pkt_len) const noexcept {
    const std::uint32_t buffer = pool_.headroom + pool_.data_room;
    return data_off <= buffer && data_len <= buffer - data_off && pkt_len == data_len;
  }

  [[nodiscard]] const PoolLayout& pool() const noexcept { return pool_; }

 private:
  std::uint64_t packets_ = 0;
  std::uint64_t packet_bytes_ = 0;
  std::uint64_t page_bytes_ = 1;
  std::uint32_t page_shift_ = 0;
  std::uint64_t reciprocal_ = 0;
  PoolLayout pool_{};
};

}  // namespace hb
