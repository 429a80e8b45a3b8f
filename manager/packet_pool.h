// The SVM region's file and the packet pool in it. Only mbufs lie in the region; the pool's header,
// ring and caches are in the manager's own memory, so that a pool call in an NF hurts that NF only.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <memory>
#include <string>

#include "nf_lib/control_layout.h"
#include "nf_lib/mbuf_check.h"
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

  /// Rebuilds the header fields that never change from the packet's own address, whatever a wild
  /// write left there. Data offset and length are the caller's to check.
  void rebuild_header(rte_mbuf* mbuf) const noexcept;

  /// The same but for what a driver or an allocation fills in.
  void rebuild_received(rte_mbuf* mbuf) const noexcept;

 private:
  PacketPool() = default;
  rte_mempool* pool_ = nullptr;
  bool iova_as_va_ = true;
  PoolLayout layout_{};
};

}  // namespace hb
