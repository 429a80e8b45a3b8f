// What an NF says about one packet.
#pragma once

#include <cstdint>

#include "kernels/layout.h"
#include "nf_lib/ids.h"

namespace hb {

class Verdict {
 public:
  /// Along the route of the packet's type.
  static constexpr Verdict next() { return Verdict(HB_VERDICT_NEXT, 0); }
  /// Drop; reason_idx indexes the drop reasons that the NF declared.
  static constexpr Verdict drop(std::uint32_t reason_idx) {
    return Verdict(HB_VERDICT_DROP, reason_idx);
  }
  /// To a named service, whatever the routes say; NfContext::find_service gives the id.
  static constexpr Verdict to_service(ServiceId service) {
    return Verdict(HB_VERDICT_TO_SERVICE, service.value);
  }
  /// Out of a port, whatever the routes say.
  static constexpr Verdict to_port(std::uint32_t port) { return Verdict(HB_VERDICT_TO_PORT, port); }
  /// The NF keeps the packet in its held area and releases it later: NfContext::release.
  static constexpr Verdict hold() { return Verdict(kHold, 0); }

  [[nodiscard]] constexpr std::uint32_t kind() const { return kind_; }
  [[nodiscard]] constexpr std::uint32_t argument() const { return argument_; }
  [[nodiscard]] constexpr bool is_hold() const { return kind_ == kHold; }
  bool operator==(const Verdict&) const = default;

  constexpr Verdict() = default;
  /// From a device's result; kinds that mean nothing are found by Forwarder.
  constexpr Verdict(std::uint32_t kind, std::uint32_t argument)
      : kind_(static_cast<std::uint8_t>(kind)), argument_(static_cast<std::uint8_t>(argument)) {}

 private:
  static constexpr std::uint32_t kHold = 4;
  std::uint8_t kind_ = HB_VERDICT_NEXT;
  std::uint8_t argument_ = 0;
};

}  // namespace hb
