// parse_rule over any text: what it accepts keeps the promises that the evaluator relies on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "nfs/nids/rule_parser.h"

using namespace hb::nids;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const hb::Result<Variables> variables = Variables::parse(
      "HOME_NET: [10.0.0.0/8]\nEXTERNAL_NET: !$HOME_NET\nA: $B\nB: [$A,$A]\n", "v");
  for (const Variables* const known : {static_cast<const Variables*>(nullptr), &*variables}) {
    const ParsedRule parsed = parse_rule(text, known);
    const bool malformed = parsed.kind == ParsedRule::Kind::kMalformed;
    if (malformed == parsed.why.empty()) std::abort();
    if (parsed.kind != ParsedRule::Kind::kRule) continue;
    const Rule& rule = parsed.rule;
    if (rule.sid == 0 || rule.header.src.empty() || rule.header.dst_ports.empty()) std::abort();
    for (const BufferSteps& buffer : rule.buffers) {
      for (const PayloadStep& step : buffer.steps) {
        if (const auto* const content = std::get_if<Content>(&step)) {
          if (content->bytes.empty() || fast_bytes(*content).empty()) std::abort();
        } else if (const auto* const test = std::get_if<ByteTest>(&step)) {
          if (test->field.n_bytes == 0 || test->field.n_bytes > 23) std::abort();
        } else if (const auto* const pcre = std::get_if<Pcre>(&step)) {
          if (pcre->pattern == nullptr) std::abort();
        }
      }
    }
  }
  // Also as the text of a variable file.
  (void)Variables::parse(text, "v");
  return 0;
}
