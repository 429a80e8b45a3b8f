// ipsec's two twins over the same frames: the CPU's engine, and the hook with a device between its
// halves. They agree on each frame's bytes and on each drop's reason.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gpu_host/backend.h"
#include "gpu_host/esp_hook.h"
#include "kernels/esp_table.h"
#include "nfs/ipsec/device_table.h"
#include "tests/unit/ipsec_world.h"

namespace hb::test {

inline constexpr std::uint32_t kEspStride = 10240;
inline constexpr PacketBounds kEspBounds{.first = 128, .limit = kEspStride};

/// Runs the round that is laid out in a region.
class EspDevice {
 public:
  virtual ~EspDevice() = default;
  /// @param view   one work-group with one round in its queue, not published
  /// @param table  64-byte aligned
  virtual void run(const RegionView& view, std::span<const std::byte> table) = 0;
};

/// A region of one round and its packets.
inline RegionLayout esp_layout(std::uint32_t n_lanes) {
  RegionLayout layout{};
  const std::uint64_t slots = n_lanes;
  layout.slots = sizeof(HbQueueControl);
  layout.results = layout.slots + slots * sizeof(u64);
  layout.words = layout.results + slots * sizeof(u64);
  layout.slice_controls = layout.words + slots * sizeof(HbSlotWords);
  layout.packets = (layout.slice_controls + sizeof(HbSliceControl) + 63) / 64 * 64;
  layout.packet_bytes = slots * kEspStride;
  layout.total_bytes = layout.packets + layout.packet_bytes;
  layout.n_work_groups = 1;
  layout.work_group_size = n_lanes;
  layout.n_rounds = 1;
  return layout;
}

/// Both twins with the same SAs, IVs and sequence numbers.
class Twins {
 public:
  Twins(EspDevice& device, std::uint32_t n_lanes, const std::string& text,
        ipsec::GateOptions options)
      : device_(device), layout_(esp_layout(n_lanes)), cpu_(text, options, cpu_states_) {
    const auto file = ipsec::parse_sa_file("test", text);
    const auto crypto = ipsec::Crypto::make();
    const ipsec::GateConfig config = ipsec::gate_config(*file, options, *crypto);
    // GCM's IVs count from the time at which an SA was first seen.
    for (std::size_t i = 0; i < config.ids.size(); ++i)
      gpu_states_.states.find_or_add(config.ids[i],
                                     cpu_.engine->table().sas()[i].state->created.load());
    table_ = ipsec::build_device_table(*file, options, *crypto,
                                       crypto->iv_key(EngineUnderTest::kSeed).front());
    EXPECT_TRUE(esp_table_valid(reinterpret_cast<const u8*>(table_.data()), table_.size()));
    auto hook = make_esp_hook(table_, gpu_states_.bytes());
    EXPECT_TRUE(hook) << (hook ? "" : hook.error().line());
    hook_ = std::move(*hook);
    memory_ = static_cast<std::byte*>(std::aligned_alloc(64, (layout_.total_bytes + 63) / 64 * 64));
  }
  ~Twins() { std::free(memory_); }
  Twins(const Twins&) = delete;
  Twins& operator=(const Twins&) = delete;

  /// Lets both have the frames, at most a round's; the frames become what left.
  /// @return the reasons, "" for those that passed
  std::vector<std::string> process(std::vector<Bytes>& frames, std::uint32_t headroom = 128,
                                   std::uint32_t tailroom = 128) {
    std::vector<Bytes> theirs = frames;
    const std::vector<std::string> expected = cpu_.process(theirs, headroom, tailroom);
    const std::vector<std::string> reasons = on_device(frames, headroom, tailroom);
    EXPECT_EQ(reasons, expected);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (!expected[i].empty() || !reasons[i].empty()) continue;
      EXPECT_EQ(to_hex(frames[i]), to_hex(theirs[i])) << "frame " << i;
    }
    return reasons;
  }

