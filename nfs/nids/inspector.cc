#include "nfs/nids/inspector.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "nf_lib/decode.h"

namespace hb::nids {
namespace {

/// A file of another kind can be all malformed rules: not every one gets its line in the log unless
/// that is asked for.
constexpr std::size_t kMaxMalformedLines = 20;
constexpr const char* kNoRule = "no rule is in use: there will be no alerts";

void log_report(const RuleSet& rules, bool list_skipped) {
  const std::vector<std::string>& malformed = rules.report.malformed;
  const std::size_t n_shown =
      list_skipped ? malformed.size() : std::min(malformed.size(), kMaxMalformedLines);
  for (std::size_t i = 0; i < n_shown; ++i) spdlog::warn("{}", malformed[i]);
  if (n_shown < malformed.size()) {
    spdlog::warn("{} more malformed rules", malformed.size() - n_shown);
  }
  if (list_skipped) {
    for (const std::string& line : rules.report.skipped) spdlog::info("not used: {}", line);
    for (const std::string& line : rules.report.duplicates) spdlog::info("not used: {}", line);
  }
  spdlog::info("{}", rules.report.summary(rules.rules.size()));
  if (rules.rules.empty()) spdlog::warn(kNoRule);
}

void add_rule_options(CLI::App& app, RuleSources& sources) {
  app.add_option("--rules", sources.rules, "Snort or Suricata rules; may be given more than once")
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--vars", sources.vars,
                 "what $HOME_NET and its like mean, as NAME: VALUE; without it they mean any")
      ->type_name("FILE");
}

}  // namespace

void Inspector::add_options(CLI::App& app) {
  add_rule_options(app, sources_);
  app.get_option("--rules")->required();
  app.add_flag("--list-skipped", list_skipped_,
               "name every rule that is not used, with its file and line");
  app.add_option("--alerts", alert_path_, "EVE JSON lines are appended to this file")
      ->capture_default_str()
      ->type_name("FILE");
  CLI::Option* const alert_only =
      app.add_flag("--alert-only", alert_only_, "drop and reject rules only alert");
  CLI::Option* const drop_hits =
      app.add_flag("--drop-hits", drop_hits_, "drop every packet that has an alert");
  drop_hits->excludes(alert_only);
  app.add_option("--hit-type", hit_type_name_,
                 "packets that have an alert go on as this type, by which routes.csv can send them "
                 "elsewhere")
      ->type_name("TYPE")
      ->check([](const std::string& name) {
        return name.empty() ? std::string("the type has no name") : std::string();
      })
      ->excludes(drop_hits);
}

Result<void> Inspector::setup(NfContext& context) {
  context_ = &context;
  if (!hit_type_name_.empty()) {
    hit_type_ = context.find_type(hit_type_name_);
    if (!hit_type_) {
      return Error{fmt::format("--hit-type: there is no packet type '{}'", hit_type_name_),
                   "name it in the manager's routes.csv or flows.csv"};
    }
  }
  auto loaded = load_generation(sources_, 1, false);
  if (!loaded) return loaded.error();
  log_report((*loaded)->rules(), list_skipped_);
  current_ = std::move(*loaded);
  newest_ = current_->evaluator->shared_rules();
  const auto may_wait = [this] {
    publish_counters();
    return context_->may_wait_for_output();
  };
  Result<std::unique_ptr<EveWriter>> alerts = EveWriter::open(
      {.path = alert_path_, .wait_when_full = context.lossless(), .may_wait = may_wait});
  if (!alerts) return alerts.error();
  alerts_ = std::move(*alerts);
  return {};
}

/// One rule that matches: its threshold, its alert, what it does to the packet.
/// @return false if the rule ends the rest: a `pass`
bool Inspector::alert_for(const Generation& by, const Rule& rule, std::uint32_t rule_idx,
                          const DecodedPacket& packet, const PacketMeta& meta,
                          Judgement& judgement) noexcept {
  ThresholdAnswer answer = ThresholdAnswer::kAlert;
  if (rule.threshold) {
    const std::uint64_t key = std::uint64_t{rule.gid} << 32 | rule.sid;
    answer = thresholds_.count(*rule.threshold, key, packet, meta.capture_ns);
    if (answer == ThresholdAnswer::kNothing) return true;
  }
  if (rule.action == Action::kPass) return false;
  const bool drops = !alert_only_ && rule.action != Action::kAlert;
  if (drops && !judgement.drop) {
    judgement.drop = rule.action == Action::kReject ? NidsDrop::kRejectRule : NidsDrop::kDropRule;
  }
  if (answer == ThresholdAnswer::kActionOnly) return true;
  if (drop_hits_ && !judgement.drop) judgement.drop = NidsDrop::kHit;
  if (hit_type_) judgement.type = hit_type_;
  // A full queue either waits, or counts the alert as lost.
  Alert alert = make_alert(packet, rule_idx, meta.capture_ns, meta.capture_number());
  alert.rules = &by.rules();
  alert.blocked = drops || drop_hits_;
  alerts_->push(alert);
  return true;
}

Judgement Inspector::inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta,
                             std::uint32_t version) noexcept {
  if (current_->rules().version != version) {
    // Acquire: pairs with the release in reload(). Only this thread takes them away.
    Generation* const prepared = prepared_.load(std::memory_order_acquire);
    if (prepared != nullptr && prepared->rules().version == version)
      return inspect_by(*prepared, bytes, meta);
  }
  return inspect_by(*current_, bytes, meta);
}

