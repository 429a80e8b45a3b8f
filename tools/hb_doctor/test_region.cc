#include <fcntl.h>
#include <fmt/format.h>
#include <mntent.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tools/hb_doctor/measure.h"

namespace hb::doctor {
namespace {

std::string hugepage_folder() {
  std::string folder;
  FILE* const mounts = setmntent("/proc/mounts", "r");
  if (mounts == nullptr) return folder;
  while (const mntent* const entry = getmntent(mounts))
    if (std::strcmp(entry->mnt_type, "hugetlbfs") == 0) folder = entry->mnt_dir;
  endmntent(mounts);
  return folder;
}

}  // namespace

RegionDemand demand_of(const Shape& shape) {
  RegionDemand demand;
  demand.n_contexts = 1;
  demand.n_endpoints = 2;
  demand.ring_size = demand.fill_size = demand.pool_size = 8;
  demand.n_work_groups = shape.work_groups;
  demand.work_group_size = shape.work_group_size;
  demand.n_rounds = shape.n_rounds;
  demand.packet_bytes = std::uint64_t{shape.n_packets} * kPacketStride;
  return demand;
}

Result<std::unique_ptr<TestRegion>> TestRegion::make(RegionDemand demand) {
  std::unique_ptr<TestRegion> region(new TestRegion);
  std::string why;
  for (const auto& [folder, page] :
       {std::pair{hugepage_folder(), 2ul << 20}, std::pair{std::string("/dev/shm"), 4096ul}}) {
    if (folder.empty()) continue;
    demand.page_bytes = page;
    const RegionLayout layout = plan_region(demand);
    region->path_ = fmt::format("{}/hb-doctor-{}", folder, getpid());
    const int fd = open(region->path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) continue;
    Result<std::byte*> base = Error{"too little memory", ""};
    if (ftruncate(fd, static_cast<off_t>(layout.total_bytes)) == 0)
      base = map_region(fd, layout.total_bytes);
    close(fd);
    if (base) {
      region->view_ = RegionView(*base, layout);
      region->view_.format();
      std::memset(*base + layout.packets, 0x5a, layout.packet_bytes);
      return region;
    }
    why = base.error().what;
    unlink(region->path_.c_str());
  }
  region->path_.clear();
  return Error{"no memory for a test region: " + why, "free some, or use a smaller --work-groups"};
}

TestRegion::~TestRegion() {
  if (view_.base() != nullptr) munmap(view_.base(), view_.layout().total_bytes);
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace hb::doctor