 private:
  std::vector<std::string> on_device(std::vector<Bytes>& frames, std::uint32_t headroom,
                                     std::uint32_t tailroom) {
    constexpr std::byte kGuard{0xa5};
    std::fill_n(memory_, layout_.total_bytes, std::byte{0});
    std::fill_n(memory_ + layout_.packets, layout_.packet_bytes, kGuard);
    const RegionView view(memory_, layout_);
    std::vector<HookedPacket> packets;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const std::uint64_t at = layout_.packets + i * kEspStride;
      const std::uint32_t offset = kEspBounds.first + headroom;
      auto* const data = reinterpret_cast<std::uint8_t*>(memory_ + at + offset);
      std::ranges::copy(frames[i], data);
      packets.push_back({data, static_cast<std::uint32_t>(frames[i].size()), headroom, tailroom});
      view.slots(0)[i] = HB_SLOT(at / 64, frames[i].size(), offset);
    }
    hook_->before(packets, view.words(0));
    device_.run(view, table_);
    std::vector<std::string> reasons;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const u64 result = view.results(0)[i];
      const std::byte* const mbuf = memory_ + layout_.packets + i * kEspStride;
      const std::uint32_t offset = HB_RESULT_DATA_OFFSET(result);
      const std::uint32_t length = HB_RESULT_LENGTH(result);
      EXPECT_LE(offset + length, kEspStride);
      EXPECT_TRUE(HB_RESULT_VERDICT(result) == HB_VERDICT_NEXT ||
                  HB_RESULT_ARGUMENT(result) < ipsec::kDropNames.size())
          << std::hex << result;
      const auto* const data = reinterpret_cast<const std::uint8_t*>(mbuf + offset);
      Verdict verdict(HB_RESULT_VERDICT(result), HB_RESULT_ARGUMENT(result));
      const auto short_length = static_cast<std::uint16_t>(length);
      hook_->after({.which = 1,
                    .words = view.words(0) + i,
                    .data = &data,
                    .lengths = &short_length,
                    .verdicts = &verdict});
      const bool passes = verdict.kind() == HB_VERDICT_NEXT;
      reasons.emplace_back(passes ? "" : ipsec::kDropNames[verdict.argument()]);
      // Nothing beside the buffer that the packet may use changes.
      const std::uint32_t end =
          kEspBounds.first + headroom + static_cast<std::uint32_t>(frames[i].size()) + tailroom;
      for (std::uint32_t k = 0; k < kEspBounds.first; ++k) EXPECT_EQ(mbuf[k], kGuard);
      for (std::uint32_t k = end; k < kEspStride; ++k) EXPECT_EQ(mbuf[k], kGuard);
      if (passes) frames[i].assign(data, data + length);
    }
    return reasons;
  }

  EspDevice& device_;
  RegionLayout layout_;
  StateBlock cpu_states_;
  StateBlock gpu_states_;
  EngineUnderTest cpu_;
  SecretVector<std::byte> table_;
  std::unique_ptr<RoundHook> hook_;
  std::byte* memory_ = nullptr;
};

/// SAs of every transform; a packet's third destination byte (IPv6: fourth group) picks one.
inline std::string every_transform(bool esn, const std::string& more) {
  std::string text;
  const std::vector<ReferenceSa> sas = all_transforms(esn);
  for (std::size_t i = 0; i < sas.size(); ++i) {
    const bool six = i % 2 == 1;
    const std::string src = six ? "2001:db8::1" : "192.0.2.1";
    const std::string dst = six ? "2001:db8::2" : "192.0.2.2";
    text += sas[i].command(src, dst, more);
    for (const char* const net : {"0.0.0.0/0 dst 10.2.", "::/0 dst 2001:db8:2:"})
      text += "ip xfrm policy add src " + (net + std::to_string(i)) +
              (net[0] == '0' ? ".0/24" : "::/64") + " dir out tmpl src " + src + " dst " + dst +
              " proto esp spi " + std::to_string(sas[i].spi) + " mode tunnel\n";
  }
  return text;
}
inline constexpr std::size_t kNTransforms = 6;

