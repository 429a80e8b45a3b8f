#include "nfs/nids/nids.h"

#include <rte_prefetch.h>

#include "nfs/nids/aho_corasick.h"

namespace hb::nids {
namespace {

constexpr std::size_t kPrefetchAhead = 4;

Verdict verdict_of(const Judgement& judgement) noexcept {
  return judgement.drop ? Verdict::drop(static_cast<std::uint32_t>(*judgement.drop))
                        : Verdict::next();
}

}  // namespace

void Nids::process_burst(std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) noexcept {
  inspector_.take_new_rules();  // a burst is judged by one set of rules
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (i + kPrefetchAhead < burst.size()) {
      rte_prefetch0(rte_pktmbuf_mtod(burst[i + kPrefetchAhead], void*));
    }
    PacketMeta& meta = packet_meta(burst[i]);
    const Judgement judgement = inspector_.inspect(
        {rte_pktmbuf_mtod(burst[i], const std::uint8_t*), rte_pktmbuf_data_len(burst[i])}, meta);
    if (judgement.type) meta.type = *judgement.type;
    verdicts[i] = verdict_of(judgement);
  }
}

Result<void> NidsOnGpu::setup(NfContext& context) { return inspector_.setup(context); }

Result<std::vector<std::byte>> NidsOnGpu::table() {
  const RuleSet& rules = inspector_.newest_rules();
  return build_nids_table(rules, inspector_.judges_packets(rules));
}

void NidsOnGpu::on_copy(const CopyRecord& record, std::span<const std::uint8_t> bytes) noexcept {
  inspector_.inspect(bytes, record.meta, record.table_version);
  inspector_.publish_counters();
}

GpuAnswer NidsOnGpu::on_question(const CopyRecord& record,
                                 std::span<const std::uint8_t> bytes) noexcept {
  const Judgement judgement = inspector_.inspect(bytes, record.meta, record.table_version);
  inspector_.publish_counters();
  return {verdict_of(judgement), judgement.type};
}

}  // namespace hb::nids
