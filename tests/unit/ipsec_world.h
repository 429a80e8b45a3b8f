// Engines over plain buffers, and packets for them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "nfs/ipsec/engine.h"
#include "nfs/ipsec/sa_file.h"
#include "tests/unit/ipsec_reference.h"

namespace hb::test {

/// A surviving block in plain memory.
class StateBlock {
 public:
  StateBlock()
      : memory_(std::aligned_alloc(128, ipsec::SaStates::kBytes)),
        states({static_cast<std::byte*>(memory_), ipsec::SaStates::kBytes}) {
    std::memset(memory_, 0, ipsec::SaStates::kBytes);
  }
  ~StateBlock() { std::free(memory_); }
  StateBlock(const StateBlock&) = delete;
  StateBlock& operator=(const StateBlock&) = delete;
  std::span<std::byte> bytes() {
    return {static_cast<std::byte*>(memory_), ipsec::SaStates::kBytes};
  }

 private:
  void* memory_;

 public:
  ipsec::SaStates states;
};

/// An engine of its own process: key, SA file, surviving block.
class EngineUnderTest {
 public:
  EngineUnderTest(const std::string& text, ipsec::GateOptions options, StateBlock& block)
      : EngineUnderTest(text, options, block.states) {}
  EngineUnderTest(const std::string& text, ipsec::GateOptions options, ipsec::SaStates& states) {
    auto file = ipsec::parse_sa_file("test", text);
    EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().line());
    auto crypto = ipsec::Crypto::make();
    EXPECT_TRUE(crypto.ok());
    ipsec::SecretIvKey iv_key = crypto->iv_key(kSeed);
    auto made = ipsec::Engine::make(*file, options, states, std::move(*crypto), std::move(iv_key));
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().line());
    engine = std::move(*made);
  }

  /// One frame alone in a burst. The frame becomes what it is afterwards.
  /// @return "" or the drop reason's name
  std::string process(Bytes& frame) {
    std::vector<Bytes> frames = {frame};
    const std::string reason = process(frames).front();
    frame = frames.front();
    return reason;
  }

  /// A burst, of at most kMaxBurst frames. Bytes around each frame's room stay as they are.
  std::vector<std::string> process(std::vector<Bytes>& frames, std::uint32_t head = 128,
                                   std::uint32_t tail = 128) {
    constexpr std::uint8_t kGuard = 0xa5;
    std::vector<Bytes> buffers;
    std::vector<ipsec::Frame> views;
    for (const Bytes& frame : frames) {
      Bytes& buffer = buffers.emplace_back(16 + head + frame.size() + tail + 16, kGuard);
      std::copy(frame.begin(), frame.end(), buffer.begin() + 16 + head);
    }
    for (std::size_t i = 0; i < frames.size(); ++i)
      views.push_back({buffers[i].data() + 16,
                       head + static_cast<std::uint32_t>(frames[i].size()) + tail, head,
                       static_cast<std::uint32_t>(frames[i].size())});
    std::vector<ipsec::Outcome> outcomes(frames.size());
    engine->process(views, outcomes);
    std::vector<std::string> reasons;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      for (std::size_t k = 0; k < 16; ++k) {
        EXPECT_EQ(buffers[i][k], kGuard) << "in front of the buffer";
        EXPECT_EQ(buffers[i][buffers[i].size() - 1 - k], kGuard) << "behind the buffer";
      }
      EXPECT_LE(views[i].offset + views[i].length, views[i].room);
      frames[i].assign(views[i].data(), views[i].data() + views[i].length);
      reasons.emplace_back(
          outcomes[i].passes ? "" : ipsec::kDropNames[static_cast<std::size_t>(outcomes[i].drop)]);
    }
    return reasons;
  }

  std::unique_ptr<ipsec::Engine> engine;
  static constexpr std::array<std::uint8_t, ipsec::IvKey::kSeedBytes> kSeed = {1, 2, 3};
};

inline ipsec::GateOptions one_way(ipsec::Direction direction) {
  ipsec::GateOptions options;
  options.direction = direction;
  return options;
}

inline Bytes random_bytes(std::mt19937& rng, std::size_t n) {
  Bytes bytes(n);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(rng());
  return bytes;
}

