#include "nfs/nids/content_search.h"

#include <algorithm>
#include <cstring>

namespace hb::nids {

bool contains_content(std::span<const std::uint8_t> bytes, const Content& content) noexcept {
  const std::string& wanted = content.bytes;
  if (wanted.empty() || wanted.size() > bytes.size()) return false;
  if (!content.nocase) {
    return memmem(bytes.data(), bytes.size(), wanted.data(), wanted.size()) != nullptr;
  }
  const auto same = [](std::uint8_t in_packet, char lower) {
    return to_lower_ascii(static_cast<char>(in_packet)) == lower;
  };
  return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end(), same) != bytes.end();
}

}  // namespace hb::nids
