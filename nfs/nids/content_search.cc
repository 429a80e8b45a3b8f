#include "nfs/nids/content_search.h"

#include <cstring>

namespace hb::nids {
namespace {

bool equals_folded(const std::uint8_t* bytes, const std::string& wanted) noexcept {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (to_lower_ascii(static_cast<char>(bytes[i])) != wanted[i]) return false;
  }
  return true;
}

}  // namespace

std::size_t find_content(std::span<const std::uint8_t> bytes, std::size_t from, std::size_t end,
                         const Content& content) noexcept {
  const std::string& wanted = content.bytes;
  if (from > end || end - from < wanted.size() || wanted.empty()) return kNotFound;
  const std::uint8_t* const data = bytes.data();
  if (!content.nocase) {
    const void* const at = memmem(data + from, end - from, wanted.data(), wanted.size());
    return at == nullptr ? kNotFound
                         : static_cast<std::size_t>(static_cast<const std::uint8_t*>(at) - data);
  }
  const std::size_t last = end - wanted.size();
  const char first = wanted[0];
  const bool is_letter = first >= 'a' && first <= 'z';
  for (std::size_t at = from; at <= last; ++at) {
    if (is_letter) {
      while (at <= last && to_lower_ascii(static_cast<char>(data[at])) != first) ++at;
      if (at > last) return kNotFound;
    } else {
      const void* const hit = std::memchr(data + at, first, last - at + 1);
      if (hit == nullptr) return kNotFound;
      at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(hit) - data);
    }
    if (equals_folded(data + at, wanted)) return at;
  }
  return kNotFound;
}

}  // namespace hb::nids
