// ESP in tunnel mode over bursts of frames: RFC 4303, with RFC 4301's rules for headers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "nf_lib/decode.h"
#include "nf_lib/limits.h"
#include "nfs/ipsec/crypto.h"
#include "nfs/ipsec/drop.h"
#include "nfs/ipsec/sa_table.h"

namespace hb::ipsec {

/// One Ethernet frame in its buffer; sealing grows it at both ends.
struct Frame {
  std::uint8_t* buffer = nullptr;
  std::uint32_t room = 0;    ///< bytes of the buffer
  std::uint32_t offset = 0;  ///< where the frame starts in it
  std::uint32_t length = 0;

  [[nodiscard]] std::uint8_t* data() const noexcept { return buffer + offset; }
};

struct EngineOptions {
  TableOptions table;
  std::uint32_t mtu = 65535;  ///< the largest outer packet
};

/// What became of a frame.
struct Outcome {
  bool passes = false;
  Drop drop = Drop::kNotIp;  ///< if it does not
};

/// Seals and opens. One thread.
class Engine {
 public:
  /// @param states  of the surviving block; outlives the engine
  static Result<std::unique_ptr<Engine>> make(const SaFile& file, const EngineOptions& options,
                                              SaStates& states, Crypto crypto, IvGenerator ivs);

  /// @param frames    at most kMaxBurst, in the order in which they leave
  /// @param outcomes  same length
  void process(std::span<Frame> frames, std::span<Outcome> outcomes) noexcept;

  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Makes the table that is to replace this one's; it is taken by take_reloaded. Any thread, one
  /// at a time. After an error the old one stays.
  Result<void> reload(const SaFile& file);
  /// Takes a table that was offered, and frees the one before it: its keys are wiped.
  void take_reloaded() noexcept;

  [[nodiscard]] SaTable& table() noexcept { return *table_; }

 private:
  /// A frame whose ciphering is under way.
  struct Pending {
    Sa* sa = nullptr;
    std::uint32_t frame = 0;
    std::uint32_t l2_bytes = 0;
    std::uint32_t ip_at = 0;  ///< of the outer header, opening; from the frame's start
    std::uint32_t inner_bytes = 0;
  };

  Engine(const EngineOptions& options, SaStates& states, Crypto crypto, IvGenerator ivs)
      : options_(options), states_(&states), crypto_(std::move(crypto)), ivs_(std::move(ivs)) {}

  [[nodiscard]] bool is_inbound(const DecodedPacket& packet) const noexcept;
  Outcome begin_seal(Frame& frame, const DecodedPacket& packet, std::uint32_t index) noexcept;
  Outcome begin_open(Frame& frame, const DecodedPacket& packet, std::uint32_t index) noexcept;
  Outcome begin_unprotected(const DecodedPacket& packet) const noexcept;
  Outcome finish_open(Frame& frame, const Pending& pending, const CryptoJob& job) noexcept;

  EngineOptions options_;
  SaStates* states_;
  Crypto crypto_;
  IvGenerator ivs_;
  std::unique_ptr<SaTable> table_;
  std::atomic<SaTable*> offered_{nullptr};  ///< owned by it until it is taken
  std::array<CryptoJob, kMaxBurst> jobs_;
  std::array<Pending, kMaxBurst> pending_;
  std::size_t n_jobs_ = 0;
};

}  // namespace hb::ipsec
