#include "nf_lib/service_name.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace hb {
namespace {

std::uint32_t find_name(const Registry& registry, std::string_view name) {
  for (std::uint32_t i = 0; i < kMaxServices; ++i)
    if (!name.empty() && name == std::string_view(registry.services[i].name)) return i;
  return kMaxServices;
}

bool is_running(const Registry& registry, std::uint32_t service) {
  return std::ranges::any_of(registry.instances, [service](const InstanceEntry& instance) {
    const auto state = instance.state.load(std::memory_order_acquire);
    return instance.service == service &&
           (state == InstanceState::kStarting || state == InstanceState::kRunning);
  });
}

/// What a service may be called: letters, digits, '_', '.' and '-'.
std::string plain_word(const std::string& tag) {
  std::string word = tag;
  for (char& c : word)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.' && c != '-')
      c = '_';
  return word;
}

}  // namespace

std::uint32_t find_number(const Registry& registry, std::uint32_t number) noexcept {
  if (number == 0) return kMaxServices;
  for (std::uint32_t i = 0; i < kMaxServices; ++i)
    if (registry.services[i].number.load(std::memory_order_relaxed) == number) return i;
  return kMaxServices;
}

std::string service_name(const Registry& registry, std::uint16_t number, const std::string& tag,
                         const std::string& asked_for) {
  if (!asked_for.empty()) return asked_for;
  const std::string as_number = std::to_string(number);
  if (find_name(registry, as_number) != kMaxServices) return as_number;
  if (const std::uint32_t same = find_number(registry, number);
      same != kMaxServices && is_running(registry, same))
    return registry.services[same].name;
  const std::string word = plain_word(tag);
  if (word.empty() || word == "rx" || word == "tx" || word == "drop")
    return number == 0 ? "nf" : "nf-" + as_number;
  if (number == 0) return word;  // the manager keeps the service's number, or finds one
  const std::uint32_t named = find_name(registry, word);
  const std::uint32_t its_number =
      named == kMaxServices ? 0 : registry.services[named].number.load(std::memory_order_relaxed);
  return its_number == 0 || its_number == number ? word : word + '-' + as_number;
}

}  // namespace hb
