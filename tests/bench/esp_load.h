// Packets for ipsec's GPU twin, with a table and a hook for them: AES-128-GCM, one SA for each
// network that they go to. For benchmarks.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "gpu_host/esp_hook.h"
#include "kernels/esp_headers.h"
#include "kernels/esp_table.h"
#include "nf_lib/esp/device_keys.h"
#include "nf_lib/esp/gate_image.h"
#include "nf_lib/esp/sa_state.h"

namespace hb::bench {

/// The i-th packet is SA i % n_sas's, in either direction.
class EspLoad {
 public:
  static constexpr std::uint32_t kFront = 20 + HB_ESP_HEADER_BYTES + 8;
  static constexpr std::uint32_t kBack = 2 + 16;
  static constexpr std::uint32_t kPlainBytes = 64;
  /// Multiples of 4 in between, as GCM's blocks are.
  static constexpr std::uint32_t kSealedBytes = kPlainBytes + kFront + kBack;

  static Result<std::unique_ptr<EspLoad>> make(std::uint32_t n_sas, bool opens) {
    std::unique_ptr<EspLoad> load(new EspLoad(n_sas, opens));
    auto hook = make_esp_hook(load->table_, {load->surviving_.get(), ipsec::SaStates::kBytes});
    if (!hook) return hook.error();
    load->hook_ = std::move(*hook);
    return load;
  }

  [[nodiscard]] std::span<const std::byte> table() const { return table_; }
  [[nodiscard]] RoundHook* hook() const { return hook_.get(); }
  [[nodiscard]] std::uint32_t frame_bytes() const { return opens_ ? kSealedBytes : kPlainBytes; }

  /// The first bytes of the next packet to come in: all that the hook looks at.
  std::span<const std::uint8_t> next_head() {
    head_ = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 8, 0, 0x45};
    std::uint8_t* const ip = head_.data() + 14;
    const std::uint32_t sa = n_made_ % n_sas_;
    hb_put_be16(ip + 2, frame_bytes() - 14);
    ip[8] = 64;
    ip[9] = opens_ ? HB_ESP_PROTOCOL : 17;
    ip[12] = ip[16] = 10;
    ip[17] = 2;
    if (!opens_) hb_put_be16(ip + 17, sa);
    ip[19] = 1;
    hb_put_be16(ip + 10, hb_ip4_checksum(ip, 20));
    std::uint8_t* const behind = ip + 20;
    if (opens_) {
      hb_put_be16(behind + 2, kSpi + sa);
      const std::uint32_t sequence = 1 + n_made_ / n_sas_;
      hb_put_be16(behind + 4, sequence >> 16);
      hb_put_be16(behind + 6, sequence);
    } else {
      hb_put_be16(behind, 1000 + n_made_ % 64);
      hb_put_be16(behind + 2, 53);
      hb_put_be16(behind + 4, kPlainBytes - 34);
    }
    ++n_made_;
    return head_;
  }

 private:
  static constexpr std::uint32_t kSpi = 0x1000;
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };

  EspLoad(std::uint32_t n_sas, bool opens) : n_sas_(n_sas), opens_(opens) {
    surviving_.reset(static_cast<std::byte*>(std::aligned_alloc(128, ipsec::SaStates::kBytes)));
    std::memset(surviving_.get(), 0, ipsec::SaStates::kBytes);
    ipsec::GateConfig config;
    config.name = "bench";
    config.options.direction = opens ? ipsec::Direction::kDecrypt : ipsec::Direction::kEncrypt;
    for (std::uint32_t i = 0; i < n_sas; ++i) {
      ipsec::SaParameters sa;
      sa.src = {4, {10, 0, 0, 1}};
      sa.dst = {4, {10, 2, 0, 1}};
      sa.spi = kSpi + i;
      sa.replay_window = opens ? 4096 : 0;
      config.sas.push_back(sa);
      config.ids.push_back({i + 1, i + 1});
      if (opens) continue;
      ipsec::PolicyConfig policy;
      policy.selector.dst = {{4, {10, static_cast<std::uint8_t>(i >> 8), std::uint8_t(i)}}, 24};
      policy.spi = sa.spi;
      config.policies.push_back(policy);
    }
    const std::vector<std::byte> image = ipsec::pack_gate(config);
    const std::size_t config_at = sizeof(HbEspTable) + n_sas * sizeof(HbEspDeviceSa);
    table_.resize(config_at + image.size());
    auto& header = *reinterpret_cast<HbEspTable*>(table_.data());
    const std::array<std::uint8_t, 16> key = {1, 2, 3};
    ipsec::fill_device_header(header, n_sas, table_.size(), key);
    auto* const sas = reinterpret_cast<HbEspDeviceSa*>(table_.data() + sizeof(HbEspTable));
    const std::array<std::uint8_t, 4> salt = {4, 5, 6, 7};
    for (std::uint32_t i = 0; i < n_sas; ++i)
      ipsec::fill_device_sa(sas[i], config.sas[i], config.options,
                            {.cipher = key, .salt = salt, .auth = {}}, header.ciphers);
    std::memcpy(table_.data() + config_at, image.data(), image.size());
  }

  std::uint32_t n_sas_;
  bool opens_;
  std::uint32_t n_made_ = 0;
  std::array<std::uint8_t, 46> head_{};
  std::vector<std::byte> table_;
  std::unique_ptr<std::byte, Free> surviving_;
  std::unique_ptr<RoundHook> hook_;
};

}  // namespace hb::bench
