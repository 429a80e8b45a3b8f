// scribbler: an NF with wild pointers. Once in each burst it writes garbage over one kind of memory
// that an NF can reach, and passes the packets on.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <string>

#include "nf_lib/attachment.h"
#include "nf_lib/nf.h"

namespace {

class Scribbler final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--what", what_,
                   "headers: of its packets | packets: bytes of all there are | constants: of all "
                   "rings | page: its context's | indices: of all rings | free: headers of all "
                   "packets there are, once, while no burst comes")
        ->check(CLI::IsMember({"headers", "packets", "constants", "page", "indices", "free"}));
    app.add_option("--of", of_, "the manager's prefix, once more");
  }

  /// The map of the region is in the registry, for everybody to read.
  hb::Result<void> setup(hb::NfContext& /*context*/) override {
    hb::Result<hb::Attachment> attachment = hb::Attachment::open(of_);
    if (!attachment) return attachment.error();
    attachment_.emplace(std::move(*attachment));
    region_ = hb::RegionView(reinterpret_cast<std::byte*>(hb::kRegionBase),
                             attachment_->registry().region);
    check_ = hb::PacketCheck(region_.layout(), attachment_->registry().pool);
    return {};
  }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<hb::Verdict> verdicts) noexcept override {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      verdicts[i] = hb::Verdict::next();
      if (what_ == "headers") scribble(burst[i], sizeof(rte_mbuf));
    }
    if (what_ == "packets") over_packets();
    if (what_ == "constants" || what_ == "indices") over_rings();
    if (what_ == "page") over_page();
  }

  void tick(std::uint64_t /*now_ns*/) noexcept override {
    if (what_ != "free" || swept_) return;
    swept_ = true;
    const hb::PoolLayout& pool = check_.pool();
    for (std::uint32_t i = 0; i < pool.size; ++i)
      scribble(region_.base() + region_.layout().packets +
                   (pool.first_page + i / pool.per_page) * region_.layout().page_bytes +
                   i % pool.per_page * pool.stride_bytes,
               pool.first_bytes + sizeof(rte_mbuf));  // with what DPDK's pool has before each
    spdlog::info("all headers are garbage");
  }

 private:
  /// @param where  indices of a ring are volatile in DPDK's headers
  void scribble(volatile void* where, std::size_t bytes) noexcept {
    void* const at = const_cast<void*>(where);
    for (std::size_t i = 0; i < bytes; i += sizeof(std::uint64_t)) {
      const std::uint64_t garbage = random_();
      std::memcpy(static_cast<std::byte*>(at) + i, &garbage, std::min(sizeof(garbage), bytes - i));
    }
  }

  /// All but the headers, of which the pool's own are the manager's to trust.
  void over_packets() noexcept {
    const hb::PoolLayout& pool = check_.pool();
    std::byte* const packets = region_.base() + region_.layout().packets;
    for (int i = 0; i < 64; ++i) {
      std::byte* const page =
          packets +
          (pool.first_page + random_() % (pool.size / pool.per_page)) * region_.layout().page_bytes;
      std::byte* const mbuf =
          page + pool.first_bytes + random_() % pool.per_page * pool.stride_bytes;
      scribble(mbuf + pool.mbuf_bytes, pool.headroom + pool.data_room);
    }
  }

  void over_rings() noexcept {
    for (int i = 0; i < 64; ++i) {
      rte_ring* const ring =
          region_.ring(hb::RingId(static_cast<std::uint32_t>(random_()) % region_.n_rings()));
      if (what_ == "indices") {
        // The consumer's: its packets are lost or come twice, and whoever reads them is led astray.
        scribble(&ring->cons.head, sizeof(ring->cons.head));
        scribble(&ring->cons.tail, sizeof(ring->cons.tail));
        continue;
      }
      scribble(ring, offsetof(rte_ring, prod));
      scribble(&ring->prod.sync_type, sizeof(ring->prod.sync_type));
      scribble(&ring->cons.sync_type, sizeof(ring->cons.sync_type));
    }
  }

  /// The page is the one thing of the control area that is mapped writable here.
  void over_page() noexcept {
    if (page_ == nullptr) {
      std::ifstream maps("/proc/self/maps");
      for (std::string line; std::getline(maps, line);) {
        if (line.find("rw-s") == std::string::npos ||
            line.find("/run/hummingbird/") == std::string::npos)
          continue;
        page_ = reinterpret_cast<hb::ContextPage*>(std::stoull(line, nullptr, 16));
      }
    }
    if (page_ == nullptr) return;
    scribble(&page_->ledger, sizeof(page_->ledger));
    scribble(&page_->counters, sizeof(page_->counters));
    scribble(page_->held, sizeof(page_->held));
  }

  std::string what_ = "headers";
  std::string of_ = "hb";
  std::optional<hb::Attachment> attachment_;
  hb::RegionView region_;
  hb::PacketCheck check_;
  hb::ContextPage* page_ = nullptr;
  bool swept_ = false;
  std::mt19937_64 random_{1};
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Scribbler>(argc, argv,
                                {.name = "scribbler",
                                 .summary = "test only: writes garbage wherever an NF can",
                                 .tick_every_us = 1000});
}
