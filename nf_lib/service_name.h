// By which name an OpenNetVM NF registers. The manager decides it: two NFs that start at once would
// both take a name that both find free.
#pragma once

#include <cstdint>
#include <string>

#include "nf_lib/control_layout.h"

namespace hb {

/// The first of these that applies: what the user asked for; the number, if routes.csv names it; a
/// running service of that number, which gets another instance; the tag, unless a service of
/// another number has it; the tag with the number.
/// @param number  0: the manager is to find one, so that the tag decides
std::string service_name(const Registry& registry, std::uint16_t number, const std::string& tag,
                         const std::string& asked_for);

/// A running service with that number, else any; kMaxServices if there is none.
std::uint32_t find_number(const Registry& registry, std::uint32_t number) noexcept;

}  // namespace hb
