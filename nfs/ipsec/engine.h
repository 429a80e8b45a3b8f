// ESP in tunnel mode over bursts of frames: RFC 4303, with RFC 4301's rules for headers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "nf_lib/esp/gate.h"
#include "nf_lib/limits.h"
#include "nfs/ipsec/crypto.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

/// One Ethernet frame in its buffer; sealing grows it at both ends.
struct Frame {
  std::uint8_t* buffer = nullptr;
  std::uint32_t room = 0;    ///< bytes of the buffer
  std::uint32_t offset = 0;  ///< where the frame starts in it
  std::uint32_t length = 0;

  [[nodiscard]] std::uint8_t* data() const noexcept { return buffer + offset; }
};

/// The file's SAs and policies, as a gate takes them.
GateConfig gate_config(const SaFile& file, const GateOptions& options, const Crypto& crypto);

/// Seals and opens. One thread.
class Engine {
 public:
  /// @param states  of the surviving block; outlives the engine
  /// @param iv_key  of the first table; each later one gets a random one
  static Result<std::unique_ptr<Engine>> make(const SaFile& file, const GateOptions& options,
                                              SaStates& states, Crypto crypto, SecretIvKey iv_key);

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

  [[nodiscard]] SaTable& table() noexcept { return keyed_->gate->table(); }

 private:
  /// The SAs with their keys.
  struct Keyed {
    std::unique_ptr<Gate> gate;
    SecretVector<SaKeys> keys;  ///< of the gate's SAs
    SecretIvKey iv_key;
  };

  Engine(const GateOptions& options, SaStates& states, Crypto crypto)
      : options_(options), states_(&states), crypto_(std::move(crypto)) {}

  Result<std::unique_ptr<Keyed>> make_keyed(const SaFile& file, const Crypto& crypto,
                                            SecretIvKey iv_key) const;
  inline void begin_seal(Frame& frame, const Order& order, const Sa& sa, CryptoJob& job) noexcept;
  inline void begin_open(const Frame& frame, const Order& order, const Sa& sa,
                         CryptoJob& job) noexcept;
  void send_ivs() noexcept;
  Outcome finish(Frame& frame, const Order& order, const CryptoJob& job) noexcept;

  GateOptions options_;
  SaStates* states_;
  Crypto crypto_;
  std::unique_ptr<Keyed> keyed_;
  std::atomic<Keyed*> offered_{nullptr};  ///< owned by it until it is taken
  std::array<CryptoJob, kMaxBurst> jobs_;
  std::array<Order, kMaxBurst> orders_;  ///< of the jobs
  std::array<std::uint32_t, kMaxBurst> frame_of_;
  std::array<IvBlock, kMaxBurst> ivs_;
  std::array<std::uint8_t*, kMaxBurst> iv_to_;  ///< where they are sent
  std::size_t n_ivs_ = 0;
};

}  // namespace hb::ipsec
