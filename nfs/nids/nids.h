// nids: looks for known attacks in every packet, on the CPU or (--gpu) on the device. Packets go on
// unchanged along the route; what was found goes to a file of alerts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nf_lib/nf.h"
#include "nfs/nids/evaluator.h"
#include "nfs/nids/eve_writer.h"

namespace hb::nids {

/// What both twins share: options, rules, evaluation of one packet, alerts. One thread.
class Inspector {
 public:
  void add_options(CLI::App& app);
  /// Reads the rules, compiles them and opens the alert file; logs what was skipped.
  Result<void> setup(const NfContext& context);
  /// Evaluates all rules on one packet and queues its alerts.
  void inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta) noexcept;
  /// Returns once all alerts so far are in the file.
  void flush() noexcept { alerts_->flush(); }
  /// Flushes and logs the totals. Harmless without setup.
  void finish() noexcept;
  /// After setup.
  [[nodiscard]] const RuleSet& rules() const noexcept { return evaluator_->rules(); }

 private:
  std::vector<std::string> rule_paths_;
  std::string alert_path_ = "/dev/stdout";
  std::shared_ptr<const Evaluator> evaluator_;
  EvaluatorScratch scratch_;
  std::unique_ptr<EveWriter> alerts_;
};

/// The CPU twin: Hyperscan on every packet.
class Nids final : public NetworkFunction {
 public:
  void add_options(CLI::App& app) override { inspector_.add_options(app); }
  Result<void> setup(NfContext& context) override { return inspector_.setup(context); }
  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override;
  void flush() noexcept override { inspector_.flush(); }
  void tear_down() noexcept override { inspector_.finish(); }

 private:
  Inspector inspector_;
};

/// The GPU twin's control process: the kernel finds packets that may match (kernels/nids.cl), this
/// evaluates their copies as the CPU twin does.
class NidsOnGpu final : public GpuNetworkFunction {
 public:
  void add_options(CLI::App& app) override { inspector_.add_options(app); }
  Result<void> setup(NfContext& context) override { return inspector_.setup(context); }
  [[nodiscard]] std::string kernel() const override { return "nids"; }
  Result<std::vector<std::byte>> table() override;
  void on_copy(const CopyRecord& record, std::span<const std::uint8_t> bytes) noexcept override;
  void tear_down() noexcept override { inspector_.finish(); }

 private:
  Inspector inspector_;
};

}  // namespace hb::nids
