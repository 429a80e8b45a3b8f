// ipsec: seals packets into ESP tunnels and opens them again, on the CPU or (--gpu) on the device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nf_lib/nf.h"
#include "nfs/ipsec/engine.h"

namespace hb::ipsec {

/// What both twins are told on the command line.
struct Options {
  std::string path;
  std::string direction = "both";
  std::uint32_t mtu = 65535;
  std::uint32_t ttl = 64;
  bool decrement_ttl = false;

  void add_to(CLI::App& app);
  [[nodiscard]] GateOptions gate() const;
};

/// The CPU twin.
class Ipsec final : public NetworkFunction {
 public:
  void add_options(CLI::App& app) override { options_.add_to(app); }
  Result<void> setup(NfContext& context) override;
  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override;
  /// `hbctl reload ipsec [FILE]`: the same file again, or another one.
  Result<std::string> reload(std::span<const std::string> args) override;
  /// Takes what was reloaded, looks at limits by time and logs those that are reached.
  void tick(std::uint64_t now_ns) noexcept override;
  /// Gives sequence numbers back and logs each SA's counters.
  void tear_down() noexcept override;

 private:
  Options options_;
  std::unique_ptr<SaStates> states_;
  std::unique_ptr<Engine> engine_;
};

/// The GPU twin's control process: it makes the table. gpu_host's hook (gpu_host/esp_hook.h) has
/// the gate, and kernels/ipsec.cl the ciphers.
class IpsecOnGpu final : public GpuNetworkFunction {
 public:
  void add_options(CLI::App& app) override { options_.add_to(app); }
  Result<void> setup(NfContext& context) override;
  [[nodiscard]] std::string kernel() const override { return "ipsec"; }
  Result<MemoryFile> table_file() override;
  Result<std::string> reload(std::span<const std::string> args) override;
  void on_replaced(bool in_force) override;
  /// Logs each SA's counters.
  void tear_down() noexcept override;

 private:
  Options options_;
  std::unique_ptr<SaStates> states_;
  std::optional<SaFile> file_;
  std::optional<SaFile> before_;  ///< a reload's, until it is in force
  std::string path_before_;
};

/// What the platform is told of it.
NfDescription description();

}  // namespace hb::ipsec