inline void set_checksum(Bytes& packet, std::size_t at = 0) {
  packet[at + 10] = packet[at + 11] = 0;
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < (packet[at] & 15u) * 4u; i += 2)
    sum += static_cast<std::uint32_t>(packet[at + i] << 8 | packet[at + i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  packet[at + 10] = static_cast<std::uint8_t>(~sum >> 8);
  packet[at + 11] = static_cast<std::uint8_t>(~sum);
}

/// An IPv4 packet from 10.1.0.1 to 10.2.0.1 of that many bytes in all, at least 20.
inline Bytes ip4_packet(std::size_t bytes, std::mt19937& rng, std::uint8_t tos = 0,
                        std::uint8_t protocol = 253) {
  Bytes packet = {0x45,
                  tos,
                  static_cast<std::uint8_t>(bytes >> 8),
                  static_cast<std::uint8_t>(bytes),
                  0x12,
                  0x34,
                  0x40,
                  0,
                  64,
                  protocol,
                  0,
                  0,
                  10,
                  1,
                  0,
                  1,
                  10,
                  2,
                  0,
                  1};
  set_checksum(packet);
  const Bytes payload = random_bytes(rng, bytes - 20);
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}
/// An IPv6 packet from 2001:db8:1::1 to 2001:db8:2::1, at least 40 bytes.
inline Bytes ip6_packet(std::size_t bytes, std::mt19937& rng, std::uint8_t tos = 0) {
  const std::size_t payload_bytes = bytes - 40;
  Bytes packet = {static_cast<std::uint8_t>(0x60 | tos >> 4),
                  static_cast<std::uint8_t>(tos << 4),
                  0,
                  0,
                  static_cast<std::uint8_t>(payload_bytes >> 8),
                  static_cast<std::uint8_t>(payload_bytes),
                  static_cast<std::uint8_t>(payload_bytes == 0 ? 59 : 253),
                  64};
  for (const std::uint8_t net : {1, 2}) {
    const Bytes address = {0x20, 1, 0xd, 0xb8, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    packet.insert(packet.end(), address.begin(), address.end());
  }
  const Bytes payload = random_bytes(rng, payload_bytes);
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

inline Bytes in_ethernet(const Bytes& packet, const Bytes& tags = {}) {
  Bytes frame(12, 0x02);
  std::ranges::copy(tags, std::back_inserter(frame));
  const bool is_4 = packet[0] >> 4 == 4;
  frame.push_back(is_4 ? 0x08 : 0x86);
  frame.push_back(is_4 ? 0x00 : 0xdd);
  std::ranges::copy(packet, std::back_inserter(frame));
  return frame;
}

/// An outer header and ESP, in Ethernet: from 192.0.2.1 to 192.0.2.2.
inline Bytes esp_frame(const Bytes& esp, std::uint8_t tos = 0) {
  const std::size_t bytes = 20 + esp.size();
  Bytes packet = {0x45,
                  tos,
                  static_cast<std::uint8_t>(bytes >> 8),
                  static_cast<std::uint8_t>(bytes),
                  0,
                  0,
                  0,
                  0,
                  64,
                  50,
                  0,
                  0,
                  192,
                  0,
                  2,
                  1,
                  192,
                  0,
                  2,
                  2};
  set_checksum(packet);
  packet.insert(packet.end(), esp.begin(), esp.end());
  return in_ethernet(packet);
}

/// The four transforms, with keys of their own.
inline std::vector<ReferenceSa> all_transforms(bool esn) {
  std::mt19937 rng(4303);
  std::vector<ReferenceSa> sas;
  const auto add = [&](bool gcm, bool sha256, std::size_t key_bytes) {
    sas.push_back({.gcm = gcm,
                   .sha256 = sha256,
                   .esn = esn,
                   .spi = 0x1000u + std::uint32_t(sas.size()),
                   .cipher_key = random_bytes(rng, key_bytes),
                   .salt = random_bytes(rng, 4),
                   .auth_key = random_bytes(rng, sha256 ? 32 : 20)});
  };
  add(false, false, 16);
  add(false, true, 32);
  add(true, false, 16);
  add(true, false, 32);
  add(false, false, 32);
  add(false, true, 16);
  return sas;
}

}  // namespace hb::test
