#include "manager/slice_counts.h"

#include <rte_cycles.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "manager/platform.h"
#include "manager/service.h"
#include "manager/statistics.h"
#include "nf_lib/ring.h"

namespace hb {

SliceCounts& SliceCounts::operator-=(const SliceCounts& other) {
  rounds -= other.rounds;
  filled -= other.filled;
  copies -= other.copies;
  unevaluated -= other.unevaluated;
  for (std::uint32_t i = 0; i < kLatencyBuckets; ++i) latency[i] -= other.latency[i];
  return *this;
}

double SliceCounts::latency_us(double share) const {
  std::uint64_t all = 0;
  for (const std::uint64_t n : latency) all += n;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all)));
  std::uint64_t seen = 0;
  for (std::uint32_t i = 0; i < kLatencyBuckets && all != 0; ++i) {
    seen += latency[i];
    if (seen < wanted) continue;
    // The bucket's upper end: no faster than it was.
    return static_cast<double>(latency_of_bucket(i + 1)) * 1e6 /
           static_cast<double>(rte_get_tsc_hz());
  }
  return 0;
}

SliceCounts read_slice(const Platform& platform, std::uint32_t slice) {
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  SliceCounts sum;
  for (const SyncerContext& syncer : platform.syncers) {
    const ContextCounters& counters = syncer.page->page().counters;
    sum.rounds += get(counters.slice_rounds[slice]);
    sum.filled += get(counters.slice_filled[slice]);
    sum.copies += get(counters.slice_copies[slice]);
    sum.unevaluated += get(counters.slice_unevaluated[slice]);
    for (std::uint32_t i = 0; i < kLatencyBuckets; ++i)
      sum.latency[i] += get(counters.slice_latency[slice][i]);
  }
  return sum;
}

std::uint64_t count_unevaluated(const Platform& platform, const Instance& instance) {
  if (instance.slice == kMaxSlices) return instance.unevaluated_before;
  return instance.unevaluated_before + read_slice(platform, instance.slice).unevaluated -
         instance.slice_base.unevaluated;
}

nlohmann::json slice_json(const Platform& platform, const Instance& instance) {
  const RegionView& region = platform.view.region;
  SliceCounts counts = read_slice(platform, instance.slice);
  counts -= instance.slice_base;
  const auto lie_in = [&](EndpointId endpoint) {
    std::uint64_t n = 0;
    for (std::uint32_t from = 0; from < region.layout().n_contexts; ++from)
      n += n_waiting(region.ring(endpoint, ContextId(from)), region.layout().ring_size);
    return n;
  };
  std::uint64_t backlog = 0;
  for (const EndpointId endpoint : instance.endpoints) backlog += lie_in(endpoint);
  const double fill = counts.rounds != 0
                          ? static_cast<double>(counts.filled) / static_cast<double>(counts.rounds)
                          : 0;
  return {{"service", instance.service->name},
          {"instance", instance.number},
          {"instance", instance.number},
          {"slice", instance.slice},
          {"state", state_name(instance.state)},
          {"workgroups", instance.work_groups},
          {"rounds", counts.rounds},
          {"packets", counts.filled},
          {"mean_fill", fill},
          {"occupancy", fill / region.layout().work_group_size},
          {"latency_p50_us", counts.latency_us(0.5)},
          {"latency_p99_us", counts.latency_us(0.99)},
          {"backlog", backlog},
          {"waiting", instance.waiting_room ? lie_in(*instance.waiting_room) : 0},
          {"copies", counts.copies},
          {"unevaluated", counts.unevaluated},
          {"table_version", instance.table_version},
          {"last_pause_us", instance.pause_us}};
}

}  // namespace hb