/// A frame of that many bytes of IP for that transform.
inline Bytes twin_frame(std::size_t transform, std::size_t bytes, std::mt19937& rng) {
  const bool six = bytes >= 40 && rng() % 3 == 0;
  const auto tos = static_cast<std::uint8_t>(rng());
  Bytes packet = six ? ip6_packet(bytes, rng, tos) : ip4_packet(bytes, rng, tos);
  packet[six ? 31 : 18] = static_cast<std::uint8_t>(transform);
  if (!six) {
    packet[6] = static_cast<std::uint8_t>(rng() % 2 * 0x40);
    packet[8] = static_cast<std::uint8_t>(1 + rng() % 255);
    set_checksum(packet);
  }
  const Bytes tag = {0x81, 0, 0, 7};
  Bytes frame = in_ethernet(packet, rng() % 4 == 0 ? tag : Bytes{});
  if (rng() % 8 == 0) frame.resize(frame.size() + rng() % 20);
  return frame;
}

inline void expect_twins_agree(EspDevice& device, std::uint32_t n_lanes, std::size_t n) {
  std::mt19937 rng(4303);
  for (const std::string more :
       {"", "flag noecn extra-flag dont-encap-dscp ", "flag nopmtudisc flag decap-dscp "}) {
    for (const bool esn : {false, true}) {
      const std::string text = every_transform(esn, more + "replay-window 4096");
      ipsec::GateOptions options = one_way(ipsec::Direction::kEncrypt);
      options.decrement_ttl = more.size() > 35;
      Twins seal(device, n_lanes, text, options);
      options.direction = ipsec::Direction::kDecrypt;
      Twins open(device, n_lanes, text, options);
      for (std::size_t done = 0; done < n / 6 && !::testing::Test::HasFailure();) {
        std::vector<Bytes> frames;
        for (std::uint32_t i = 0; i < n_lanes - 1; ++i, ++done)
          frames.push_back(
              twin_frame(rng() % kNTransforms, 20 + rng() % 1480 / (1 + rng() % 12), rng));
        const std::uint32_t headroom = 100 + rng() % 60;
        const std::vector<std::string> reasons = seal.process(frames, headroom);
        std::vector<Bytes> sealed;
        for (std::size_t i = 0; i < frames.size(); ++i)
          if (reasons[i].empty()) sealed.push_back(frames[i]);
        for (const std::string& reason : open.process(sealed, headroom))
          EXPECT_TRUE(reason.empty() || reason == "congestion" || reason == "ttl_expired")
              << reason;
      }
    }
  }
}

/// Lengths from 20 to the largest in steps that meet every remainder.
inline void expect_twins_agree_on_every_length(EspDevice& device, std::uint32_t n_lanes) {
  std::mt19937 rng(1);
  const std::string text = every_transform(false, "");
  Twins seal(device, n_lanes, text, one_way(ipsec::Direction::kEncrypt));
  Twins open(device, n_lanes, text, one_way(ipsec::Direction::kDecrypt));
  std::size_t transform = 0;
  for (std::size_t bytes = 20; bytes < 9000 && !::testing::Test::HasFailure();) {
    std::vector<Bytes> frames;
    for (std::uint32_t i = 0; i < n_lanes; ++i, bytes += bytes < 400 ? 1 : 13)
      frames.push_back(twin_frame(transform++ % kNTransforms, bytes, rng));
    for (const std::string& reason : seal.process(frames)) EXPECT_EQ(reason, "");
    open.process(frames);
  }
}

