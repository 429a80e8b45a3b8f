// The ciphers of the CPU twin: intel-ipsec-mb, many packets at a time.
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/esp_layout.h"
#include "nf_lib/esp/sa_state.h"
#include "nf_lib/limits.h"
#include "nf_lib/result.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

/// Keys as the library wants them. In secret memory only.
struct alignas(64) SaKeys {
  std::uint8_t encrypt[15 * 16];  ///< AES round keys
  std::uint8_t decrypt[15 * 16];
  std::uint8_t hmac_inner[64];  ///< hash state after the key xor ipad: 20 or 32 bytes
  std::uint8_t hmac_outer[64];
  std::uint8_t salt[4];
  std::uint32_t key_bytes;
  alignas(64) gcm_key_data gcm;
};

/// One ESP packet to seal or to open, in place.
struct CryptoJob {
  const HbEspSa* sa = nullptr;
  const SaKeys* keys = nullptr;
  std::uint8_t* esp = nullptr;  ///< SPI, sequence number, IV, sealed part, room for the ICV
  std::uint32_t sealed_bytes = 0;
  std::uint64_t sequence = 0;
  bool opens = false;
  bool ok = false;  ///< result: opening, the ICV was right
};

/// A CBC IV, and before that what it is made of.
struct alignas(16) IvBlock {
  IvBlock() = default;
  /// @param sa  index in the table that the key belongs to
  IvBlock(std::uint64_t sequence, std::uint32_t spi, std::uint32_t sa) noexcept
      : words{__builtin_bswap64(sequence), __builtin_bswap64(std::uint64_t{spi} << 32 | sa)} {}
  std::uint64_t words[2];  ///< 16 bytes, as they are sent
};

/// Makes the IVs of CBC, which nobody must be able to foretell (RFC 3602 section 3): AES-128, keyed
/// with the kernel's random numbers, of the packet's sequence number, SPI and SA. No SA has a
/// number twice, so no input comes twice under one key. NIST SP 800-38A appendix C describes this
/// way.
struct IvKey {
  static constexpr std::size_t kSeedBytes = 16;
  alignas(16) std::array<std::uint8_t, 11 * 16> round_keys;
};
using SecretIvKey = SecretVector<IvKey>;  ///< of one

/// One thread's multi-buffer manager.
class Crypto {
 public:
  /// @return an Error if the CPU lacks what the library needs
  static Result<Crypto> make();

  /// Expands an SA's keys.
  void expand(const SaConfig& config, SaKeys& keys) const noexcept;
  /// Names an SA with its key.
  [[nodiscard]] SaId identify(const SaConfig& config) const noexcept;
  /// Seals or opens all of them, n <= kMaxBurst. Headers and IVs are in place.
  void run(std::span<CryptoJob> jobs) noexcept;

  [[nodiscard]] Result<SecretIvKey> random_iv_key() const;
  /// For tests, and twins that must agree.
  [[nodiscard]] SecretIvKey iv_key(std::span<const std::uint8_t, IvKey::kSeedBytes> seed) const;
  /// Makes IVs of what is to go into them, all in one go. No job is under way.
  void make_ivs(const IvKey& key, std::span<IvBlock> blocks) const noexcept;

  [[nodiscard]] IMB_MGR* manager() const noexcept { return manager_; }

 private:
  /// What jobs need beside their packets while they are under way.
  struct Tags {
    std::array<std::array<std::uint8_t, 32>, kMaxBurst> computed;
    std::array<std::array<std::uint8_t, HB_ESP_MAX_ICV>, kMaxBurst> received;
  };
  /// What GCM takes beside a packet.
  struct Nonce {
    std::uint8_t iv[12];
    std::uint8_t aad[12];  ///< with ESN; else it is the packet's first 8 bytes
  };
  Crypto() = default;
  static void make_nonce(const CryptoJob& job, Nonce& to) noexcept;
  void run_gcm(CryptoJob& job, const Nonce& nonce) noexcept;
  void fill(IMB_JOB& to, CryptoJob& job, std::size_t index) noexcept;
  void finish_cbc(CryptoJob& job, std::size_t index) noexcept;

  SecretVector<std::byte> memory_;
  SecretVector<Tags> tags_;
  SecretVector<std::array<Nonce, kMaxBurst>> nonces_;
  IMB_MGR* manager_ = nullptr;
};

}  // namespace hb::ipsec
