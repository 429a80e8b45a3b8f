// Rounds of nids over packets of every kind, and what each work-item alone says about them. The
// kernel's search itself is compared with a plain one in tests/unit/nids_aho_corasick_test.cc.
// Included first in its translation unit, as tests/kernels/host_device.h.
#pragma once

#include "tests/kernels/host_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "nfs/nids/aho_corasick.h"
#include "tests/kernels/queue_driver.h"

namespace hb::test {

/// Where packets lie in the mbufs of these rounds: jumbo frames fit.
inline constexpr std::uint32_t kNidsFirst = 128, kNidsLimit = 12288;

struct NidsTestTable {
  std::string name;
  std::vector<std::byte> bytes;
};

struct alignas(64) NidsLine {
  u8 bytes[64];
};
/// The table's bytes as the kernel wants them aligned.
inline std::vector<NidsLine> nids_aligned(const std::vector<std::byte>& bytes) {
  std::vector<NidsLine> lines((bytes.size() + 63) / 64);
  std::memcpy(lines.data(), bytes.data(), bytes.size());
  return lines;
}

/// The same automaton with 32-bit entries, which a table of few states does not get by itself.
inline std::vector<std::byte> widened(const std::vector<std::byte>& narrow) {
  HbNidsTable header;
  std::memcpy(&header, narrow.data(), sizeof header);
  const std::size_t n = std::size_t{header.n_states} * header.n_columns;
  std::vector<std::byte> wide(header.transitions_offset + n * sizeof(u32));
  std::memcpy(wide.data(), narrow.data(), header.transitions_offset);
  header.flags |= HB_NIDS_WIDE;
  header.total_bytes = wide.size();
  std::memcpy(wide.data(), &header, sizeof header);
  for (std::size_t i = 0; i < n; ++i) {
    u16 entry = 0;
    std::memcpy(&entry, narrow.data() + header.transitions_offset + i * sizeof entry, sizeof entry);
    const u32 next = entry * header.n_columns;
    std::memcpy(wide.data() + header.transitions_offset + i * sizeof next, &next, sizeof next);
  }
  return wide;
}

/// Patterns that some packets hold, with and without marks for headers; both widths.
inline std::vector<NidsTestTable> nids_test_tables() {
  HbNidsHeaders marks{};
  marks.protocols = HB_NIDS_TCP | HB_NIDS_UDP | HB_NIDS_ICMP;
  std::mt19937 random(4);
  for (u32& word : marks.tcp_flags) word = static_cast<u32>(random());
  for (auto& ports : marks.ports)
    for (u32& word : ports) word = static_cast<u32>(random()) | static_cast<u32>(random());
  const std::vector<std::string_view> patterns = {"abc", "hgfed", "aaaab", "ppqrstuvwxyz",
                                                  "cb\xff"};
  const auto build = [&](const nids::NidsMarks& of) {
    return *nids::build_nids_table(patterns, of);
  };
  const std::vector<std::byte> narrow = build({});
  const std::vector<std::byte> headers = build({.headers = &marks});
  return {{"narrow", narrow},
          {"wide", widened(narrow)},
          {"headers", headers},
          {"wide with headers", widened(headers)},
          {"asks", build({.asks = true})},
          {"copies all", build({.copy_all = true})},
          {"no patterns", *nids::build_nids_table({}, {})},
          {"no table", std::vector<std::byte>(64)}};
}

/// A work-group's queue and its packets, of which many overlap.
class NidsRounds {
 public:
  NidsRounds(std::uint32_t n_lanes, std::uint32_t seed)
      : random_(seed),
        layout_(queue_layout(1, n_lanes, 1)),
        memory_(layout_.total_bytes / sizeof(NidsLine)) {
    view_ = RegionView(reinterpret_cast<std::byte*>(memory_.data()), layout_);
    view_.format();
  }

  /// Makes the packets of another round.
  /// @param with_bad  some slots name no packet of the region
  void fill(bool with_bad) {
    auto* const bytes = reinterpret_cast<std::uint8_t*>(view_.base()) + layout_.packets;
    for (std::uint64_t i = 0; i < layout_.packet_bytes; ++i)
      bytes[i] = static_cast<std::uint8_t>("abcdefghABCDEFGHxyz\xff"[random_() % 20]);
    for (std::uint32_t lane = 0; lane < layout_.work_group_size; ++lane)
      view_.slots(0)[lane] = random_() % 8 == 0 ? 0 : packet(with_bad && random_() % 8 == 0);
  }