Judgement Inspector::inspect_by(Generation& by, std::span<const std::uint8_t> bytes,
                                const PacketMeta& meta) noexcept {
  Judgement judgement;
  const DecodedPacket packet = decode_packet(bytes);
  const std::span<const std::uint32_t> matches = by.evaluator->evaluate(bytes, packet, by.scratch);
  if (matches.empty()) return judgement;
  const std::vector<Rule>& rules = by.rules().rules;
  // Suricata's order: a pass is looked at before all others, alerts come last.
  for (const Action action : {Action::kPass, Action::kDrop, Action::kReject, Action::kAlert}) {
    for (const std::uint32_t rule_idx : matches) {
      const Rule& rule = rules[rule_idx];
      if (rule.action != action) continue;
      if (!alert_for(by, rule, rule_idx, packet, meta, judgement)) return judgement;
    }
  }
  return judgement;
}

void Inspector::settle(bool in_force) noexcept {
  // Acquire: pairs with the release store in reload(), so that the rules are whole.
  Generation* const next = prepared_.exchange(nullptr, std::memory_order_acquire);
  if (next == nullptr) return;  // reload() has thought better of it
  Generation* const old = in_force ? current_.release() : next;
  n_given_up_before_ += old->scratch.n_given_up();
  if (in_force) {
    current_.reset(next);
  } else {
    --last_version_;
    sources_ = sources_before_;
    newest_ = newest_before_;
  }
  Generation* before = replaced_.load(std::memory_order_relaxed);
  do {
    (void)old->replaced_before.release();
    old->replaced_before.reset(before);
    // Release: pairs with the acquire exchange in reload(): nothing of the old rules is used from
    // here on, but by alerts that are queued by now.
  } while (!replaced_.compare_exchange_weak(before, old, std::memory_order_release,
                                            std::memory_order_relaxed));
}

Inspector::~Inspector() {
  const std::unique_ptr<Generation> prepared(prepared_.load(std::memory_order_relaxed));
  const std::unique_ptr<Generation> replaced(replaced_.load(std::memory_order_relaxed));
  alerts_.reset();  // writes what is queued, which names rules
}

Result<std::string> Inspector::reload(std::span<const std::string> args) {
  RuleSources sources;
  CLI::App app("reload");
  add_rule_options(app, sources);
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::ParseError& error) {
    return Error{fmt::format("reload: {}", error.what()),
                 "give --rules FILE and, if need be, --vars FILE"};
  }
  if (sources.rules.empty()) sources.rules = sources_.rules;
  if (sources.vars.empty()) sources.vars = sources_.vars;
  auto loaded = load_generation(sources, last_version_ + 1, true);
  if (!loaded) return loaded.error();
  ++last_version_;
  sources_before_ = std::exchange(sources_, std::move(sources));
  newest_before_ = std::exchange(newest_, (*loaded)->evaluator->shared_rules());
  const RuleSet& rules = (*loaded)->rules();
  std::string summary = rules.report.summary(rules.rules.size());
  if (rules.rules.empty()) summary += fmt::format("; {}", kNoRule);
  log_report(rules, list_skipped_);
  // Acquire: pairs with the release in settle(). All alerts that name those rules are
  // queued by now: they may go once these are written.
  std::erase_if(retired_, [&](const auto& entry) { return alerts_->has_written(entry.first); });
  if (std::unique_ptr<Generation> old{replaced_.exchange(nullptr, std::memory_order_acquire)}) {
    retired_.emplace_back(alerts_->n_pushed(), std::move(old));
  }
  // Release: pairs with the acquire in settle() and inspect(). Rules that were never taken go.
  const std::unique_ptr<Generation> superseded(
      prepared_.exchange(loaded->release(), std::memory_order_acq_rel));
  return fmt::format("rules_version {}: {}", last_version_, summary);
}

void Inspector::publish_counters() noexcept {
  const auto set = [this](NidsCounter counter, std::uint64_t n) {
    context_->set_counter(static_cast<std::uint32_t>(counter), n);
  };
  set(NidsCounter::kAlerts, alerts_->n_written());
  set(NidsCounter::kAlertsLost, alerts_->n_lost());
  set(NidsCounter::kPcreGivenUp, n_given_up_before_ + current_->scratch.n_given_up());
}

void Inspector::finish() noexcept {
  if (alerts_ == nullptr) return;
  alerts_->end();
  publish_counters();
  spdlog::info("{} alerts written to {}", alerts_->n_written(), alert_path_);
  if (alerts_->n_lost() > 0) spdlog::warn("{} alerts lost", alerts_->n_lost());
  const EvaluatorScratch& scratch = current_->scratch;
  if (scratch.n_failed_scans() > 0) {
    spdlog::warn("{} packets were searched rule by rule: Hyperscan gave up on them",
                 scratch.n_failed_scans());
  }
  if (const std::uint64_t n = n_given_up_before_ + scratch.n_given_up(); n > 0)
    spdlog::warn("{} times a pcre took too many steps and was taken as not matching", n);
  if (thresholds_.n_forgotten() > 0) {
    spdlog::warn("{} counts of thresholds were forgotten for want of room",
                 thresholds_.n_forgotten());
  }
}

}  // namespace hb::nids
