// What both twins share: options, rules and their reload, judgement of one packet, alerts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nf_lib/nf.h"
#include "nfs/nids/eve_writer.h"
#include "nfs/nids/generation.h"
#include "nfs/nids/threshold_table.h"

namespace hb::nids {

/// Indices into NfDescription::drop_reasons.
enum class NidsDrop : std::uint8_t { kDropRule, kRejectRule, kHit };

/// Indices into NfDescription::counters.
enum class NidsCounter : std::uint8_t { kAlerts, kAlertsLost, kPcreGivenUp };

/// What becomes of a packet.
struct Judgement {
  std::optional<NidsDrop> drop;      ///< it is dropped, and why
  std::optional<std::uint8_t> type;  ///< it goes on as a packet of this type
};

/// One thread judges (inspect, flush, take_new_rules, settle, finish); reload() has a thread of its
/// own.
class Inspector {
 public:
  Inspector() = default;
  ~Inspector();
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  void add_options(CLI::App& app);
  /// Reads the rules, compiles them and opens the alert file; logs what was skipped.
  Result<void> setup(NfContext& context);

  /// Judges one packet by the rules in force and queues its alerts.
  Judgement inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta) noexcept {
    return inspect_by(*current_, bytes, meta);
  }
  /// The same by the rules of that version: those in force, or those that reload() has prepared.
  Judgement inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta,
                    std::uint32_t version) noexcept;

  /// Lets rules that reload() has prepared come into force. Between two packets.
  void take_new_rules() noexcept {
    if (prepared_.load(std::memory_order_relaxed) != nullptr) settle(true);
  }
  /// The same, or (!in_force) forgets them: what reload() said is taken back, and it must not run.
  void settle(bool in_force) noexcept;

  /// Prepares new rules: they are in force for every packet that is taken after this returns, if
  /// the judging thread calls take_new_rules().
  /// @param args  `--rules FILE` and `--vars FILE` as on the command line; without --rules the same
  ///              files are read again, without --vars those of before
  Result<std::string> reload(std::span<const std::string> args);

  /// Brings NidsCounter's numbers in the statistics up to date.
  void publish_counters() noexcept;

  /// Returns once all alerts so far are in the file, or it stalls.
  void flush() noexcept { alerts_->flush(); }
  /// Ends the alert file and logs the totals. Harmless without setup.
  void finish() noexcept;
  /// Those loaded last, whether or not they are in force. setup()'s thread, then reload()'s.
  [[nodiscard]] const RuleSet& newest_rules() const noexcept { return *newest_; }
  /// By those rules, some packet may be dropped or change its type.
  [[nodiscard]] bool judges_packets(const RuleSet& rules) const noexcept {
    return drop_hits_ || hit_type_ || (!alert_only_ && rules.can_drop());
  }

 private:
  Judgement inspect_by(Generation& by, std::span<const std::uint8_t> bytes,
                       const PacketMeta& meta) noexcept;
  bool alert_for(const Generation& by, const Rule& rule, std::uint32_t rule_idx,
                 const DecodedPacket& packet, const PacketMeta& meta,
                 Judgement& judgement) noexcept;

  NfContext* context_ = nullptr;
  RuleSources sources_;
  std::string alert_path_ = "/dev/stdout";
  std::string hit_type_name_;
  bool list_skipped_ = false;
  bool alert_only_ = false;
  bool drop_hits_ = false;
  std::optional<std::uint8_t> hit_type_;

  std::unique_ptr<Generation> current_;
  std::uint64_t n_given_up_before_ = 0;  ///< by those before it
  /// Set by reload() (release), taken by settle() (acquire).
  std::atomic<Generation*> prepared_{nullptr};
  /// Left by settle() (release) for reload() (acquire), so that nothing is freed between
  /// packets: the last one replaced, which names the one before it.
  std::atomic<Generation*> replaced_{nullptr};
  /// Replaced rules that queued alerts still name, and the alert from which on none does.
  std::vector<std::pair<std::uint32_t, std::unique_ptr<Generation>>> retired_;
  // reload()'s, but while settle(false) takes it back.
  std::uint32_t last_version_ = 1;
  std::shared_ptr<const RuleSet> newest_, newest_before_;
  RuleSources sources_before_;

  ThresholdTable thresholds_;
  std::unique_ptr<EveWriter> alerts_;
};

}  // namespace hb::nids
