#include "nfs/nids/rule.h"

namespace hb::nids {

std::string_view fast_bytes(const Content& content) noexcept {
  const std::string_view bytes(content.bytes);
  return content.fast_length != 0 ? bytes.substr(content.fast_offset, content.fast_length) : bytes;
}

std::optional<ContentPlace> fast_content_place(const Rule& rule) noexcept {
  std::optional<ContentPlace> best;
  std::size_t best_bytes = 0;
  for (std::size_t b = 0; b < rule.buffers.size(); ++b) {
    const BufferSteps& buffer = rule.buffers[b];
    if (buffer.buffer != Buffer::kPayload) continue;  // its bytes need not lie in the packet
    for (std::size_t s = 0; s < buffer.steps.size(); ++s) {
      const auto* const content = std::get_if<Content>(&buffer.steps[s]);
      if (content == nullptr || content->negated) continue;
      if (content->fast_pattern) return ContentPlace{b, s};
      if (content->bytes.size() > best_bytes) {
        best = ContentPlace{b, s};
        best_bytes = content->bytes.size();
      }
    }
  }
  return best;
}

}  // namespace hb::nids
