#include "gpu_host/self_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <span>

namespace hb {
namespace {

constexpr std::uint32_t kPacketBytes = 2048;  ///< of each packet's buffer
constexpr std::uint32_t kDataOffset = 320;    ///< where its data starts, as behind a headroom
constexpr std::uint32_t kRounds = 2;
constexpr PacketBounds kBounds{.first = 128, .limit = kPacketBytes};

RegionLayout small_layout(std::uint32_t work_group_size) {
  RegionLayout layout{};
  const std::uint64_t slot_bytes = std::uint64_t{kRounds} * work_group_size * sizeof(u64);
  layout.slots = sizeof(HbQueueControl);
  layout.results = layout.slots + slot_bytes;
  layout.words = layout.results + slot_bytes;
  layout.slice_controls = layout.words + slot_bytes / sizeof(u64) * sizeof(HbSlotWords);
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

/// What a trial's packet may hold: nothing, noise, or a frame whose headers make sense or almost
/// do.
std::vector<std::uint8_t> trial_packet(std::mt19937& random) {
  constexpr std::array<std::uint32_t, 12> kLengths = {0,  1,  13, 14, 15,  20,
                                                      33, 34, 60, 64, 590, 1514};
  constexpr std::array<std::uint8_t, 42> kUdpFrame = {
      2, 0,  0,  0, 0, 1,  2, 0, 0, 0,  0, 2, 8, 0, 0x45, 0, 0,  50, 0,  1, 0,
      0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0,    0, 53, 0,  30, 0, 0};
  std::vector<std::uint8_t> packet(kLengths[random() % kLengths.size()]);
  for (std::uint8_t& byte : packet) byte = static_cast<std::uint8_t>(random());
  if (random() % 2 == 0) {
    std::copy_n(kUdpFrame.begin(), std::min(packet.size(), kUdpFrame.size()), packet.begin());
    if (packet.size() > 16 && random() % 2 == 0) packet[14 + random() % 2] ^= 1u << random() % 8;
  }
  return packet;
}

std::string wrong_answer(u64 result, const UserKernel& user) {
  const std::uint32_t verdict = HB_RESULT_VERDICT(result);
  const std::uint32_t argument = HB_RESULT_ARGUMENT(result);
  if (verdict == HB_VERDICT_DROP && argument == HB_DROP_REFUSED_ACCESS)
    return "";  // an accessor kept it inside the packet
  if (verdict > HB_VERDICT_TO_PORT && result != ~u64{0})
    return fmt::format("there is no verdict {}", verdict);
  if (verdict == HB_VERDICT_DROP && argument >= user.file.drop_reasons.size())
    return fmt::format("it dropped a packet for reason {}, and declares {} with //! drop_reasons",
                       argument, user.file.drop_reasons.size());
  const std::uint32_t offset = HB_RESULT_DATA_OFFSET(result);
  if (verdict != HB_VERDICT_DROP &&  // ~0: staging found nothing that was copied
      (offset < kBounds.first || offset + HB_RESULT_LENGTH(result) > kBounds.limit))
    return "it left a packet unanswered: every work-item calls hb_answer once in each round";
  return "";
}

}  // namespace

Result<void> run_trial(Backend& backend, std::shared_ptr<const DeviceProgram> program,
                       const UserKernel& user, std::uint32_t work_group_size) {
  constexpr int kTrials = 8;
  const RegionLayout layout = small_layout(work_group_size);
  KernelEntry entry = user.entry();
  entry.writes_packets = true;  // what it writes is to be seen, declared or not
  auto table = backend.upload_table(user.table);
  if (!table) return table.error();
  std::mt19937 random(20);
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<std::byte> memory(layout.total_bytes);
    const RegionView view(memory.data(), layout);
    const auto packets = std::span(memory).subspan(layout.packets, layout.packet_bytes);
    for (std::uint32_t lane = 0; lane + 1 < work_group_size; ++lane) {
      const std::vector<std::uint8_t> packet = trial_packet(random);
      const std::uint64_t at = layout.packets + std::uint64_t{lane} * kPacketBytes;
      const std::uint32_t offset = kDataOffset + random() % 64;
      std::copy(packet.begin(), packet.end(),
                reinterpret_cast<std::uint8_t*>(memory.data()) + at + offset);
      view.slots(0)[lane] = HB_SLOT(at / 64, packet.size(), offset);
    }
    view.queue_control(0)->published.value = 1;
    const std::vector<std::byte> before(packets.begin(), packets.end());
    auto slice = backend.make_staged_slice(
        view, {.slice = 0,
               .work_groups = {0},
               .kernel = &entry,
               .program = program,
               .table = *table,
               .table_bytes = static_cast<std::uint32_t>(user.table.size()),
               .bounds = kBounds});
    if (!slice) return slice.error();
    if (const Result<void> ran = (*slice)->run(); !ran) return ran;
    for (std::uint32_t lane = 0; lane + 1 < work_group_size; ++lane) {
      const std::string wrong = wrong_answer(view.results(0)[lane], user);
      if (!wrong.empty()) return Error{"in its trial, " + wrong, ""};
    }
    if (!user.file.writes_packets && !std::ranges::equal(before, packets))
      return Error{"in its trial, it changed a packet, and declares no //! writes_packets", ""};
  }
  return {};
}

Result<void> run_self_test(Backend& backend, const KernelEntry& kernel,
                           std::uint32_t work_group_size) {
  if (!kernel.fits(work_group_size)) return {};  // nor is it given a slice
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
    view.words(0)[lane] = case_of(lane).words;
  }
  view.queue_control(0)->published.value = 1;

  if (!kernel.table_valid(test.table))
    return wrong(kernel, 0, "its own table does not pass the check");
  auto table = backend.upload_table(test.table);
  if (!table) return table.error();
  auto slice = backend.make_staged_slice(view, {.slice = 0,
                                                .work_groups = {0},
                                                .kernel = &kernel,
                                                .program = nullptr,
                                                .table = *table,
                                                .bounds = kBounds});
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