/// Flipped bits, cut packets, noise, and authentic packets that hold nonsense.
inline void expect_twins_agree_on_damage(EspDevice& device, std::uint32_t n_lanes, std::size_t n) {
  std::mt19937 rng(2);
  std::map<std::string, int> seen;
  for (const bool esn : {false, true}) {
    const std::vector<ReferenceSa> sas = all_transforms(esn);
    std::string text;
    for (const ReferenceSa& sa : sas)
      text += sa.command("192.0.2.1", "192.0.2.2", "replay-window 4096");
    std::uint64_t sequence = 0;
    Twins open(device, n_lanes, text, one_way(ipsec::Direction::kDecrypt));
    for (std::size_t done = 0; done < n / 2 && !::testing::Test::HasFailure();) {
      std::vector<Bytes> frames;
      for (std::uint32_t i = 0; i < n_lanes; ++i, ++done) {
        const ReferenceSa& sa = sas[rng() % sas.size()];
        const auto tos = static_cast<std::uint8_t>(rng());
        const std::size_t bytes = 40 + rng() % 300;
        Bytes inner = rng() % 2 == 0 ? ip4_packet(bytes, rng, tos) : ip6_packet(bytes, rng, tos);
        const std::uint8_t next_header = rng() % 8 == 0       ? static_cast<std::uint8_t>(rng())
                                         : inner[0] >> 4 == 4 ? 4
                                                              : 41;
        if (rng() % 6 == 0) inner[rng() % 8] = static_cast<std::uint8_t>(rng());
        Bytes plain = with_trailer(sa, inner, rng() % 12 == 0 ? 59 : next_header, rng() % 8);
        if (rng() % 6 == 0) plain[plain.size() - 1 - rng() % 20] = static_cast<std::uint8_t>(rng());
        Bytes frame =
            esp_frame(reference_seal_raw(sa, ++sequence, random_bytes(rng, sa.iv_bytes()), plain),
                      static_cast<std::uint8_t>(rng()));
        if (rng() % 4 == 0)
          frame[rng() % frame.size()] ^= static_cast<std::uint8_t>(1 << rng() % 8);
        if (rng() % 8 == 0) frame.resize(rng() % frame.size());
        frames.push_back(std::move(frame));
      }
      for (const std::string& reason : open.process(frames, 128 + rng() % 16)) ++seen[reason];
    }
  }
  for (const char* const reason : {"", "bad_icv", "bad_padding", "bad_inner", "congestion", "dummy",
                                   "malformed", "no_sa", "not_esp", "not_ip"})
    EXPECT_GT(seen[reason], 0) << "never seen: '" << reason << "'";
}

inline void expect_twins_agree_on_state(EspDevice& device, std::uint32_t n_lanes) {
  std::mt19937 rng(3);
  const ReferenceSa sa = all_transforms(true)[0];
  const std::string state = "192.0.2.2";
  Twins open(device, n_lanes,
             sa.command("192.0.2.1", state,
                        "replay-window 64 limit packet-hard 400 sel src "
                        "10.0.0.0/8 dst 10.2.0.0/24 "),
             one_way(ipsec::Direction::kDecrypt));
  std::map<std::string, int> seen;
  std::uint64_t top = 1;
  for (int round = 0; round < 400; ++round) {
    std::vector<Bytes> frames;
    for (std::uint32_t i = 0; i < n_lanes; ++i) {
      const std::uint64_t sequence = std::max<std::int64_t>(
          1, static_cast<std::int64_t>(top) + static_cast<std::int64_t>(rng() % 90) - 80);
      top = std::max(top, sequence);
      Bytes inner = ip4_packet(60, rng);
      inner[18] = rng() % 8 == 0;
      set_checksum(inner);
      frames.push_back(esp_frame(
          reference_seal_raw(sa, sequence, random_bytes(rng, 16), with_trailer(sa, inner, 4))));
    }
    for (const std::string& reason : open.process(frames)) ++seen[reason];
  }
  for (const char* const reason : {"", "replay", "policy_mismatch", "lifetime"})
    EXPECT_GT(seen[reason], 0) << "never seen: '" << reason << "'";
  Twins seal(device, n_lanes,
             sa.command("192.0.2.1", state,
                        "replay-window 64 replay-oseq 0xfffffff0 limit packet-hard 40 "),
             one_way(ipsec::Direction::kEncrypt));
  for (int round = 0; round < 10; ++round) {
    std::vector<Bytes> frames;
    for (std::uint32_t i = 0; i < n_lanes; ++i) frames.push_back(in_ethernet(ip4_packet(60, rng)));
    for (const std::string& reason : seal.process(frames)) ++seen[reason];
  }
}

}  // namespace hb::test
