#include "gpu_host/esp_hook.h"

#include <algorithm>
#include <bit>

#include "kernels/esp_table.h"
#include "nf_lib/esp/gate_image.h"
#include "nf_lib/esp/gate_seal.h"

namespace hb {
namespace {

using ipsec::Action;
using ipsec::Drop;
using ipsec::Order;

HbSlotWords to_words(const Order& order) {
  switch (order.action) {
    case Action::kDrop:
      break;
    case Action::kPass:
      return {0, HB_ESP_ORDER(HB_ESP_ACTION_PASS, 0, 0, 0, 0)};
    case Action::kSeal:
      return {order.sequence,
              HB_ESP_ORDER(HB_ESP_ACTION_SEAL, order.sa, order.ip_at, 0, order.bytes)};
    case Action::kOpen:
      return {order.sequence,
              HB_ESP_ORDER(HB_ESP_ACTION_OPEN, order.sa, order.ip_at, order.esp_at, order.bytes)};
  }
  return {0, HB_ESP_ORDER(HB_ESP_ACTION_DROP, static_cast<u32>(order.drop), 0, 0, 0)};
}

/// As much of it as settling needs.
Order to_order(const HbSlotWords& words) {
  const bool opens = HB_ESP_ORDER_ACTION(words.b) == HB_ESP_ACTION_OPEN;
  return {.action = opens ? Action::kOpen : Action::kSeal,
          .sa = static_cast<std::uint16_t>(HB_ESP_ORDER_INDEX(words.b)),
          .ip_at = static_cast<std::uint16_t>(HB_ESP_ORDER_IP_AT(words.b)),
          .sequence = words.a};
}

class EspHook final : public RoundHook {
 public:
  EspHook(const ipsec::SaStates& states, std::unique_ptr<ipsec::Gate> gate)
      : states_(states),
        gate_(std::move(gate)),
        looks_inside_(std::ranges::any_of(gate_->table().sas(), [this](const ipsec::Sa& sa) {
          return gate_->table().checks_inner(sa);
        })) {}
  ~EspHook() override { gate_->table().give_back(); }
  EspHook(const EspHook&) = delete;
  EspHook& operator=(const EspHook&) = delete;

  void before(std::span<const HookedPacket> packets, HbSlotWords* words) noexcept override {
    for (const HookedPacket& packet : packets) {
      *words++ =
          to_words(gate_->decide({packet.data, packet.length, packet.headroom, packet.tailroom}));
    }
  }

  void after(const AnsweredBurst& burst) noexcept override {
    // The device wrote them: only for those that are looked at is it worth the way.
    if (looks_inside_) {
      for (std::uint64_t rest = burst.which; rest != 0; rest &= rest - 1)
        __builtin_prefetch(burst.data[std::countr_zero(rest)]);
    }
    for (std::uint64_t rest = burst.which; rest != 0; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      // Sealed: all was settled with its order.
      if (HB_ESP_ORDER_ACTION(burst.words[i].b) == HB_ESP_ACTION_SEAL &&
          burst.verdicts[i].kind() == HB_VERDICT_NEXT)
        continue;
      burst.verdicts[i] =
          settle(burst.words[i], burst.verdicts[i], {burst.data[i], burst.lengths[i]});
    }
  }

  std::vector<std::string> tick(std::uint64_t wall_clock_ns) override {
    return gate_->table().check_limits(wall_clock_ns);
  }

 private:
  Verdict settle(const HbSlotWords& words, Verdict verdict,
                 std::span<const std::uint8_t> packet) noexcept {
    switch (HB_ESP_ORDER_ACTION(words.b)) {
      case HB_ESP_ACTION_PASS:
        return Verdict::next();
      case HB_ESP_ACTION_SEAL:
      case HB_ESP_ACTION_OPEN:
        break;
      default:
        return Verdict::drop(HB_ESP_ORDER_INDEX(words.b));
    }
    const bool passes = verdict.kind() == HB_VERDICT_NEXT;
    const ipsec::Outcome outcome = gate_->settle(
        to_order(words), {passes, passes ? Drop::kNotIp : static_cast<Drop>(verdict.argument())},
        packet);
    return outcome.passes ? Verdict::next()
                          : Verdict::drop(static_cast<std::uint32_t>(outcome.drop));
  }

  ipsec::SaStates states_;
  std::unique_ptr<ipsec::Gate> gate_;
  bool looks_inside_;  ///< opened packets' policies or selectors are checked
};

}  // namespace

Result<std::unique_ptr<RoundHook>> make_esp_hook(std::span<std::byte> table,
                                                 std::span<std::byte> surviving) {
  auto& header = *reinterpret_cast<HbEspTable*>(table.data());
  const Result<ipsec::GateConfig> config = ipsec::unpack_gate(table.subspan(header.config_offset));
  if (!config) return config.error();
  if (config->sas.size() != header.n_sas || surviving.size() < ipsec::SaStates::kBytes)
    return Error{"ipsec's table and its surviving block don't fit together",
                 "build all programs from one tree"};
  ipsec::SaStates states(surviving);
  auto gate = ipsec::Gate::make(*config, states);
  if (!gate) return gate.error();
  auto* const device = reinterpret_cast<HbEspDeviceSa*>(table.data() + header.sas_offset);
  for (const ipsec::Sa& sa : (*gate)->table().sas())
    device[sa.index].iv_base = sa.state->created.load(std::memory_order_relaxed);
  return std::unique_ptr<RoundHook>(std::make_unique<EspHook>(states, std::move(*gate)));
}

}  // namespace hb
