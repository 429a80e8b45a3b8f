#include "gpu_host/elastic.h"

namespace hb {

std::optional<WorkGroupMove> Elastic::sample(const std::vector<SliceLoad>& loads) {
  const auto waiting = [](const SliceLoad& load) { return load.backlog / load.n_work_groups; };
  const SliceLoad* most = nullptr;
  const SliceLoad* least = nullptr;
  for (const SliceLoad& load : loads) {
    std::uint32_t& in_a_row = short_for_[load.slice];
    in_a_row = waiting(load) > round_ ? in_a_row + 1 : 0;
    if (in_a_row >= kPatience && (most == nullptr || waiting(load) > waiting(*most))) most = &load;
    if (load.n_work_groups > n_syncers_ && waiting(load) < round_ / 4 &&
        (least == nullptr || waiting(load) < waiting(*least)))
      least = &load;
  }
  if (resting_ != 0) {
    --resting_;
    return std::nullopt;
  }
  if (most == nullptr) return std::nullopt;
  resting_ = kRest;
  return WorkGroupMove{most->slice, least != nullptr ? std::optional(least->slice) : std::nullopt};
}

}  // namespace hb
