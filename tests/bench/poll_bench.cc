// What a packet costs the thread of a CPUSyncer by itself: Syncer::poll alone is timed, and this
// program plays RX, device and TX between two polls. The lines that those would have written are
// flushed, so each costs poll() a trip to memory, as it does where other cores and a device wrote.
//   poll_bench [--quick] [--warm] [CASE]
// --warm flushes nothing: what is left is poll()'s own work.
#include <cstdio>
#include <cstring>
#include <deque>
#include <numeric>
#include <string>

#include "gpu_host/syncer.h"
#include "nf_lib/clock.h"
#include "tests/bench/esp_load.h"
#include "tests/bench/syncer_world.h"

namespace hb::bench {
namespace {

struct Case {
  const char* name;
  std::uint32_t n_sas;  ///< 0: no hook
  bool opens;
};
constexpr std::array<Case, 4> kCases = {{{"forward", 0, false},
                                         {"seal, 1 SA", 1, false},
                                         {"seal, 64 SAs", 64, false},
                                         {"open, 1 SA", 1, true}}};

constexpr std::uint32_t kBurst = 1024;  ///< comes in and goes out between two polls, at most

void flush_lines(const void* at, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(at) / 64 * 64;
  for (std::uintptr_t line = first; line < reinterpret_cast<std::uintptr_t>(at) + bytes; line += 64)
    __builtin_ia32_clflush(reinterpret_cast<const void*>(line));
}

class Run {
 public:
  Run(const Case& c, bool is_warm) : is_warm_(is_warm), world_(*World::make(shape_)) {
    if (c.n_sas != 0) load_ = *EspLoad::make(c.n_sas, c.opens);
    syncer_ = std::make_unique<Syncer>(world_->view(), world_->syncer(0), page_.get());
    ShareSpec share{.slice = 0,
                    .service = ServiceId(kService),
                    .instance = InstanceId(kInstance),
                    .endpoint = world_->nf(0),
                    .work_groups = {},
                    .has_words = load_ != nullptr,
                    .hook = load_ != nullptr ? load_->hook() : nullptr};
    share.work_groups.resize(shape_.work_groups);
    std::iota(share.work_groups.begin(), share.work_groups.end(), 0u);
    if (const auto added = syncer_->add(share); !added) std::abort();
    take_home(world_->source(0));  // RX has them all first
  }

  /// @return nanoseconds of poll() for each packet, over that many polls
  double measure(int n_polls) {
    const std::atomic<std::uint64_t>& counter = page_->counters.slice_tx[0];
    const std::uint64_t before = counter.load();
    std::uint64_t ns = 0;
    for (int i = 0; i < n_polls; ++i) {
      come_in();
      const std::uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
      syncer_->poll();
      ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
      answer();
      take_home(world_->sink(0));
    }
    const std::uint64_t n = counter.load() - before;
    return n == 0 ? 0 : static_cast<double>(ns) / static_cast<double>(n);
  }
  [[nodiscard]] std::uint64_t n_dropped() const {
    return page_->counters.slice_drops[0].load() + page_->counters.bad_pointers.load();
  }

 private:
  void flush(const void* at, std::size_t bytes) const {
    if (!is_warm_) flush_lines(at, bytes);
  }

  void come_in() {
    for (std::uint32_t n = 0; n < kBurst && !home_.empty(); ++n) {
      // Those that are home longest, or those that the caches still have.
      rte_mbuf* const mbuf = is_warm_ ? home_.back() : home_.front();
      is_warm_ ? home_.pop_back() : home_.pop_front();
      if (load_ != nullptr) {
        World::receive(mbuf, load_->next_head(), load_->frame_bytes());
        flush(World::data(mbuf), 64);
      }
      flush(mbuf, sizeof(*mbuf));
      if (rte_ring_sp_enqueue(world_->source(0), mbuf) != 0) std::abort();
    }
    __builtin_ia32_mfence();
  }

  void answer() {
    const RegionView& region = world_->view().region;
    for (std::uint32_t w = 0; w < shape_.work_groups; ++w) {
      HbQueueControl& control = *region.queue_control(w);
      for (; control.completed.value != control.published.value; ++control.completed.value) {
        const std::uint64_t at =
            control.completed.value % shape_.rounds * std::uint64_t{shape_.work_group_size};
        for (std::uint64_t i = at; i < at + shape_.work_group_size; ++i)
          region.results(w)[i] = result_of(region.slots(w)[i]);
        flush(region.results(w) + at, shape_.work_group_size * sizeof(u64));
      }
    }
    __builtin_ia32_mfence();
  }

  [[nodiscard]] u64 result_of(u64 slot) const {
    if (load_ == nullptr || slot == 0) return HB_RESULT_UNCHANGED(slot, 0);
    const bool opens = load_->frame_bytes() == EspLoad::kSealedBytes;
    const u32 offset = HB_SLOT_DATA_OFFSET(slot);
    return HB_RESULT(HB_VERDICT_NEXT, 0, opens ? EspLoad::kPlainBytes : EspLoad::kSealedBytes,
                     opens ? offset + EspLoad::kFront : offset - EspLoad::kFront, 0, 0);
  }

  void take_home(rte_ring* ring) {
    std::array<void*, 64> burst;
    while (const unsigned n = rte_ring_sc_dequeue_burst(ring, burst.data(), burst.size(), nullptr))
      for (unsigned i = 0; i < n; ++i) home_.push_back(static_cast<rte_mbuf*>(burst[i]));
  }

  WorldShape shape_;
  bool is_warm_;
  std::unique_ptr<World> world_;
  std::unique_ptr<EspLoad> load_;
  std::unique_ptr<ContextPage> page_ = std::make_unique<ContextPage>();
  std::unique_ptr<Syncer> syncer_;
  std::deque<rte_mbuf*> home_;  ///< packets that are RX's
};

}  // namespace
}  // namespace hb::bench

int main(int argc, char** argv) {
  using namespace hb::bench;
  bool quick = false, is_warm = false;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick")
      quick = true;
    else if (argument == "--warm")
      is_warm = true;
    else
      only = argument;
  }
  for (const Case& c : kCases) {
    if (std::string(c.name).find(only) == std::string::npos) continue;
    Run run(c, is_warm);
    run.measure(50);
    std::vector<double> all;
    for (int i = 0; i < (quick ? 5 : 101); ++i) all.push_back(run.measure(quick ? 10 : 200));
    std::ranges::sort(all);
    std::printf("%-14s %6.1f ns a packet  [%.1f .. %.1f]\n", c.name, all[all.size() / 2],
                all.front(), all[all.size() * 3 / 4]);
    if (run.n_dropped() != 0) {
      std::fprintf(stderr, "poll_bench: %llu packets were dropped\n",
                   static_cast<unsigned long long>(run.n_dropped()));
      return 1;
    }
  }
}
