#include "gpu_host/catalog.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "gpu_host/esp_hook.h"
#include "gpu_host/esp_self_test.h"
#include "kernels/esp_table.h"
#include "kernels/limit.h"
#include "kernels/line.h"
#include "kernels/nids_table.h"

namespace hb {
namespace {

std::vector<std::uint8_t> bytes_of(std::string_view text) {
  // Behind 14 bytes that stand for an Ethernet header.
  std::vector<std::uint8_t> bytes(14 + text.size(), 0x20);
  std::copy(text.begin(), text.end(), bytes.begin() + 14);
  return bytes;
}

SelfTestCase unchanged(std::string_view text, std::uint32_t flags) {
  const std::vector<std::uint8_t> packet = bytes_of(text);
  return {.packet = packet, .verdict = HB_VERDICT_NEXT, .flags = flags, .expected = packet};
}

bool no_table(std::span<const std::byte>) { return true; }

SelfTest forward_self_test() {
  return {.table = {}, .cases = {unchanged("any packet", 0), unchanged("", 0)}};
}

bool nids_valid(std::span<const std::byte> table) {
  return nids_table_valid(reinterpret_cast<const u8*>(table.data()), table.size());
}

/// An automaton for the one pattern "ab", made by hand: two states and "found", columns for a, b
/// and the rest.
SelfTest nids_self_test() {
  struct Table {
    HbNidsTable header;
    u16 next[3][3];
  };
  constexpr std::size_t kBytes = sizeof(HbNidsTable) + 3 * 3 * sizeof(u16);
  Table table{};
  table.header.magic = HB_NIDS_TABLE_MAGIC;
  table.header.version = HB_NIDS_TABLE_VERSION;
  table.header.total_bytes = kBytes;
  table.header.transitions_offset = sizeof(HbNidsTable);
  table.header.n_columns = 3;
  table.header.n_states = 3;
  table.header.n_patterns = 1;
  table.header.columns['a'] = table.header.columns['A'] = 1;
  table.header.columns['b'] = table.header.columns['B'] = 2;
  table.next[0][1] = 1;  // a: one byte of the pattern is there
  table.next[1][1] = 1;
  table.next[1][2] = 2;
  std::fill(std::begin(table.next[2]), std::end(table.next[2]), u16{2});
  SelfTest test;
  test.table.resize(kBytes);
  std::memcpy(test.table.data(), &table, kBytes);
  test.cases = {unchanged("xxaABxx", HB_RESULT_COPY_TO_CPU), unchanged("ba a b", 0),
                unchanged("ab", HB_RESULT_COPY_TO_CPU), unchanged("", 0),
                unchanged(std::string(1000, 'a') + "b", HB_RESULT_COPY_TO_CPU),
                // From the last byte of what a group moves at a time to the first of what follows.
                unchanged(std::string(113, 'x') + "ab", HB_RESULT_COPY_TO_CPU)};
  return test;
}

bool esp_valid(std::span<const std::byte> table) {
  return esp_table_valid(reinterpret_cast<const u8*>(table.data()), table.size());
}

SelfTest limit_read_self_test() {
  return {.table = {}, .cases = {unchanged(std::string(1000, 'x'), 0), unchanged("", 0)}};
}

/// Whole lines are inverted; what is left over behind them is not.
SelfTest limit_write_self_test() {
  SelfTest test;
  for (const std::size_t bytes : {0, 15, 16, 64, 1000}) {
    SelfTestCase one;
    one.packet.resize(bytes);
    for (std::size_t i = 0; i < bytes; ++i) one.packet[i] = static_cast<std::uint8_t>(i * 7);
    one.expected = one.packet;
    for (std::size_t i = 0; i < bytes / 16 * 16; ++i)
      one.expected[i] = static_cast<std::uint8_t>(~one.packet[i]);
    test.cases.push_back(std::move(one));
  }
  return test;
}

constexpr std::array kCatalog = {
    KernelEntry{.name = "forward",
                .number = HB_GPU_NF_FORWARD,
                .table_valid = no_table,
                .self_test = forward_self_test},
    KernelEntry{.name = "nids",
                .number = HB_GPU_NF_NIDS,
                .table_valid = nids_valid,
                .self_test = nids_self_test},
    KernelEntry{.name = "ipsec",
                .number = HB_GPU_NF_IPSEC,
                .writes_packets = true,
                .grows_front = HB_ESP_MAX_FRONT,
                .grows_back = HB_ESP_MAX_BACK,
                .make_hook = make_esp_hook,
                .min_lanes = 8,
                .max_lanes = HB_ESP_MAX_LANES,
                .table_valid = esp_valid,
                .self_test = esp_self_test},
    KernelEntry{.name = "limit_read",
                .number = HB_GPU_NF_LIMIT_READ,
                .table_valid = no_table,
                .self_test = limit_read_self_test},
    KernelEntry{.name = "limit_write",
                .number = HB_GPU_NF_LIMIT_WRITE,
                .writes_packets = true,
                .table_valid = no_table,
                .self_test = limit_write_self_test},
};

}  // namespace

std::span<const KernelEntry> kernel_catalog() { return kCatalog; }

const KernelEntry* find_kernel(std::string_view name) {
  for (const KernelEntry& entry : kCatalog)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace hb
