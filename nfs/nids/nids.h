// nids: looks for known attacks in every packet, on the CPU or (--gpu) on the device. Packets go on
// along the route, or are dropped, or change their type; what was found goes to a file of alerts.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nf_lib/nf.h"
#include "nfs/nids/inspector.h"

namespace hb::nids {

/// The CPU twin: Hyperscan on every packet.
class Nids final : public NetworkFunction {
 public:
  void add_options(CLI::App& app) override { inspector_.add_options(app); }
  Result<void> setup(NfContext& context) override { return inspector_.setup(context); }
  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override;
  /// New rules come into force where no packet comes, too.
  void tick(std::uint64_t /*now_ns*/) noexcept override {
    inspector_.take_new_rules();
    inspector_.publish_counters();
  }
  void flush() noexcept override { inspector_.flush(); }
  Result<std::string> reload(std::span<const std::string> args) override {
    return inspector_.reload(args);
  }
  void tear_down() noexcept override { inspector_.finish(); }

 private:
  Inspector inspector_;
};

/// The GPU twin's control process: the kernel finds packets that may match (kernels/nids.cl), this
/// evaluates their copies as the CPU twin does. By rules that may drop packets, or change their
/// type, those packets wait for it.
class NidsOnGpu final : public GpuNetworkFunction {
 public:
  void add_options(CLI::App& app) override { inspector_.add_options(app); }
  Result<void> setup(NfContext& context) override;
  [[nodiscard]] std::string kernel() const override { return "nids"; }
  Result<std::vector<std::byte>> table() override;
  void on_copy(const CopyRecord& record, std::span<const std::uint8_t> bytes) noexcept override;
  GpuAnswer on_question(const CopyRecord& record,
                        std::span<const std::uint8_t> bytes) noexcept override;
  /// The rules of the table that the device has: a copy is evaluated by the version that judged it.
  Result<std::string> reload(std::span<const std::string> args) override {
    return inspector_.reload(args);
  }
  void on_replaced(bool in_force) override { inspector_.settle(in_force); }
  void tear_down() noexcept override { inspector_.finish(); }

 private:
  Inspector inspector_;
};

}  // namespace hb::nids
