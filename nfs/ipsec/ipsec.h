// ipsec: seals packets into ESP tunnels and opens them again, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "nf_lib/nf.h"
#include "nfs/ipsec/engine.h"

namespace hb::ipsec {

class Ipsec final : public NetworkFunction {
 public:
  void add_options(CLI::App& app) override;
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
  std::string path_;
  std::string direction_ = "both";
  std::uint32_t mtu_ = 65535;
  std::uint32_t ttl_ = 64;
  bool decrement_ttl_ = false;
  std::unique_ptr<SaStates> states_;
  std::unique_ptr<Engine> engine_;
};

/// What the platform is told of it.
NfDescription description();

}  // namespace hb::ipsec
