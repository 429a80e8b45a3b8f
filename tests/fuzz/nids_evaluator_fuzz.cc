// Any rules on any frame: lines of rules, an empty line, the frame. Whatever the evaluator finds,
// the device's search must have marked.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#define HB_KERNEL_ON_HOST
#include "kernels/nids.cl"
#include "nfs/nids/aho_corasick.h"
#include "nfs/nids/evaluator.h"
#include "nfs/nids/rule_parser.h"
#include "nfs/nids/threshold_table.h"
#include "tests/kernels/one_packet.h"

using namespace hb::nids;

namespace {

RuleSet rules_of(std::string_view text) {
  RuleSet set;
  while (!text.empty() && set.rules.size() < 8) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    ParsedRule parsed = parse_rule(text.substr(0, end));
    if (parsed.kind == ParsedRule::Kind::kRule) set.rules.push_back(std::move(parsed.rule));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return set;
}

/// Runs the kernel's packet function on a copy of the frame; ASan sees each byte beyond it. It
/// must never be refused an access: the packet would be dropped.
bool kernel_marks(const std::vector<std::byte>& table, std::vector<std::uint8_t> frame) {
  struct alignas(64) Line {
    u8 bytes[64];
  };
  std::vector<Line> aligned((table.size() + 63) / 64);
  std::memcpy(aligned.data(), table.data(), table.size());
  const auto* const block = reinterpret_cast<const u8*>(aligned.data());
  if (!nids_table_valid(block, table.size())) std::abort();
  HbPacket packet = hb::test::one_packet(frame);
  const bool marks = hb_nids_suspect(&packet, block) != 0;
  if (packet.refused != 0) std::abort();
  return marks;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t gap = input.find("\n\n");
  if (gap == std::string_view::npos) return 0;
  auto rules = std::make_shared<const RuleSet>(rules_of(input.substr(0, gap)));
  if (rules->rules.empty()) return 0;
  const std::vector<std::uint8_t> frame(data + gap + 2, data + size);
  const auto evaluator = Evaluator::create(rules);
  if (!evaluator) return 0;
  auto scratch = (*evaluator)->make_scratch();
  const hb::DecodedPacket packet = hb::decode_packet(frame);
  const auto matches = (*evaluator)->evaluate(frame, packet, *scratch);
  ThresholdTable thresholds(8);
  for (const std::uint32_t idx : matches) {
    const Rule& rule = rules->rules.at(idx);
    if (rule.threshold) (void)thresholds.count(*rule.threshold, rule.sid, packet, rule.sid);
  }
  const auto table = build_nids_table(*rules);
  if (table && !kernel_marks(*table, frame) && !matches.empty()) std::abort();
  return 0;
}
