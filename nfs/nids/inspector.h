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

/// What becomes of a packet.
struct Judgement {
  std::optional<NidsDrop> drop;      ///< it is dropped, and why
  std::optional<std::uint8_t> type;  ///< it goes on as a packet of this type
};

/// One thread judges (inspect, flush, take_new_rules, finish); reload() has a thread of its own.
class Inspector {
 public:
  Inspector() = default;
  ~Inspector();
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  void add_options(CLI::App& app);
  /// Reads the rules, compiles them and opens the alert file; logs what was skipped.
  Result<void> setup(const NfContext& context);

  /// Judges one packet by the rules in force and queues its alerts.
  Judgement inspect(std::span<const std::uint8_t> bytes, const PacketMeta& meta) noexcept;

  /// Lets rules that reload() has prepared come into force. Between two packets.
  void take_new_rules() noexcept;

  /// Prepares new rules: they are in force for every packet that is taken after this returns.
  /// @param args  `--rules FILE` and `--vars FILE` as on the command line; without --rules the same
  ///              files are read again, without --vars those of before
  Result<std::string> reload(std::span<const std::string> args);

  /// Returns once all alerts so far are in the file.
  void flush() noexcept { alerts_->flush(); }
  /// Flushes and logs the totals. Harmless without setup.
  void finish() noexcept;
  /// After setup.
  [[nodiscard]] const RuleSet& rules() const noexcept { return current_->rules(); }
  /// Some packet may be dropped or change its type.
  [[nodiscard]] bool judges_packets() const noexcept {
    return drop_hits_ || hit_type_ || (!alert_only_ && rules().can_drop());
  }

 private:
  bool alert_for(const Rule& rule, std::uint32_t rule_idx, const DecodedPacket& packet,
                 const PacketMeta& meta, Judgement& judgement) noexcept;

  RuleSources sources_;
  std::string alert_path_ = "/dev/stdout";
  std::string hit_type_name_;
  bool list_skipped_ = false;
  bool alert_only_ = false;
  bool drop_hits_ = false;
  std::optional<std::uint8_t> hit_type_;

  std::unique_ptr<Generation> current_;
  /// Set by reload() (release), taken by take_new_rules() (acquire).
  std::atomic<Generation*> prepared_{nullptr};
  /// Left by take_new_rules() (release) for reload() (acquire), so that nothing is freed between
  /// packets: the last one replaced, which names the one before it.
  std::atomic<Generation*> replaced_{nullptr};
  /// Replaced rules that queued alerts still name, and the alert from which on none does.
  std::vector<std::pair<std::uint32_t, std::unique_ptr<Generation>>> retired_;
  std::uint32_t last_version_ = 1;  ///< reload()'s

  ThresholdTable thresholds_;
  std::unique_ptr<EveWriter> alerts_;
};

}  // namespace hb::nids
