#include "gpu_host/self_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>

namespace hb {
namespace {

constexpr std::uint32_t kPacketBytes = 2048;  ///< of each packet's buffer
constexpr std::uint32_t kDataOffset = 320;    ///< where its data starts, as behind a headroom
constexpr std::uint32_t kRounds = 2;

RegionLayout small_layout(std::uint32_t work_group_size) {
  RegionLayout layout{};
  const std::uint64_t slot_bytes = std::uint64_t{kRounds} * work_group_size * sizeof(u64);
  layout.slots = sizeof(HbQueueControl);
  layout.results = layout.slots + slot_bytes;
  layout.slice_controls = layout.results + slot_bytes;
  layout.packets = (layout.slice_controls + sizeof(HbSliceControl) + 63) / 64 * 64;
  layout.packet_bytes = std::uint64_t{work_group_size} * kPacketBytes;
  layout.total_bytes = layout.packets + layout.packet_bytes;
  layout.n_work_groups = 1;
  layout.work_group_size = work_group_size;
  layout.n_rounds = kRounds;
  return layout;
}

Error wrong(const KernelEntry& kernel, std::uint32_t lane, const std::string& what) {
  return Error{fmt::format("the kernel '{}' failed its self-test in work-item {}: {}", kernel.name,
                           lane, what),
               "the device or its compiler is at fault: try another --gpu-device, or --gpu none"};
}

}  // namespace

Result<void> run_self_test(Backend& backend, const KernelEntry& kernel,
                           std::uint32_t work_group_size) {
  const SelfTest test = kernel.self_test();
  const RegionLayout layout = small_layout(work_group_size);
  std::vector<std::byte> memory(layout.total_bytes);
  const RegionView view(memory.data(), layout);
  const auto packet_at = [&](std::uint32_t lane) {
    return memory.data() + layout.packets + std::uint64_t{lane} * kPacketBytes + kDataOffset;
  };
  const auto case_of = [&](std::uint32_t lane) -> const SelfTestCase& {
    return test.cases[lane % test.cases.size()];
  };
  // The last work-item gets the dummy packet, all others a case each, over and over.
  for (std::uint32_t lane = 0; lane + 1 < work_group_size; ++lane) {
    const auto& packet = case_of(lane).packet;
    std::ranges::copy(packet, reinterpret_cast<std::uint8_t*>(packet_at(lane)));
    const std::uint64_t base = (layout.packets + std::uint64_t{lane} * kPacketBytes) / 64;
    view.slots(0)[lane] = HB_SLOT(base, packet.size(), kDataOffset);
  }
  view.queue_control(0)->published.value = 1;

  if (!kernel.table_valid(test.table))
    return wrong(kernel, 0, "its own table does not pass the check");
  auto table = backend.upload_table(test.table);
  if (!table) return table.error();
  auto slice = backend.make_staged_slice(view, {.kernel = &kernel, .table = *table});
  if (!slice) return slice.error();
  if (const Result<void> ran = (*slice)->run(); !ran) return ran;
  if (view.queue_control(0)->completed.value != 1) return wrong(kernel, 0, "no round was done");

  for (std::uint32_t lane = 0; lane + 1 < work_group_size; ++lane) {
    const SelfTestCase& wanted = case_of(lane);
    const u64 result = view.results(0)[lane];
    if (HB_RESULT_VERDICT(result) != wanted.verdict || HB_RESULT_FLAGS(result) != wanted.flags)
      return wrong(kernel, lane, fmt::format("answer {:#x}", result));
    if (wanted.verdict == HB_VERDICT_DROP) continue;
    if (HB_RESULT_LENGTH(result) != wanted.expected.size())
      return wrong(kernel, lane, fmt::format("length {}", HB_RESULT_LENGTH(result)));
    const std::byte* data = packet_at(lane) - kDataOffset + HB_RESULT_DATA_OFFSET(result);
    if (!std::ranges::equal(wanted.expected, std::span(reinterpret_cast<const std::uint8_t*>(data),
                                                       wanted.expected.size())))
      return wrong(kernel, lane, "bytes");
  }
  return {};
}

}  // namespace hb
