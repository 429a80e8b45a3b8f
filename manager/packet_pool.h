// The SVM region's file and the packet pool in it. Only mbufs lie in the region; the pool's header,
// ring and caches are in the manager's own memory, so that a pool call in an NF hurts that NF only.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <memory>
#include <string>

#include "nf_lib/control_layout.h"
#include "nf_lib/mbuf_check.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/region.h"
#include "nf_lib/result.h"

namespace hb {

/// Where hugepages are mounted and how large they are.
struct HugepageMount {
  std::string directory;
  std::uint64_t page_bytes;
};
/// The mount with the default page size, or an Error that says how to get one.
Result<HugepageMount> find_hugepages();

/// Hugepages of that size that nobody has.
std::uint64_t free_hugepages(std::uint64_t page_bytes);

/// The region: file, mapping, and the rings and queues in it. Unlinks its file at the end.
class Region {
 public:
  /// @param node  NUMA node of the ports, -1 for any
  static Result<std::unique_ptr<Region>> create(const std::string& path, const RegionDemand& demand,
                                                int node);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  [[nodiscard]] const RegionView& view() const noexcept { return view_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  Region() = default;
  std::string path_;
  RegionView view_;
};

/// Bytes of the packet part that a pool of this many packets needs.
std::uint64_t packet_part_bytes(std::uint32_t n_packets, std::uint32_t data_room,
                                std::uint64_t page_bytes);

/// The packet pool. Freed packets go back to caches of the calling lcore; only manager threads
/// call it. Must end before the region does.
class PacketPool {
 public:
  static Result<std::unique_ptr<PacketPool>> create(const RegionView& region,
                                                    std::uint32_t n_packets,
                                                    std::uint32_t data_room,
                                                    std::uint32_t cache_size);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  [[nodiscard]] rte_mempool* mempool() const noexcept { return pool_; }
  [[nodiscard]] const PoolLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::uint32_t n_free() const noexcept { return rte_mempool_avail_count(pool_); }

  /// Takes up to n packets, their headers as whoever had them last left them: make_received() comes
  /// next. Past the thread's cache, but for what it dropped itself if there are no others.
  /// @return how many
  [[nodiscard]] std::uint32_t take_as_they_are(rte_mbuf** packets, std::uint32_t n) const noexcept;
  /// Gives packets back without a look at their headers. Past the thread's cache.
  void put_as_they_are(rte_mbuf* const* packets, std::uint32_t n) const noexcept;

  /// Rebuilds the header fields that never change from the packet's own address, whatever a wild
  /// write left there. Data offset and length are the caller's to check. As in the functions that
  /// follow, what is right is left alone: a line that nobody writes stays in every core's cache.
  void rebuild_header(rte_mbuf* mbuf) const noexcept {
    rebuild_received(mbuf);
    const std::uint64_t wrong = reinterpret_cast<std::uint64_t>(mbuf->next) | (mbuf->nb_segs ^ 1u) |
                                mbuf->ol_flags | mbuf->tx_offload | carried_word(mbuf);
    if (wrong == 0) return;
    mbuf->next = nullptr;
    mbuf->nb_segs = 1;
    mbuf->ol_flags = 0;
    mbuf->tx_offload = 0;
    carried_word(mbuf) = 0;
  }

  /// The same but for what a driver or an allocation fills in.
  void rebuild_received(rte_mbuf* mbuf) const noexcept {
    char* const buffer = reinterpret_cast<char*>(mbuf) + layout_.mbuf_bytes;
    const auto address = reinterpret_cast<std::uint64_t>(buffer);
    const std::uint64_t wrong =
        (reinterpret_cast<std::uint64_t>(mbuf->buf_addr) ^ address) |
        (iova_as_va_ ? rte_mbuf_iova_get(mbuf) ^ address : 0) | (mbuf->buf_len ^ buffer_bytes_) |
        (reinterpret_cast<std::uint64_t>(mbuf->pool) ^ reinterpret_cast<std::uint64_t>(pool_)) |
        mbuf->priv_size | (rte_mbuf_refcnt_read(mbuf) ^ 1u);
    if (wrong == 0) return;
    mbuf->buf_addr = buffer;
    if (iova_as_va_) rte_mbuf_iova_set(mbuf, address);
    mbuf->buf_len = buffer_bytes_;
    mbuf->pool = pool_;
    mbuf->priv_size = 0;
    rte_mbuf_refcnt_set(mbuf, 1);
  }

  /// Makes the header of a packet that has just been received, whatever it was: one segment of that
  /// many bytes behind the headroom, which the caller writes. mbuf->port is the caller's too.
  void make_received(rte_mbuf* mbuf, std::uint16_t bytes) const noexcept {
    rebuild_header(mbuf);
    const std::uint64_t wrong = (mbuf->data_off ^ layout_.headroom) | mbuf->packet_type |
                                (mbuf->pkt_len ^ bytes) | (mbuf->data_len ^ bytes) |
                                mbuf->vlan_tci | mbuf->vlan_tci_outer;
    if (wrong == 0) return;
    mbuf->data_off = static_cast<std::uint16_t>(layout_.headroom);
    mbuf->packet_type = 0;
    mbuf->pkt_len = bytes;
    mbuf->data_len = bytes;
    mbuf->vlan_tci = 0;
    mbuf->vlan_tci_outer = 0;
  }
  /// Where its bytes begin.
  [[nodiscard]] std::uint8_t* received_bytes(rte_mbuf* mbuf) const noexcept {
    return reinterpret_cast<std::uint8_t*>(mbuf) + layout_.mbuf_bytes + layout_.headroom;
  }

 private:
  PacketPool() = default;
  rte_mempool* pool_ = nullptr;
  bool iova_as_va_ = true;
  std::uint16_t buffer_bytes_ = 0;
  PoolLayout layout_{};
};

}  // namespace hb