  /// @param table  lives as long as the result
  [[nodiscard]] HbRound round(std::uint32_t lane, const u8* table, std::size_t table_bytes) const {
    HbRound round{};
    round.region = reinterpret_cast<u8*>(view_.base());
    round.region_bytes = layout_.total_bytes;
    round.packet_first = kNidsFirst;
    round.packet_limit = kNidsLimit;
    round.slots = view_.slots(0);
    round.results = view_.results(0);
    round.table = table;
    round.table_bytes = static_cast<u32>(table_bytes);
    round.lane = lane;
    round.n_lanes = layout_.work_group_size;
    return round;
  }

  /// What each work-item says that reads its own packet.
  std::vector<u64> alone(const u8* table, std::size_t table_bytes) {
    for (std::uint32_t lane = 0; lane < layout_.work_group_size; ++lane) {
      const HbRound own = round(lane, table, table_bytes);
      hb_round_nids_alone(&own);
    }
    return take_results();
  }
  /// The answers that are there, which are then overwritten.
  std::vector<u64> take_results() {
    u64* const results = view_.results(0);
    std::vector<u64> taken(results, results + layout_.work_group_size);
    std::fill_n(results, layout_.work_group_size, ~u64{0});
    return taken;
  }
  [[nodiscard]] const RegionView& view() const { return view_; }

 private:
  std::uint32_t length() {
    switch (random_() % 4) {
      case 0:
        return random_() % 40;  // around where the search starts
      case 1:
        return 100 + random_() % 300;  // around the first chunks' ends
      case 2:
        return random_() % 1600;
      default:
        return random_() % 9700;
    }
  }
  u64 packet(bool is_bad) {
    const std::uint32_t n = length();
    std::uint32_t offset = kNidsFirst + random_() % 200;
    const std::uint64_t room = (layout_.total_bytes - layout_.packets - offset - n) / 64;
    std::uint64_t base = layout_.packets / 64 + random_() % (room + 1);
    if (random_() % 8 == 0) {  // to the region's last byte
      base = (layout_.total_bytes - offset - n) / 64;
      offset = static_cast<std::uint32_t>(layout_.total_bytes - n - base * 64);
    }
    if (!is_bad) {
      write_headers(base * 64 + offset, n);
      return HB_SLOT(base, n, offset);
    }
    switch (random_() % 4) {
      case 0:
        return HB_SLOT(base, n, kNidsFirst - 1);
      case 1:
        return HB_SLOT(base, n, kNidsLimit - n + 1);
      case 2:
        return HB_SLOT((layout_.total_bytes - offset - n) / 64 + 1, n, offset);
      default:
        return HB_SLOT(random_(), n, offset) | 0xf0000000u;
    }
  }
  /// Headers that make sense up to the packet's end, or almost do.
  void write_headers(std::uint64_t at, std::uint32_t n) {
    std::vector<std::uint8_t> head(12, 2);
    const auto put16 = [&](std::uint32_t value) {
      head.push_back(static_cast<std::uint8_t>(value >> 8));
      head.push_back(static_cast<std::uint8_t>(value));
    };
    constexpr std::array<std::uint32_t, 3> kTags = {0x8100, 0x88a8, 0x9100};
    for (auto n_tags = random_() % 4; n_tags > 0; --n_tags) {
      put16(kTags[random_() % kTags.size()]);
      put16(5);
    }
    constexpr std::array<std::uint8_t, 6> kProtocols = {6, 6, 17, 1, 58, 44};
    const std::uint8_t protocol = kProtocols[random_() % kProtocols.size()];
    const bool is_4 = random_() % 2 == 0;
    put16(random_() % 10 == 0 ? 0x0806 : is_4 ? 0x0800 : 0x86dd);
    const std::size_t ip_at = head.size();
    const std::uint32_t words = is_4 ? 5 + random_() % 11 : 10;
    head.resize(ip_at + words * 4 + 20);
    for (std::size_t i = ip_at; i < head.size(); ++i)
      head[i] = static_cast<std::uint8_t>(random_());
    head[ip_at] = static_cast<std::uint8_t>(is_4 ? 0x40 + words : 0x60);
    head[ip_at + (is_4 ? 9 : 6)] = protocol;
    if (is_4) head[ip_at + 6] = head[ip_at + 7] = random_() % 8 == 0 ? 1 : 0;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(view_.base()) + at;
    std::copy_n(head.begin(), std::min<std::size_t>(head.size(), n), bytes);
  }

  std::mt19937 random_;
  RegionLayout layout_;
  std::vector<NidsLine> memory_;
  RegionView view_;
};

}  // namespace hb::test
