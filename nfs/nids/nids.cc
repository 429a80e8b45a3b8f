#include "nfs/nids/nids.h"

#include <rte_prefetch.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "nf_lib/decode.h"
#include "nfs/nids/aho_corasick.h"

namespace hb::nids {
namespace {

/// A file of another kind can be all malformed rules: not every one gets its line in the log.
constexpr std::size_t kMaxMalformedLines = 20;
constexpr std::size_t kPrefetchAhead = 4;

void log_report(const RuleSet& rules) {
  const std::vector<std::string>& malformed = rules.report.malformed;
  const std::size_t n_shown = std::min(malformed.size(), kMaxMalformedLines);
  for (std::size_t i = 0; i < n_shown; ++i) spdlog::warn("{}", malformed[i]);
  if (n_shown < malformed.size()) {
    spdlog::warn("{} more malformed rules", malformed.size() - n_shown);
  }
  spdlog::info("{}", rules.report.summary(rules.rules.size()));
  if (rules.rules.empty()) spdlog::warn("no rule is in use: there will be no alerts");
}

}  // namespace

void Inspector::add_options(CLI::App& app) {
  app.add_option("--rules", rule_paths_, "Snort or Suricata rules; may be given more than once")
      ->required()
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--alerts", alert_path_, "EVE JSON lines are appended to this file")
      ->capture_default_str()
      ->type_name("FILE");
}

Result<void> Inspector::setup(const NfContext& context) {
  Result<RuleSet> loaded = load_rule_files(rule_paths_);
  if (!loaded) return loaded.error();
  log_report(*loaded);
  auto rules = std::make_shared<const RuleSet>(std::move(*loaded));
  Result<std::shared_ptr<const Evaluator>> evaluator = Evaluator::create(rules);
  if (!evaluator) return evaluator.error();
  evaluator_ = std::move(*evaluator);
  Result<EvaluatorScratch> scratch = evaluator_->make_scratch();
  if (!scratch) return scratch.error();
  scratch_ = std::move(*scratch);
  Result<std::unique_ptr<EveWriter>> alerts =
      EveWriter::open({.path = alert_path_, .wait_when_full = context.lossless()}, rules);
  if (!alerts) return alerts.error();
  alerts_ = std::move(*alerts);
  return {};
}

void Inspector::inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta) noexcept {
  const DecodedPacket packet = decode_packet(bytes);
  for (const std::uint32_t rule_idx : evaluator_->evaluate(bytes, packet, scratch_)) {
    // A full queue either waits, or counts the alert as lost.
    alerts_->push(make_alert(packet, rule_idx, meta.capture_ns, meta.capture_number()));
  }
}

void Inspector::finish() noexcept {
  if (alerts_ == nullptr) return;
  alerts_->flush();
  spdlog::info("{} alerts written to {}", alerts_->n_written(), alert_path_);
  if (alerts_->n_lost() > 0) spdlog::warn("{} alerts lost", alerts_->n_lost());
  if (scratch_.n_failed_scans() > 0) {
    spdlog::warn("{} packets were searched rule by rule: Hyperscan gave up on them",
                 scratch_.n_failed_scans());
  }
}

void Nids::process_burst(std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) noexcept {
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (i + kPrefetchAhead < burst.size()) {
      rte_prefetch0(rte_pktmbuf_mtod(burst[i + kPrefetchAhead], void*));
    }
    inspector_.inspect(
        {rte_pktmbuf_mtod(burst[i], const std::uint8_t*), rte_pktmbuf_data_len(burst[i])},
        packet_meta(burst[i]));
    verdicts[i] = Verdict::next();
  }
}

Result<std::vector<std::byte>> NidsOnGpu::table() { return build_nids_table(inspector_.rules()); }

void NidsOnGpu::on_copy(const CopyRecord& record, std::span<const std::uint8_t> bytes) noexcept {
  inspector_.inspect(bytes, record.meta);
}

}  // namespace hb::nids
